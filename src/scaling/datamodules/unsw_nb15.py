"""UNSW-NB15: flows of a network with nine kinds of attacks."""

import io
from functools import lru_cache

import pandas as pd

from scaling.datamodules.record_files import Found, content, existing, folder, numbers
from scaling.datamodules.windowing import Records

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


def fingerprint(path: str | None) -> str:
    """Identity of the content; the file is only looked for.

    Raises:
        ValueError: if it is not there.
    """
    _files(path)
    return SHA256[:16]


def read(path: str | None) -> Records:
    """The 82,332 records of the smaller partition (Moustafa and Slay 2015), read once per process.

    Its file is called training or testing set, depending on where it was fetched; it is known by
    its content. Used are 20 numbers and 3 symbols of each flow, a selection of the literature; `id`
    is not, because it gives the label away: records lie in the order of their labels.

    Raises:
        ValueError: naming the file that is missing or another one.
    """
    return _read(_files(path))


def _files(path: str | None) -> tuple[Found, ...]:
    place = folder(path, "unsw_nb15")
    return existing(place.parent, [place.name]) if place.is_file() else existing(place, NAMES)


@lru_cache(maxsize=1)
def _read(files: tuple[Found, ...]) -> Records:
    wanted = [*NUMERIC, *SYMBOLS, "attack_cat"]
    raw = content(files, SHA256)
    table = pd.read_csv(io.BytesIO(raw), usecols=wanted, keep_default_na=False)[wanted]
    kinds = table.pop("attack_cat").to_numpy(str)
    return Records(numbers(table, SYMBOLS), kinds, NORMAL, None)
