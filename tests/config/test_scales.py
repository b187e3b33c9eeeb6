"""`by_scale` is in the file that it changes, and is not part of a run's config."""

from pathlib import Path

import pytest
from expansions import cells_of, first_cell

from scaling.config import identity
from scaling.config.folder import FOLDER

SCALES = ([], ["scale=small"], ["scale=tiny"])
# Digests of the first and the last cell, when each scale had files of its own: at full size, small
# and tiny, with the same fingerprint for all data.
DIGESTS = {
    "phase_2": [
        ("b9726cb83341", "490c8d231c73"),
        ("1aa505f333d3", "44903df175a6"),
        ("ef75f76ae1c1", "1ebde6f7e4b8"),
    ],
    "depth": [
        ("2129dddd22dd", "a5f6df304137"),
        ("f2217c59c26e", "3447c7494df3"),
        ("06216da53a72", "3292b2c8edbb"),
    ],
    "ttt_controls": [
        ("5d3cd5798d3d", "fc60384252fb"),
        ("461367df445f", "fecca8321b09"),
        ("a9ab9a98e92e", "975c6a82133a"),
    ],
}


@pytest.mark.parametrize("name", DIGESTS)
def test_every_scale_gives_the_same_runs_as_before_and_the_block_is_in_none(name):
    for scale, digests in zip(SCALES, DIGESTS[name], strict=True):
        asked = cells_of(f"experiment={name}", *scale)
        ends = (identity.canonical(cell.config, "data") for cell in (asked[0], asked[-1]))
        assert tuple(identity.digest(canonical) for canonical in ends) == digests, scale
        assert_without_blocks(asked)


def test_the_block_is_not_in_a_run_without_an_experiment():
    for scale in SCALES:
        assert_without_blocks(cells_of(*scale))


def assert_without_blocks(asked) -> None:
    for cell in asked:
        assert "by_scale" not in str(cell.composed)
        assert "by_scale" not in str(cell.config)


def test_each_scale_is_in_the_file_that_it_changes():
    assert not (FOLDER / "at_scale").exists()
    for model in (FOLDER / "model").glob("*.yaml"):
        assert "\nby_scale:" in model.read_text()


def test_a_scale_wins_over_an_experiment_and_typed_values_win_over_a_scale():
    (experiment, small, typed) = (
        first_cell("experiment=phase_2", *more).config
        for more in ([], ["scale=small"], ["scale=small", "model.d_model=48", "steps=7"])
    )
    sizes = [(c["model"]["d_model"], c["data"]["context"]) for c in (experiment, small, typed)]
    assert sizes == [(64, 128), (32, 32), (48, 32)]
    assert [c["steps"] for c in (experiment, small, typed)] == [5000, 400, 7]


MINE = """\
_target_: scaling.models.gru.GRU
width: 12
layers: 1
normalisation: none
groups: 1
dropout: 0.0
"""


@pytest.fixture
def own(folder) -> Path:
    """A folder of configs outside the package, with a model and a scale."""
    for group in ("model", "scale"):
        (folder / "conf" / group).mkdir(parents=True)
    (folder / "conf" / "scale" / "mine.yaml").write_text("# @package _global_\nsteps: 3\n")
    return folder / "conf" / "model" / "mine.yaml"


@pytest.fixture
def config_of(command, monkeypatch):
    """The config of the first run that a command would train."""
    from scaling.sweeps import sweep

    def first(*arguments: str) -> dict:
        asked = []
        monkeypatch.setattr(sweep, "train_cells", lambda cells, *_, **__: asked.extend(cells) or 0)
        ended = command(*arguments, small=False)
        assert ended.code == 0, ended.err
        return asked[0].config

    return first


def test_a_users_files_have_their_own_scales(config_of, own):
    own.write_text(MINE + "by_scale:\n  mine: {model: {width: 6}}\n  tiny: {model: {width: 4}}\n")
    typed = ("--config-dir=conf", "model=mine", "data=flows")
    widths = [config_of(*typed, *scale)["model"]["width"] for scale in (*SCALES, ["scale=mine"])]
    assert widths == [12, 12, 4, 6]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("by_scale: {mine: 6}", "model/mine: by_scale.mine=6 must map root keys to values"),
        ("by_scale: {mine: {width: 6}}", "width is an unknown key; known here: adaptation, "),
    ],
)
def test_an_invalid_block_is_one_message(command, own, block, said):
    own.write_text(f"{MINE}{block}\n")
    ended = command("--config-dir=conf", "model=mine", "data=flows", "scale=mine", small=False)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_a_scale_that_does_not_exist_is_refused(command, own):
    own.write_text(f"{MINE}by_scale: {{tinny: {{model: {{width: 6}}}}}}\n")
    ended = command("--config-dir=conf", "model=mine", "data=flows", "scale=tiny", small=False)
    assert ended.code == 2
    assert "by_scale.tinny has no effect; there is no scale/tinny.yaml" in ended.err


def test_a_block_in_an_unused_place_is_refused(command, folder):
    (folder / "conf" / "data").mkdir(parents=True)
    block = "defaults: [digits]\nby_scale: {tiny: {data: {scored_examples: 8}}}\n"
    (folder / "conf" / "data" / "mine.yaml").write_text(block)
    ended = command("--config-dir=conf", "data=mine", "model=mlp", "scale=tiny", small=False)
    assert ended.code == 2
    assert "data/mine: by_scale has no effect here; it belongs in the file of one of" in ended.err
    assert len(ended.err.strip().splitlines()) == 1
