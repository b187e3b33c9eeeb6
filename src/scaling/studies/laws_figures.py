"""The best learning rate against batch size, and the law through it."""

import textwrap
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scaling.analysis import optima
from scaling.analysis.naive_optima import naive_optima
from scaling.analysis.powerlaws import learning_rate_law
from scaling.figures.panels import blank, panels


def optimal_lr(rows: pd.DataFrame, flat: float | None = None) -> Figure:
    """Best learning rate against batch size: optima, and the law fitted to losses near them.

    Args:
        rows: from `scaling.results.read`.
        flat: rise of the loss in nats below which an optimum is flat (`scaling.optimum`).
    """
    return panels(rows, partial(_optimum_panel, flat=flat))


def _optimum_panel(block: pd.DataFrame, axes: Axes, flat: float | None) -> None:
    done = block[block["status"] == "done"]
    if done["lr"].nunique() < 2:
        blank(axes, "no lr to choose from")
        return
    low, high = float(block["lr"].min()), float(block["lr"].max())
    best = {one.batch: one.argmin for one in naive_optima(block)}
    for optimum in optima.optimum(block, flat=flat):
        if np.isnan(optimum.lr):
            if optimum.batch in best:
                axes.plot(optimum.batch, best[optimum.batch], "o", color="0.5", fillstyle="none")
            continue
        marker = {"low_edge": "v", "high_edge": "^"}.get(optimum.status, "o")
        ends = np.clip([optimum.low, optimum.high], low / 3, high * 6)
        axes.plot([optimum.batch] * 2, ends, color="0.3", linewidth=1)
        axes.plot(optimum.batch, optimum.lr, marker, color="black", markersize=6)
    for edge in (low, high):
        axes.axhline(edge, color="0.5", linestyle=":", linewidth=1)
    law = learning_rate_law(block, flat=flat)
    if law.identified:
        batches, _, lows, highs = zip(*law.optima, strict=True)
        lrs = [law.constant * batch**law.exponent for batch in batches]
        axes.plot(batches, lrs, color="C0", label=f"exponent {law.exponent:.2f}")
        axes.fill_between(batches, lows, highs, color="C0", alpha=0.2, linewidth=0)
        if law.form != "power":
            fine = pd.DataFrame({"batch": np.geomspace(batches[0], batches[-1], 100)})
            curve = law.predict(fine)
            axes.plot(fine["batch"], curve["lr"], color="C1", label=f"{law.form} law")
            axes.fill_between(
                fine["batch"], curve["low"], curve["high"], color="C1", alpha=0.15, linewidth=0
            )
        middle = len(batches) // 2
        for exponent, name, style in ((0.5, "1/2", "--"), (1.0, "1", "-.")):
            theory = [lrs[middle] * (batch / batches[middle]) ** exponent for batch in batches]
            axes.plot(batches, theory, style, color="0.6", linewidth=1, label=f"exponent {name}")
        axes.legend(title=f"95 %: {law.low:.2f} to {law.high:.2f}", framealpha=0.8)
    else:
        text = "\n".join(textwrap.wrap(f"no exponent: {law.reason}", 44))
        axes.text(0.02, 0.98, text, va="top", fontsize=8, color="0.3", transform=axes.transAxes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(low / 3, high * 6)
    axes.set_xticks(sorted(best), [f"{batch:g}" for batch in sorted(best)])
    axes.minorticks_off()
    axes.set_xlabel("batch (examples per step)")
    axes.set_ylabel("best learning rate")
