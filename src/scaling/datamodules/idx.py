"""Read idx files, the format of MNIST."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Num

from scaling.datamodules.files import content

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> Num[np.ndarray, "..."]:
    """Read the array in an idx file, packed or not.

    The header is two zeros, the type of the numbers, the number of axes, then the length of each
    axis as a big-endian 32-bit number.

    Raises:
        ValueError: if the file cannot be read, is damaged, or is not of this format.
    """
    raw = content(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in TYPES:
        raise ValueError(
            f"path: {path} is not an idx file (it begins with {raw[:4].hex(' ') or 'nothing'}, not "
            "with 00 00 08 as a file of bytes does); fetch it again"
        )
    kind, header = np.dtype(TYPES[raw[2]]), 4 + 4 * raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header].ljust(header - 4, b"\0"), ">u4"))
    size = header + math.prod(shape) * kind.itemsize
    if len(raw) != size:
        raise ValueError(
            f"path: {path} has {len(raw)} bytes unpacked, but its header says {size}; fetch "
            "it again"
        )
    array = np.frombuffer(raw, kind, offset=header).reshape(shape)
    return array.astype(kind.newbyteorder("="), copy=False)
