"""Tags, settings, final numbers and panels of a run for TensorBoard, which opens on the loss."""

import math
import re
from argparse import Namespace
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from scaling.config import schema
from scaling.contracts.columns import FINAL

# TensorBoard sorts groups of tags by name.
LOSS, GRADIENT, UPDATE, SCORE, OTHER = "1 loss", "2 gradient", "3 update", "4 score", "5 other"
GROUPS = (  # the first whose pattern is in the name of a measure
    (LOSS, re.compile(r"loss$")),
    (GRADIENT, re.compile(r"grad|^clip")),
    (UPDATE, re.compile(r"^(lr|update_norm|decay_norm|param_norm)$")),
    (SCORE, re.compile(r"_(accuracy|f1|mcc)$")),
)
PANELS = {  # of the tab Custom Scalars: category -> title -> the measure of all runs
    "loss": {"validation": "val_loss", "training": "train_loss"},
    "gradient": {
        "norm before clipping": "grad_norm_pre_clip",
        "norm after clipping": "grad_norm_post_clip",
        "clip coefficient": "clip_coefficient",
    },
    "update": {"by gradient": "update_norm", "by weight decay": "decay_norm"},
}


def tag(name: str) -> str:
    """The tag of a measure, such as `1 loss/val_loss`; a name with a slash is its own tag."""
    if "/" in name:
        return name
    return f"{next((group for group, of in GROUPS if of.search(name)), OTHER)}/{name}"


class GroupedTensorBoardLogger(TensorBoardLogger):
    """Lightning's logger for TensorBoard, with tags in groups: loss, gradient, and others."""

    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: dict[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Log settings of a user's data set, without Lightning's placeholder `hp_metric`."""
        super().log_hyperparams(params, metrics or {}, step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({tag(name): value for name, value in metrics.items()}, step)


def begin(loggers: Iterable[Logger], hyperparameters: Mapping[str, Any]) -> None:
    """Log a run's settings, and panels of one measure each (`Custom Scalars`)."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.hparams.update(hyperparameters)  # for hparams.yaml, which the dashboard reads
            logger.save()
            _write(logger, hparams(dict(hyperparameters), {})[1])
            logger.experiment.add_custom_scalars(_layout())
        else:
            logger.log_hyperparams(dict(hyperparameters))


def conclude(loggers: Iterable[Logger], measured: Mapping[str, float], *, diverged: bool) -> None:
    """Log the final numbers of a run, for the tab `HParams`.

    Args:
        loggers: of the run; those that are not TensorBoard's are skipped.
        measured: column -> number, at the end of the run.
        diverged: a loss was not finite.
    """
    values = {f"final/{name}": measured[name] for name in FINAL if name in measured}
    final = {name: value for name, value in values.items() if math.isfinite(value)}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_metrics(final | {"final/diverged": float(diverged)}, 0)
            _write(logger, hparams({}, {})[2])
            logger.experiment.close()  # the trainer closed it after the last validation


def _write(logger: TensorBoardLogger, summary: Any) -> None:
    """Write the start or the end of a run for HParams.

    The list of all settings, which Lightning also writes, is left out. TensorBoard then makes one
    from all runs, with the settings that differ first.
    """
    logger.experiment._get_file_writer().add_summary(summary)


def _layout() -> dict[str, dict[str, list[Any]]]:
    return {
        category: {
            title: ["Multiline", [rf"^({tag(name).partition('/')[0]}/)?{name}$"]]
            for title, name in charts.items()
        }
        for category, charts in PANELS.items()
    }


def hyperparameters(
    settings: Mapping[str, Any], choices: Mapping[str, str], clip: float
) -> dict[str, Any]:
    """The settings of a run for HParams: finite numbers, truth values and text.

    HParams drops numbers that are not finite, so no clipping is `clip_on` 0 and, as in Lightning, a
    `clip` of 0.

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
    protocol, length = schema.protocol(settings)
    shown[f"settings/{protocol}"] = length
    for group in ("model", "data", "optimizer", "schedule", "adaptation", "federation"):
        if settings.get(group) is not None:
            shown[f"settings/{group}"] = choices[group]
            inner = {key: value for key, value in settings[group].items() if key not in shown}
            shown |= _flat(inner, f"settings/{group}")
    return shown


def _flat(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Settings below a prefix, without those that are null or internal."""
    shown: dict[str, Any] = {}
    for key, value in settings.items():
        if value is None or key.startswith("_"):
            continue
        if isinstance(value, Mapping):
            shown |= _flat(value, f"{prefix}/{key}")
        else:
            plain = isinstance(value, int | float) and math.isfinite(value)
            shown[f"{prefix}/{key}"] = value if plain else str(value)
    return shown
