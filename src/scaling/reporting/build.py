"""A sweep as a page, tables and figures."""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scaling import results
from scaling.contracts.columns import FINISHED
from scaling.reporting import page, tensorboard, text
from scaling.reporting.caveats import sweep_caveats
from scaling.storage import exports, plans
from scaling.storage.rows import ROW_FILE
from scaling.studies.claims import Verdict
from scaling.studies.study import MeasuresEpochs, MeasuresRuns, Study, all_studies
from scaling.studies.sweep_tables import SweepTables

LONGEST = ("steps", "layers")  # tables with a line per step of each run


def write(folders: list[Path], out: Path, *, command: str = "", **options: Any) -> list[Path]:
    """Write the page, the tables and the figures of a sweep.

    Args:
        folders: of one sweep, or of several that are read as one.
        out: folder of the files; made if missing.
        command: the one that writes the report, to be kept with it.
        options: of `SweepTables.of`.

    Returns:
        the files written; the first holds the text, the last is the page.

    Raises:
        FileNotFoundError: if a folder has no row.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sweep = SweepTables.of(*folders, **options)
    notes = list(dict.fromkeys(str(warning.message) for warning in caught))  # kept on the page, too
    for note in notes:
        warnings.warn(note, stacklevel=2)
    studies, rows, flat = _applying(sweep), sweep.rows, sweep.flat
    out.mkdir(parents=True, exist_ok=True)
    sentences = [sentence for study in studies for sentence in study.sentences(sweep)]
    claims, undone = _claims(studies, sweep), plans.lines(_missing(folders, rows))
    files = [out / "report.txt"]
    above = [*sentences, *claims]
    files[0].write_text(
        "\n".join(
            [*above, *([""] if above else []), text.summary_table(rows, flat=flat), *undone]
            + ([f"This report: {command}", ""] if command else [""])
        )
    )
    tables = {"rows": _measured(studies, sweep)}
    for study in studies:
        tables |= study.tables(sweep)
    for name, table in tables.items():
        files += [out / f"{name}.csv", out / f"{name}.parquet"]
        exports.unrounded(table, settings=name == "rows").to_csv(
            files[-2], index=False, float_format="%.7g"
        )
        table.to_parquet(files[-1], index=False)
    pictures = []
    for study in studies:
        for name, drawing in study.figures(sweep).items():
            figure = drawing.draw()
            for kind in ("png", "svg"):
                files.append(out / f"{name}.{kind}")
                figure.savefig(files[-1], dpi=150)
            pictures.append(page.Picture(name, drawing.caption, files[-1]))
    for folder in (folder for folder in folders if _is_study(folder)):
        tensorboard.show(
            {p.name: p.path.with_suffix(".png").read_bytes() for p in pictures}, folder
        )
    files.append(out / "index.html")
    files[-1].write_text(
        page.Page(
            title=", ".join(sorted(rows["study"].dropna().unique())) or "runs",
            subtitle=_subtitle(rows),
            sentences=sentences,
            claims=claims,
            table=text.summary_table(rows, with_caveats=False),
            tables=[page.Table(name, table) for name, table in tables.items() if name != "rows"],
            pictures=pictures,
            warnings=[*sweep_caveats(rows, flat=flat), *undone, *notes],
            provenance=({"command": command} if command else {}) | results.provenance(*folders),
        ).html()
    )
    return files


def export(folders: list[Path], place: Path, **options: Any) -> None:
    """Export a sweep without its runs: rows with the measures of studies, and longer tables.

    The tables `steps` and `layers` are left out, because they are too long to share. `options` are
    those of `SweepTables.of`.

    Raises:
        FileNotFoundError: if a folder has no row.
    """
    sweep = SweepTables.of(*folders, **options)
    studies = _applying(sweep)
    measured = [study.passes(sweep) for study in studies if isinstance(study, MeasuresEpochs)]
    epochs = next((table for table in measured if len(table)), sweep.epochs)
    names = results.table_names(*folders) - set(LONGEST)
    longer = {name: results.table(name, *folders) for name in sorted(names)} | {"epochs": epochs}
    exports.write(place, _measured(studies, sweep), longer)


def _applying(sweep: SweepTables) -> list[Study]:
    """The studies that apply to a sweep."""
    return [study for study in all_studies() if study.applies(sweep)]


def _claims(studies: Sequence[Study], sweep: SweepTables) -> list[str]:
    """A line for each claim and verdict with its numbers, and one on multiple testing."""
    judged = [list(study.verdicts(sweep)) for study in studies]
    lines = [line for verdicts in judged for line in _lines(verdicts)]
    count = sum(map(len, judged))
    if count > 1:
        lines.append(
            f"Not corrected for multiple testing: without any effect, about {count / 20:.2g} of "
            f"these {count} verdicts would hold or fail by chance"
        )
    return lines


def _lines(judged: Iterable[tuple[str, Verdict]]) -> Iterator[str]:
    """A line for each claim and verdict; numbers of an earlier line are not repeated."""
    by_claim: dict[str, list[tuple[str, Verdict]]] = defaultdict(list)
    for title, verdict in judged:
        source = f" [{verdict.source}]" if verdict.source else ""
        by_claim[f"{verdict.word.upper()}: {verdict.sentence}{source}"].append((title, verdict))
    shown: set[str] = set()
    for claim, verdicts in by_claim.items():
        numbers = [f"{title}: {verdict.numbers}".lstrip(": ") for title, verdict in verdicts]
        if set(numbers) <= shown:
            titles = "; ".join(title for title, _ in verdicts if title)
            yield f"{claim} ({f'{titles}: ' if titles else ''}by the same numbers)"
            continue
        shown |= set(numbers)
        needed = dict.fromkeys(verdict.would_tell for _, verdict in verdicts if verdict.would_tell)
        what = f"; what would tell: {' | '.join(needed)}" if needed else ""
        yield f"{claim} ({' | '.join(numbers)}{what})"


def _measured(studies: Sequence[Study], sweep: SweepTables) -> pd.DataFrame:
    """The rows with the measures of studies, as columns that exported rows keep."""
    rows = sweep.rows
    for study in studies:
        if isinstance(study, MeasuresRuns):
            measures = study.measures(sweep)
            new = [key for key in measures if key not in rows]
            rows = rows.merge(measures[["study", "run", *new]], on=["study", "run"], how="left")
    return rows


def _is_study(folder: Path) -> bool:
    """Whether a folder holds the runs of a study, and is not a run or a table."""
    return any(folder.glob(f"*/{ROW_FILE}"))


def _subtitle(rows: pd.DataFrame) -> str:
    """The number of runs, and how they ended."""
    counts = rows["status"].value_counts()
    return f"{len(rows)} runs: " + ", ".join(f"{n} {status}" for status, n in counts.items())


def _missing(folders: list[Path], rows: pd.DataFrame) -> list[plans.Lack]:
    """The commands of the sweeps with cells left to train."""
    settled = set(rows.loc[rows["status"].isin([*FINISHED, "corrupt"]), "run"])
    planned = [plan for folder in folders if folder.is_dir() for plan in plans.read(folder)]
    places = {plan["folder"].absolute() for plan in planned}
    existing = {
        (place, run)
        for place in places
        for run in settled
        if (place / run / ROW_FILE).exists()  # not only in another study
    }
    return plans.missing(planned, existing)
