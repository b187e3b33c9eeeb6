"""Messages for folders and files without rows, with what a user may have meant."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from scaling.storage import plans
from scaling.storage.rows import ROW_FILE

STUDIES = Path("multirun")
MOST = 10  # names in a message


def unknown(folder: Path) -> str:
    """Message for a folder that does not exist, with the nearest one that does."""
    places = dict.fromkeys([folder.parent, STUDIES])
    names = sorted(
        path for place in places if place.is_dir() for path in place.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )  # fmt: skip
    by_name = {path.name: path for path in reversed(names)}
    near = difflib.get_close_matches(folder.name, by_name, n=1)
    if near:
        return f"{folder} does not exist; did you mean {by_name[near[0]]}?"
    studies = [str(path) for path in names if path.parent == STUDIES]
    if not studies:
        return f"{folder} does not exist; this folder has no sweeps, which are in {STUDIES}/<study>"
    more = f" and {len(studies) - MOST} more" if len(studies) > MOST else ""
    return f"{folder} does not exist; there are {', '.join(studies[:MOST])}{more}"


def unknown_table(path: Path) -> str:
    """Message for a table that does not exist, with the nearest one in its folder."""
    there = path.parent.glob(f"*{path.suffix}") if path.parent.is_dir() else ()
    near = difflib.get_close_matches(path.name, sorted(file.name for file in there), n=1)
    return f"{path} does not exist" + (f"; did you mean {path.parent / near[0]}?" if near else "")


def without_rows(place: Path, tables: Iterable[str]) -> str:
    """Message for a file that is not a table, or a folder without a row of a run.

    Args:
        place: the file or folder.
        tables: names of the tables that are in the folder itself.
    """
    if place.is_file():
        return (
            f"{place} is neither a folder of runs nor a table; a table with a line per run ends in "
            ".csv or .tsv"
        )
    if listed := " and ".join(f'scaling.table("{name}", folder)' for name in sorted(tables)):
        return f"no {ROW_FILE} in {place}, but tables of a callback: read them with {listed}"
    if plans.read(place):
        return f"no {ROW_FILE} below {place}; did any run of this sweep finish?"
    return (
        f"{place} is not a sweep: it has no runs and no plans; give {STUDIES}/<study>, an exported "
        "sweep or a .csv table"
    )
