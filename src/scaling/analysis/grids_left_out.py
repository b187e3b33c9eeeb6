"""Grids that are left out of a law over several axes, and predicted from the others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scaling.analysis.axes_regression import AxesFit, Grids, fit_axes
from scaling.analysis.intervals import LEVEL
from scaling.analysis.loss_lost import CurveLosses, Minimum, pooled_errors
from scaling.analysis.loss_surface import Vector


@dataclass(frozen=True)
class Source:
    """The runs and optima that a law was fitted to."""

    blocks: dict[tuple[float, ...], pd.DataFrame]  # values of the other axes -> runs of a grid
    grids: Grids
    centre: Vector  # mean natural log of the batch size and of each other axis


def predict_left_out(
    source: Source, axes: tuple[str, ...], fits: Sequence[AxesFit]
) -> pd.DataFrame:
    """Predict each curve from the other grids: a line for each, see `AxesLaw.held_out`.

    A grid has no lines in the table if the others do not determine the law.
    """
    lines: list[dict[str, Any]] = []
    number = np.arange(len(source.blocks))
    for i, (key, block) in enumerate(source.blocks.items()):
        if not all(np.isfinite(fit.scores[i]) for fit in fits):
            continue
        refits = [fit_axes(fit.form, source.grids.where(number != i), fit) for fit in fits]
        best = max(refits, key=lambda fit: fit.score)
        first, minima = len(lines), list[Minimum | None]()
        done = block[(block["status"] == "done") & np.isfinite(block["val_loss"].astype(float))]
        for batch, curve in done.groupby("batch"):
            losses = curve.groupby("lr")["val_loss"].mean()
            if len(losses) < 3:
                continue
            measured = CurveLosses(np.log(losses.index.to_numpy(float)), losses.to_numpy(float))
            log_batch = np.log(np.array([batch], float)) - source.centre[0]
            (x,), (half,) = best.predict(log_batch, source.grids.axes[i : i + 1], LEVEL)
            minimum = measured.minimum()
            minima.append(minimum)
            lines.append(
                {"batch": batch, **dict(zip(axes[1:], key, strict=True)), "form": best.form}
                | {"lr": math.exp(x), "low": math.exp(x - half), "high": math.exp(x + half)}
                | {"best_lr": math.exp(minimum.place) if minimum else math.nan}
                | {"loss_lost": measured.through_runs(x), "loss_lost_cubic": measured.on_cubic(x)}
            )
        errors = pooled_errors(minima)
        for line, error in zip(lines[first:], errors, strict=True):
            line["best_lr_error"] = error
    return pd.DataFrame(lines)
