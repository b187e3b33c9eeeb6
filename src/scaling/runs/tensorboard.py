"""Settings, final numbers and panels of a run for TensorBoard."""

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
    """Log a run's settings, and panels with several curves each (`Custom Scalars`)."""
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
    """Log the final numbers of a run, for the tab `HParams`.

    Args:
        loggers: of the run; those that are not TensorBoard's are skipped.
        hyperparameters: as `hyperparameters` gives them.
        measured: column -> number, at the end of the run.
        diverged: a loss was not finite.
    """
    values = {f"final/{name}": measured[name] for name in FINAL if name in measured}
    final = {name: value for name, value in values.items() if math.isfinite(value)}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(
                dict(hyperparameters), final | {"final/diverged": float(diverged)}
            )
            logger.experiment.close()  # the trainer closed it after the last validation


def hyperparameters(
    settings: Mapping[str, Any], choices: Mapping[str, str], clip: float
) -> dict[str, Any]:
    """The settings of a run for HParams: finite numbers, and text.

    HParams drops numbers that are not finite, so no clipping is `clip_on` 0 and, as in Lightning, a
    `clip` of 0. HParams shows the first five names in alphabetical order; these are the root keys.

    Args:
        settings: the whole config of a run.
        choices: config group -> option.
        clip: largest gradient norm; infinite for no clipping.
    """
    clips = math.isfinite(clip)
    shown: dict[str, Any] = {
        "batch": settings["batch"],
        "lr": settings["lr"],
        "clip": clip if clips else 0.0,
        "clip_on": int(clips),
        "seed": settings["seed"],
    }
    for group in ("model", "data", "optimizer", "schedule", "adaptation", "federation"):
        if settings.get(group) is None:
            continue
        shown[f"settings/{group}"] = choices[group]
        for key, value in settings[group].items():
            if value is not None and not key.startswith("_") and key not in shown:
                shown[f"settings/{group}/{key}"] = value
    return shown
