"""NSL-KDD: network connections with attacks; some kinds are only in the test data."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from scaling.contracts.words import counted
from scaling.datamodules.bags import Records
from scaling.datamodules.files import File, file_at
from scaling.datamodules.flow_files import (
    LABELS,
    checked,
    columns,
    kinds_of,
    normal_of,
    numbers,
    place_of,
    train_and_test,
)
from scaling.datamodules.tables import read_table

TRAIN, TEST = ("KDDTrain+_20Percent", "KDDTrain+"), ("KDDTest+",)
REFERENCE = "d5dd1bba4e4f296e"  # fingerprint of the fifth of the training data, and the test data
REFERENCE_NAME = "KDDTrain+_20Percent.txt and KDDTest+.txt"
SYMBOLS = ("protocol_type", "service", "flag")
FEATURES = (
    *("duration", *SYMBOLS, "src_bytes", "dst_bytes", "land", "wrong_fragment", "urgent", "hot"),
    *("num_failed_logins", "logged_in", "num_compromised", "root_shell", "su_attempted"),
    *("num_root", "num_file_creations", "num_shells", "num_access_files", "num_outbound_cmds"),
    *("is_host_login", "is_guest_login", "count", "srv_count", "serror_rate", "srv_serror_rate"),
    *("rerror_rate", "srv_rerror_rate", "same_srv_rate", "diff_srv_rate", "srv_diff_host_rate"),
    *("dst_host_count", "dst_host_srv_count", "dst_host_same_srv_rate", "dst_host_diff_srv_rate"),
    *("dst_host_same_src_port_rate", "dst_host_srv_diff_host_rate", "dst_host_serror_rate"),
    *("dst_host_srv_serror_rate", "dst_host_rerror_rate", "dst_host_srv_rerror_rate"),
)


def files(path: str | None) -> tuple[File, ...]:
    """The training file, a fifth or all of the training data, and the test file.

    Raises:
        ValueError: if one is missing.
    """
    train, test = train_and_test(place_of(path, "nsl_kdd"), TRAIN, TEST)
    return file_at(train), file_at(test)


@lru_cache(maxsize=1)
def read(files: tuple[File, ...]) -> Records:
    """Read training records, 25,192 in the reference, then test records, 22,544.

    Tavallaee et al. (2009). All 41 features are used, as in published accuracies; selecting
    features would need labels. A difficulty level is not used.

    Raises:
        ValueError: if a column is missing, or a value is not as needed.
    """
    early, late = (_part(file.path) for file in files)
    kinds = np.concatenate([early.kinds, late.kinds])
    later = np.arange(len(kinds)) >= len(early.kinds)
    table = pd.concat([early.features, late.features], ignore_index=True)
    return Records(numbers(table, SYMBOLS), kinds, normal_of(kinds, files[0].path), later)


class Part(NamedTuple):
    """The records of one file."""

    features: pd.DataFrame
    kinds: Shaped[np.ndarray, " records"]


def _part(path: Path) -> Part:
    """Read a file; without a header, columns are in the order of the distribution."""
    table = read_table(path)
    if isinstance(table.columns[0], str):
        label = next((name for name in LABELS if name in table), LABELS[0])
        table = columns(table, [*FEATURES, label], path)
    elif table.shape[1] not in (42, 43):
        raise ValueError(
            f"path: {path} has {counted(table.shape[1], 'column')} without names; NSL-KDD has 41 "
            "features, the name of the attack, and a difficulty level, which may be left out"
        )
    features = table.iloc[:, :41].set_axis(FEATURES, axis=1)
    return Part(checked(features, SYMBOLS, path), kinds_of(table.iloc[:, 41], path))
