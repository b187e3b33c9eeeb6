"""What do the runs look like? charts of losses, clipping, norms and layers."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from scaling.contracts.settings import by_setting
from scaling.figures import (
    NOISE,
    accuracy_over_noise,
    batch_norms,
    clip_frequency,
    gradient_norm,
    layer_map,
    layer_norms,
    loss_against_lr,
    loss_heatmap,
    norm_curves,
    update_size,
)
from scaling.studies.claims import Verdict
from scaling.studies.study import Drawing
from scaling.studies.sweep_tables import SweepTables

ORDER = 0


class Chart(NamedTuple):
    """A chart of rows, alone or with a longer table of their runs."""

    draw: Callable[..., Figure]
    caption: str
    needs: str = "lr"  # column of rows that must hold a number


OVER_LR = {
    "loss_against_lr": Chart(
        loss_against_lr,
        "Validation loss against learning rate, a line for each batch size, its best lr ringed. "
        "Points are means over seeds, upright bars the range over them. Bars along the bottom are "
        "the 95 % interval of each optimum; an arrow points to where it may lie beyond the grid. "
        "Dashed lines are losses that need no learning. Runs that diverged are crosses on top.",
    ),
    "loss_heatmap": Chart(
        loss_heatmap,
        "Validation loss over batch and learning rate, mean over seeds, in nats.",
    ),
    "clip_frequency": Chart(
        clip_frequency,
        "Share of steps that were clipped, over batch and learning rate, in percent.",
        "clip_percent",
    ),
    "gradient_norm": Chart(
        gradient_norm,
        "Mean gradient norm before clipping against learning rate, a line for each batch size.",
        "grad_norm_pre_clip",
    ),
    "update_size": Chart(
        update_size,
        "Mean norm of the update against learning rate, a line for each batch size. The grey line "
        "is proportional to lr: an optimizer whose step does not depend on the size of the "
        "gradient is parallel to it.",
        "update_norm",
    ),
}
OVER_NOISE = {
    "accuracy_over_noise": Chart(
        accuracy_over_noise,
        "Accuracy at the end of training against the share of wrong training labels. Points are "
        "means over seeds, bars the range over them. Some wrong labels are repeated as they were "
        "given, which only memory can do, and some are seen through.",
        NOISE,
    ),
}
OVER_STEPS = {
    "norm_curves": Chart(
        norm_curves,
        "Gradient norm before clipping over the steps, at the best lr of each batch size. Medians "
        "over 20 steps and over seeds; dotted lines are the ceilings.",
    ),
}
OVER_LAYERS = {
    "layer_norms": Chart(
        layer_norms,
        "Gradient norm of each weight matrix over the epochs, first layer dark, classifier light. "
        "Lines are means over mini-batches and seeds; the bands of the first layer and the "
        "classifier reach from the 5 % to the 95 % quantile of the mini-batches of an epoch, "
        "averaged over seeds. Norms of unequal layers do not compare in size (see the map of "
        "their RMS), only in course.",
    ),
    "layer_map": Chart(
        layer_map,
        "RMS of the gradient over layer and epoch, log10 of the mean over mini-batches and seeds. "
        "The RMS is the norm over the root of the size, so that layers of different size compare.",
    ),
    "batch_norms": Chart(
        batch_norms,
        "Spread of mini-batch norms in each epoch, of the first weight matrix and the classifier. "
        "Bars hold 90 % of the mini-batches of an epoch, ticks are their medians, both over the "
        "mean of the epoch and averaged over seeds: 1 is the mean, and a bar from 0.5 to 2 a "
        "factor of 2 either way.",
    ),
}


def applies(sweep: SweepTables) -> bool:
    """Every sweep can be drawn."""
    return True


def sentences(sweep: SweepTables) -> Iterator[str]:
    """None: these charts answer no question."""
    yield from ()


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """None: these charts answer no question."""
    yield from ()


def tables(sweep: SweepTables) -> Mapping[str, pd.DataFrame]:
    """None beside the rows."""
    return {}


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """The charts whose axes vary in the sweep and whose numbers were measured."""
    rows = sweep.rows
    rates = [block.groupby("batch")["lr"].nunique().max() for _, block in by_setting(rows)]
    over_lr = OVER_LR if max(rates, default=1) > 1 else {}
    drawings = {
        name: Drawing(partial(chart.draw, rows), chart.caption)
        for name, chart in (over_lr | OVER_NOISE).items()
        if chart.needs in rows and rows[chart.needs].notna().any()
    }
    for table, those in ((sweep.steps, OVER_STEPS), (sweep.layer_epochs, OVER_LAYERS)):
        if len(table):
            for name, chart in those.items():
                drawings[name] = Drawing(partial(chart.draw, rows, table), chart.caption)
    return drawings
