"""Files are found, unpacked and decoded, and identified by their current state."""

import gzip
import os
import zipfile
from pathlib import Path

import pytest

from scaling.datamodules.files import (
    content,
    data_folder,
    file_at,
    files_in,
    files_like,
    listed,
    text,
)


def test_a_changed_file_has_another_key_even_if_its_time_is_set_back(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one")
    before, stat = file_at(path), path.stat()
    assert file_at(path) == before
    path.write_text("two")  # of the same size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = file_at(path)
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns)
    assert after != before


def test_a_data_set_is_looked_for_below_the_variable_only_if_it_is_there(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("SCALING_DATA", str(tmp_path))
    assert data_folder(None, "mnist") == tmp_path / "mnist"
    assert data_folder(str(tmp_path), "mnist") == tmp_path
    assert data_folder(None, "wikitext2") is None
    with pytest.raises(ValueError, match="path=elsewhere does not exist; give a file or a folder"):
        data_folder("elsewhere", "mnist")
    for unset in ("", None):
        monkeypatch.setenv("SCALING_DATA", "") if unset == "" else monkeypatch.delenv(
            "SCALING_DATA"
        )
        assert data_folder(None, "mnist") is None


def zipped(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)


def test_the_content_of_a_file_is_the_same_packed_or_not(tmp_path):
    raw = b"1,2\n" * 100
    (tmp_path / "a").write_bytes(raw)
    (tmp_path / "a.gz").write_bytes(gzip.compress(raw))
    zipped(tmp_path / "a.zip", {"a": raw, "__MACOSX/._a": b"attributes"})
    assert {content(file) for file in tmp_path.iterdir()} == {raw}


@pytest.mark.parametrize(("pack", "cut"), [("gz", -20), ("gz", 30), ("zip", -30)])
def test_a_damaged_file_is_refused_by_name(tmp_path, pack, cut):
    file = tmp_path / f"a.{pack}"
    zipped(file, {"a": b"1,2\n" * 100})
    if pack == "gz":
        file.write_bytes(gzip.compress(os.urandom(500)))
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ValueError, match=rf"path: .*a.{pack} is truncated or damaged; fetch it ag"):
        content(file)


def test_an_archive_of_several_files_is_refused(tmp_path):
    zipped(tmp_path / "a.zip", {"one": b"1", "two": b"2", "folder/three": b"3"})
    with pytest.raises(ValueError, match=r"a.zip is an archive of 3 files; unpack it and give"):
        content(tmp_path / "a.zip")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_text_is_the_same_in_every_encoding_with_a_byte_order_mark(tmp_path, encoding):
    for end in ("\n", "\r\n", "\r"):
        (tmp_path / "a").write_bytes(f"caf\u00e9{end}\u6f22\U0001f600{end}".encode(encoding))
        assert text(tmp_path / "a") == "caf\u00e9\n\u6f22\U0001f600\n"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a binary file, not text"),
        (gzip.compress(bytes(range(256))), "is a binary file, not text"),
        ("caf\u00e9".encode("latin-1"), "is not UTF-8 text .byte 0xe9 at position 3.; convert it"),
        ("\ufeffa".encode("utf-16-le") + b"\0", "is not UTF-16 text .byte 0x00 at position 4"),
        (b"text\0text", "holds NUL characters, so it is not text"),
    ],
)
def test_what_is_not_text_is_refused_in_one_line(tmp_path, raw, said):
    (tmp_path / "some.txt").write_bytes(raw)
    with pytest.raises(ValueError, match=f"path: .*some.txt {said}") as refusal:
        text(tmp_path / "some.txt")
    assert "\n" not in str(refusal.value)


def test_files_are_listed_in_order_without_hidden_ones_and_once_if_also_packed(tmp_path):
    names = ("b/one.txt", "a.txt", "a.txt.gz", "B.txt", ".git/config", "__MACOSX/a.txt", "z.zip")
    for name in (*names, "b/multirun/scratch/run/traceback.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files = files_in(tmp_path)
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        *("B.txt", "a.txt.gz", "b/one.txt", "z.zip"),
    ]
    assert listed(files, tmp_path) == "it holds B.txt, a.txt.gz, b/one.txt, z.zip"
    many = [tmp_path / f"{i}" for i in range(10)]
    assert listed(many, tmp_path) == "it holds 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
    assert listed([], tmp_path) == "it holds no files"


def test_subfolders_are_searched_only_if_the_folder_has_no_wanted_file(tmp_path):
    for name in ("a.txt", "b/two.csv", "b/c/one.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def tables() -> list[str]:
        found = files_like(tmp_path, lambda file: file.suffix == ".csv")
        return [str(file.relative_to(tmp_path)) for file in found]

    assert tables() == ["b/c/one.csv", "b/two.csv"]
    (tmp_path / "own.csv").touch()
    assert tables() == ["own.csv"]
