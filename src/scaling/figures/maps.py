"""Maps over batch size and learning rate."""

from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from scaling.contracts.metric import metric_of
from scaling.contracts.settings import by_setting
from scaling.figures.axes import BATCH, LR, number, text_width, tried_axis
from scaling.figures.limits import Limits, bowl_limits, means
from scaling.figures.marks import DIVERGED, Mark, entries
from scaling.figures.palette import text_on
from scaling.figures.panels import SINGLE, STYLE, WIDE, blank, panels

CELL = 0.42  # inches of a cell whose number has three decimals
SIZE = 8  # points, of numbers in cells
SAME = 1.02  # factor within which two lrs share a column
EMPTY = "no finished run"


def loss_heatmap(rows: pd.DataFrame) -> Figure:
    """Validation loss over batch and learning rate, mean over seeds."""
    blocks = [block for _, block in by_setting(rows)]
    limits = bowl_limits(blocks)
    inside = [v for block in blocks for v in means(block)["mean"] if limits.holds(v)]
    if inside:  # without the bars of seeds, which the map does not show
        limits = Limits(min(inside), max(inside))
    done = rows.assign(shown=rows["val_loss"].where(rows["status"] == "done"))
    return _maps(
        done, limits, metric_of(rows).label, "cividis_r", ["{:.3f}", "{:.2f}"], lowest=True
    )


def clip_frequency(rows: pd.DataFrame) -> Figure:
    """Share of steps that were clipped, over batch and learning rate, in percent."""
    shown = rows.assign(shown=rows["clip_percent"])
    return _maps(shown, Limits(0.0, 100.0), "steps clipped (%)", "cividis", ["{:.0f}"])


def heatmap(
    axes: Axes, table: pd.DataFrame, norm: Normalize, colors: str, *, edges: bool = True
) -> None:
    """Draw a table as colored cells, the first row on top; nan stays blank."""
    values = np.ma.masked_invalid(table.to_numpy(float))
    axes.pcolormesh(
        values, norm=norm, cmap=colors, edgecolors="white" if edges else "none",
        linewidth=0.5 if edges else 0.0,
    )  # fmt: skip
    axes.set_ylim(len(table), 0)
    axes.set_xlim(0, table.shape[1])
    for spine in axes.spines.values():
        spine.set_visible(False)


def color_bar(figure: Figure, norm: Normalize, colors: str, label: str, extend: str) -> None:
    """Put one color bar for all panels right of them."""
    shown = [axes for axes in figure.axes if axes.axison]
    with mpl.rc_context(STYLE):
        drawn = ScalarMappable(norm, colors)
        grid = shown[0].get_gridspec()
        share = min(1.0, 2 / grid.nrows) if grid is not None else 1.0
        bar = figure.colorbar(
            drawn, ax=shown, label=label, extend=extend, aspect=25, extendfrac=0.04, shrink=share,
            anchor=(0.0, 1.0),
        )  # fmt: skip
        bar.outline.set_visible(False)


