"""Folders of studies that a user may have meant."""

import difflib
from pathlib import Path

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
