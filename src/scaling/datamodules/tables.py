"""Read tables of records: CSV with or without a header, and ARFF."""

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from scaling.contracts.words import counted
from scaling.datamodules.files import text

SEPARATORS = ",;\t"
ATTRIBUTE = re.compile(r"^@attribute\s+('[^']*'|\"[^\"]*\"|\S+)", re.IGNORECASE | re.MULTILINE)
DATA = re.compile(r"^@data\b.*\n", re.IGNORECASE | re.MULTILINE)
COMMENT = re.compile(r"^%.*\n", re.MULTILINE)
RAGGED = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of records, packed or not, with any line ends.

    A first line without any number is a header. Columns have its names in lower case, or those of
    an ARFF file, else numbers from 0. Columns that hold more than numbers are text. Missing fields
    are nan.

    Raises:
        ValueError: if the file cannot be read, is empty, or has a record longer than the first.
    """
    lines = text(path).strip("\n") + "\n"
    names: list[str] = []
    separator, quote = ",", "'"
    if lines.startswith(("@", "%")) and (start := DATA.search(lines)):
        names = [name.strip("'\"") for name in ATTRIBUTE.findall(lines[: start.start()])]
        lines = COMMENT.sub("", lines[start.end() :])
    else:
        first, _, rest = lines.partition("\n")
        separator, quote = max(SEPARATORS, key=first.count), '"'
        fields = [field.strip().strip(quote) for field in first.split(separator)]
        if not any(map(_is_number, fields)):
            names, lines = fields, rest
    if not lines.strip():
        raise ValueError(f"path: {path} holds no records; give a table with one record a line")
    try:
        table = pd.read_csv(
            io.StringIO(lines),
            sep=separator,
            quotechar=quote,
            header=None,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=[""],  # missing fields; NA and the like are text
            low_memory=False,
        )
    except pd.errors.ParserError as error:
        if match := RAGGED.search(str(error)):
            raise ValueError(
                f"path: {path} has {match[3]} columns in record {match[2]}, but {match[1]} in the "
                "first; all need the same"
            ) from error
        raise ValueError(f"path: {path} is not a table with one record a line") from error
    if names and len(names) != table.shape[1]:
        raise ValueError(
            f"path: {path} names {counted(len(names), 'column')}, but its records have "
            f"{table.shape[1]}"
        )
    return table.set_axis(list(_distinct(names)), axis=1) if names else table


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _distinct(names: Sequence[str]) -> Iterator[str]:
    """Names in lower case; the second of a name gets `.1`, and so on."""
    seen: Counter[str] = Counter()
    for name in (name.strip().lower() for name in names):
        yield f"{name}.{seen[name]}" if seen[name] else name
        seen[name] += 1
