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
    """The file with the records, as it is now.

    Of several that may be it, the one whose content is known; if none is, the first.

    Raises:
        ValueError: if there is none, or it cannot be read.
    """
    place = folder(path, "unsw_nb15")
    names = [place.name] if place.is_file() else NAMES
    return (reference(existing(place.parent if place.is_file() else place, names), SHA256),)


def fingerprint(found: tuple[File]) -> str:
    """Identity of the content, whether or not it is the one that is known."""
    return checksum(found[0])[:16]


@lru_cache(maxsize=1)
def read(found: tuple[File]) -> Records:
    """The 82,332 records of the smaller partition (Moustafa and Slay 2015), read once per process.

    Its file is called training or testing set, depending on where it was fetched; it is known by
    its content. Used are 20 numbers and 3 symbols of each flow, a selection of the literature; `id`
    is not, because it gives the label away: records lie in the order of their labels.

    Raises:
        ValueError: if the file is another one.
    """
    wanted = [*NUMERIC, *SYMBOLS, "attack_cat"]
    raw = content(found[0], SHA256)
    table = pd.read_csv(io.BytesIO(raw), usecols=wanted, keep_default_na=False)[wanted]
    kinds = table.pop("attack_cat").to_numpy(str)
    return Records(numbers(table, SYMBOLS), kinds, NORMAL, None)
