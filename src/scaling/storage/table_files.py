"""A table with a line per run, exported by a report or written by another program."""

import csv
import io
import warnings
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from scaling.contracts.columns import FINISHED, REFERENCES
from scaling.contracts.metric import MAXIMISED, MAXIMUM
from scaling.contracts.precision import rounded_column
from scaling.contracts.settings import settings_of
from scaling.storage import decimal_commas, foreign_columns

NEEDED = ("batch", "lr")
# Optional columns: the value that is assumed for a missing one, and its text in the warning.
ASSUMED: dict[str, tuple[float | str, str]] = {
    "val_loss": (np.nan, "each lr is the best one of its batch size, its loss is not known"),
    "clip": (np.inf, "no clipping"),
    "seed": (0, "repeats of a cell are its seeds, in their order"),
    "status": ("done", "every run with a loss is done, without one it diverged"),
}

REMEDIES = {
    "clip": "; no clipping is inf, or an empty field",
    "seed": "; --columns seed= leaves the column out: repeats of a cell are then its seeds",
}
OF_LOSSES = ("val_loss_se", *(f"{name}_loss" for name in REFERENCES))
REPEATED = 3  # fewest runs that share a value of a setting
# Texts that mean a missing number; in a column of text they are text.
GAPS = ["", "NA", "N/A", "NaN", "nan", "-nan", "null", "None", "<NA>", "#N/A", "n/a"]


