"""When a loss is reached: closed forms, loops, and the target that all batch sizes reach."""

import math

import numpy as np
import pandas as pd
import pytest

from scaling.arrivals import arrivals, steps_to_loss
from scaling.tradeoffs import tradeoff


def curve(losses, run: str = "a", **columns) -> pd.DataFrame:
    table = pd.DataFrame({"study": "s", "run": run, "step": range(len(losses))})
    return table.assign(train_loss=losses, **columns)


@pytest.mark.parametrize("smooth", [1, 4, 5])
def test_a_line_reaches_its_target_where_it_does_however_many_lines_are_averaged(smooth):
    (found,) = steps_to_loss(curve(4 - 0.1 * np.arange(40)), 1.95, smooth=smooth)
    assert found.steps == pytest.approx(20.5)
    assert found.reached
    assert found.exact
    assert math.isnan(found.examples)


def test_the_first_step_is_what_a_loop_finds():
    losses = 4 * np.exp(-np.arange(200) / 80) + 0.2 * np.random.default_rng(0).normal(size=200)
    (found,) = steps_to_loss(curve(losses), 1.5, smooth=7)
    means = {step: losses[step - 3 : step + 4].mean() for step in range(3, 197)}
    first = next(step for step, mean in means.items() if mean <= 1.5)
    share = (means[first - 1] - 1.5) / (means[first - 1] - means[first])
    assert found.steps == pytest.approx(first - 1 + share)


def test_a_run_that_never_arrives_takes_at_least_as_long_as_its_last_mean_says():
    (found,) = steps_to_loss(curve(np.full(30, 3.0), batch=16), 2.0, smooth=3)
    assert (found.steps, found.examples) == (28.0, 448.0)
    assert not found.reached
    (short,) = steps_to_loss(curve([1.0, 1.0]), 2.0, smooth=3)
    assert (short.steps, short.reached) == (1.0, False)
    (lost,) = steps_to_loss(curve([3.0, math.nan, math.nan]), 2.0, smooth=1)
    assert (lost.steps, lost.reached) == (2.0, False)


def test_a_run_that_starts_below_its_target_took_at_most_as_long():
    for losses in ([1.5, 1.0], [math.nan, 1.5]):
        (found,) = steps_to_loss(curve(losses), 2.0, smooth=1)
        assert found.reached
        assert not found.exact


def test_validation_losses_are_taken_where_there_are_any():
    table = curve([9.0, 9.0], val_loss=[3.0, 1.0]).assign(step=[100, 200])
    (found,) = steps_to_loss(table, 2.5, smooth=1)
    assert found.steps == 125.0


def test_examples_are_steps_times_the_batch_of_the_table_or_of_a_mapping():
    table = pd.concat([curve([3.0, 1.0], run="b"), curve([3.0, 1.0])])
    found = steps_to_loss(table, 2.0, smooth=1, batch={"a": 16})
    assert [(one.run, one.examples) for one in found[:1]] == [("a", 8.0)]
    assert math.isnan(found[1].examples)
    assert steps_to_loss(table.assign(batch=32), 2.0, smooth=1)[0].examples == 16.0


def test_what_has_no_loss_is_refused_by_name():
    with pytest.raises(ValueError, match="no column train_loss"):
        steps_to_loss(curve([1.0]).drop(columns="train_loss"), 1.0, smooth=1)
    with pytest.raises(ValueError, match="smooth=0"):
        steps_to_loss(curve([1.0]), 1.0, smooth=0)


def exponential(run: str, end: float, time: float, *, steps: int = 200) -> pd.DataFrame:
    """A loss that falls from 4 to `end` with a decay time in steps."""
    return curve(end + (4 - end) * np.exp(-np.arange(steps) / time), run)


def race(loss=exponential, *, jitter: float = 0.01, batches=(8, 16, 32, 64)):
    """Rows and losses of runs whose time goes as 1 + 16 / batch, shortest at lr 1e-2.

    Times scatter by `jitter` in log.
    """
    draws = np.random.default_rng(0)
    rows, curves = [], []
    for batch in batches:
        for lr, slower in ((1e-3, 3.0), (1e-2, 1.0), (1e-1, 2.0)):
            for seed in range(3):
                run = f"{batch} {lr} {seed}"
                rows.append({"study": "s", "run": run, "batch": batch, "lr": lr, "seed": seed})
                time = slower * 20 * (1 + 16 / batch) * math.exp(jitter * draws.normal())
                curves.append(loss(run, 2.0, time))
    return pd.DataFrame(rows).assign(status="done"), pd.concat(curves)


