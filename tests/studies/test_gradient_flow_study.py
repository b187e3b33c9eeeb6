"""Each statement of the published notes on layers is tested on measured runs."""

import itertools

import numpy as np
import pandas as pd
import pytest

from scaling.studies.gradient_flow import optimizers, study
from scaling.studies.sweep_tables import SweepTables

LAYERS = (
    ("hidden.0.weight", "weight"), ("hidden.0.bias", "bias"),
    ("classifier.weight", "weight"), ("classifier.bias", "bias"),
)  # fmt: skip


def made_up(
    seeds: int = 5, *, first=0.1, decay=-0.1, scatter=0.5, peak=0.0, ended=None, **settings
) -> SweepTables:
    """Runs of a net whose first layer's gradient has this RMS, decay and scatter.

    A setting is a list of values; `first`, `decay`, `scatter` are numbers or functions of a run,
    `peak` is the test accuracy in the middle minus that at the end, `ended` are functions of a run
    for the values at the end of its row.
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
                           "train_accuracy": 0.99, "val_loss": 0.1} | axis
                    | {name: given(axis) for name, given in (ended or {}).items()})  # fmt: skip
        for epoch in range(5):
            for i, (layer, kind) in enumerate(LAYERS):
                rms = luck * (1.0 if i > 1 else value["first"] * np.exp(value["decay"] * epoch))
                rms *= 0.1 if kind == "bias" else 1.0
                layers.append(run | {
                    "epoch": epoch, "layer": layer, "kind": kind, "count": 10, "rms": rms,
                    "mean": 10 * rms, "variance": (10 * rms * value["scatter"]) ** 2,
                    "coordinate_variance": rms**2, "size": 100, "update_to_weight": 1e-3,
                })  # fmt: skip
            epochs.append(
                run
                | {
                    "epoch": epoch,
                    "step": 10 * epoch,
                    "val_accuracy": 0.9 + epoch / 100,
                    "test_accuracy": 0.9 + peak * (epoch == 2),
                }
            )
            steps += [run | {"step": 10 * epoch + i, "train_loss": 1.0} for i in range(10)]
    found = SweepTables(pd.DataFrame(rows))
    for name, lines in {"layer_epochs": layers, "epochs": epochs, "steps": steps}.items():
        vars(found)[name] = pd.DataFrame(lines)  # read from folders otherwise
    return found


def words(given: SweepTables) -> dict[str, str]:
    return {verdict.sentence: verdict.word for _, verdict in study.verdicts(given)}


def test_measures_are_those_of_the_tables():
    row = study.measures(made_up(1, first=0.2, decay=-0.3, scatter=0.4)).iloc[0]
    assert row["rms_ratio"] == row["norm_ratio"] == pytest.approx(0.2)
    assert row["first_decay"] == pytest.approx(-0.3)
    assert row["first_scatter"] == row["scatter"] == pytest.approx(0.4)
    assert row["bias_variance"] == row["bias_spread"] == pytest.approx(0.01)
    means = 0.2 * np.exp(-0.3 * np.arange(5))
    assert row["norm_range"] == pytest.approx(1 / means.mean())
    assert row["classifier_variance"] == pytest.approx(1 / np.mean(means**2))
    assert row["worst_drop"] == pytest.approx(-1)
    assert row["gap"] == pytest.approx(0.03)


def test_each_note_is_judged_separately():
    smaller = "The first weight matrix has a smaller gradient norm than the classifier"
    widely = "Mini-batch norms of an epoch scatter by more than 30 % of their mean"
    judged = words(made_up(first=0.2))
    assert judged[smaller] == "supported"
    assert judged["The classifier's gradient norm varies most over mini-batches"] == "supported"
    assert judged[widely] == "supported"
    judged = words(made_up(first=5.0, scatter=0.1))
    assert judged[smaller] == "contradicted"
    assert judged[widely] == "contradicted"
    assert judged["Validation accuracy rises smoothly: no epoch loses more than 1 %"] == "supported"


def test_depths_are_compared_over_paired_seeds():
    deeper = {"model.depth": [2, 8]}
    same = words(made_up(**deeper))
    small = "Early gradients are smaller in the deepest net than in the shallowest"
    faster = "They decay faster over the epochs in the deepest net"
    assert (same[small], same[faster]) == ("inconclusive", "inconclusive")
    less = made_up(
        first=lambda run: 0.5 / run["model.depth"], decay=lambda run: -0.05 * run["model.depth"],
        **deeper,
    )  # fmt: skip
    assert (words(less)[small], words(less)[faster]) == ("supported", "supported")


FIRST, SCATTER, DECAY = "first", "scatter", "decay"
PLANTED = [  # claim, key, compared values, planted measure, required direction
    ("Early gradients are smaller in the deepest", "model.depth", 8, 2, FIRST, "smaller"),
    ("They decay faster over the epochs", "model.depth", 8, 2, DECAY, "smaller"),
    ("They scatter more in the first epoch", "model.depth", 8, 2, SCATTER, "larger"),
    ("He keeps early gradients larger", "model.init", "he", "xavier", FIRST, "larger"),
    ("Orthogonal gradients scatter less at first than He's", "model.init", "orthogonal", "he",
     SCATTER, "smaller"),
    ("Orthogonal gradients scatter less at first than Xavier's", "model.init", "orthogonal",
     "xavier", SCATTER, "smaller"),
    ("Early gradients decay faster under SGD than under Adam, at one", "optimizer", "sgd", "adam",
     DECAY, "smaller"),
    ("Early gradients scatter more under SGD than under Adam, at one", "optimizer", "sgd", "adam",
     SCATTER, "larger"),
    ("Momentum slows the decay of SGD, at one", "optimizer", "sgd_momentum", "sgd", DECAY,
     "larger"),
    ("Adam keeps early gradients larger than SGD, at one", "optimizer", "adam", "sgd", FIRST,
     "larger"),
    ("Test accuracy falls with label noise", "data.label_noise", 0.4, 0.0, "test_accuracy",
     "smaller"),
    ("The gap of training to test accuracy widens", "data.label_noise", 0.4, 0.0,
     "train_accuracy", "larger"),
]  # fmt: skip
LEVELS = {"first": (0.1, 0.4), "scatter": (0.2, 0.8), "decay": (-0.4, -0.1),
          "test_accuracy": (0.5, 0.9), "train_accuracy": (0.91, 0.99)}  # fmt: skip


@pytest.mark.parametrize(("claim", "key", "of", "to", "measure", "which"), PLANTED)
def test_a_claim_of_two_settings_holds_as_planted_and_fails_the_other_way(
    claim, key, of, to, measure, which
):
    found = {}
    for way in ("smaller", "larger"):
        own, other = LEVELS[measure] if way == "smaller" else reversed(LEVELS[measure])

        def planted(run, own=own, other=other):
            return own if run[key] == of else other

        measured = measure in (FIRST, SCATTER, DECAY)
        given = {measure: planted} if measured else {"ended": {measure: planted}}
        seeds = 5 if key == "optimizer" else 3  # optimizers are tuned on two of the seeds
        judged = words(made_up(seeds, **given, **{key: [of, to]}))
        (found[way],) = [word for sentence, word in judged.items() if sentence.startswith(claim)]
    opposite = {"smaller": "larger", "larger": "smaller"}[which]
    assert (found[which], found[opposite]) == ("supported", "contradicted")


@pytest.mark.parametrize(
    ("claim", "holds", "fails"),
    [
        ("Training accuracy stays above 90 %", {"ended": {"train_accuracy": lambda _: 0.95}},
         [{"ended": {"train_accuracy": lambda _: 0.8}}]),
        ("Test accuracy falls by more than 1 % from its peak", {"peak": 0.05}, [{"peak": 0.001}]),
        ("Gradients do not collapse", {"decay": 0.0},
         [{"decay": -2.0}, {"decay": -2000.0}]),  # the latter to nothing at all
    ],
)  # fmt: skip
def test_a_claim_of_the_most_label_noise_can_hold_and_fail(claim, holds, fails):
    for given, word in ((holds, "supported"), *((one, "contradicted") for one in fails)):
        judged = words(made_up(**given, **{"data.label_noise": [0.0, 0.4]}))
        assert [w for sentence, w in judged.items() if sentence.startswith(claim)] == [word]


def test_a_run_in_two_folders_is_one_seed():
    given = made_up(4)
    rows = pd.concat([given.rows, given.rows.assign(study="again")], ignore_index=True)
    twice = SweepTables(rows)
    for name in ("layer_epochs", "epochs", "steps"):
        own = vars(given)[name]
        vars(twice)[name] = pd.concat([own, own.assign(study="again")], ignore_index=True)
    once, again = ([verdict.numbers for _, verdict in study.verdicts(e)] for e in (given, twice))
    assert once == again
    assert "over 4 seeds" in once[0]


def test_exported_and_new_runs_are_judged_together():
    given = made_up(6)
    kept = study.measures(made_up(6))
    kept = kept[kept["seed"] < 3].assign(study="kept")
    new = given.rows[given.rows["seed"] >= 3]
    both = SweepTables(pd.concat([kept, new], ignore_index=True))
    vars(both).update({k: v for k, v in vars(given).items() if k not in ("rows", "folders")})
    _, first = next(study.verdicts(both))
    assert "over 6 seeds" in first.numbers


def test_the_decay_of_every_layer_is_in_a_table():
    table = study.tables(made_up(first=0.2, decay=-0.3))["layer_decay"]
    assert table["layer"].to_list() == ["hidden.0.weight", "classifier.weight"]
    assert table["decay"].to_list() == pytest.approx([-0.3, 0.0], abs=1e-9)
    assert table["rms"].iloc[0] / table["rms"].iloc[1] == pytest.approx(0.2)


def at_rates(scores: dict[str, dict[float, float]], **settings) -> SweepTables:
    """Runs of optimizers at these learning rates only, with this validation accuracy at each.

    The validation loss follows from it, and early gradients are larger at lr 0.001.
    """
    rates = sorted({lr for own in scores.values() for lr in own})
    base = made_up(optimizer=list(scores), lr=rates,
                    first=lambda run: 0.1 if run["lr"] == 1e-3 else 0.001, **settings)  # fmt: skip
    rows = base.rows
    found = [scores[n].get(lr) for n, lr in zip(rows["optimizer"], rows["lr"], strict=True)]
    rows = rows.assign(val_accuracy=found, val_loss=1 - pd.Series(found, dtype=float))
    given = SweepTables(rows[rows["val_accuracy"].notna()])
    vars(given).update({k: v for k, v in vars(base).items() if k not in ("rows", "folders")})
    return given


def test_optimizers_are_compared_at_one_rate_and_each_at_its_best():
    given = at_rates({"sgd": {1e-3: 0.5, 1e-1: 0.97}, "adam": {1e-3: 0.97}})
    judged = words(given)
    assert judged["Adam keeps early gradients larger than SGD, at one lr"] == "inconclusive"
    assert judged["Adam keeps early gradients larger than SGD, each at its best lr"] == "supported"
    best, changed = (line for line in study.sentences(given) if "RMS" not in line)
    assert best == (
        "Best lr of each optimizer, by validation loss of seeds 0, 1: "
        "adam 0.001, sgd 0.1 (the largest tried, 0.47 below 0.001)"
    )
    assert changed.startswith("Tuning changes 1 of 4 verdicts on optimizers: ")
    assert '"Adam keeps early gradients larger than SGD" is inconclusive at one lr' in changed


def test_seeds_that_compare_choose_no_rate():
    """The last three seeds would choose lr 0.001 for SGD, but the first two choose 0.1."""
    given = at_rates({"sgd": {1e-3: 0.5, 1e-1: 0.6}, "adam": {1e-3: 0.97}})
    rows = given.rows
    rows.loc[(rows["seed"] > 1) & (rows["lr"] == 1e-3), "val_loss"] = 0.01
    assert list(optimizers.best_lrs(rows)["lr"]) == [1e-3, 1e-1]


def test_a_rate_at_which_a_choosing_seed_diverged_is_not_chosen():
    rows = at_rates({"sgd": {1e-3: 0.5, 1e-1: 0.6}, "adam": {1e-3: 0.97}}).rows
    rows = rows[~((rows["lr"] == 1e-1) & (rows["seed"] == 1))]
    assert list(optimizers.best_lrs(rows)["lr"]) == [1e-3, 1e-3]


def test_runs_at_other_learning_rates_are_not_further_seeds():
    given = at_rates({"sgd": {1e-3: 0.5, 1e-2: 0.9, 1e-1: 0.6}})
    (said,) = [line for line in study.sentences(given) if "RMS" in line]
    assert "(lr=0.01, the best tried)" in said
    verdict = next(verdict for _, verdict in study.verdicts(given))
    assert "over 5 seeds" in verdict.numbers


def test_a_collapse_is_reported_with_its_epoch_and_the_last_note_fails():
    lost = made_up(decay=lambda run: -2.0 if run["data.label_noise"] else 0.0,
                    **{"data.label_noise": [0.0, 0.4]})  # fmt: skip
    (said,) = [line for line in study.sentences(lost) if line.startswith("Collapse")]
    assert "(data.label_noise=0.4): in 5 of 5 runs" in said
    note = next(sentence for sentence in words(lost) if sentence.startswith("Gradients do not"))
    assert words(lost)[note] == "contradicted"
    kept = made_up(decay=0.0, **{"data.label_noise": [0.0, 0.4]})
    assert words(kept)[note] == "supported"
    assert not [line for line in study.sentences(kept) if line.startswith("Collapse")]


def test_two_seeds_decide_nothing():
    assert set(words(made_up(2, **{"model.depth": [2, 8]})).values()) == {"inconclusive"}


def test_the_study_does_not_apply_to_a_sweep_without_layers():
    with_layers = made_up(1)
    assert study.applies(with_layers)
    assert not study.applies(SweepTables(with_layers.rows))
