"""A sweep as a page, tables and figures."""

import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from scaling import results
from scaling.analysis.blas_threads import one_blas_thread
from scaling.contracts.columns import FINISHED
from scaling.contracts.settings import without_axes
from scaling.reporting import page, tensorboard
from scaling.reporting.content import Content
from scaling.reporting.next_step import Command
from scaling.storage import exports, plans
from scaling.storage.rows import ROW_FILE, write_json
from scaling.studies.study import MeasuresEpochs, MeasuresRuns, Study, all_studies
from scaling.studies.sweep_tables import SweepTables

LONGEST = ("steps", "layers")  # tables with a line per step of each run
DPI = 300  # of the PNG of a figure


class Written(NamedTuple):
    """A report: what it says in short, and its files, the page last."""

    text: str
    files: list[Path]


@one_blas_thread()
def write(folders: list[Path], out: Path, *, command: str = "", **options: Any) -> Written:
    """Write the page, the tables and the figures of a sweep.

    Args:
        folders: of one sweep, or of several that are read as one.
        out: folder of the files; made if missing. In the folder of a study, the figures are also
            written as a run of its TensorBoard; nothing else is written elsewhere.
        command: the one that writes the report, to be kept with it.
        options: of `SweepTables.of`.

    Raises:
        FileNotFoundError: if a folder has no row.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sweep = SweepTables.of(*folders, **options)
        sweep.load()
    notes = list(dict.fromkeys(str(warning.message) for warning in caught))  # kept on the page, too
    for note in notes:
        warnings.warn(note, stacklevel=2)
    studies, planned = _applying(sweep), _planned(folders)
    lacking = _missing(planned, sweep.rows)
    out.mkdir(parents=True, exist_ok=True)
    tables = {"rows": _measured(studies, sweep)}
    for study in studies:
        tables |= study.tables(sweep)
    content = Content.of(sweep, studies, lacking, _command(planned), notes)
    files = [out / "report.txt", out / "answer.json"]
    files[0].write_text(content.text(command))
    write_json(content.answer.record(), files[1])
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
            files += _saved(figure, out / name)
            pictures.append(page.Picture(name, drawing.caption, files[-1]))
    if _is_study(out.parent):  # the report of a study in its own folder
        images = {p.name: p.path.with_suffix(".png").read_bytes() for p in pictures}
        tensorboard.show(images, out.parent)
    files.append(out / "index.html")
    longer = [page.Table(name, table) for name, table in tables.items() if name != "rows"]
    files[-1].write_text(content.html(out, pictures, longer, command, _again(planned)))
    return Written(content.short(), files)


@one_blas_thread()
def export(folders: list[Path], place: Path, **options: Any) -> list[Path]:
    """Export a sweep without its runs: rows with the measures of studies, and longer tables.

    The tables `steps` and `layers` are left out, because they are too long to share. `options` are
    those of `SweepTables.of`. Returns the files.

    Raises:
        FileNotFoundError: if a folder has no row.
    """
    sweep = SweepTables.of(*folders, **options)
    studies = _applying(sweep)
    measured = [study.passes(sweep) for study in studies if isinstance(study, MeasuresEpochs)]
    epochs = next((table for table in measured if len(table)), sweep.epochs)
    names = results.table_names(*folders) - set(LONGEST)
    longer = {name: results.table(name, *folders) for name in sorted(names)} | {"epochs": epochs}
    return exports.write(place, _measured(studies, sweep), longer)


def _saved(figure: Figure, stem: Path) -> list[Path]:
    """Save a figure as PNG and SVG, whose layout is computed once."""
    if engine := figure.get_layout_engine():
        figure.set_dpi(DPI)
        engine.execute(figure)
        figure.set_layout_engine("none")
    files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    for file in files:
        figure.savefig(file, dpi=DPI)
    return files


def _applying(sweep: SweepTables) -> list[Study]:
    """The studies that apply to a sweep."""
    return [study for study in all_studies() if study.applies(sweep)]


def _measured(studies: Sequence[Study], sweep: SweepTables) -> pd.DataFrame:
    """The rows with the measures of studies, as columns that exported rows keep."""
    rows = without_axes(sweep.rows)
    for study in studies:
        if isinstance(study, MeasuresRuns):
            measures = study.measures(sweep)
            new = [key for key in measures if key not in rows]
            rows = rows.merge(measures[["study", "run", *new]], on=["study", "run"], how="left")
    return rows


def _is_study(folder: Path) -> bool:
    """Whether a folder holds the runs of a study, and is not a run or a table."""
    return any(folder.glob(f"*/{ROW_FILE}"))


def _planned(folders: list[Path]) -> list[dict[str, Any]]:
    """The plans of the commands that trained the runs, oldest first."""
    return [plan for folder in folders if folder.is_dir() for plan in plans.read(folder)]


def _command(planned: list[dict[str, Any]]) -> Command:
    """The command of the sweep: the largest one of one study; none for several studies."""
    if len({plan["folder"].absolute() for plan in planned}) != 1:
        return Command()
    commands = {plans.again(plan["command"]): len(plan["cells"]) for plan in planned}
    return Command(max(commands, key=lambda text: commands[text]), len(commands) == 1)


def _again(planned: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """The command that trains a run again, by study and run."""
    return {
        (plan["folder"].absolute().name, cell["run"]): shlex.join(
            ["python", "-m", "scaling.train", *map(str, cell.get("overrides", ()))]
        )
        for plan in planned
        for cell in plan["cells"]
    }


def _missing(planned: list[dict[str, Any]], rows: pd.DataFrame) -> list[plans.Lack]:
    """The commands of the sweeps with cells left to train."""
    settled = set(rows.loc[rows["status"].isin([*FINISHED, "corrupt"]), "run"])
    places = {plan["folder"].absolute() for plan in planned}
    existing = {
        (place, run)
        for place in places
        for run in settled
        if (place / run / ROW_FILE).exists()  # not only in another study
    }
    return plans.missing(planned, existing)
