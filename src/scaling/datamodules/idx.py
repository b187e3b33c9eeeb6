"""Read idx files, the format of MNIST."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

GZIP = b"\x1f\x8b"
UNSIGNED_BYTES = b"\0\0\x08"  # two zeros, then the type of the numbers


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Read the array in an idx file of unsigned bytes, packed with gzip or not.

    The header is four bytes, the last of which is the number of axes, then the length of each axis
    as a big-endian 32-bit number.

    Raises:
        ValueError: if the file cannot be read, is damaged, or is not of this format.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw.startswith(GZIP) else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"path: {path} is truncated or damaged ({error}); fetch it again"
        ) from error
    except OSError as error:
        raise ValueError(f"path: cannot read {path}: {error.strerror}") from error
    if len(raw) < 4 or not raw.startswith(UNSIGNED_BYTES):
        raise ValueError(
            f"path: {path} is not an idx file of bytes (it begins with {raw[:4].hex(' ')}, not "
            "with 00 00 08); fetch it again"
        )
    header = 4 + 4 * raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header].ljust(header - 4, b"\0"), ">u4"))
    size = header + math.prod(shape)
    if len(raw) != size:
        raise ValueError(
            f"path: {path} has {len(raw)} bytes unpacked, but its header says {size}; fetch "
            "it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