def _maps(
    rows: pd.DataFrame,
    limits: Limits,
    label: str,
    colors: str,
    forms: Sequence[str],
    *,
    lowest: bool = False,
) -> Figure:
    """A map for each setting of means over seeds, on one scale of colors."""
    rows = rows.assign(lr=rows["lr"].map(_columns(rows["lr"])))
    used = rows[(rows["status"] != "corrupt") & (rows["shown"].notna() | _lost(rows))]
    batches, lrs = (sorted(used[key].unique()) for key in ("batch", "lr"))
    norm = Normalize(*((limits.low, limits.high) if limits.known else (0.0, 1.0)))
    tables: list[tuple[Axes, pd.DataFrame]] = []
    best: list[pd.DataFrame] = []  # the same without losses at which a run diverged

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        table = block.pivot_table(index="batch", columns="lr", values="shown", aggfunc="mean")
        if table.empty and not (lowest and _lost(block).any()):
            blank(axes, EMPTY)
            return
        table = table.reindex(index=batches, columns=lrs).replace([np.inf, -np.inf], np.nan)
        heatmap(axes, table, norm, colors)
        tried_axis(axes.xaxis, [i + 0.5 for i in range(len(lrs))], [number(lr) for lr in lrs])
        tried_axis(axes.yaxis, [i + 0.5 for i in range(len(batches))], [f"{b:g}" for b in batches])
        axes.set_xlabel(LR)
        axes.set_ylabel(BATCH)
        best.append(table.where(table >= norm.vmin))
        for batch, lr in block.loc[_lost(block), ["batch", "lr"]].drop_duplicates().to_numpy():
            value = float(table.loc[batch, lr])
            at, size = ((0.5, 0.5), 5.0) if np.isnan(value) else ((0.92, 0.16), 3.0)  # or a corner
            color = "0.25" if np.isnan(value) else text_on(mpl.colormaps[colors](norm(value)))
            best[-1].loc[batch, lr] = np.nan
            if lowest:
                axes.plot(lrs.index(lr) + at[0], batches.index(batch) + at[1], DIVERGED,
                          color=color, markersize=size)  # fmt: skip
        tables.append((axes, table))

    lost = lowest and bool(_lost(rows).any())
    more = entries([Mark(0.0, 0.0, np.inf, DIVERGED)]) if lost else []
    width = float(np.clip(1.6 + CELL * len(lrs), SINGLE, WIDE))
    figure = panels(rows, draw, entries=more, width=width, keys_below=True)
    every = [value for _, table in tables for value in table.to_numpy().ravel()]
    below = any(value < norm.vmin for value in every)
    above = any(value > norm.vmax for value in every)
    extend = {(0, 0): "neither", (0, 1): "max", (1, 0): "min", (1, 1): "both"}[below, above]
    if limits.known and tables:
        color_bar(figure, norm, colors, label, extend)
        figure.draw_without_rendering()
        for (axes, table), candidates in zip(tables, best, strict=True):
            _numbers(
                axes, table, _form(axes, table, forms), lambda v: mpl.colormaps[colors](norm(v))
            )
            if lowest:
                _frames(axes, candidates)
    return figure


def _columns(lrs: pd.Series) -> dict[float, float]:
    """Each learning rate with that of its column: those within 2 % differ by rounding alone."""
    columns: dict[float, float] = {}
    first = 0.0
    for lr in sorted(lrs.dropna().unique()):
        first = first if 0 < lr <= first * SAME else lr
        columns[lr] = first
    return columns


def _lost(rows: pd.DataFrame) -> pd.Series:
    return rows["status"] == "diverged"


def _form(axes: Axes, table: pd.DataFrame, forms: Sequence[str]) -> str:
    """The most precise form whose numbers fit their cells; empty if none does."""
    box = axes.get_window_extent()
    width = box.width * 72 / axes.figure.dpi / table.shape[1]
    height = box.height * 72 / axes.figure.dpi / len(table)
    values = table.to_numpy().ravel()
    values = values[~np.isnan(values)]
    for form in forms if height >= SIZE * 1.2 and len(values) else ():
        longest = max((form.format(value) for value in values), key=len)
        if text_width(longest, SIZE) + 4 <= width:
            return form
    return ""


def _numbers(
    axes: Axes, table: pd.DataFrame, form: str, color: Callable[[float], Sequence[float]]
) -> None:
    """Write the number of each cell in black or white, whichever is easier to read."""
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        if form and not np.isnan(value):
            axes.text(j + 0.5, i + 0.5, form.format(value), ha="center", va="center_baseline",
                      fontsize=SIZE, color=text_on(color(value)))  # fmt: skip


def _frames(axes: Axes, table: pd.DataFrame) -> None:
    """Frame the lowest cell of each row."""
    for i, row in enumerate(table.to_numpy()):
        if not np.isnan(row).all():
            j = int(np.nanargmin(row))
            axes.add_patch(mpl.patches.Rectangle((j, i), 1, 1, fill=False, color="black",
                                                 linewidth=1.2, clip_on=False))  # fmt: skip
