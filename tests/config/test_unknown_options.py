"""Options that a config group does not have."""

import pytest

OWN = "for a file of your own use --config-dir, see docs/howto/README.md"
PLUGIN = "others need their Hydra plugin, which is not installed"
FIRST = {
    "experiment=quickstrat": ("quickstart, ", OWN),
    "data=wikitext": ("wikitext2, ", OWN),
    "model=transformer": ("nano_transformer, ", OWN),
    "logger=wandb": ("tensorboard, none", OWN),
    "hydra/launcher=submitit_slurm": ("slurm, ", PLUGIN),
    "hydra/sweeper=optuna": ("", PLUGIN),
}


@pytest.mark.parametrize("flags", [(), ("-m", "seed=0,1")])
@pytest.mark.parametrize("word", FIRST)
def test_the_options_are_listed_nearest_first(command, word, flags):
    ended = command(*flags, word, small=False)
    nearest, remedy = FIRST[word]
    assert ended.code == 2
    assert ended.err.startswith(f"error: {word} must be one of {nearest}")
    assert ended.err.endswith(f"; {remedy}\n")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["schedule=glob(*)", "schedule.warmup_steps=2"],
            "schedule.warmup_steps is an unknown key; what is chosen for schedule has no keys "
            "(with schedule=constant)",
        ),
        (
            ["model=mlp,gru", "data=digits", "model.depth=2,4"],
            "model.depth is an unknown key; did you mean width? (with model=gru)",
        ),
        (["schedule.warmup_steps=2"], "what is chosen for schedule has no keys"),
    ],
)
def test_a_key_that_only_some_options_have_names_the_one_that_lacks_it(command, words, said):
    ended = command("-m", *words, small=False)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_a_key_that_the_default_option_lacks_can_be_set_for_those_that_are_swept(command):
    words = ("schedule=warmup_cosine,warmup_stable_decay", "schedule.warmup_steps=2")
    ended = command("-m", *words, "dry_run=true")
    assert ended.code == 0, ended.err
    assert "2 of 2 cells would be trained" in ended.out
    assert "add -m: python -m scaling.train -m" in command(*words).err
    assert "schedule.warmup_steps=2" in command(*words).err
