"""Maps over batch size and learning rate."""

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.contracts.metric import metric_of
from scaling.figures.panels import blank, panels


def loss_heatmap(rows: pd.DataFrame) -> Figure:
    """Validation loss over batch and learning rate, mean over seeds."""
    return panels(rows, _loss_map_panel)


def clip_frequency(rows: pd.DataFrame) -> Figure:
    """Share of steps that were clipped, over batch and learning rate, in percent."""
    return panels(rows, _clip_panel)


def _loss_map_panel(block: pd.DataFrame, axes: Axes) -> None:
    done = block[block["status"] == "done"]
    _map_panel(done, axes, "val_loss", metric_of(block).label, ".3f", "cividis_r")


def _clip_panel(block: pd.DataFrame, axes: Axes) -> None:
    _map_panel(block, axes, "clip_percent", "steps clipped (%)", ".0f", "cividis", (0.0, 100.0))


def _map_panel(
    block: pd.DataFrame,
    axes: Axes,
    column: str,
    label: str,
    form: str,
    colors: str,
    limits: tuple[float, float] | tuple[None, None] = (None, None),
) -> None:
    """A map over batch and learning rate, of means over seeds."""
    means = block.pivot_table(index="batch", columns="lr", values=column, aggfunc="mean")
    if means.empty:
        blank(axes, "no finished run")
        return
    means.index = [f"{batch:g}" for batch in means.index]
    means.columns = [f"{lr:g}" for lr in means.columns]
    sns.heatmap(
        means, ax=axes, vmin=limits[0], vmax=limits[1], cmap=colors, linewidths=0.5,
        annot=True, fmt=form, annot_kws={"fontsize": 8}, cbar_kws={"label": label},
    )  # fmt: skip
    axes.set_xlabel("learning rate")
    axes.set_ylabel("batch (examples per step)")
    axes.tick_params(axis="y", rotation=0)
