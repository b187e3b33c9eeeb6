"""`--help` shows each key with its default and meaning, and nothing internal."""

import re

from scaling.config.key_help import LISTED, WIDTH


def test_help_has_a_line_for_each_key_and_fits_a_terminal(command, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    ended = command("--help", small=False)
    assert ended.code == 0, ended.err
    for internal in ("_target_", "_partial_", "${", "match", "at_scale", "microbatches"):
        assert internal not in ended.out
    assert [line for line in ended.out.splitlines() if len(line) > WIDTH] == []
    for line in (
        r"batch +32 +examples per optimizer step",
        r"lr +0.001 +peak learning rate",
        r"model\.d_model +64 +features per token",
        r"optimizer\.betas +\[0\.9,0\.95\] +decay of",
        r"callbacks\.layer_gradients\.flush_every +10\n +measured steps between copies",
        r"logger +tensorboard, none",
    ):
        assert re.search(rf"^  {line}", ended.out, re.MULTILINE), line
    options = ended.out.partition("Options (")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^  (\w+) ", options, re.MULTILINE)) == LISTED


def test_help_shows_the_keys_of_what_the_command_chooses(command):
    shown = command("--help", "model=mlp", "data=mnist", "batch=64", small=False).out
    assert re.search(r"^  model\.depth +4 +number of hidden layers$", shown, re.MULTILINE)
    assert re.search(r"^  data\.val_examples +5000 +training images", shown, re.MULTILINE)
    assert re.search(r"^  batch +64 ", shown, re.MULTILINE)
    assert "MNIST (LeCun et al. 1998)" in shown
    assert "d_model  " not in shown


def test_help_of_a_sweep_shows_the_defaults_of_its_grid(command):
    ended = command("-m", "--help", "batch=8,16", "lr=range(1,4)", "model=mlp", small=False)
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^  batch +32 ", ended.out, re.MULTILINE)
    assert re.search(r"^  model\.depth +4 ", ended.out, re.MULTILINE)


def test_a_narrow_terminal_has_each_meaning_below_its_key(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    shown = command("--help", small=False).out
    keys = shown.partition("Options (")[2].partition("Exit codes")[0].splitlines()[1:]
    assert [line for line in keys if len(line) > 60] == []
    assert "  optimizer.eps           1e-8\n      added to the root of the mean square" in shown


def test_a_users_file_is_shown_with_its_comments(command, folder):
    (folder / "own" / "model").mkdir(parents=True)
    (folder / "own" / "model" / "mine.yaml").write_text(
        "# My model.\ndefaults: [mlp, _self_]\n\nwidth: 16\nsize: 3\n# in nats\nlimit: 0.5 \n"
    )
    ended = command("--help", "--config-dir=own", "model=mine", small=False)
    assert "model=mine\n  My model." in ended.out
    for line in (r"width +16 +features of a hidden layer", r"size +3", r"limit +0\.5 +in nats"):
        assert re.search(rf"^  model\.{line}$", ended.out, re.MULTILINE), line
