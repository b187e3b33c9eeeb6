"""A sweep as a page, tables and figures."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scaling import results
from scaling.contracts.columns import FINISHED
from scaling.reporting import caveats
from scaling.reporting import text as summaries
from scaling.storage import exports, plans
from scaling.storage.rows import ROW_FILE
from scaling.studies import clipping, laws, replicates, tuning
from scaling.studies.adaptation import study as adaptation
from scaling.studies.claims import Verdict
from scaling.studies.gradient_flow import study as trainability
from scaling.studies.sweep_tables import Evidence

STUDIES = (laws, clipping, tuning, trainability, adaptation, replicates)


def verdicts(evidence: Evidence) -> dict[str, list[str]]:
    """Sentences and claims on every question that a sweep bears on.

    Returns:
        `sentences`, and `claims`: each with the numbers of the settings that have one verdict, and
        at last how many there are, for none is corrected for the others.
    """
    sentences: list[str] = []
    judged: list[tuple[str, Verdict]] = []
    claims: list[str] = []
    for study in STUDIES:
        if study.applies(evidence):
            sentences += study.sentences(evidence)
            own = list(study.verdicts(evidence))
            claims += _claims(own)
            judged += own
    if len(judged) > 1:
        claims.append(
            f"Each of these {len(judged)} verdicts is by itself, at 95 %: where nothing is the "
            f"matter, {len(judged) / 20:.2g} of {len(judged)} hold or fail by chance, on average"
        )
    return {"sentences": sentences, "claims": claims}


def _claims(judged: Iterable[tuple[str, Verdict]]) -> Iterator[str]:
    """A line for each claim and word; numbers that stand in a line before are not said again."""
    spoken: dict[str, list[tuple[str, Verdict]]] = defaultdict(list)
    for title, verdict in judged:
        source = f" [{verdict.source}]" if verdict.source else ""
        spoken[f"{verdict.word.upper()}: {verdict.sentence}{source}"].append((title, verdict))
    known: set[str] = set()
    for said, verdicts in spoken.items():
        numbers = [f"{title}: {verdict.numbers}".lstrip(": ") for title, verdict in verdicts]
        if set(numbers) <= known:
            titles = "; ".join(title for title, _ in verdicts if title)
            yield f"{said} ({f'{titles}: ' if titles else ''}by the same numbers)"
            continue
        known |= set(numbers)
        wanted = dict.fromkeys(verdict.would_tell for _, verdict in verdicts if verdict.would_tell)
        what = f"; what would tell: {' | '.join(wanted)}" if wanted else ""
        yield f"{said} ({' | '.join(numbers)}{what})"


def text(said: dict[str, list[str]], table: str, undone: list[str]) -> str:
    """The report in the terminal: verdicts, table, warnings, and what is still to be trained."""
    lines = [*said["sentences"], *said["claims"]]
    return "\n".join([*lines, *([""] if lines else []), table, *undone])


def write(folders: list[Path], out: Path) -> list[Path]:
    """Write the page, the tables and the figures of a sweep.

    Args:
        folders: of one sweep, or of several that are read as one.
        out: where the files go; made if missing.

    Returns:
        the files written; the first holds the text, the last is the page.

    Raises:
        FileNotFoundError: if a folder holds no row.
    """
    from scaling.reporting import page, tensorboard  # here, so that --help is quick

    evidence = Evidence.of(*folders)
    rows = evidence.rows
    out.mkdir(parents=True, exist_ok=True)
    said, undone = verdicts(evidence), plans.lines(_missing(folders, rows))
    files = [out / "report.txt"]
    files[0].write_text(text(said, summaries.table(rows), undone) + "\n")
    tables = {"rows": _measured(evidence)}
    for study in STUDIES:
        tables |= study.tables(evidence) if study.applies(evidence) else {}
    for name, table in tables.items():
        files += [out / f"{name}.csv", out / f"{name}.parquet"]
        exports.unrounded(table, settings=name == "rows").to_csv(
            files[-2], index=False, float_format="%.7g"
        )
        table.to_parquet(files[-1], index=False)
    drawings = _drawings(evidence)
    pictures = []
    for name, (draw, needed) in drawings.items():
        drawn, caption = draw(*needed), (draw.__doc__ or "").partition("Args:")[0]
        for kind in ("png", "svg"):
            files.append(out / f"{name}.{kind}")
            drawn.savefig(files[-1], dpi=150)
        pictures.append(page.Picture(name, caption, files[-1]))
    for folder in (folder for folder in folders if _is_study(folder)):
        tensorboard.show(
            {p.name: p.path.with_suffix(".png").read_bytes() for p in pictures}, folder
        )
    files.append(out / "index.html")
    files[-1].write_text(
        page.Page(
            title=", ".join(sorted(rows["study"].dropna().unique())) or "runs",
            subtitle=_subtitle(rows),
            sentences=said["sentences"],
            claims=said["claims"],
            table=summaries.table(rows, with_cautions=False),
            tables=[page.Table(name, table) for name, table in tables.items() if name != "rows"],
            pictures=pictures,
            warnings=[*caveats.cautions(rows), *undone],
            provenance=results.provenance(*folders),
        ).html()
    )
    return files


def keep(folders: list[Path], place: Path) -> None:
    """Keep a sweep without its runs: rows with what studies measured of each, and its epochs.

    Raises:
        FileNotFoundError: if a folder holds no row.
    """
    evidence = Evidence.of(*folders)
    passes = adaptation.passes(evidence)  # epochs, with what the steps say of each
    epochs = passes if len(passes) else evidence.epochs
    longer = {"epochs": epochs, "windows": evidence.windows, "rounds": evidence.rounds}
    longer |= {"layer_epochs": evidence.layer_epochs}
    exports.write(place, _measured(evidence), longer)


def _measured(evidence: Evidence) -> pd.DataFrame:
    """The rows, with what studies measured of each run, which they then find there."""
    rows = evidence.rows
    for study in STUDIES:
        if study.applies(evidence) and hasattr(study, "measures"):
            found: pd.DataFrame = study.measures(evidence)
            new = [key for key in found if key not in rows]
            rows = rows.merge(found[["study", "run", *new]], on=["study", "run"], how="left")
    return rows


def _drawings(evidence: Evidence) -> dict[str, tuple[Callable[..., Any], Sequence[pd.DataFrame]]]:
    """The figures that show something of a sweep, each with the tables that it is drawn from."""
    from scaling import figures  # here, so that --help is quick
    from scaling.studies.adaptation.figures import FIGURES as OF_ADAPTATION

    rows = evidence.rows
    found: dict[str, Any] = {n: (draw, (rows,)) for n, draw in figures.that_show(rows).items()}
    if len(evidence.steps):
        found["norm_curves"] = (figures.norm_curves, (rows, evidence.steps))
    adapted = adaptation.applies(evidence)
    if tuning.races(evidence) and not adapted:  # whose loss is not what a run is after
        found["steps_and_examples"] = (figures.steps_and_examples, (rows, evidence.steps))
    if len(evidence.layer_epochs):
        for name, draw in figures.OF_LAYERS.items():
            found[name] = (draw, (rows, evidence.layer_epochs))
    if adapted:
        for name, draw in OF_ADAPTATION.items():
            found[name] = (draw, (adaptation.measures(evidence), adaptation.passes(evidence)))
    return found


def _is_study(folder: Path) -> bool:
    """Whether a folder is what one study's runs lie in, and not a run or a table."""
    return any(folder.glob(f"*/{ROW_FILE}"))


def _subtitle(rows: pd.DataFrame) -> str:
    """How many runs there are, and how they ended."""
    counts = rows["status"].value_counts()
    return f"{len(rows)} runs: " + ", ".join(f"{n} {status}" for status, n in counts.items())


def _missing(folders: list[Path], rows: pd.DataFrame) -> list[plans.Lack]:
    """What the commands of the sweeps would still train."""
    settled = set(rows.loc[rows["status"].isin([*FINISHED, "corrupt"]), "run"])
    planned = [plan for folder in folders if folder.is_dir() for plan in plans.read(folder)]
    places = {plan["folder"].absolute() for plan in planned}
    there = {
        (place, run)
        for place in places
        for run in settled
        if (place / run / ROW_FILE).exists()  # and not only in another study
    }
    return plans.missing(planned, there)
