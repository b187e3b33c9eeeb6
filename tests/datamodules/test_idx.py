"""The idx format: valid files, and others."""

import gzip

import numpy as np
import pytest
from idx_files import TYPES, idx

from scaling.datamodules.idx import read_idx

ARRAY = np.arange(2 * 300 * 3).reshape(2, 300, 3).astype(np.uint8)  # an axis longer than a byte


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_array_is_read_packed_or_not(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(idx(ARRAY)))
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), ARRAY)


@pytest.mark.parametrize("kind", TYPES)
def test_numbers_of_every_type_are_read(tmp_path, kind):
    numbers = np.array([[0, 1, 127], [100, 3, 5]])
    (tmp_path / "a").write_bytes(idx(numbers, kind))
    array = read_idx(tmp_path / "a")
    np.testing.assert_array_equal(array, numbers)
    assert array.dtype == np.dtype(kind).newbyteorder("=")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (idx(ARRAY)[:-1], "has 1815 bytes unpacked, but its header says 1816; fetch it again"),
        (idx(ARRAY) + b"\0", "has 1817 bytes unpacked, but its header says 1816"),
        (idx(ARRAY)[:9], "has 9 bytes unpacked, but its header says"),
        (gzip.compress(idx(ARRAY))[:-20], "is truncated or damaged; fetch it again"),
        (gzip.compress(idx(ARRAY))[:40] + b"x" * 400, "is truncated or damaged; fetch it again"),
        (b"<!DOCTYPE html>", "is not an idx file .it begins with 3c 21 44 4f, not with 00 00 08"),
        (b"\0\0\x0a\x01" + b"\0" * 8, "is not an idx file .it begins with 00 00 0a 01"),
        (b"", "is not an idx file .it begins with nothing"),
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
