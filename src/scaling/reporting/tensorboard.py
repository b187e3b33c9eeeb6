"""TensorBoard of a sweep, with runs in numerical order.

TensorBoard sorts runs alphabetically by folder name, `batch=128` before `batch=8`. It is therefore
run on links to the folders, whose names have numbers of equal length.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from scaling.contracts.words import counted
from scaling.storage import study_folders

EVENTS = "events.out.tfevents."
EVERY = 10.0  # seconds between searches for new runs
GLANCE = 0.5  # seconds between checks for Ctrl-C
PATIENCE = 5.0  # seconds for TensorBoard to end


def sortable(names: Sequence[str]) -> list[str]:
    """Pad the numbers in names of runs to equal length, so that they sort alphabetically.

    `batch=8,lr=3e-05` beside `batch=128,lr=0.01` becomes `batch=008,lr=0.00003`. Numbers that are
    infinite, or have sixteen digits before the point, are unchanged.
    """
    widths: dict[str, int] = {}
    for key, value in (pair for name in names for pair in _NUMBER.findall(name)):
        widths[key] = max(widths.get(key, 0), len(_decimal(value).partition(".")[0]))

    def padded(match: re.Match[str]) -> str:
        key, value = match.groups()
        whole, point, part = _decimal(value).partition(".")
        return f"{key}={whole.zfill(widths[key])}{point}{part}"

    return [_NUMBER.sub(padded, name) for name in names]


def link(folders: Sequence[Path], place: Path) -> int:
    """Create a link below `place` for every run below `folders`, and remove all other links.

    A run is a folder with events of TensorBoard.

    Returns:
        the number of runs.
    """
    runs = [run for folder in folders for run in _runs(folder.absolute())]
    shared = os.path.commonpath([run.parent for run in runs]) if runs else "."
    studies = [str(run.parent.relative_to(shared)) for run in runs]
    names = sortable([run.name for run in runs])
    links = {
        place / study / name: run for study, name, run in zip(studies, names, runs, strict=True)
    }
    for old in place.rglob("*"):
        if old.is_symlink() and (old not in links or not old.exists()):
            old.unlink()
    for new, run in links.items():
        new.parent.mkdir(parents=True, exist_ok=True)
        if not new.is_symlink():
            new.symlink_to(run)
    return len(links)


def show(pictures: Mapping[str, bytes], folder: Path) -> None:
    """Write the figures of a sweep for TensorBoard as a run named `_sweep`, replacing older ones.

    Args:
        pictures: name -> PNG.
        folder: of the study.
    """
    place = folder / "_sweep"
    shutil.rmtree(place, ignore_errors=True)
    writer = EventFileWriter(str(place))
    for name, png in pictures.items():
        width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))  # of its header
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        value = Summary.Value(tag=f"sweep/{name}", image=image)
        writer.add_event(Event(wall_time=time.time(), step=0, summary=Summary(value=[value])))
    writer.close()


_NUMBER = re.compile(r"(\w+)=(\d[\d.]*(?:e-\d+)?)(?=[,-])")


def _decimal(value: str) -> str:
    """A number without an exponent: `0.00003` for `3e-05`."""
    digits, _, power = value.partition("e-")
    places = len(digits.partition(".")[2]) + int(power or 0)
    return f"{float(value):.{places}f}" if power else value


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
        if not number:
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
