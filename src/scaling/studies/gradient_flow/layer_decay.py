"""The decay of each layer's gradient over the epochs, averaged over seeds."""

import numpy as np
import pandas as pd

from scaling.analysis import gradient_flow
from scaling.studies.cluster_intervals import over_seeds
from scaling.studies.gradient_flow.layer_measures import RUN


def layer_decay(block: pd.DataFrame, layer_epochs: pd.DataFrame) -> pd.DataFrame:
    """A line for each weight matrix: the initial size of its gradient, and its decay.

    `rms` is the geometric mean over seeds of the gradient's RMS in the first epoch, `decay` the
    mean slope of its log per epoch, with a t interval over seeds (nan for fewer than three), and
    `update_to_weight` the mean over all epochs and seeds.

    Args:
        block: runs that differ only in their seed.
        layer_epochs: of these and other runs; may be empty for exported sweeps.
    """
    if layer_epochs.empty:
        return pd.DataFrame()
    lines = layer_epochs.astype(dict.fromkeys(RUN, "object")).merge(block[[*RUN, "seed"]], on=RUN)
    weights = lines[lines["kind"] == "weight"].astype({"layer": str})
    slopes = []
    for (seed, _), run in weights.groupby(["seed", "run"]):
        begin = run[run["epoch"] == run["epoch"].min()].set_index("layer")["rms"]
        updates = run.groupby("layer")["update_to_weight"].mean()
        slopes += [
            {"seed": seed, "layer": slope.layer, "rms": begin[slope.layer],
             "decay": slope.slope, "update_to_weight": updates[slope.layer]}
            for slope in gradient_flow.epoch_slopes(run)
        ]  # fmt: skip
    decays = []
    for layer, runs in pd.DataFrame(slopes).groupby("layer", sort=False) if slopes else ():
        decay = over_seeds(runs, "decay", positive=False)
        decays.append(
            {"layer": layer, "rms": float(np.exp(np.log(runs["rms"]).mean())),
             "decay": runs["decay"].mean(), "decay_low": decay.low, "decay_high": decay.high,
             "update_to_weight": runs["update_to_weight"].mean()}
        )  # fmt: skip
    return pd.DataFrame(decays)
