"""Classes name their own keys in errors; the path of a key in the config is added once."""

import ast
import re
from pathlib import Path

import flocks
import pytest
import torch
from flows import flows

import scaling
from scaling.adaptation.objective import Objective
from scaling.callbacks.divergence import Divergence
from scaling.config.cell import build, keys_of
from scaling.datamodules.batches import Batches
from scaling.datamodules.images import Images
from scaling.datamodules.markov import Markov
from scaling.models.mlp import MLP
from scaling.models.nano_transformer import NanoTransformer
from scaling.models.tcn import TCN
from scaling.optim.schedules import warmup_cosine

GROUPS = {  # of the classes in each room
    "models": "model",
    "datamodules": "data",
    "optim": "optimizer|schedule",
    "federation": "federation",
    "callbacks": "callbacks",
    "adaptation": "adaptation",
}
VECTORS = {"inputs": 4, "outputs": 2, "length": 1}
TOKENS = {"inputs": 4, "outputs": 4, "length": 8}
WINDOWS = {"inputs": 4, "outputs": 2, "length": 8}
ROOT = {"batch": 4, "microbatches": 1, "seed": 0, "path": None}


def mlp() -> None:
    MLP(**VECTORS, depth=0, width=8, activation="relu", init="he")


def transformer() -> None:
    NanoTransformer(**TOKENS, d_model=16, layers=1, heads=3, dropout=0.0)


def tcn() -> None:
    TCN(**WINDOWS, width=0, layers=1, normalisation="none", groups=1, dropout=0.0)


def markov() -> None:
    Markov(
        **ROOT, vocabulary=1, context=8, concentration=1.0, sequences=8, endless=False,
        val_windows=8, source_seed=0,
    )  # fmt: skip


def images() -> None:
    sizes = {"val_examples": 100, "scored_examples": 100}
    Images(**ROOT, source="digits", label_noise=1.5, **sizes).prepare()


def batches() -> None:
    Batches(lambda rows: (rows,), order=torch.arange, examples=9, batch=8, microbatches=3)


def schedule() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    warmup_cosine(optimizer, steps=6, batch=4, warmup_steps=7, warmup_examples=None, final=0.0)


def objective() -> None:
    weights = dict.fromkeys(("weight_threshold", "weight_gain", "weight_ceiling", "floor"))
    Objective(entropy="mean", diversity="normalised", weight=0.0, **weights, margin=0.0)


ADAPTS = ("model=tcn", "data=flows", "adaptation=entropy")


@pytest.mark.parametrize(
    ("make", "typed", "message", "shown"),
    [
        (mlp, ["model=mlp", "data=digits", "model.depth=0"], "depth=0 must be", "model.depth=0"),
        (
            transformer, ["model.d_model=16", "model.heads=3"],
            "heads=3 must divide d_model=16", "model.heads=3 must divide model.d_model=16",
        ),
        (tcn, ["model=tcn", "data=flows", "model.width=0"], "width=0 must be", "model.width=0"),
        (
            markov, ["data=markov", "data.vocabulary=1"],
            "vocabulary=1 must be", "data.vocabulary=1 must be",
        ),
        (
            images, ["model=mlp", "data=digits", "data.label_noise=1.5"],
            "label_noise=1.5 must lie", "data.label_noise=1.5 must lie",
        ),
        (
            batches, ["trainer.accumulate_grad_batches=3", "batch=8"],
            "microbatches=3 must divide batch=8",
            "trainer.accumulate_grad_batches=3 must divide batch=8",
        ),
        (
            lambda: flows(classes=1), ["model=tcn", "data=flows", "data.population.classes=1"],
            "classes=1 must be", "data.population.classes=1 must be",
        ),
        (
            schedule, ["schedule=warmup_cosine", "schedule.warmup_steps=7"],
            "warmup_steps=7 is a warm-up of 7", "schedule.warmup_steps=7 is a warm-up of 7",
        ),
        (
            lambda: flocks.settings(rounds=0), [*ADAPTS, "federation.rounds=0"],
            "rounds=0 must be", "federation.rounds=0 must be",
        ),
        (
            objective, [*ADAPTS, "adaptation.objective.margin=0.0"],
            "margin=0.0 must lie", "adaptation.objective.margin=0.0 must lie",
        ),
        (
            lambda: Divergence(every=0), ["callbacks.divergence.every=0"],
            "every=0 must be", "callbacks.divergence.every=0 must be",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_class_refuses_its_key_and_a_command_gives_its_path(command, make, typed, message, shown):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make()
    ended = command(*typed)
    assert ended.code == 2
    assert re.search(rf"(^|\s){re.escape(shown)}", ended.err)
    group = shown.partition(".")[0]
    assert f"{group}.{group}" not in ended.err


NODE = {
    "batch": 8, "path": None, "fold": 0,
    "population": {"_target_": "Flows", "fold": 1, "folds": 5, "clients": 3},
}  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        ("fold=7 must be below folds=5", "data.fold=7 must be below data.population.folds=5"),
        ("batch=8 exceeds the 3 windows", "batch=8 exceeds the 3 windows"),
        ("path: a.txt is empty", "data.path: a.txt is empty"),
        ("path is missing; give path=...", "data.path is missing; give data.path=..."),
        ("too few for fold=7", "too few for data.fold=7"),
        # not keys of this node: spelled in full, of another group, in a file's name, in a sentence
        ("data.fold=7 must be 0", "data.fold=7 must be 0"),
        ("choose model=tcn", "choose model=tcn"),
        ("cannot read a/fold=7,path=b", "cannot read a/fold=7,path=b"),
        ("the path leads nowhere; no clients are left", None),
    ],
)
def test_keys_are_spelled_in_full_where_they_are_keys(raised, shown):
    with (
        pytest.raises(ValueError, match=re.escape(shown or raised)) as caught,
        keys_of(NODE, "data"),
    ):
        raise ValueError(raised)
    assert str(caught.value) == (shown or raised)


def test_messages_without_a_key_and_other_errors_are_raised_unchanged():
    for error in (UnicodeDecodeError("utf-8", b"", 0, 1, "is cut"), KeyError("fold=7")):
        with pytest.raises(type(error)) as caught, keys_of(NODE, "data"):
            raise error
        assert caught.value is error


def test_parts_that_are_built_later_give_the_paths_of_their_keys():
    node = {
        "_target_": "scaling.optim.schedules.warmup_cosine", "_partial_": True,
        "warmup_steps": 9, "warmup_examples": None, "final": 0.0,
    }  # fmt: skip
    make = build(node, "schedule", steps=5, batch=1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^schedule\.warmup_steps=9 is a warm-up of 9"):
            make(optimizer)


def test_no_class_knows_the_path_of_its_keys_in_a_config():
    """A message begins with no path; keys of its own group have none anywhere in it."""
    begins = rf"^f?['\"]({'|'.join(GROUPS.values())}|trainer|logger)\."
    spelled = []
    for room, group in GROUPS.items():
        for path in sorted((Path(scaling.__file__).parent / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Raise) and "ValueError" in ast.unparse(node):
                    message = ast.unparse(node).partition("ValueError(")[2]
                    inside = rf"\b({group})\.\w*({{\w+}})?(=|: | is )"
                    if re.search(begins, message) or re.search(inside, message):
                        spelled.append(f"{path.name}: {message}")
    assert not spelled
