"""Measures of the layers, one line per run."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from scaling.analysis import gradient_flow
from scaling.studies.sweep_tables import SweepTables

RUN = ["study", "run"]
MEASURES = (
    *("first_rms", "first_decay", "first_scatter", "norm_ratio", "rms_ratio", "norm_range"),
    *("scatter", "classifier_variance", "classifier_spread", "bias_variance", "bias_spread"),
    *("depth_slope", "worst_drop", "peak_drop", "lowest", "collapse", "gap"),
)
EARLY, SHARE, STILL, STRETCH = 1, 0.1, 0.05, 3  # of the collapse detector


@lru_cache(maxsize=1)  # sentences, verdicts and tables of one report share it
def measures(sweep: SweepTables) -> pd.DataFrame:
    """The rows of finished runs with measures of their layers; a run is one observation.

    `first` is the first weight matrix, next to the input: `first_rms` is its gradient's RMS in the
    first epoch, `first_decay` the slope of its log per epoch, `first_scatter` the coefficient of
    variation of its mini-batch norms in the first epoch, including their drift within that epoch.
    `depth_slope` is the slope of the log RMS per layer in the first epoch; `norm_ratio` and
    `rms_ratio` are ratios of the first weight matrix to the last in the first epoch; `norm_range`
    is the ratio of the largest to the smallest mean norm of a weight matrix. Ratios of variances:
    `classifier_variance` and `classifier_spread` compare the classifier to the largest of the other
    layers, over mini-batches and over coordinates; `bias_variance` and `bias_spread` compare biases
    to weights of their layer. `scatter` is a mean over epochs and weight matrices. In percent:
    `worst_drop` is the largest drop in validation accuracy from one epoch to the next, `peak_drop`
    the test accuracy of the best epoch minus that of the last. `gap` is training minus test
    accuracy, `lowest` the smallest RMS of the first gradient, as the collapse detector scales it,
    and `collapse` the epoch at which a collapse starts.

    Rows that already have these columns are not recomputed.
    """
    done = sweep.rows[sweep.rows["status"] == "done"]
    kept = done[done["first_rms"].notna()] if "first_rms" in done else done.iloc[:0]
    new = done.drop(index=kept.index, columns=[key for key in MEASURES if key in done])
    parts = [part for part in (kept, _measured(new, sweep)) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else done.iloc[:0]


def _measured(done: pd.DataFrame, sweep: SweepTables) -> pd.DataFrame:
    layers, epochs, steps = map(_by_run, (sweep.layer_epochs, sweep.epochs, sweep.steps))
    names = [name for name in zip(done["study"], done["run"], strict=True) if name in layers]
    lines = [
        dict(zip(RUN, name, strict=True)) | _of_run(layers[name], epochs.get(name), steps.get(name))
        for name in names
    ]
    table = done.merge(pd.DataFrame(lines), on=RUN) if lines else done.iloc[:0]
    if "train_accuracy" in table:
        table["gap"] = table["train_accuracy"] - table["test_accuracy"]
    return table


def _by_run(table: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """The lines of each run."""
    blocks: Any = table.groupby(RUN, observed=True) if len(table) else ()
    return dict(iter(blocks))


def _of_run(
    layers: pd.DataFrame, epochs: pd.DataFrame | None, steps: pd.DataFrame | None
) -> dict[str, float]:
    weights = layers[layers["kind"] == "weight"]
    first, last = weights["layer"].iloc[0], weights["layer"].iloc[-1]
    begin = weights[weights["epoch"] == weights["epoch"].min()].set_index("layer")
    columns = ["mean", "variance", "coordinate_variance"]
    means = weights.groupby("layer", observed=True)[columns].mean()
    others = means.drop(index=last)
    slopes = {slope.layer: slope.slope for slope in gradient_flow.epoch_slopes(layers)}
    scatters = gradient_flow.scatters(weights)
    variations = pd.Series([one.variation for one in scatters])
    measured = {
        "first_rms": begin.loc[first, "rms"],
        "first_decay": slopes[first],
        "first_scatter": next(one.variation for one in scatters if one.layer == first),
        "norm_ratio": begin.loc[first, "mean"] / begin.loc[last, "mean"],
        "rms_ratio": gradient_flow.depth_ratios(layers)[0].ratio,
        "depth_slope": gradient_flow.depth_slopes(layers)[0].slope,
        "norm_range": means["mean"].max() / means["mean"].min(),
        "scatter": variations.mean(),
        **{
            f"classifier_{name}": means.loc[last, column] / others[column].max()
            for name, column in {"variance": "variance", "spread": "coordinate_variance"}.items()
        },
        **_biases(layers),
    }
    if epochs is not None:
        val, test = (_course(epochs, f"{split}_accuracy") for split in ("val", "test"))
        if len(val) > 1:
            measured["worst_drop"] = 100 * (-np.diff(val)).max()
        if len(test):
            measured["peak_drop"] = 100 * (test.max() - test[-1])
    if steps is not None:
        losses = gradient_flow.epoch_losses(steps, layers)
        lost = gradient_flow.collapse(
            layers, losses, loss="train_loss", early=EARLY, share=SHARE, still=STILL,
            stretch=STRETCH,
        )  # fmt: skip
        measured |= {
            "lowest": lost.lowest,
            "collapse": math.nan if lost.onset is None else lost.onset,
        }
    return {name: float(value) for name, value in measured.items()}


def _course(epochs: pd.DataFrame, measure: str) -> np.ndarray:
    """A measure over the evaluations of a run; empty if it was not measured."""
    if measure not in epochs:
        return np.empty(0)
    return epochs.sort_values("step")[measure].dropna().to_numpy(float)


def _biases(layers: pd.DataFrame) -> dict[str, float]:
    """Variation of biases divided by that of weights, as geometric means over layers."""
    kinds = layers[layers["kind"].isin(("weight", "bias"))]
    owner = [str(layer).rpartition(".")[0] for layer in kinds["layer"]]
    names = {"variance": "variance", "coordinate_variance": "spread"}
    means = kinds.groupby([owner, "kind"], observed=True)[list(names)].mean().unstack()
    if "bias" not in set(means.columns.get_level_values("kind")):
        return {}
    return {
        f"bias_{name}": math.exp(np.log(means[column]["bias"] / means[column]["weight"]).mean())
        for column, name in names.items()
    }
