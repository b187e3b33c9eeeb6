"""UNSW-NB15: flows of a network with nine kinds of attacks."""

import io
from functools import lru_cache

import pandas as pd

from scaling.datamodules.bags import Records
from scaling.datamodules.files import File
from scaling.datamodules.flow_files import (
    checksum,
    content,
    existing,
    folder,
    numbers,
    reference,
)

NAMES = (
    "UNSW_NB15_training-set.zip",
    "UNSW_NB15_training-set.csv",
    "UNSW_NB15_testing-set.csv",
)
SHA256 = "734fe6642edf758f7c94d7d9149426b49d202fe8e7bf0bef47392489c3c0a559"
NUMERIC = (
    *("dur", "spkts", "dpkts", "sbytes", "dbytes", "rate", "sttl", "dttl", "dload", "dloss"),
    *("sinpkt", "dinpkt", "djit", "tcprtt", "synack", "ackdat", "smean", "dmean"),
    *("ct_state_ttl", "ct_dst_src_ltm"),
)
SYMBOLS = ("proto", "service", "state")
NORMAL = "Normal"


def files(path: str | None) -> tuple[File]:
    """The file with the records: the one with the expected content, else the first that exists.

    Raises:
        ValueError: if none exists, or it cannot be read.
    """
    place = folder(path, "unsw_nb15")
    names = [place.name] if place.is_file() else NAMES
    return (reference(existing(place.parent if place.is_file() else place, names), SHA256),)


def fingerprint(files: tuple[File]) -> str:
    """Identity of the content, whether or not it is as expected."""
    return checksum(files[0])[:16]


@lru_cache(maxsize=1)
def read(files: tuple[File]) -> Records:
    """Read the 82,332 records of the smaller partition (Moustafa and Slay 2015), once per process.

    Its file is called training or testing set, depending on its source, so it is identified by its
    content. 20 numbers and 3 symbols of each flow are used, a selection from the literature. `id`
    is not used: records are sorted by their labels, so it would leak them.

    Raises:
        ValueError: if the content is not as expected.
    """
    columns = [*NUMERIC, *SYMBOLS, "attack_cat"]
    raw = content(files[0], SHA256)
    table = pd.read_csv(io.BytesIO(raw), usecols=columns, keep_default_na=False)[columns]
    kinds = table.pop("attack_cat").to_numpy(str)
    return Records(numbers(table, SYMBOLS), kinds, NORMAL, None)
