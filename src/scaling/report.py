"""Write the page, tables and figures of a sweep: `python -m scaling.report multirun/quickstart`."""

import argparse
import math
import shlex
import signal
import sys
import warnings
from pathlib import Path

from scaling.contracts import ctrl_c, standard_streams


def _place(first: Path) -> Path:
    """The default folder of a report: in the first folder, or beside a table's file."""
    from scaling.storage import exports

    return (first.with_suffix("") if exports.is_table(first) else first) / "report"


def _nats(text: str) -> float:
    """A positive number, for `--flat`; of a maximised column, in its unit."""
    try:
        nats = float(text)
    except ValueError:
        nats = math.nan
    if not 0 < nats < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of nats, such as 0.002")
    return nats


def _axes(text: str) -> tuple[str, ...]:
    """Names with commas between them, for `--over`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _pair(text: str) -> tuple[str, str]:
    """A name and another one, or nothing, for `--columns`."""
    ours, equals, theirs = text.partition("=")
    if not (ours.strip() and equals):
        raise argparse.ArgumentTypeError(f"{text} is not OURS=THEIRS, such as batch=bs")
    return ours.strip(), theirs.strip()


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The pairs as a mapping; two for one name are refused."""
    for ours, _ in pairs:
        if len(twice := [theirs for name, theirs in pairs if name == ours]) > 1:
            raise ValueError(f"--columns gives {ours} to both {twice[0]!r} and {twice[1]!r}")
    return dict(pairs)


def main() -> int:
    """Run the command line and return the exit code: 0 if the folders could be read, else 2."""
    parser = argparse.ArgumentParser(
        prog="python -m scaling.report",
        description="Write the page, tables and figures of a sweep, finished or not.",
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="such as multirun/quickstart, an exported sweep, or a CSV file with a line per run; "
        "for a table of Hill's index (columns sample, k, alpha), only sentences are printed",
    )
    out = "folder of the files; report/ in the first folder by default"
    parser.add_argument("--out", type=Path, help=out)
    export = (
        "also write rows and longer tables, without steps and layers, to this folder, which can be "
        "read like the sweep"
    )
    parser.add_argument("--export", type=Path, metavar="PLACE", help=export)
    flat = (
        "rise of the loss within a factor of 4 in lr below which an optimum is flat; 0.1 %% of the "
        "lowest loss, and at least 0.001, by default"
    )
    parser.add_argument("--flat", type=_nats, metavar="NATS", help=flat)
    over = "axes of one law, batch among them, such as batch,parameters,tokens"
    parser.add_argument("--over", type=_axes, metavar="AXES", default=(), help=over)
    columns = (
        "columns of a table written by another program: OURS=THEIRS, such as batch=bs "
        "'val_loss=smooth loss' tokens=D; a number is a value that all runs share, such as "
        "batch=32; status= sets their column of states aside"
    )
    parser.add_argument(
        "--columns", nargs="+", action="extend", type=_pair, metavar="OURS=THEIRS", help=columns
    )
    as_json = "print answer.json, the numbers of the answer for programs, in place of text"
    parser.add_argument("--json", action="store_true", help=as_json)
    maximise = "column to maximise, such as an accuracy, in place of minimising a loss"
    parser.add_argument("--maximise", metavar="COLUMN", help=maximise)
    given = parser.parse_args()
    from scaling.analysis import hill_tables
    from scaling.reporting import build  # imported here to keep --help quick
    from scaling.storage import exports

    try:
        if len(given.folders) == 1 and hill_tables.is_hill_table(given.folders[0]):
            print("\n".join(hill_tables.sentences(given.folders[0])))
            print("No page is written: the table has indices, and no runs to draw")
            return 0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for option, folder in {"--out": given.out, "--export": given.export}.items():
                if folder:
                    exports.check_place(folder, option)
            place = given.out or _place(given.folders[0])
            read = {"columns": _once(given.columns or []), "maximise": given.maximise}
            command = shlex.join(["python", "-m", "scaling.report", *sys.argv[1:]])
            report = build.write(
                given.folders, place, command=command, flat=given.flat, over=given.over, **read
            )
            exported = build.export(given.folders, given.export, **read) if given.export else []
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for message in {str(warning.message) for warning in caught}:
        print(message, file=sys.stderr)
    if given.json:
        print((place / "answer.json").read_text())
        return 0
    print(report.text)
    *beside, page = report.files
    print(f"\npage: {page} ({len(beside)} files of tables and figures beside it)")
    if exported:
        names = ", ".join(file.name for file in exported)
        print(f"export: {given.export} ({names}), which is read like the sweep")
    return 0


if __name__ == "__main__":
    standard_streams.open_closed()
    ctrl_c.prints("stopped; the report is not complete")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as head may end first
    sys.exit(main())
