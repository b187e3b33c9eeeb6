"""NSL-KDD: network connections with attacks; some kinds are only in the test data."""

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
FEATURES = 41  # then the attack's name, and a difficulty level, which is not used
SYMBOLS = (1, 2, 3)  # protocol, service, flag
NORMAL = "normal"


def files(path: str | None) -> tuple[File, File]:
    """The training file and the test file.

    Raises:
        ValueError: if one is missing.
    """
    place = folder(path, "nsl_kdd")
    return existing(place, [TRAIN])[0], existing(place, [TEST])[0]


def fingerprint(files: tuple[File, File]) -> str:
    """Identity of the content of both files, whether or not it is as expected.

    Raises:
        ValueError: if one cannot be read.
    """
    return hashlib.sha256("".join(map(checksum, files)).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def read(files: tuple[File, File]) -> Records:
    """Read 25,192 records, a fifth of the training data, then 22,544 test records.

    Tavallaee et al. (2009). All 41 features are used, as in published accuracies; selecting
    features would need labels.

    Raises:
        ValueError: if the content of a file is not as expected.
    """
    early, late = (
        pd.read_csv(io.BytesIO(content(file, sha256)), header=None)
        for file, sha256 in zip(files, SHA256.values(), strict=True)
    )
    table = pd.concat([early, late], ignore_index=True)
    later = np.arange(len(table)) >= len(early)
    kinds = table[FEATURES].to_numpy(str)
    return Records(numbers(table.iloc[:, :FEATURES], SYMBOLS), kinds, NORMAL, later)
