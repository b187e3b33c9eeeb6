"""Options that a config group does not have."""

import pytest

OWN = "for a file of your own use --config-dir, see docs/howto/README.md"
PLUGIN = "others need their Hydra plugin, which is not installed"
MEANT = {
    "experiment=quikstart": ("(did you mean quickstart?)", OWN),
    "data=wikitext": ("(did you mean wikitext2?)", OWN),
    "model=transformer": ("(did you mean nano_transformer?)", OWN),
    "logger=wandb": ("none, tensorboard", OWN),
    "hydra/launcher=submitit_slurm": ("(did you mean slurm?)", PLUGIN),
    "hydra/sweeper=optuna": ("", PLUGIN),
}


@pytest.mark.parametrize("flags", [(), ("-m", "seed=0,1")])
@pytest.mark.parametrize("word", MEANT)
def test_the_options_are_sorted_and_the_one_that_is_meant_is_named(command, word, flags):
    ended = command(*flags, word, small=False)
    end, remedy = MEANT[word]
    assert ended.code == 2
    assert ended.err.endswith(f"{end}; {remedy}\n")
    options = ended.err.partition(" must be one of ")[2].partition(" (")[0].partition(";")[0]
    assert ended.err.startswith(f"error: {word} must be one of ")
    assert options.split(", ") == sorted(options.split(", "))
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("learning_rate=3", "learning_rate is an unknown key; did you mean lr?"),
        ("lerning_rate=3", "lerning_rate is an unknown key; did you mean lr?"),
        ("+learning_rate=3", "learning_rate is an unknown key; did you mean lr?"),
        ("max_grad_norm=1", "max_grad_norm is an unknown key; did you mean clip?"),
        ("max_steps=1", "max_steps is an unknown key; did you mean steps?"),
        ("optimizer.learning_rate=2", "optimizer.learning_rate is an unknown key; did you mean lr"),
        ("+optimizer.wd=2", "is not a parameter of torch.optim.AdamW; did you mean weight_decay?"),
        ("foo=1", "foo is an unknown key; known here: adaptation, batch, callbacks, clip, data"),
    ],
)
def test_other_usual_names_of_a_key_lead_to_it(command, word, said):
    ended = command(word, small=False)
    assert ended.code == 2
    assert said in ended.err
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
