"""NSL-KDD: connections with attacks, and test data with kinds of attacks that training lacks."""

import hashlib
import io
from functools import lru_cache

import numpy as np
import pandas as pd

from scaling.datamodules.bags import Records
from scaling.datamodules.files import File
from scaling.datamodules.flow_files import checksum, content, existing, folder, numbers

TRAIN, TEST = "KDDTrain+_20Percent.txt", "KDDTest+.txt"
SHA256 = {
    TRAIN: "7ea86479faab5ca2190b7f18b4982fb058ce5bf2b46e0e1017d0d9ef90f9c16e",
    TEST: "fa46b0935342616aa83b7c2578db355b6a7aaabbc492248172c7a1e8b7ab8f84",
}
FEATURES = 41  # then the attack's name, and how many learners knew it, which is not used
SYMBOLS = (1, 2, 3)  # protocol, service, flag
NORMAL = "normal"


def files(path: str | None) -> tuple[File, File]:
    """The training file and the test file, as they are now.

    Raises:
        ValueError: naming the one that is missing.
    """
    place = folder(path, "nsl_kdd")
    return existing(place, [TRAIN])[0], existing(place, [TEST])[0]


def fingerprint(found: tuple[File, File]) -> str:
    """Identity of the content of both, whether or not it is the one that is known.

    Raises:
        ValueError: if one cannot be read.
    """
    return hashlib.sha256("".join(map(checksum, found)).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def read(found: tuple[File, File]) -> Records:
    """The 25,192 records of a fifth of the training file, then the 22,544 of the test file.

    (Tavallaee et al. 2009.) All 41 features are used, because a choice among them would need labels
    and published accuracies are of all.

    Raises:
        ValueError: if one is another file.
    """
    early, late = (
        pd.read_csv(io.BytesIO(content(file, sha256)), header=None)
        for file, sha256 in zip(found, SHA256.values(), strict=True)
    )
    table = pd.concat([early, late], ignore_index=True)
    later = np.arange(len(table)) >= len(early)
    kinds = table[FEATURES].to_numpy(str)
    return Records(numbers(table.iloc[:, :FEATURES], SYMBOLS), kinds, NORMAL, later)
