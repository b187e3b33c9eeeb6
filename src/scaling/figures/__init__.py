"""Charts of tables, and helpers shared by all figures; nothing is saved or shown here."""

from scaling.figures.curves import norm_curves
from scaling.figures.layers import NOISE, accuracy_over_noise, batch_norms, layer_map, layer_norms
from scaling.figures.maps import clip_frequency, loss_heatmap
from scaling.figures.over_lr import gradient_norm, loss_against_lr, update_size

__all__ = [
    "NOISE",
    "accuracy_over_noise",
    "batch_norms",
    "clip_frequency",
    "gradient_norm",
    "layer_map",
    "layer_norms",
    "loss_against_lr",
    "loss_heatmap",
    "norm_curves",
    "update_size",
]
