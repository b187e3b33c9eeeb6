"""UNSW-NB15: flows of a network with nine kinds of attacks."""

import contextlib
from functools import lru_cache

from scaling.contracts.words import counted
from scaling.datamodules.bags import Records
from scaling.datamodules.files import File, file_at, files_in, listed
from scaling.datamodules.flow_files import (
    checked,
    columns,
    kinds_of,
    normal_of,
    numbers,
    place_of,
    tables_in,
)
from scaling.datamodules.tables import read_table

REFERENCE = "4fe8b8672017a7e6"  # fingerprint of the smaller partition
REFERENCE_NAME = "the partition of 82,332 records"
NUMERIC = (
    *("dur", "spkts", "dpkts", "sbytes", "dbytes", "rate", "sttl", "dttl", "dload", "dloss"),
    *("sinpkt", "dinpkt", "djit", "tcprtt", "synack", "ackdat", "smean", "dmean"),
    *("ct_state_ttl", "ct_dst_src_ltm"),
)
SYMBOLS = ("proto", "service", "state")
KIND = "attack_cat"


def files(path: str | None) -> tuple[File, ...]:
    """The file with the records: the reference if it is in the folder, else the only table there.

    Raises:
        ValueError: without a table, or with several tables and no reference among them.
    """
    place = place_of(path, "unsw_nb15")
    if place.is_file():
        return (file_at(place),)
    tables = tables_in(place, "ing-set") or tables_in(place)  # the raw files are 0.6 GB
    named = tuple(map(file_at, tables))
    if len(named) == 1:
        return named
    if reference := _reference(named):
        return (reference,)
    raise ValueError(
        f"path: {place} has {counted(len(named), 'table')}; give one file, such as "
        f"UNSW_NB15_training-set.csv; {listed(files_in(place), place)}"
    )


@lru_cache(maxsize=4)
def _reference(tables: tuple[File, ...]) -> File | None:
    """The table with the records of the reference."""
    for table in tables:
        with contextlib.suppress(ValueError):  # of another format; there may be more
            if read((table,)).fingerprint == REFERENCE:
                return table
    return None


@lru_cache(maxsize=2)
def read(files: tuple[File, ...]) -> Records:
    """Read the records, once per process.

    The reference has 82,332 (Moustafa and Slay 2015). It is called training or testing set,
    depending on its source. 20 numbers and 3 symbols of each flow are used, a selection from the
    literature. `id` is not used: records are sorted by their labels, so it would leak them.

    Raises:
        ValueError: if a column is missing, or a value is not as needed.
    """
    path = files[0].path
    table = columns(read_table(path), [*NUMERIC, *SYMBOLS, KIND], path)
    kinds = kinds_of(table.pop(KIND), path)
    features = numbers(checked(table, SYMBOLS, path), SYMBOLS)
    return Records(features, kinds, normal_of(kinds, path), None)
