"""The columns of tables, the words in them, and what a table must have to be judged."""

from typing import Literal

import pandas as pd

Status = Literal["done", "diverged", "failed", "interrupted", "corrupt"]
FINISHED = ("done", "diverged")

ROOT_KEYS = ("batch", "lr", "clip", "seed")
SWITCHES = (  # change no result, but for what rounding does to it
    *("resume", "fail_fast", "dry_run", "workers", "save_every", "threads", "threads_from"),
)
# Losses that need no learning: what counting reaches, by the length of what it counts, and what
# nothing goes below. Columns `uniform_loss` and so on.
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
TEXT = ("study", "run", "digest", "status", "error", "model", "data", "optimizer", "protocol")


def need(table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table that lacks columns.

    Raises:
        ValueError: naming them.
    """
    if absent := [column for column in columns if column not in table]:
        raise ValueError(f"no column {', '.join(absent)} in this table")


def alike(table: pd.DataFrame, *settings: str) -> None:
    """Refuse a table whose runs differ in a setting; one without the column passes.

    Raises:
        ValueError: naming the setting.
    """
    for setting in settings:
        if setting in table and table[setting].nunique() > 1:
            raise ValueError(f"{setting} has several values; give the runs of one at a time")
