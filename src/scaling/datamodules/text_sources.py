"""Sources of text: Python's documentation, files, and WikiText-2."""

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from scaling.contracts.limits import check_choice
from scaling.datamodules.files import File, data_folder, file_at

TRAIN, VALID = "train.txt", "valid.txt"
SOURCES = ("pydoc", "files", "wikitext2")


class Corpus(NamedTuple):
    """Text to train on and text to validate on."""

    train: str
    val: str


@lru_cache(maxsize=8)
def fingerprint(corpus: Corpus) -> str:
    """Identity of the content, independent of its path."""
    parts = (hashlib.sha256(part.encode()).digest() for part in corpus)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def load(source: str, path: str | None, val_share: float) -> Corpus:
    """Load a text, once per process unless a file changes.

    Args:
        source: `pydoc`, `files` or `wikitext2`.
        path: file or folder; optional for `wikitext2`, and must be None for `pydoc`.
        val_share: share of the text, at its end, for validation, if the source has no split.

    Raises:
        ValueError: if a file is missing, empty or not text, with the remedy.
    """
    check_choice(SOURCES, source=source)
    if not 0 < val_share < 1:
        raise ValueError(f"val_share={val_share} must lie between 0 and 1, such as 0.1")
    if source == "pydoc":
        if path is not None:
            raise ValueError(f"path={path} is for data=text; data=pydoc has no files")
        return _pydoc(val_share)
    if source == "files":
        if path is None:
            raise ValueError("path is missing; give a text file, or a folder of .txt files")
        return _files(Path(path).expanduser(), val_share)
    folder = data_folder(path, "wikitext2")
    return _pair(folder) if folder else _download_wikitext2()


@lru_cache(maxsize=1)
def _pydoc(val_share: float) -> Corpus:
    from pydoc_data.topics import topics  # English text of every Python installation

    return _split("\n\n".join(topics[key] for key in sorted(topics)), val_share)


def _split(text: str, val_share: float) -> Corpus:
    cut = len(text) - round(val_share * len(text))
    return Corpus(text[:cut], text[cut:])


def _files(path: Path, val_share: float) -> Corpus:
    """Read train.txt and valid.txt, or join and split any other files."""
    if not path.exists():
        raise ValueError(f"path={path} does not exist; give a text file or a folder of them")
    if (path / TRAIN).exists() or (path / VALID).exists():
        return _pair(path)
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files:
        raise ValueError(
            f"path={path} has no .txt file; put {TRAIN} and {VALID} there, "
            "or any .txt files to be split"
        )
    return _read(tuple(map(file_at, files)), val_share)


def _pair(folder: Path) -> Corpus:
    for name in (TRAIN, VALID):
        if not (folder / name).exists():
            raise ValueError(f"path: {folder / name} does not exist; put it there")
    return _read((file_at(folder / TRAIN), file_at(folder / VALID)), None)


@lru_cache(maxsize=4)
def _read(files: tuple[File, ...], val_share: float | None) -> Corpus:
    """Read two files as training and validation text, or join all and split off a share."""
    texts = [_text(file.path) for file in files]
    return Corpus(*texts) if val_share is None else _split("".join(texts), val_share)


def _text(file: Path) -> str:
    r"""Read a file of UTF-8 without its byte order mark, with "\n" as line ends.

    A validation file from Windows would otherwise hold a character, "\r", that a training file from
    Linux does not have.
    """
    try:
        raw = file.read_bytes()
        text = re.sub("\r\n?", "\n", raw.decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"path: cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"path: {file} is not UTF-8 text (byte {raw[error.start]:#04x} at position "
            f"{error.start}); convert it first, for example with iconv"
        ) from error
    if "\0" in text:
        raise ValueError(f"path: {file} holds NUL characters, so it is not text")
    if not text.strip():
        raise ValueError(f"path: {file} is empty; give a file with text")
    return text


@lru_cache(maxsize=1)
def _download_wikitext2() -> Corpus:
    """WikiText-2 with its <unk> tokens (Merity et al., arXiv:1609.07843), CC BY-SA."""
    from datasets import load_dataset  # imported here: it takes seconds, and few runs need it

    try:
        sets = load_dataset("Salesforce/wikitext", "wikitext-2-v1")
        return Corpus(*("".join(sets[split]["text"]) for split in ("train", "validation")))
    except Exception as error:  # the remedy is the same for every error
        raise ValueError(
            "WikiText-2 is missing and could not be downloaded "
            f"({type(error).__name__}); put its train.txt and valid.txt into a folder and give it "
            "as path=..., or into $SCALING_DATA/wikitext2"
        ) from error
