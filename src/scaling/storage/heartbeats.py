"""The heartbeat of a running run: its progress, for display."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scaling.contracts.atomic_write import atomic_write

FILE = ".beat.json"
SILENT = 120  # seconds without a heartbeat after which a process may hang or be dead


@dataclass(frozen=True, kw_only=True)
class Beat:
    """The progress of a run, for display only."""

    time: float  # when it was written, in seconds since the epoch
    step: int  # optimizer steps taken
    steps: int | None = None  # optimizer steps in all; None until known
    speed: float | None = None  # optimizer steps per second of this process
    loss: float | None = None  # of the last training batch; None if it is not finite


def write(
    folder: Path,
    *,
    step: int,
    steps: int | None = None,
    speed: float | None = None,
    loss: float | None = None,
) -> None:
    """Write the heartbeat atomically; errors such as a full disk are ignored.

    Not fsynced: losing one in a crash is harmless.
    """
    beat = Beat(time=time.time(), step=step, steps=steps, speed=speed, loss=loss)
    with contextlib.suppress(OSError), atomic_write(folder / FILE, durable=False) as draft:
        draft.write_text(json.dumps(asdict(beat)))


def read(folder: Path) -> Beat | None:
    """The last heartbeat of a run that has not ended; None if absent."""
    try:
        return Beat(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def outlived(folder: Path, row: Path) -> bool:
    """Whether a heartbeat is newer than the row, which means that a later attempt was killed.

    Args:
        folder: folder of the run.
        row: file of its row.
    """
    try:
        return (folder / FILE).stat().st_mtime_ns > row.stat().st_mtime_ns
    except OSError:
        return False


def end(folder: Path) -> None:
    """Remove the heartbeat of a run that has a row."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink(missing_ok=True)
