"""Decimal commas, in tables whose separator is a semicolon or a tab."""

import csv
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

# What the numbers of a column are: rarely whole, often whole, or measures that may be left out.
Kind = Literal["fraction", "number", "measure"]
_COMMA = re.compile(r"[-+]?\d*,\d+(e[-+]?\d+)?\s*[kmbg]?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")


class _Field(NamedTuple):
    line: int
    column: str
    text: str

    def __str__(self) -> str:
        return f"{self.text!r} in its column {self.column}, line {self.line}"


def with_points(
    content: str,
    separator: str,
    names: Sequence[str],
    kinds: Mapping[str, Kind],
    path: Path,
    *,
    skipped: int = 0,
) -> str:
    """A table with points in place of the decimal commas of its numbers.

    `1,024` may be 1024 or 1.024. It is 1.024 if another number of its column has an unambiguous
    decimal comma, such as `0,001` or `2,31`, or if its column is a fraction and a number of any
    column has such a comma. A table without a comma in a number is returned as it is.

    Args:
        content: the text of the table, from its header on.
        separator: of its fields.
        names: of its columns, in our words.
        kinds: column of numbers -> what they are. An ambiguous measure is left as it is.
        path: of the file, for messages.
        skipped: lines of the file before the header.

    Raises:
        ValueError: for a number that is ambiguous, or decimals with commas and with points.
    """
    if separator == "," or "," not in content:
        return content
    lines = csv.reader(io.StringIO(content), delimiter=separator)
    table = [(lines.line_num + skipped, line) for line in lines]
    fields = [
        _Field(number, name, text.strip())
        for number, line in table[1:]
        for name, text in zip(names, line, strict=False)
        if name in kinds and ("," in text or "." in text)
    ]
    commas = [field for field in fields if _COMMA.fullmatch(field.text)]
    if not commas:
        return content
    certain = {field.column for field in commas if not _THOUSANDS.fullmatch(field.text)}
    decimal = certain | {name for name in kinds if certain and kinds[name] == "fraction"}
    needed = {name for name, kind in kinds.items() if kind != "measure"}
    unread = needed - decimal
    if unclear := [field for field in commas if field.column in unread]:
        raise ValueError(
            f"{path} has {unclear[0]}, which may be {_readings(unclear[0].text, path)}"
        )
    points = [field for field in fields if field.column in needed and "." in field.text]
    if points and decimal:
        raise ValueError(
            f"{path} has decimal commas and points: {commas[0]}, and {points[0]}; write all "
            "decimals with points, and no separators of thousands"
        )
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, lineterminator="\n")
    for _, line in table:
        writer.writerow(
            text.replace(",", ".") if name in decimal and _COMMA.fullmatch(text.strip()) else text
            for name, text in zip([*names, *[""] * len(line)], line, strict=False)
        )
    return written.getvalue()


def _readings(text: str, path: Path) -> str:
    """The possible readings of an ambiguous number, and the commands that decide."""
    whole, fraction, file = text.replace(",", ""), text.replace(",", "."), shlex.quote(str(path))
    return (
        f"{whole} or {fraction}; decide for all commas of the file: "
        f"sed 's/,//g' {file} > whole.csv or sed 's/,/./g' {file} > points.csv"
    )
