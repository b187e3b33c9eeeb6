"""How learning rate, batch size and gradient clipping depend on each other.

Every name below is imported on first access, so that `import scaling` takes no time.

- Runs: `read` gives a row per run; `steps`, `epochs`, `layers`, `layer_epochs`, `windows` and
  `rounds` the longer tables; `table` any other that a callback recorded.
- Batch size and learning rate: `learning_rate_law`, `optimum`, `candidates`, `sensitivity`,
  `steps_to_loss`, `arrivals`, `tradeoff`; `plain_fit` and `naive_optima` for comparison.
- Clipping and other settings: `clip_regimes`, `update_response`, `effect_of`, `replicates`.
- Tails of gradients: `tail_shape`, a verdict with bands of known laws; `hill_drift`, of a
  published table of Hill's index.
- Gradients by layer: `depth_ratios`, `depth_slopes`, `epoch_slopes`, `scatters`, `collapse`.
- Gradient noise: `noise_scale`, `layer_noise_scales`.
- Folds and predictions: `fold_trend`, `first_below`, `mcnemar`, `wilson_interval`.
- Reports: `study` gives the sentences, claims, tables and figures of one question to `SweepTables`;
  `figures` has plain charts; `summary_table` and `sweep_caveats` are text.
- Callbacks for any Lightning run: `GradientNorms`, `LayerGradients`, `LayerEpochs`,
  `NoiseScale`, `TailShape`.
- Parts of your own: `Recording` for a statistic, `InMemory`, `Examples` and `Sizes` for a data set.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scaling.contracts.version import __version__ as __version__

if TYPE_CHECKING:  # for type checkers and editors; must agree with _HOMES
    from scaling import figures as figures
    from scaling.analysis.clipping_regimes import clip_regimes as clip_regimes
    from scaling.analysis.clipping_regimes import update_response as update_response
    from scaling.analysis.critical_batch import tradeoff as tradeoff
    from scaling.analysis.effects import effect_of as effect_of
    from scaling.analysis.gradient_flow import collapse as collapse
    from scaling.analysis.gradient_flow import depth_ratios as depth_ratios
    from scaling.analysis.gradient_flow import depth_slopes as depth_slopes
    from scaling.analysis.gradient_flow import epoch_slopes as epoch_slopes
    from scaling.analysis.gradient_flow import scatters as scatters
    from scaling.analysis.hill_tables import hill_drift as hill_drift
    from scaling.analysis.intervals import wilson_interval as wilson_interval
    from scaling.analysis.lr_sensitivity import sensitivity as sensitivity
    from scaling.analysis.naive_optima import naive_optima as naive_optima
    from scaling.analysis.optima import optimum as optimum
    from scaling.analysis.plain_fit import plain_fit as plain_fit
    from scaling.analysis.powerlaws import candidates as candidates
    from scaling.analysis.powerlaws import learning_rate_law as learning_rate_law
    from scaling.analysis.replicates import replicates as replicates
    from scaling.analysis.significance import mcnemar as mcnemar
    from scaling.analysis.steps_to_loss import arrivals as arrivals
    from scaling.analysis.steps_to_loss import steps_to_loss as steps_to_loss
    from scaling.analysis.trends import first_below as first_below
    from scaling.analysis.trends import fold_trend as fold_trend
    from scaling.callbacks.gradient_norms import GradientNorms as GradientNorms
    from scaling.callbacks.layer_epochs import LayerEpochs as LayerEpochs
    from scaling.callbacks.layer_gradients import LayerGradients as LayerGradients
    from scaling.callbacks.noise_scale import NoiseScale as NoiseScale
    from scaling.callbacks.recording import Recording as Recording
    from scaling.callbacks.tail_shape import TailShape as TailShape
    from scaling.contracts.sizes import Sizes as Sizes
    from scaling.datamodules.in_memory import Examples as Examples
    from scaling.datamodules.in_memory import InMemory as InMemory
    from scaling.gradients.noise_scale import layer_noise_scales as layer_noise_scales
    from scaling.gradients.noise_scale import noise_scale as noise_scale
    from scaling.gradients.tails import tail_shape as tail_shape
    from scaling.reporting.caveats import sweep_caveats as sweep_caveats
    from scaling.reporting.text import summary_table as summary_table
    from scaling.results import epochs as epochs
    from scaling.results import layer_epochs as layer_epochs
    from scaling.results import layers as layers
    from scaling.results import read as read
    from scaling.results import rounds as rounds
    from scaling.results import steps as steps
    from scaling.results import table as table
    from scaling.results import windows as windows
    from scaling.studies.study import study as study
    from scaling.studies.sweep_tables import SweepTables as SweepTables

_HOMES = {  # module -> its names
    "scaling.analysis.clipping_regimes": ("clip_regimes", "update_response"),
    "scaling.analysis.critical_batch": ("tradeoff",),
    "scaling.analysis.effects": ("effect_of",),
    "scaling.analysis.gradient_flow": (
        "collapse",
        "depth_ratios",
        "depth_slopes",
        "epoch_slopes",
        "scatters",
    ),
    "scaling.analysis.intervals": ("wilson_interval",),
    "scaling.analysis.lr_sensitivity": ("sensitivity",),
    "scaling.analysis.optima": ("optimum",),
    "scaling.analysis.naive_optima": ("naive_optima",),
    "scaling.analysis.plain_fit": ("plain_fit",),
    "scaling.analysis.powerlaws": ("candidates", "learning_rate_law"),
    "scaling.analysis.replicates": ("replicates",),
    "scaling.analysis.significance": ("mcnemar",),
    "scaling.analysis.steps_to_loss": ("arrivals", "steps_to_loss"),
    "scaling.analysis.trends": ("first_below", "fold_trend"),
    "scaling.callbacks.gradient_norms": ("GradientNorms",),
    "scaling.callbacks.layer_epochs": ("LayerEpochs",),
    "scaling.callbacks.layer_gradients": ("LayerGradients",),
    "scaling.callbacks.noise_scale": ("NoiseScale",),
    "scaling.callbacks.recording": ("Recording",),
    "scaling.callbacks.tail_shape": ("TailShape",),
    "scaling.contracts.sizes": ("Sizes",),
    "scaling.datamodules.in_memory": ("Examples", "InMemory"),
    "scaling.analysis.hill_tables": ("hill_drift",),
    "scaling.gradients.noise_scale": ("layer_noise_scales", "noise_scale"),
    "scaling.gradients.tails": ("tail_shape",),
    "scaling.reporting.caveats": ("sweep_caveats",),
    "scaling.reporting.text": ("summary_table",),
    "scaling.results": (
        "epochs",
        "layer_epochs",
        "layers",
        "read",
        "rounds",
        "steps",
        "table",
        "windows",
    ),
    "scaling.studies.study": ("study",),
    "scaling.studies.sweep_tables": ("SweepTables",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted([*_HOME, "figures"])


def __getattr__(name: str) -> Any:
    if name == "figures":
        return import_module("scaling.figures")
    if name not in _HOME:
        raise AttributeError(f"scaling has no {name}; it offers {', '.join(__all__)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # look it up once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
