"""What TensorBoard shows of a run beside its curves: settings, final numbers, panels."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

LAYOUT = {  # patterns of tags
    "gradient norm": {
        "before and after clipping": ["Multiline", ["^grad_norm_(pre|post)_clip$"]],
        "clip coefficient": ["Multiline", ["^clip_coefficient$"]],
    },
    "loss": {"training and validation": ["Multiline", ["^(train|val)_loss$"]]},
    "update": {"by gradient and by weight decay": ["Multiline", ["^(update|decay)_norm$"]]},
}
FINAL = (
    *("val_loss", "val_loss_se", "train_loss", "val_accuracy", "test_accuracy", "clip_percent"),
    *("clip_coefficient_cv", "grad_norm_pre_clip", "grad_norm_post_clip", "update_norm", "seconds"),
)


def begin(loggers: Iterable[Logger], hyperparameters: Mapping[str, Any]) -> None:
    """Log what a run is, and the panels that show several curves together (`Custom Scalars`)."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(dict(hyperparameters))
            logger.experiment.add_custom_scalars(LAYOUT)


def conclude(
    loggers: Iterable[Logger],
    hyperparameters: Mapping[str, Any],
    measured: Mapping[str, float],
    *,
    diverged: bool,
) -> None:
    """Log where a run ended, for the tab `HParams`.

    Args:
        loggers: of the run; those that are not TensorBoard's are passed over.
        hyperparameters: as `hyperparameters` gives them.
        measured: column -> number, at the end of the run.
        diverged: a loss was not finite.
    """
    known = {f"final/{name}": measured[name] for name in FINAL if name in measured}
    final = {name: value for name, value in known.items() if math.isfinite(value)}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(
                dict(hyperparameters), final | {"final/diverged": float(diverged)}
            )
            logger.experiment.close()  # the trainer closed it after the last validation


def hyperparameters(
    settings: Mapping[str, Any], choices: Mapping[str, str], clip: float
) -> dict[str, Any]:
    """The settings of a run as HParams takes them: finite numbers, and text.

    HParams drops what is not finite, so no clipping is `clip_on` 0 and, as Lightning has it, a
    `clip` of 0. It shows the first five names of the alphabet, which are to be the root keys.

    Args:
        settings: the whole config of a run.
        choices: the option that each config group took.
        clip: ceiling on the gradient's norm; infinite for none.
    """
    bites = math.isfinite(clip)
    found: dict[str, Any] = {
        "batch": settings["batch"],
        "lr": settings["lr"],
        "clip": clip if bites else 0.0,
        "clip_on": int(bites),
        "seed": settings["seed"],
    }
    for group in ("model", "data", "optimizer", "schedule", "adaptation", "federation"):
        if settings.get(group) is None:
            continue
        found[f"settings/{group}"] = choices[group]
        for key, value in settings[group].items():
            if value is not None and not key.startswith("_") and key not in found:
                found[f"settings/{group}/{key}"] = value
    return found
