"""NSL-KDD: connections with attacks, and test data with kinds of attacks that training lacks."""

import hashlib
import io
from functools import lru_cache

import numpy as np
import pandas as pd

from scaling.datamodules.record_files import Found, content, existing, folder, numbers
from scaling.datamodules.windowing import Records

TRAIN, TEST = "KDDTrain+_20Percent.txt", "KDDTest+.txt"
SHA256 = {
    TRAIN: "7ea86479faab5ca2190b7f18b4982fb058ce5bf2b46e0e1017d0d9ef90f9c16e",
    TEST: "fa46b0935342616aa83b7c2578db355b6a7aaabbc492248172c7a1e8b7ab8f84",
}
FEATURES = 41  # then the attack's name, and how many learners knew it, which is not used
SYMBOLS = (1, 2, 3)  # protocol, service, flag
NORMAL = "normal"


def fingerprint(path: str | None) -> str:
    """Identity of the content; the files are only looked for.

    Raises:
        ValueError: if one is not there.
    """
    for name in SHA256:
        existing(folder(path, "nsl_kdd"), [name])
    return hashlib.sha256("".join(SHA256.values()).encode()).hexdigest()[:16]


def read(path: str | None) -> Records:
    """The 25,192 records of a fifth of the training file, then the 22,544 of the test file.

    (Tavallaee et al. 2009.) All 41 features are used, because a choice among them would need labels
    and published accuracies are of all.

    Raises:
        ValueError: naming the file that is missing or another one.
    """
    place = folder(path, "nsl_kdd")
    return _read(existing(place, [TRAIN]), existing(place, [TEST]))


@lru_cache(maxsize=1)
def _read(train: tuple[Found, ...], test: tuple[Found, ...]) -> Records:
    early, late = (
        pd.read_csv(io.BytesIO(content(files, SHA256[name])), header=None)
        for name, files in {TRAIN: train, TEST: test}.items()
    )
    table = pd.concat([early, late], ignore_index=True)
    later = np.arange(len(table)) >= len(early)
    kinds = table[FEATURES].to_numpy(str)
    return Records(numbers(table.iloc[:, :FEATURES], SYMBOLS), kinds, NORMAL, later)
