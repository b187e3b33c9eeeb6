"""Columns of tables, their statuses, and checks that a table can be analysed."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # importing it takes 0.3 s, and `status` needs no tables
    import pandas as pd

Status = Literal["done", "diverged", "failed", "interrupted", "corrupt"]
FINISHED = ("done", "diverged")

ROOT_KEYS = ("batch", "lr", "clip", "seed")
# Other names of columns and keys, in lower case with `_` for all but letters and digits.
ALIASES = {
    "batch": ("batch_size", "batchsize", "bs", "global_batch_size", "train_batch_size"),
    "lr": ("learning_rate", "learningrate", "max_lr", "peak_lr", "base_lr"),
    "val_loss": (
        *("val_loss", "validation_loss", "valid_loss", "eval_loss", "dev_loss"),
        *("loss_val", "loss_valid", "loss_validation", "loss_eval"),
    ),
    "clip": (
        *("grad_clip", "gradient_clip", "clip_grad", "max_grad_norm", "grad_clip_norm"),
        *("gradient_clip_val", "clip_norm", "gradient_clipping", "clip_grad_norm"),
    ),
    "seed": ("random_seed", "random_state"),
    "status": ("state",),
}
SWITCHES = (  # change no result, except by rounding
    *("resume", "fail_fast", "dry_run", "workers", "save_every", "threads", "threads_from"),
)
# Losses that need no learning: of n-gram models by order, and the lowest possible loss. Columns
# `uniform_loss` and so on.
REFERENCES = ("uniform", "unigram", "bigram", "trigram", "fourgram", "fivegram", "floor")
FIXED = (
    *("study", "run", "digest", "status", "error", "model", "data", "optimizer", "protocol"),
    *(
        "duration",
        *ROOT_KEYS,
        "steps",
        "examples",
        "parameters",
        "seconds",
        "val_loss",
        "val_loss_se",
    ),
    *("train_loss", "uniform_loss", "unigram_loss", "bigram_loss", "val_accuracy"),
    *("test_accuracy", "clip_percent", "clip_coefficient_cv", "grad_norm_pre_clip"),
    *("grad_norm_post_clip", "update_norm", "fold"),
)
FINAL = (  # measures of the end of a run that TensorBoard shows with its settings, in this order
    *("val_loss", "val_loss_se", "train_loss", "val_accuracy", "test_accuracy", "clip_percent"),
    *("clip_coefficient_cv", "grad_norm_pre_clip", "grad_norm_post_clip", "update_norm", "seconds"),
)
NOTES = "data_notes"  # how a run's data set read its files; also its key in the provenance
TEXT = (
    *("study", "run", "digest", "status", "error", "model", "data", "optimizer", "protocol"),
    NOTES,
)


def need(table: "pd.DataFrame", *columns: str) -> None:
    """Check that a table has columns.

    Raises:
        ValueError: naming the missing ones.
    """
    if absent := [column for column in columns if column not in table]:
        raise ValueError(f"no column {', '.join(absent)} in this table")


def need_coordinates(rows: "pd.DataFrame") -> None:
    """Check that finished runs have a positive, finite batch and lr, and a seed.

    Raises:
        ValueError: naming the column and its value.
    """
    import numpy as np

    finished = rows[rows["status"].isin(FINISHED)]
    for key in ("batch", "lr"):
        values = finished[key].to_numpy(float)
        if (wrong := ~((values > 0) & np.isfinite(values))).any():
            raise ValueError(
                f"{key}={values[wrong][0]:g} must be positive and finite; leave such runs out"
            )
    if finished["seed"].isna().any():
        raise ValueError("seed is missing in a run; number the seeds, or set all to 0")


def alike(table: "pd.DataFrame", *settings: str) -> None:
    """Check that the runs of a table have the same settings; a missing column passes.

    Raises:
        ValueError: naming the setting.
    """
    for setting in settings:
        if setting in table and table[setting].nunique() > 1:
            raise ValueError(f"{setting} has several values; give the runs of one at a time")
