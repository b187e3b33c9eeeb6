"""Tables of rows as figures; no file names and no show()."""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from scaling.contracts.settings import by_setting
from scaling.figures.curves import norm_curves
from scaling.figures.layers import NOISE, accuracy_over_noise, batch_norms, layer_map, layer_norms
from scaling.figures.maps import clip_frequency, loss_heatmap
from scaling.figures.over_clip import loss_against_clip, update_against_clip
from scaling.figures.over_lr import gradient_norm, loss_against_lr, optimal_lr, update_size
from scaling.figures.tuning import lr_sensitivity, steps_and_examples

__all__ = [
    "ALL",
    "OF_LAYERS",
    "OVER_CLIP",
    "OVER_LR",
    "accuracy_over_noise",
    "batch_norms",
    "clip_frequency",
    "gradient_norm",
    "layer_map",
    "layer_norms",
    "loss_against_clip",
    "loss_against_lr",
    "loss_heatmap",
    "lr_sensitivity",
    "norm_curves",
    "optimal_lr",
    "steps_and_examples",
    "that_show",
    "update_against_clip",
    "update_size",
]

OVER_LR: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "loss_against_lr": loss_against_lr,
    "optimal_lr": optimal_lr,
    "loss_heatmap": loss_heatmap,
    "clip_frequency": clip_frequency,
    "gradient_norm": gradient_norm,
    "update_size": update_size,
}
OVER_CLIP: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "loss_against_clip": loss_against_clip,
    "update_against_clip": update_against_clip,
}
OVER_MANY_LR: dict[str, Callable[[pd.DataFrame], Figure]] = {"lr_sensitivity": lr_sensitivity}
OF_LAYERS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Figure]] = {
    "layer_norms": layer_norms,
    "layer_map": layer_map,
    "batch_norms": batch_norms,
}
MEASURED = {  # what a figure needs beside the loss
    "clip_frequency": "clip_percent",
    "gradient_norm": "grad_norm_pre_clip",
    "update_size": "update_norm",
    "update_against_clip": "update_norm",
}
ALL = OVER_LR | OVER_MANY_LR | OVER_CLIP


def that_show(rows: pd.DataFrame) -> dict[str, Callable[[pd.DataFrame], Figure]]:
    """The figures whose axis varies in these rows, and that have something to show."""
    rates = [block.groupby("batch")["lr"].nunique().max() for _, block in by_setting(rows)]
    blocks = [block for _, block in by_setting(rows, together=("clip",))]
    over_clip = any(block["clip"].nunique() > 1 for block in blocks)
    most = max(rates, default=1)
    over_lr = (OVER_LR if most > 1 else {}) | (OVER_MANY_LR if most > 2 else {})
    noise = {"accuracy_over_noise": accuracy_over_noise} if NOISE in rows else {}
    found = over_lr | (OVER_CLIP if over_clip else {}) | noise
    return {
        name: draw for name, draw in found.items()
        if name not in MEASURED or rows[MEASURED[name]].notna().any()
    }  # fmt: skip
