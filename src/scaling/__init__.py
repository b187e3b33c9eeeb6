"""How learning rate, batch size and gradient clipping move together.

Every name below is imported when it is first asked for, so that `import scaling` takes no time.

- Reading runs: `read` (a row per run), and the longer tables `steps`, `epochs`, `layers`,
  `layer_epochs`, `windows`, `rounds`; `table` reads any other that a callback recorded.
- Statistics of sweeps: `learning_rate_law`, `plain_fit`, `optimum`, `candidates`, `effect_of`,
  `replicates`, `sensitivity`, `steps_to_loss`, `arrivals`, `tradeoff`, `clip_regimes`,
  `fold_trend`.
- Callbacks for any Lightning run: `GradientNorms`, `LayerGradients`, `LayerEpochs`; `Recording` is
  the base for one of your own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; must agree with _HOMES
    from scaling.analysis.clipping_regimes import clip_regimes as clip_regimes
    from scaling.analysis.critical_batch import tradeoff as tradeoff
    from scaling.analysis.effects import effect_of as effect_of
    from scaling.analysis.law_selection import candidates as candidates
    from scaling.analysis.lr_sensitivity import sensitivity as sensitivity
    from scaling.analysis.optima import optimum as optimum
    from scaling.analysis.powerlaws import learning_rate_law as learning_rate_law
    from scaling.analysis.powerlaws import plain_fit as plain_fit
    from scaling.analysis.replicates import replicates as replicates
    from scaling.analysis.steps_to_loss import arrivals as arrivals
    from scaling.analysis.steps_to_loss import steps_to_loss as steps_to_loss
    from scaling.analysis.trends import fold_trend as fold_trend
    from scaling.callbacks.gradient_norms import GradientNorms as GradientNorms
    from scaling.callbacks.layer_epochs import LayerEpochs as LayerEpochs
    from scaling.callbacks.layer_gradients import LayerGradients as LayerGradients
    from scaling.callbacks.recording import Recording as Recording
    from scaling.results import epochs as epochs
    from scaling.results import layer_epochs as layer_epochs
    from scaling.results import layers as layers
    from scaling.results import read as read
    from scaling.results import rounds as rounds
    from scaling.results import steps as steps
    from scaling.results import table as table
    from scaling.results import windows as windows

__version__ = "0.1.0"

_HOMES = {
    "clip_regimes": "scaling.analysis.clipping_regimes",
    "tradeoff": "scaling.analysis.critical_batch",
    "effect_of": "scaling.analysis.effects",
    "candidates": "scaling.analysis.law_selection",
    "sensitivity": "scaling.analysis.lr_sensitivity",
    "optimum": "scaling.analysis.optima",
    "learning_rate_law": "scaling.analysis.powerlaws",
    "plain_fit": "scaling.analysis.powerlaws",
    "replicates": "scaling.analysis.replicates",
    "arrivals": "scaling.analysis.steps_to_loss",
    "steps_to_loss": "scaling.analysis.steps_to_loss",
    "fold_trend": "scaling.analysis.trends",
    "GradientNorms": "scaling.callbacks.gradient_norms",
    "LayerEpochs": "scaling.callbacks.layer_epochs",
    "LayerGradients": "scaling.callbacks.layer_gradients",
    "Recording": "scaling.callbacks.recording",
    "epochs": "scaling.results",
    "layer_epochs": "scaling.results",
    "layers": "scaling.results",
    "read": "scaling.results",
    "rounds": "scaling.results",
    "steps": "scaling.results",
    "table": "scaling.results",
    "windows": "scaling.results",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"scaling has no {name}; it offers {', '.join(__all__)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # so that it is looked up once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
