"""Text is read unchanged, or refused with the file's name and the remedy."""

import gzip

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
    assert text_sources.load("files", str(tmp_path), 0.1) == ("train", "valid", ())


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
        (None, "does not exist; give a file or a folder"),
        (b"", "is empty"),
        (b" \n \n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is not UTF-8 text .byte 0x89 at position 0"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a binary file, not text"),
        (gzip.compress(b"some text", mtime=0)[:-8], "is truncated or damaged; fetch it again"),
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


def put(folder, **texts) -> None:
    """Write texts into files; `__` in a name stands for a dot, `___` for a folder."""
    for name, content in texts.items():
        file = folder / name.replace("___", "/").replace("__", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        raw = content if isinstance(content, bytes) else content.encode()
        file.write_bytes(gzip.compress(raw) if file.suffix == ".gz" else raw)


def read(place, source: str = "files") -> text_sources.Corpus:
    return text_sources.load(source, str(place), 0.1)


@pytest.mark.parametrize("name", ["a.md", "A.TXT", "a.txt.gz", "a.MD.GZ", "notes", "a.py"])
def test_a_file_may_have_any_name_and_may_be_packed(tmp_path, name):
    raw = b"some text " * 10
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.lower().endswith("gz") else raw)
    assert read(tmp_path / name)[:2] == ("some text " * 9, "some text ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_text_with_a_byte_order_mark_is_the_text_without(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("caf\u00e9\n" * 20, encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(("caf\u00e9\r\n" * 20).encode(encoding))
    assert read(tmp_path / "a.txt") == read(tmp_path / "b.txt")


def test_texts_of_subfolders_are_joined_if_the_folder_has_none(tmp_path):
    put(tmp_path, b___one__TXT="b" * 30, a___x__md="a" * 40, b___c___two__rst__gz="c" * 30)
    put(tmp_path, pic__png=b"\x89PNG\0", __git___x__txt="hidden", b___x__csv="1,2")
    corpus = read(tmp_path)
    assert corpus.train + corpus.val == "a" * 40 + "c" * 30 + "b" * 30
    assert corpus.notes == ("3 files are joined",)
    put(tmp_path, own__txt="own" * 10)
    corpus = read(tmp_path)
    assert corpus.train + corpus.val == "own" * 10
    assert corpus.notes == ("3 texts in subfolders are not used",)


@pytest.mark.parametrize("own", ["book__txt", "books___book__txt"])
def test_what_runs_and_reports_write_is_not_read(tmp_path, own):
    put(tmp_path, **{own: "0123456789"})
    before = read(tmp_path)
    put(tmp_path, multirun___study___report___report__txt="a report")
    put(tmp_path, books___multirun___scratch___train__txt="a report")
    assert read(tmp_path) == before == ("012345678", "9", ())


def test_texts_above_a_training_text_are_not_mixed_with_it(tmp_path):
    parts = ("train", "valid", "test")
    put(tmp_path, **{f"wikitext-2___wiki__{part}__tokens": part for part in parts})
    put(tmp_path, README__md="read me", **{"wikitext-2___old___train__txt": "older"})
    note = "the training text is wikitext-2/wiki.train.tokens; 1 text above it is not used"
    for source in ("files", "wikitext2"):
        assert read(tmp_path, source) == ("train", "valid", (note,))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("train__txt", "train__md", "valid__txt"),
            r"several training texts \(train.md, train.txt\)",
        ),
        (("train__txt", "dev__txt", "val__txt"), r"several validation texts \(dev.txt, val.txt\)"),
        (
            ("a___train__txt", "b___train__txt"),
            r"several training texts \(a/train.txt, b/train.txt\)",
        ),
    ],
)
def test_two_texts_of_one_split_are_refused_by_name(tmp_path, names, said):
    put(tmp_path, **dict.fromkeys(names, "some text"))
    for source in ("files", "wikitext2"):
        with pytest.raises(ValueError, match=f"path: .* has {said}; keep one"):
            read(tmp_path, source)


def test_wikitext2_is_refused_without_a_training_text(tmp_path):
    put(tmp_path, book__txt="some text", poem__txt="some text")
    for place in (tmp_path, tmp_path / "book.txt"):
        with pytest.raises(ValueError, match="must be a folder with train.txt and valid.txt; a te"):
            read(place, "wikitext2")


@pytest.mark.parametrize(
    "names",
    [
        ("train__txt__gz", "valid__txt__gz", "test__txt__gz"),
        ("TRAIN__TXT", "VALID__TXT", "TEST__TXT"),
        ("train__md", "val__md", "notes__md"),
        ("wiki__train__tokens", "wiki__valid__tokens", "wiki__test__tokens"),
        ("wikitext___train__txt", "wikitext___validation__txt", "wikitext___test__txt"),
    ],
)
def test_training_and_validation_texts_are_found_by_their_names(tmp_path, names):
    put(tmp_path, **dict(zip(names, ("train", "valid", "unused"), strict=True)))
    for source in ("files", "wikitext2"):
        assert read(tmp_path, source) == ("train", "valid", ())


def test_without_validation_text_the_training_text_is_split_and_a_note_says_so(tmp_path):
    put(tmp_path, train__txt="0123456789" * 10, notes__md="other", test__txt="test")
    for source in ("files", "wikitext2"):
        corpus = read(tmp_path, source)
        assert (corpus.train + corpus.val, len(corpus.val)) == ("0123456789" * 10, 10)
        assert corpus.notes == (
            "there is no valid.txt beside train.txt: the last 10 % of the text is for validation; "
            "2 other texts are not used",
        )


def test_validation_text_alone_is_refused(tmp_path):
    put(tmp_path, valid__txt="some text", other__txt="some text")
    with pytest.raises(ValueError, match="has valid.txt but no training text; put train.txt"):
        read(tmp_path)


def test_a_path_for_the_documentation_is_refused():
    with pytest.raises(ValueError, match="path=book.txt is for data=text"):
        text_sources.load("pydoc", "book.txt", 0.1)


def test_a_folder_without_text_is_refused(tmp_path):
    (tmp_path / "a.pdf").touch()
    with pytest.raises(ValueError, match=r"has no text file .*; it holds a.pdf"):
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


def test_tiny_shakespeare_is_read_from_its_folder_or_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALING_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"put its input\.txt into \$SCALING_DATA/tinyshakespeare"):
        text_sources.load("tinyshakespeare", None, 0.1)
    (tmp_path / "tinyshakespeare").mkdir()
    (tmp_path / "tinyshakespeare" / "input.txt").write_text("0123456789")
    assert text_sources.load("tinyshakespeare", None, 0.1)[:2] == ("012345678", "9")


def test_wikitext2_is_joined_from_the_lines_that_the_library_gives(monkeypatch):
    import datasets

    lines = {"train": {"text": ["a\n", "b\n"]}, "validation": {"text": ["c\n"]}}
    monkeypatch.delenv("SCALING_DATA", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: lines)
    try:
        assert text_sources.load("wikitext2", None, 0.1) == ("a\nb\n", "c\n", ())
    finally:
        text_sources._download_wikitext2.cache_clear()
