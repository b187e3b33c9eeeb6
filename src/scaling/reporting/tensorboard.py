"""TensorBoard of a sweep, with runs that have short names in numerical order.

TensorBoard names runs by their folders and sorts them alphabetically, `batch=128` before `batch=8`.
It is therefore run on folders of links, whose names have only what varies, such as `b008 lr3e-3`.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from scaling.contracts.columns import FINAL
from scaling.contracts.words import counted
from scaling.reporting import hparams_columns
from scaling.reporting.run_names import short_names
from scaling.storage import plans, study_folders
from scaling.storage.rows import read_row

EVENTS = "events.out.tfevents."
SETTINGS = "hparams.yaml"  # which Lightning writes beside the events
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SWEEP = "_sweep"  # run with the figures of a report
EVERY = 10.0  # seconds between searches for new runs
GLANCE = 0.5  # seconds between checks for Ctrl-C
PATIENCE = 5.0  # seconds for TensorBoard to end


def link(folders: Sequence[Path], place: Path) -> int:
    """Create a folder below `place` for every run below `folders`, and remove all others.

    A run is a folder with events of TensorBoard; its folder below `place` has a short name, and
    links to the events. One of them also gets the columns of HParams. If these change, as when the
    first run has ended, the folder that had them is left out until the next call.

    Returns:
        the number of runs, without figures of reports.
    """
    runs = [run for folder in folders for run in _runs(folder.absolute())]
    shared = os.path.commonpath([run.parent for run in runs]) if runs else "."
    wanted: dict[Path, Path] = {}
    settings: dict[Path, Mapping[str, Any]] = {}
    for study in dict.fromkeys(run.parent for run in runs):
        members = [run for run in runs if run.parent == study]
        logged = [_settings(run) for run in members]
        names = short_names([run.name for run in members], logged, _planned(study))
        short = [place / study.relative_to(shared) / name for name in names]
        wanted |= dict(zip(short, members, strict=True))
        settings |= dict(zip(short, logged, strict=True))
    links = {
        new / file.name: file for new, run in wanted.items() for file in run.glob(f"{EVENTS}*")
    }
    for old in sorted(place.rglob("*"), reverse=True):  # files before their folders
        if old.is_dir():
            if not any(old.iterdir()):
                old.rmdir()
        elif old.parent not in wanted or (old.is_symlink() and not old.exists()):
            old.unlink()
    for new_link, file in links.items():
        new_link.parent.mkdir(parents=True, exist_ok=True)
        if not new_link.is_symlink():
            new_link.symlink_to(file)
    begun = [new for new in wanted if settings[new]]
    measured = {name for new in begun for name in _measured(wanted[new])}
    columns = hparams_columns.experiment([settings[new] for new in begun], measured)
    hparams_columns.update(place, begun, columns)
    return sum(run.name != SWEEP for run in wanted.values())


def _settings(run: Path) -> Mapping[str, Any]:
    """The settings that a run logged; empty if there are none yet."""
    try:
        logged = yaml.load((run / SETTINGS).read_text(), SafeLoader)
    except (OSError, yaml.YAMLError):
        return {}
    return logged if isinstance(logged, dict) else {}


def _measured(run: Path) -> Iterable[str]:
    """The measures in the row of a run; those of every run if it has none yet."""
    try:
        row = read_row(run)
    except ValueError:  # damaged; `status` names it
        return ()
    return row.measured if row else FINAL[:3]


def _planned(study: Path) -> list[str]:
    """The names of the runs in the plans of a study."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged plans; `status` names them
        return [cell["run"] for plan in plans.read(study) for cell in plan["cells"]]


def show(pictures: Mapping[str, bytes], folder: Path) -> None:
    """Write the figures of a sweep for TensorBoard as a run named `_sweep`, replacing older ones.

    Args:
        pictures: name -> PNG.
        folder: of the study.
    """
    place = folder / SWEEP
    shutil.rmtree(place, ignore_errors=True)
    writer = EventFileWriter(str(place))
    for name, png in pictures.items():
        width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))  # of its header
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        value = Summary.Value(tag=f"sweep/{name}", image=image)
        writer.add_event(Event(wall_time=time.time(), step=0, summary=Summary(value=[value])))
    writer.close()


def _runs(folder: Path) -> Iterator[Path]:
    for path, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if any(name.startswith(EVENTS) for name in files):
            yield Path(path)


def serve(folders: Sequence[Path], more: Sequence[str]) -> int:
    """Run TensorBoard on sweeps until Ctrl-C; return the exit code: 0, or 2 without a run.

    Args:
        folders: of runs, studies, or all studies.
        more: arguments of TensorBoard.
    """
    for folder in folders:
        if not folder.exists():
            print(f"error: {study_folders.unknown(folder)}", file=sys.stderr)
            return 2
    with tempfile.TemporaryDirectory(prefix="scaling-dashboard-") as place:
        number = link(folders, Path(place))
        if not any(Path(place).iterdir()):
            where = ", ".join(map(str, folders))
            print(f"error: no events of TensorBoard below {where}; were the runs made with "
                  "logger=none?", file=sys.stderr)  # fmt: skip
            return 2
        print(f"{counted(number, 'run')}; Ctrl-C ends", flush=True)
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", place, *more]
        board = subprocess.Popen(command)
        try:
            return _follow(board, folders, Path(place))
        finally:
            board.terminate()
            try:
                board.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                board.kill()
                board.wait()


def _follow(board: subprocess.Popen[bytes], folders: Sequence[Path], place: Path) -> int:
    """Link new runs until Ctrl-C or TensorBoard's end; return its exit code, or 0.

    Ctrl-C sets a flag and raises nothing, because Python may drop an exception of a handler.
    """
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    looked = time.monotonic()
    while not interrupts:
        try:
            return board.wait(timeout=GLANCE)
        except subprocess.TimeoutExpired:
            if time.monotonic() - looked > EVERY:
                link(folders, place)
                looked = time.monotonic()
    return 0