def test_the_target_is_the_lowest_that_the_worst_seed_of_every_batch_size_ends_at():
    rows, losses = race()
    found = arrivals(rows, losses)
    ends = {run: own["train_loss"].tail(10).mean() for run, own in losses.groupby("run")}
    worst = {
        batch: min(
            max(ends[f"{batch} {lr} {seed}"] for seed in range(3)) for lr in (1e-3, 1e-2, 0.1)
        )
        for batch in (8, 16, 32, 64)
    }
    assert found.target == pytest.approx(worst[8])
    assert worst[8] > worst[64]
    assert found.loss == "train_loss"
    best = found.points[found.points["lr"] == 1e-2]
    assert len(best) == 12
    assert best["reached"].all()


def test_every_run_arrives_when_it_does_alone():
    rows, losses = race(jitter=0.2)
    found = arrivals(rows, losses)
    alone = pd.DataFrame(steps_to_loss(losses, found.target, smooth=10)).set_index("run")
    for point in found.points.itertuples():
        one = alone.loc[f"{point.batch} {point.lr} {point.seed}"]
        assert (point.steps, point.reached) == (one["steps"], one["reached"])


def test_means_are_over_a_twentieth_of_a_run_whatever_its_length():
    rows, losses = race(lambda run, end, time: exponential(run, end, time, steps=10 * int(time)))
    found = arrivals(rows, losses)
    for run, own in losses.groupby("run"):
        (alone,) = steps_to_loss(own, found.target, smooth=round(len(own) / 20))
        batch, lr, seed = run.split(" ")
        point = found.points.query(f"batch == {batch} and lr == {lr} and seed == {seed}")
        assert point["steps"].item() == alone.steps


def test_validation_losses_are_not_averaged():
    rows, losses = race()
    every = losses[losses["step"] % 20 == 19].rename(columns={"train_loss": "val_loss"})
    found = arrivals(rows, every)
    assert found.loss == "val_loss"
    last = every[every["run"].str.startswith("8 0.01 ") & (every["step"] == 199)]
    assert found.target == last["val_loss"].max()


def test_an_lr_at_which_a_seed_diverged_or_is_missing_sets_no_target():
    rows, losses = race()
    whole = arrivals(rows, losses).target
    rows.loc[rows["run"] == "8 0.01 0", "status"] = "diverged"
    one = arrivals(rows, losses).target  # batch 8 now ends where its next lr does
    assert one > whole
    rows.loc[rows["run"] == "8 0.01 0", "status"] = "failed"
    assert arrivals(rows, losses).target == one
    rows.loc[rows["batch"] == 8, "status"] = "diverged"
    rest = rows[rows["batch"] > 8]
    assert arrivals(rows, losses).target == arrivals(rest, losses).target
    assert math.isnan(arrivals(rows[rows["batch"] == 8], losses).target)


def test_a_run_that_reached_the_target_before_it_diverged_has_reached_it():
    rows, losses = race()
    rows.loc[rows["run"] == "64 0.01 0", "status"] = "diverged"
    losses.loc[(losses["run"] == "64 0.01 0") & (losses["step"] > 150), "train_loss"] = math.nan
    point = arrivals(rows, losses).points.query("batch == 64 and lr == 0.01 and seed == 0")
    assert point["reached"].item()
    assert point["steps"].item() < 150


def test_rows_without_losses_are_left_out():
    rows, losses = race()
    few = arrivals(rows, losses[~losses["run"].str.startswith("8 ")])
    assert set(few.points["batch"]) == {16, 32, 64}
    none = arrivals(rows, losses.iloc[:0])
    assert none.points.empty
    assert math.isnan(none.target)


def test_two_runs_of_one_cell_are_refused():
    rows, losses = race()
    with pytest.raises(ValueError, match="two runs of one batch, lr and seed"):
        arrivals(pd.concat([rows, rows.assign(study="t")]), losses)
    with pytest.raises(ValueError, match="no column seed"):
        arrivals(rows.drop(columns="seed"), losses)


def test_from_losses_to_the_critical_batch():
    rows, losses = race(jitter=0.05, batches=(4, 8, 16, 32, 64))
    found = tradeoff(arrivals(rows, losses).points)
    assert found.identified, found.reason
    assert found.critical_batch.low < 16 < found.critical_batch.high
    ratio = found.examples_min.value / found.steps_min.value
    assert ratio == pytest.approx(found.critical_batch.value)
