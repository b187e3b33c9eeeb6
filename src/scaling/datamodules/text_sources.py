"""Sources of text: Python's documentation, files, WikiText-2 and tiny Shakespeare."""

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from scaling.contracts.limits import check_choice
from scaling.contracts.words import counted
from scaling.datamodules.files import (
    File,
    data_folder,
    downloaded,
    existing,
    file_at,
    files_in,
    files_like,
    listed,
    plain_name,
    text,
)

SOURCES = ("pydoc", "files", "wikitext2", "tinyshakespeare")
ENDINGS = (".txt", ".text", ".md", ".markdown", ".rst", ".tokens")  # of texts in folders
# train.txt, valid.md, wiki.train.tokens, ...
SPLITS = {
    split: re.compile(rf"(wiki\.)?({names})\.\w+")
    for split, names in {"training": "train", "validation": "valid|validation|val|dev"}.items()
}


class Corpus(NamedTuple):
    """Text to train on and text to validate on."""

    train: str
    val: str
    notes: tuple[str, ...] = ()  # how the files were read


@lru_cache(maxsize=8)
def fingerprint(corpus: Corpus) -> str:
    """Identity of the content, independent of its path."""
    parts = (hashlib.sha256(part.encode()).digest() for part in corpus[:2])
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def load(source: str, path: str | None, val_share: float) -> Corpus:
    """Load a text, once per process unless a file changes.

    Files may be packed with gzip. In a folder, the training and the validation text (`SPLITS`) are
    read; they may be in subfolders. Without a training text, all files with the `ENDINGS` of texts
    are joined in the order of their names; those of subfolders are read only if the folder has none
    itself.

    Args:
        source: `pydoc`, `files`, `wikitext2` or `tinyshakespeare`.
        path: file or folder; optional for the last two, and must be None for `pydoc`.
        val_share: share of the text, at its end, for validation, if the source has no split.

    Raises:
        ValueError: if a file is missing, empty or not text, or there are two for the same purpose,
            with the remedy.
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
            raise ValueError("path is missing; give a text file, or a folder of them")
        return _files(existing(path), val_share)
    place = data_folder(path, source)
    if source == "tinyshakespeare":
        if place is None:
            raise ValueError(
                "tiny Shakespeare is missing; put its input.txt into "
                "$SCALING_DATA/tinyshakespeare, or choose data=text and a file of your own"
            )
        return _files(place, val_share)
    if place is None:
        return _download_wikitext2()
    if not place.is_dir() or not _training(place):
        raise ValueError(
            f"path: {place} must be a folder with train.txt and valid.txt; a text without them is "
            "for data=text"
        )
    return _files(place, val_share)


@lru_cache(maxsize=1)
def _pydoc(val_share: float) -> Corpus:
    from pydoc_data.topics import topics  # English text of every Python installation

    return _split("\n\n".join(topics[key] for key in sorted(topics)), val_share)


def _split(whole: str, val_share: float) -> Corpus:
    cut = len(whole) - round(val_share * len(whole))
    return Corpus(whole[:cut], whole[cut:])


def _files(place: Path, val_share: float) -> Corpus:
    """Read a file, or the texts of a folder."""
    if place.is_file():
        return _read((file_at(place),), None, val_share)
    training = _training(place)
    if not training:
        return _joined_folder(place, val_share)
    depth = min(len(file.parts) for file in training)
    texts = [file for file in files_in(place) if _is_text(file)]
    level = [file for file in texts if len(file.parts) == depth]
    parts = {split: [file for file in level if _is(split, file)] for split in SPLITS}
    for split, files in parts.items():
        if len(files) > 1:
            names = ", ".join(str(file.relative_to(place)) for file in files)
            raise ValueError(f"path: {place} has several {split} texts ({names}); keep one")
    (train,), val = parts["training"], parts["validation"]
    corpus = _read((file_at(train),), tuple(map(file_at, val)) or None, val_share)
    return corpus._replace(notes=tuple(_notes(place, texts, train, val, val_share)))


def _notes(
    place: Path, texts: list[Path], train: Path, val: list[Path], val_share: float
) -> Iterator[str]:
    """Notes on the text that was split, and on texts that were not used."""
    if not val:
        note = (
            f"there is no valid.txt beside {train.name}: the last {100 * val_share:g} % of the "
            "text is for validation"
        )
        if others := len(texts) - 1:
            note += f"; {counted(others, 'other text is', 'other texts are')} not used"
        yield note
    elif above := sum(len(file.parts) < len(train.parts) for file in texts):
        yield (
            f"the training text is {train.relative_to(place)}; "
            f"{counted(above, 'text above it is', 'texts above it are')} not used"
        )


def _joined_folder(place: Path, val_share: float) -> Corpus:
    """Join the texts of a folder without a training text."""
    texts = files_like(place, _is_text)
    if not texts:
        raise ValueError(
            f"path: {place} has no text file ({', '.join(ENDINGS)}, packed with gzip or not); "
            f"{listed(files_in(place), place)}"
        )
    if val := [file for file in texts if _is("validation", file)]:
        raise ValueError(
            f"path: {place} has {val[0].name} but no training text; put train.txt there; "
            f"{listed(files_in(place), place)}"
        )
    notes = [f"{len(texts)} files are joined"] if len(texts) > 1 else []
    if below := sum(map(_is_text, files_in(place))) - len(texts):
        notes.append(
            f"{counted(below, 'text in a subfolder is', 'texts in subfolders are')} not used"
        )
    return _read(tuple(map(file_at, texts)), None, val_share)._replace(notes=tuple(notes))


def _training(folder: Path) -> list[Path]:
    return files_like(folder, lambda file: _is_text(file) and _is("training", file))


def _is_text(file: Path) -> bool:
    return plain_name(file).endswith(ENDINGS)


def _is(split: str, file: Path) -> bool:
    return SPLITS[split].fullmatch(plain_name(file)) is not None


@lru_cache(maxsize=4)
def _read(train: tuple[File, ...], val: tuple[File, ...] | None, val_share: float) -> Corpus:
    """Read and join files; without files for validation, split off a share."""
    return Corpus(_joined(train), _joined(val)) if val else _split(_joined(train), val_share)


def _joined(files: tuple[File, ...]) -> str:
    joined = "".join(text(file.path) for file in files)
    if not joined.strip():
        raise ValueError(f"path: {files[0].path} is empty; give a file with text")
    return joined


@lru_cache(maxsize=1)
def _download_wikitext2() -> Corpus:
    """WikiText-2 with its <unk> tokens (Merity et al., arXiv:1609.07843), CC BY-SA."""
    try:
        sets = downloaded("Salesforce/wikitext", "wikitext-2-v1")
        return Corpus("".join(sets["train"]["text"]), "".join(sets["validation"]["text"]))
    except Exception as error:  # the remedy is the same for every error
        raise ValueError(
            "WikiText-2 is missing and could not be downloaded "
            f"({type(error).__name__}); put its train.txt and valid.txt into a folder and give it "
            "as path=..., or into $SCALING_DATA/wikitext2"
        ) from error
