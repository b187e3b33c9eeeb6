"""The published notes on layers, each statement judged by what runs measured."""

import itertools

import numpy as np
import pandas as pd
import pytest

from scaling.evidence import Evidence
from scaling.studies import optimizers, trainability

LAYERS = (
    ("hidden.0.weight", "weight"), ("hidden.0.bias", "bias"),
    ("classifier.weight", "weight"), ("classifier.bias", "bias"),
)  # fmt: skip


def evidence(seeds: int = 5, *, first=0.1, decay=-0.1, scatter=0.5, **settings) -> Evidence:
    """Runs of a net whose first layer's gradient has this RMS, decay and scatter.

    A setting is a list of values; `first`, `decay`, `scatter` are numbers or functions of a run.
    """
    rng = np.random.default_rng(0)
    rows, layers, epochs, steps = [], [], [], []
    axes = [
        dict(zip(settings, values, strict=True)) for values in itertools.product(*settings.values())
    ]
    for number, (axis, seed) in enumerate(itertools.product(axes, range(seeds))):
        run = {"study": "s", "run": f"r{number}"}
        value = {
            name: given(axis) if callable(given) else given
            for name, given in {"first": first, "decay": decay, "scatter": scatter}.items()
        }
        luck = np.exp(0.02 * rng.standard_normal())
        rows.append(run | {"batch": 64, "lr": 1e-3, "clip": np.inf, "seed": seed, "status": "done",
                           "model": "mlp", "data": "mnist", "optimizer": "adam", "duration": 5,
                           "protocol": "epochs", "val_accuracy": 0.97, "test_accuracy": 0.96,
                           "train_accuracy": 0.99} | axis)  # fmt: skip
        for epoch in range(5):
            for i, (layer, kind) in enumerate(LAYERS):
                rms = luck * (1.0 if i > 1 else value["first"] * np.exp(value["decay"] * epoch))
                rms *= 0.1 if kind == "bias" else 1.0
                layers.append(run | {
                    "epoch": epoch, "layer": layer, "kind": kind, "count": 10, "rms": rms,
                    "mean": 10 * rms, "variance": (10 * rms * value["scatter"]) ** 2,
                    "coordinate_variance": rms**2, "size": 100,
                })  # fmt: skip
            epochs.append(
                run | {"epoch": epoch, "step": 10 * epoch, "val_accuracy": 0.9 + epoch / 100}
            )
            steps += [run | {"step": 10 * epoch + i, "train_loss": 1.0} for i in range(10)]
    found = Evidence(pd.DataFrame(rows))
    for name, lines in {"layer_epochs": layers, "epochs": epochs, "steps": steps}.items():
        vars(found)[name] = pd.DataFrame(lines)  # what it would read from folders
    return found


def words(given: Evidence) -> dict[str, str]:
    return {verdict.sentence: verdict.word for _, verdict in trainability.verdicts(given)}


def test_measures_are_those_of_the_tables():
    row = trainability.measures(evidence(1, first=0.2, decay=-0.3, scatter=0.4)).iloc[0]
    assert row["rms_ratio"] == row["norm_ratio"] == pytest.approx(0.2)
    assert row["first_decay"] == pytest.approx(-0.3)
    assert row["first_scatter"] == row["scatter"] == pytest.approx(0.4)
    assert row["bias_variance"] == row["bias_spread"] == pytest.approx(0.01)
    means = 0.2 * np.exp(-0.3 * np.arange(5))
    assert row["norm_range"] == pytest.approx(1 / means.mean())
    assert row["classifier_variance"] == pytest.approx(1 / np.mean(means**2))
    assert row["worst_drop"] == pytest.approx(-1)
    assert row["gap"] == pytest.approx(0.03)


def test_each_note_is_judged_by_itself():
    smaller = "The first weight matrix has a smaller gradient norm than the classifier"
    widely = "Mini-batch norms of an epoch scatter by more than 30 % of their mean"
    judged = words(evidence(first=0.2))
    assert judged[smaller] == "holds"
    assert judged["The classifier's gradient norm varies most over mini-batches"] == "holds"
    assert judged[widely] == "holds"
    judged = words(evidence(first=5.0, scatter=0.1))
    assert judged[smaller] == "fails"
    assert judged[widely] == "fails"
    assert judged["Validation accuracy rises smoothly: no epoch loses more than 1 %"] == "holds"


