"""Files of data sets: their location, their content unpacked, and a key that changes with it."""

import gzip
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"  # first bytes of packed files
PACKED = (".gz", ".zip")
MARKS = {  # byte order mark -> encoding
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
OUTPUT = "multirun"  # folder of what runs and reports write; it is never data
LISTED = 8  # files that a message lists


class File(NamedTuple):
    """A file in its present state, as a key for caches of its content.

    It includes the time of the last change of its inode (`ctime_ns`), because commands such as
    `cp -p` and `touch -r` set `mtime_ns`.
    """

    path: Path  # absolute
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int


def file_at(path: Path) -> File:
    """Return the present state of a file.

    Raises:
        OSError: if it does not exist, or its folder cannot be entered.
    """
    stat = path.stat()
    return File(path.absolute(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def data_folder(path: str | None, name: str) -> Path | None:
    """The place of a data set: `path`, else the folder `name` below $SCALING_DATA; None if absent.

    Raises:
        ValueError: if there is nothing at `path`.
    """
    if path:
        return existing(path)
    root = os.environ.get("SCALING_DATA")
    return Path(root, name) if root and Path(root, name).is_dir() else None


def downloaded(*name: str) -> Any:
    """A data set of the Hugging Face Hub, as the library `datasets` downloads and caches it.

    Its log of failed attempts is off: callers raise one error with the remedy.
    """
    import datasets  # imported here: it takes seconds, and few runs need it

    hub = logging.getLogger("huggingface_hub")
    before = hub.level
    hub.setLevel(logging.ERROR)
    try:
        return datasets.load_dataset(*name)
    finally:
        hub.setLevel(before)


def existing(path: str) -> Path:
    """The file or folder at a path that a user gave.

    Raises:
        ValueError: if the path does not exist.
    """
    place = Path(path).expanduser()
    if not os.path.exists(place):  # False also below a folder that cannot be entered
        raise ValueError(f"path={path} does not exist; give a file or a folder")
    return place


def plain_name(path: Path) -> str:
    """The name of a file in lower case, without the ending of a packed one."""
    name = path.name.lower()
    return name.removesuffix(next(filter(name.endswith, PACKED), ""))


def files_in(folder: Path) -> list[Path]:
    """The files of a folder and its subfolders in the order of their names.

    Hidden files and folders are left out, and folders named `multirun`. A file that is there both
    packed and unpacked is listed once.
    """
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    shown = sorted(
        path
        for path in inside
        if OUTPUT not in path.parent.parts
        and not any(part.startswith((".", "__")) for part in path.parts)
    )
    once = {(path.parent, plain_name(path)): path for path in shown}
    return [folder / path for path in once.values()]


def files_like(folder: Path, wanted: Callable[[Path], object]) -> list[Path]:
    """The wanted files of a folder; those of its subfolders only if it has none itself."""
    files = [file for file in files_in(folder) if wanted(file)]
    return [file for file in files if file.parent == folder] or files


def listed(files: Iterable[Path], folder: Path) -> str:
    """The contents of a folder, for messages: the names of its first files, and how many more."""
    names = [str(file.relative_to(folder)) for file in files]
    if not names:
        return "it holds no files"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"it holds {', '.join(names[:LISTED])}{more}"


def content(path: Path) -> bytes:
    """Read a file, unpacked if it is packed with gzip, or a zip archive of one file.

    Raises:
        ValueError: if it cannot be read, is damaged, or is an archive of several files.
    """
    try:
        raw = path.read_bytes()
        if raw.startswith(GZIP):
            return gzip.decompress(raw)
        if not raw.startswith(ZIP):
            return raw
        with zipfile.ZipFile(path) as archive:
            members = [
                name
                for name in archive.namelist()
                if not name.endswith("/") and not name.startswith("__MACOSX")
            ]
            if len(members) == 1:
                return archive.read(members[0])
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise ValueError(f"path: {path} is truncated or damaged; fetch it again") from error
    except RuntimeError as error:  # a password, or another compression
        raise ValueError(f"path: {path} must be unpacked first") from error
    except OSError as error:
        raise ValueError(f"path: cannot read {path}: {error.strerror}") from error
    raise ValueError(
        f"path: {path} is an archive of {len(members)} files; unpack it and give the file or folder"
    )


def text(path: Path) -> str:
    r"""Read a text file, packed or not, with "\n" as line ends and without its byte order mark.

    The encoding is UTF-8 unless a byte order mark says UTF-16 or UTF-32. Line ends of other systems
    become one character: a validation file from Windows would otherwise hold a character, "\r",
    that a training file from Linux does not have.

    Raises:
        ValueError: if it cannot be read, or is not text.
    """
    raw = content(path)
    encoding = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        decoded = raw.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in raw and encoding in ("utf-8", "utf-8-sig"):
            raise ValueError(f"path: {path} is a binary file, not text") from error
        raise ValueError(
            f"path: {path} is not {encoding.removesuffix('-sig').upper()} text (byte "
            f"{raw[error.start]:#04x} at position {error.start}); convert it first, for example "
            "with iconv"
        ) from error
    if "\0" in decoded:
        raise ValueError(
            f"path: {path} holds NUL characters, so it is not text; UTF-16 needs a byte order mark"
        )
    return re.sub("\r\n?", "\n", decoded) if "\r" in decoded else decoded
