"""Sources of text: Python's documentation, files, WikiText-2 and tiny Shakespeare."""

import hashlib
import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from scaling.contracts.limits import check_choice
from scaling.contracts.words import counted
from scaling.datamodules.files import (
    File,
    data_folder,
    existing,
    file_at,
    files_in,
    listed,
    plain_name,
    text,
)

SOURCES = ("pydoc", "files", "wikitext2", "tinyshakespeare")
ENDINGS = (".txt", ".text", ".md", ".markdown", ".rst", ".tokens")  # of texts in folders
# train.txt, valid.md, wiki.train.tokens, ...
SPLIT = re.compile(r"(?:wiki\.)?(?P<split>train|valid|validation|val|dev|test)\.\w+")


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

    Files may be packed with gzip. A folder is read with its subfolders: its training and validation
    files if there are some (`SPLIT`), else all files with the `ENDINGS` of texts, joined in the
    order of their names.

    Args:
        source: `pydoc`, `files`, `wikitext2` or `tinyshakespeare`.
        path: file or folder; optional for the last two, and must be None for `pydoc`.
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
            raise ValueError("path is missing; give a text file, or a folder of them")
        return _files(existing(path), val_share)
    place = data_folder(path, source)
    if place:
        return _files(place, val_share)
    if source == "tinyshakespeare":
        raise ValueError(
            "tiny Shakespeare is missing; put its input.txt into "
            "$SCALING_DATA/tinyshakespeare, or choose data=text and a file of your own"
        )
    return _download_wikitext2()


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
    inside = files_in(place)
    texts = [file for file in inside if plain_name(file).endswith(ENDINGS)]
    if not texts:
        raise ValueError(
            f"path: {place} has no text file ({', '.join(ENDINGS)}, packed with gzip or not); "
            f"{listed(inside, place)}"
        )
    depth = min(len(file.parts) for file in texts)
    splits: dict[str, list[File]] = defaultdict(list)
    for file in texts:
        if len(file.parts) == depth and (match := SPLIT.fullmatch(plain_name(file))):
            splits[match["split"] if match["split"] in ("train", "test") else "valid"].append(
                file_at(file)
            )
    if "valid" in splits and "train" not in splits:
        raise ValueError(
            f"path: {place} has {splits['valid'][0].path.name} but no training text; put train.txt "
            f"there; {listed(inside, place)}"
        )
    if "train" not in splits:
        return _read(tuple(map(file_at, texts)), None, val_share)
    train, val = tuple(splits["train"]), tuple(splits["valid"]) or None
    corpus = _read(train, val, val_share)
    if val:
        return corpus
    note = (
        f"there is no valid.txt beside {train[0].path.name}: the last {100 * val_share:g} % of the "
        "text is for validation"
    )
    if others := len(texts) - len(train):
        note += f"; {counted(others, 'other text is', 'other texts are')} not used"
    return corpus._replace(notes=(note,))


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
    from datasets import load_dataset  # imported here: it takes seconds, and few runs need it

    try:
        sets = load_dataset("Salesforce/wikitext", "wikitext-2-v1")
        return Corpus("".join(sets["train"]["text"]), "".join(sets["validation"]["text"]))
    except Exception as error:  # the remedy is the same for every error
        raise ValueError(
            "WikiText-2 is missing and could not be downloaded "
            f"({type(error).__name__}); put its train.txt and valid.txt into a folder and give it "
            "as path=..., or into $SCALING_DATA/wikitext2"
        ) from error