def test_depths_are_compared_over_paired_seeds():
    deeper = {"model.depth": [2, 8]}
    same = words(evidence(**deeper))
    small = "Early gradients are smaller in the deepest net than in the shallowest"
    faster = "They decay faster over the epochs in the deepest net"
    assert (same[small], same[faster]) == ("cannot tell", "cannot tell")
    less = evidence(
        first=lambda run: 0.5 / run["model.depth"], decay=lambda run: -0.05 * run["model.depth"],
        **deeper,
    )  # fmt: skip
    assert (words(less)[small], words(less)[faster]) == ("holds", "holds")


def at_rates(scores: dict[str, dict[float, float]], **settings) -> Evidence:
    """Runs of optimizers at these learning rates only, with this validation accuracy at each.

    The validation loss follows from it, and early gradients are larger at lr 0.001.
    """
    rates = sorted({lr for own in scores.values() for lr in own})
    base = evidence(optimizer=list(scores), lr=rates,
                    first=lambda run: 0.1 if run["lr"] == 1e-3 else 0.001, **settings)  # fmt: skip
    rows = base.rows
    found = [scores[n].get(lr) for n, lr in zip(rows["optimizer"], rows["lr"], strict=True)]
    rows = rows.assign(val_accuracy=found, val_loss=1 - pd.Series(found, dtype=float))
    given = Evidence(rows[rows["val_accuracy"].notna()])
    vars(given).update({k: v for k, v in vars(base).items() if k not in ("rows", "folders")})
    return given


def test_optimizers_are_compared_at_one_rate_and_each_at_its_best():
    given = at_rates({"sgd": {1e-3: 0.5, 1e-1: 0.97}, "adam": {1e-3: 0.97}})
    judged = words(given)
    assert judged["Adam keeps early gradients larger than SGD, at one lr"] == "cannot tell"
    assert judged["Adam keeps early gradients larger than SGD, each at its best lr"] == "holds"
    best, changed = (line for line in trainability.sentences(given) if "RMS" not in line)
    assert best == (
        "Best lr of each optimizer, by validation accuracy of seeds 0, 1: "
        "adam 0.001, sgd 0.1 (the largest tried)"
    )
    assert changed.startswith("Tuning changes 1 of 4 verdicts on optimizers: ")
    assert '"Adam keeps early gradients larger than SGD" cannot tell at one lr' in changed


def test_seeds_that_compare_choose_no_rate():
    """The last three seeds would choose lr 0.001 for SGD, and the first two decide for 0.1."""
    given = at_rates({"sgd": {1e-3: 0.5, 1e-1: 0.6}, "adam": {1e-3: 0.97}})
    rows = given.rows
    rows.loc[(rows["seed"] > 1) & (rows["lr"] == 1e-3), "val_accuracy"] = 0.99
    assert list(optimizers.best_lrs(rows)["lr"]) == [1e-3, 1e-1]


def test_a_rate_at_which_a_choosing_seed_diverged_is_not_chosen():
    rows = at_rates({"sgd": {1e-3: 0.5, 1e-1: 0.6}, "adam": {1e-3: 0.97}}).rows
    rows = rows[~((rows["lr"] == 1e-1) & (rows["seed"] == 1))]
    assert list(optimizers.best_lrs(rows)["lr"]) == [1e-3, 1e-3]


def test_runs_at_other_learning_rates_are_no_further_seeds():
    given = at_rates({"sgd": {1e-3: 0.5, 1e-2: 0.9, 1e-1: 0.6}})
    (said,) = [line for line in trainability.sentences(given) if "RMS" in line]
    assert "(lr=0.01, the best tried)" in said
    verdict = next(verdict for _, verdict in trainability.verdicts(given))
    assert "over 5 seeds" in verdict.numbers


def test_a_collapse_is_told_with_its_epoch_and_the_last_note_fails():
    lost = evidence(decay=lambda run: -2.0 if run["data.label_noise"] else 0.0,
                    **{"data.label_noise": [0.0, 0.4]})  # fmt: skip
    (said,) = [line for line in trainability.sentences(lost) if line.startswith("Collapse")]
    assert "(data.label_noise=0.4): in 5 of 5 runs" in said
    note = next(sentence for sentence in words(lost) if sentence.startswith("Gradients do not"))
    assert words(lost)[note] == "fails"
    kept = evidence(decay=0.0, **{"data.label_noise": [0.0, 0.4]})
    assert words(kept)[note] == "holds"
    assert not [line for line in trainability.sentences(kept) if line.startswith("Collapse")]


def test_two_seeds_tell_nothing():
    assert set(words(evidence(2, **{"model.depth": [2, 8]})).values()) == {"cannot tell"}


def test_a_sweep_without_layers_is_not_asked():
    with_layers = evidence(1)
    assert trainability.applies(with_layers)
    assert not trainability.applies(Evidence(with_layers.rows))
