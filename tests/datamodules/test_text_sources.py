"""Text is read unchanged, or refused with the file's name and the remedy."""

import pytest

from scaling.datamodules import text_sources


def test_a_file_is_split_at_its_end(tmp_path):
    (tmp_path / "a.txt").write_text("0123456789" * 10)
    got = text_sources.load("files", str(tmp_path / "a.txt"), 0.2)
    assert got.train + got.val == "0123456789" * 10
    assert len(got.val) == 20


def test_files_for_training_and_validation_are_not_split(tmp_path):
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text(name)
    assert text_sources.load("files", str(tmp_path), 0.1) == ("train", "valid")


def test_other_files_of_a_folder_are_joined_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b.txt").write_text("b" * 50)
    (tmp_path / "a.txt").write_text("a" * 50)
    got = text_sources.load("files", str(tmp_path), 0.1)
    assert got.train + got.val == "a" * 50 + "b" * 50


def test_the_documentation_is_english_and_always_there():
    got = text_sources.load("pydoc", None, 0.1)
    assert len(got.train) > 300_000
    assert "the" in got.val


def test_the_fingerprint_is_of_the_content_and_of_nothing_else(tmp_path):
    for name, text in {"a": "same text", "b": "same text", "c": "other text"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    a, b, c = (
        text_sources.fingerprint(text_sources.load("files", str(tmp_path / f"{name}.txt"), 0.5))
        for name in "abc"
    )
    assert a == b != c


def test_a_changed_file_is_read_again(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("before")
    assert text_sources.load("files", str(file), 0.5).train == "bef"
    file.write_text("afterwards")
    assert text_sources.load("files", str(file), 0.5).train == "after"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist; give a text file"),
        (b"", "is empty"),
        (b" \n \n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not UTF-8 text .byte 0x89 at position 0"),
        (b"text\x00text", "holds NUL characters"),
    ],
)
def test_what_is_not_text_is_refused_by_name(tmp_path, content, said):
    file = tmp_path / "some.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=said) as refusal:
        text_sources.load("files", str(file), 0.1)
    assert "some.txt" in str(refusal.value)


@pytest.mark.parametrize(("there", "lacks"), [("train", "valid"), ("valid", "train")])
def test_half_of_a_pair_is_refused(tmp_path, there, lacks):
    (tmp_path / f"{there}.txt").write_text("some text")
    (tmp_path / "other.txt").write_text("some text")
    for source in ("files", "wikitext2"):
        with pytest.raises(ValueError, match=f"{lacks}.txt does not exist; put it there"):
            text_sources.load(source, str(tmp_path), 0.1)


def test_a_path_for_the_documentation_is_refused():
    with pytest.raises(ValueError, match="path=book.txt is for data=text"):
        text_sources.load("pydoc", "book.txt", 0.1)


def test_a_folder_without_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no .txt file; put train.txt and valid.txt there"):
        text_sources.load("files", str(tmp_path), 0.1)


def test_files_without_a_path_are_refused():
    with pytest.raises(ValueError, match="path is missing"):
        text_sources.load("files", None, 0.1)


def test_a_missing_wikitext2_says_which_files_to_put_where(monkeypatch):
    import datasets

    def offline(*names):
        raise ConnectionError("no network")

    monkeypatch.delenv("SCALING_DATA", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(ValueError, match="put its train.txt and valid.txt into a folder"):
        text_sources.load("wikitext2", None, 0.1)


def test_wikitext2_is_joined_from_the_lines_that_the_library_gives(monkeypatch):
    import datasets

    lines = {"train": {"text": ["a\n", "b\n"]}, "validation": {"text": ["c\n"]}}
    monkeypatch.delenv("SCALING_DATA", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: lines)
    try:
        assert text_sources.load("wikitext2", None, 0.1) == ("a\nb\n", "c\n")
    finally:
        text_sources._download_wikitext2.cache_clear()
