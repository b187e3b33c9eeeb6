"""The idx format: valid files, and others."""

import gzip
import struct

import numpy as np
import pytest

from scaling.datamodules.idx import read_idx


def idx(array: np.ndarray) -> bytes:
    """An idx file as LeCun describes it, one number after the other."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape)
    return header + bytes(array.flatten().tolist())


ARRAY = np.arange(2 * 300 * 3).reshape(2, 300, 3).astype(np.uint8)  # an axis longer than a byte


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_array_is_read_packed_or_not(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(idx(ARRAY)))
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), ARRAY)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (idx(ARRAY)[:-1], "has 1815 bytes unpacked, but its header says 1816; fetch it again"),
        (idx(ARRAY) + b"\0", "has 1817 bytes unpacked, but its header says 1816"),
        (idx(ARRAY)[:9], "has 9 bytes unpacked, but its header says"),
        (gzip.compress(idx(ARRAY))[:-20], "is truncated or damaged"),
        (gzip.compress(idx(ARRAY))[:40] + b"x" * 400, "is truncated or damaged"),
        (b"<!DOCTYPE html>", "is not an idx file of bytes .it begins with 3c 21 44 4f, not with"),
        (b"\0\0\x0d\x01" + b"\0" * 8, "is not an idx file of bytes .it begins with 00 00 0d 01"),
        (b"", "is not an idx file of bytes"),
    ],
)
def test_a_file_that_is_not_idx_is_refused_by_name(tmp_path, content, said):
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(ValueError, match=said) as refusal:
        read_idx(tmp_path / "images")
    assert "images" in str(refusal.value)


def test_a_folder_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="cannot read .*: Is a directory"):
        read_idx(tmp_path)
