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
