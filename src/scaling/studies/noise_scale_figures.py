"""The gradient noise scale over training."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scaling.analysis.at_best import at_best
from scaling.contracts.columns import FINISHED
from scaling.figures.axes import log_values, number
from scaling.figures.labels import BESIDE
from scaling.figures.palette import looks
from scaling.figures.panels import blank, panels
from scaling.gradients.noise_scale import FEWEST, noise_scale

APART = 0.004  # of the step, between the points of two runs


def noise_scale_over_training(rows: pd.DataFrame, probes: pd.DataFrame) -> Figure:
    """Noise scale of windows of probes over the steps, at the best lr of each batch size.

    Args:
        rows: as `scaling.results.read` gives them.
        probes: of these runs, the table `probes`.
    """
    finished = rows[rows["status"].isin(FINISHED)]
    styles = looks(finished)

    def draw(block: pd.DataFrame, axes: Axes) -> None:
        tops: list[float] = []
        best = at_best(block)
        for batch, (color, marker) in styles.items():
            runs = best[best["batch"] == batch]
            label = f"{batch:g} (lr {number(runs['lr'].iloc[0])})" if len(runs) else ""
            for study, run in zip(runs["study"], runs["run"], strict=True):
                own = (probes["study"] == study) & (probes["run"] == run)
                scales = windows(probes[own])
                at = scales["step"] * (1 + APART * len(axes.lines))  # beside those of other runs
                known, value = scales["identified"], scales["value"]
                ends = [(value - scales["low"])[known], (scales["high"] - value)[known]]
                axes.errorbar(
                    at[known], value[known], yerr=ends, fmt=f"{marker}-", color=color,
                    markersize=3.5, linewidth=0.8, elinewidth=0.5, label=label,
                )  # fmt: skip
                bound = ~known & scales["low"].notna()
                axes.plot(at[bound], scales["low"][bound], "^", color=color, markersize=4)
                tops += [*scales["low"][known | bound], *scales["high"][known]]
                label = "_again"  # one entry for all seeds
        if not tops:
            blank(axes, "too few probes for an interval")
            return
        axes.set_yscale("log")
        log_values(axes.yaxis, min(tops) / 1.2, max(tops) * 1.2)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlim(left=0)
        axes.set_xlabel("step")
        axes.set_ylabel(f"noise scale ({probes['unit'].iloc[0]})")
        axes.legend(title="batch", alignment="left", **BESIDE)

    return panels(finished, draw, shared=False)


def windows(probes: pd.DataFrame) -> pd.DataFrame:
    """The noise scale of windows of a run's probes: `step`, the mean of a window's, and the fields.

    A window has a quarter of the probes, or as many as an interval needs. It shares half of them
    with the next.
    """
    steps = np.sort(probes["step"].unique())
    length = max(FEWEST, len(steps) // 4)
    lines = []
    for first in range(0, len(steps) - length + 1, length // 2):
        part = steps[first : first + length]
        estimate = noise_scale(probes[probes["step"].isin(part)])
        lines.append({"step": float(part.mean()), **vars(estimate)})
    table = pd.DataFrame(lines, columns=["step", "value", "low", "high", "identified"])
    return table.astype({"identified": bool})
