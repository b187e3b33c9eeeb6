"""The heartbeat of a run that is being trained: how far it is, for people to look at."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scaling.contracts.atomic_write import atomic_write

FILE = ".beat.json"


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A sign of life. It says nothing about the result, and ends with the run."""

    time: float  # when it was given, in seconds of the epoch
    step: int  # optimizer steps taken
    steps: int | None = None  # optimizer steps in all; None until they are known
    speed: float | None = None  # optimizer steps per second since this process took the run up


def write(folder: Path, *, step: int, steps: int | None = None, speed: float | None = None) -> None:
    """Write the heartbeat, whole or not at all; a full disk is no reason to end a run.

    Not durable: losing one in a crash is harmless.
    """
    beat = Beat(time=time.time(), step=step, steps=steps, speed=speed)
    with (
        contextlib.suppress(OSError),
        atomic_write(folder / FILE, durable=False) as draft,
    ):
        draft.write_text(json.dumps(asdict(beat)))


def read(folder: Path) -> Beat | None:
    """The last sign of life of a run that has begun and has not ended; None where there is none."""
    try:
        return Beat(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def outlived(folder: Path, row: Path) -> bool:
    """Whether a run has begun anew since its row was written, and was killed.

    Args:
        folder: of the run.
        row: its row's file.
    """
    try:
        return (folder / FILE).stat().st_mtime_ns > row.stat().st_mtime_ns
    except OSError:
        return False


def end(folder: Path) -> None:
    """Take the heartbeat away: the run has a row now."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink(missing_ok=True)