def read(
    path: Path,
    *,
    text: Sequence[str],
    known: Sequence[str],
    columns: Mapping[str, str] | None = None,
    maximise: str | None = None,
    axes: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a table with a line per run, exported by a report or written by another program.

    Warns about unused columns, and about missing ones whose assumed values could change a
    conclusion. Columns, numbers and states of other programs: `scaling.storage.foreign_columns`.

    Args:
        path: a CSV file with at least the columns `batch`, `lr` and `val_loss`; without `val_loss`
            it must have one line for each batch size, with the best lr.
        text: columns of text; their gaps become None.
        known: columns that are used; those with a dot in their names are used, too.
        columns: our names -> names in the file, or a number that all runs share in place of a
            missing column (`batch=32`); further ones can be axes of a law. If some are
            given, columns that are not named, not known and without a dot are dropped. An empty
            name sets a column aside, as if the table had none.
        axes: columns that are axes of a law: runs that differ in them are not repeats.
        maximise: a column, such as an accuracy, whose negative is the loss: the maximum is 0 until
            `scaling.contracts.metric.with_one_maximum` chooses it for all files.

    Raises:
        ValueError: if a column is missing or not numeric, the table is empty, a line is longer than
            the header, a batch, lr or clip is not positive, or a status is unknown.
    """
    columns = columns or {}
    named = (*NEEDED, "seed", *columns, *axes)
    kinds: dict[str, decimal_commas.Kind] = dict.fromkeys(known, "measure")
    kinds |= dict.fromkeys(named, "number")
    kinds |= dict.fromkeys(("lr", "val_loss", "clip", *filter(None, [maximise])), "fraction")
    kinds = {key: kind for key, kind in kinds.items() if key not in text}
    table = _table(path, text, columns, kinds, loss=maximise or "val_loss")
    table = table.assign(**foreign_columns.shared_values(columns, [*map(str, table)]))
    if absent := [key for key in NEEDED if key not in table]:
        wanted = foreign_columns.missing(absent[0], [*map(str, table)])
        raise ValueError(f"{path} is not a table of runs: it has {wanted}")
    if table.empty:
        raise ValueError(f"{path} is a table without a row")
    used = {*known, *columns, *axes, *filter(None, [maximise])}
    foreign = not any(columns.values()) and "digest" not in table
    losses = table.get(maximise or "val_loss", pd.Series("", table.index)).astype(str)
    written = losses.str.strip().str.lower().isin(["nan", "-nan"])
    if maximise is not None:
        table = _maximised(table, maximise, path)
    if "val_loss" not in table and table["batch"].duplicated().any():
        raise ValueError(
            f"{path} is not a table of runs: it has several lrs for a batch, and "
            + foreign_columns.missing("val_loss", [*map(str, table)])
        )
    for key in dict.fromkeys((*NEEDED, "val_loss", "clip", "seed", *columns, *axes)):
        if key in table and key not in text:
            suffix = key not in ("lr", "val_loss", "clip", "seed")
            table[key] = foreign_columns.numbers(table[key], path, suffix=suffix)
    if "digest" not in table:
        table = _measured(table, known, text, path)
    table = table.assign(**{key: rounded_column(table[key]) for key in settings_of(table)})
    unused: list[str] = []
    if foreign:
        table, unused = _settings(table, used, path)
    if "status" in table:
        table["status"] = foreign_columns.statuses(table["status"], path)
        if "digest" not in table:  # a finished run without a field is not measured, one of NaN is
            table.loc[(table["status"] == "done") & written, "status"] = "diverged"
    missing = [key for key in ASSUMED if key not in table]
    table = table.assign(**{key: ASSUMED[key][0] for key in missing})
    if "seed" in missing:
        apart = [key for key in (*axes, *columns) if key not in (*NEEDED, *ASSUMED, *text)]
        table["seed"] = _repeats(table, path, [key for key in dict.fromkeys(apart) if key in table])
    if any(columns.values()):
        table = _only(table, used, path)
    if "status" in missing and "val_loss" not in missing:
        table.loc[~np.isfinite(table["val_loss"]), "status"] = "diverged"
    if unused:
        _warn(
            f"{path} has columns that are not used: {', '.join(unused)}; a setting is called "
            "model.NAME, data.NAME, optimizer.NAME and so on"
        )
    if missing:
        assumed = "; ".join(f"{key}: {ASSUMED[key][1]}" for key in missing)
        _warn(f"{path} has missing columns; assumed: {assumed}")
    bad = {key: ~((table[key] > 0) & np.isfinite(table[key])) for key in NEEDED}
    bad["clip"] = table["clip"] <= 0
    bad["seed"] = table["seed"].isna() & table["status"].isin(FINISHED)
    for key, which in bad.items():
        which &= table["status"] != "corrupt"
        if which.any():
            lines = ", ".join(str(line + 2) for line in table.index[which][:5])
            wanted = key if key == "seed" else f"positive {key}"
            raise ValueError(f"{path} has no {wanted} in line {lines}{REMEDIES.get(key, '')}")
    if "run" not in table:
        table["run"] = [f"line {index + 2}" for index in table.index]
    if "study" not in table:
        table["study"] = path.stem
    table["clip"] = table["clip"].where(
        table["clip"].notna() | (table["status"] == "corrupt"), np.inf
    )
    texts = [key for key in text if key in table]
    filled = {key: table[key].where(table[key].notna(), None) for key in texts}
    return table.assign(**filled).reset_index(drop=True)


def _measured(
    table: pd.DataFrame, known: Container[str], text: Sequence[str], path: Path
) -> pd.DataFrame:
    """The table with its other known columns as numbers; those that are not numbers are dropped."""
    for key in map(str, list(table)):
        if key in known and key not in (*text, *NEEDED, *ASSUMED):
            try:
                table[key] = foreign_columns.numbers(table[key], path)
            except ValueError as error:
                _warn(f"{error}; the column is not used")
                table = table.drop(columns=key)
    if "duration" in table and "protocol" not in table:  # how long a run took
        table = table.drop(columns="duration")
    return table


def _table(
    path: Path,
    text: Sequence[str],
    columns: Mapping[str, str],
    kinds: Mapping[str, decimal_commas.Kind],
    *,
    loss: str,
) -> pd.DataFrame:
    """Read a CSV file literally: in columns of text `NA` is text, and fields are not shifted.

    Losses are text, too, because `NaN` is a loss and an empty field is not. The index of a line is
    its number in the file less two.
    """
    content = "\n".join(foreign_columns.decoded(path).splitlines())
    first = foreign_columns.first_line(content)
    skipped, content = content[:first].count("\n"), content[first:]
    separator = foreign_columns.separator(content.partition("\n")[0])
    lines = csv.reader(io.StringIO(content), delimiter=separator)
    header = next(lines, [])
    for line in lines:
        if 0 < len(line) < len(header):
            raise ValueError(
                f"{path} is not a table of runs: line {lines.line_num + skipped} has {len(line)} "
                f"fields, its header {len(header)}"
            )
    names = foreign_columns.named(header, columns, path)
    content = decimal_commas.with_points(content, separator, names, kinds, path, skipped=skipped)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # fields beyond the header
            table = pd.read_csv(
                io.StringIO(content),
                sep=separator,
                header=0,
                names=names,
                dtype=dict.fromkeys([*text, "val_loss", loss], "object"),
                index_col=False,
                keep_default_na=False,
                na_values={key: [""] if key in text else _gaps(key, loss) for key in names},
                skipinitialspace=True,
                skip_blank_lines=False,
            )
        table.index += skipped
        return table[
            [key for key in table if not str(key).startswith(foreign_columns.NAMELESS)]
        ].dropna(how="all")
    except pd.errors.ParserWarning as error:
        raise ValueError(
            f"{path} is not a table of runs: its lines have more fields than its header; do they "
            "end with a comma?"
        ) from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is not a table of runs: {error}") from error


def _gaps(key: str, loss: str) -> list[str]:
    return [gap for gap in GAPS if key not in ("val_loss", loss) or gap.strip("-").lower() != "nan"]


def _maximised(table: pd.DataFrame, key: str, path: Path) -> pd.DataFrame:
    """The table with the negative of a column as its loss, and without other losses."""
    if key not in table:
        near = foreign_columns.nearest(key, [*map(str, table)]) or [*map(str, table)]
        raise ValueError(f"{path} has no column {key}, but {', '.join(map(repr, near[:5]))}")
    values = foreign_columns.numbers(table[key], path)
    kept = table[[name for name in table if name not in OF_LOSSES]]
    kept = kept.assign(**{key: values}, val_loss=-values)
    return kept.assign(**{MAXIMISED: key}).assign(**{MAXIMUM: 0.0})


def _only(table: pd.DataFrame, used: Container[str], path: Path) -> pd.DataFrame:
    """The columns that are used; a warning lists the others."""
    if others := [key for key in map(str, table) if key not in used and "." not in key]:
        listed = ", ".join(others)
        _warn(f"{path} has columns that are not used: {listed}")
    return table.drop(columns=others)


def _settings(
    table: pd.DataFrame, used: Container[str], path: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Read columns of another program that vary as settings, under `config.NAME`.

    A setting has few values. A column that follows from the batch size alone is left out, because
    its effect is confounded with that of the batch size. Warnings name both.

    Returns:
        The table, and the columns that vary but are neither.
    """
    others = [
        str(key) for key in table
        if key not in used and "." not in str(key) and table[key].nunique(dropna=False) > 1
    ]  # fmt: skip
    found, unused = [], []
    for key in others:
        repeated = table[key].value_counts(dropna=False).min() >= REPEATED
        if not repeated or foreign_columns.is_metadata(key):
            unused.append(key)
        elif (table.groupby("batch")[key].nunique(dropna=False) == 1).all():
            values = table.groupby("batch")[key].first()
            listed = ", ".join(f"{value} at {batch:g}" for batch, value in values.head(4).items())
            _warn(f"{path}: {key} varies with batch alone ({listed}); their effects are confounded")
        else:
            found.append(key)
    if found:
        _warn(
            f"{path} has columns that are read as settings: {', '.join(found)}; to leave "
            "them out, name the columns to use with --columns"
        )
    return table.rename(columns={key: f"config.{key}" for key in found}), unused


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)


def _repeats(table: pd.DataFrame, path: Path, axes: Sequence[str]) -> pd.Series:
    """Number the runs of each cell, to stand for seeds; columns named as `axes` are settings.

    Raises:
        ValueError: if the runs of a cell differ in another column, which may be a setting.
    """
    cell = [*(key for key in settings_of(table) if key != "seed"), *axes]
    groups = table.groupby(cell, dropna=False)
    if groups.ngroups < len(table):
        accounted = (*cell, *ASSUMED, "run", "study")
        others = [
            key for key in map(str, table)
            if key not in accounted and "." not in key and not foreign_columns.is_metadata(key)
        ]  # fmt: skip
        counted = [key for key in others if not pd.api.types.is_float_dtype(table[key])]
        unclear = [
            key for key in counted if len(table[[*cell, key]].drop_duplicates()) > groups.ngroups
        ]
        if unclear:
            raise ValueError(
                f"{path} has several runs of one cell, which differ in {', '.join(unclear)}; call "
                "it `seed` if it is one, or model.NAME, data.NAME and so on if it is a setting"
            )
    return groups.cumcount()
