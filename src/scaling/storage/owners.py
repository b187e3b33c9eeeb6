"""The process of a sweep command: alive as long as it locks its plan."""

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.storage import heartbeats, locks
from scaling.storage.rows import ROW_FILE


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The process of a command that trains cells now."""

    host: str
    pid: int
    since: float  # seconds since the epoch
    heard: float | None = None  # seconds since a sign of life, if its lock is not visible here

    def __str__(self) -> str:
        """Such as `pid 42 on node7 since 14:03:22`."""
        began = time.localtime(self.since)
        recent = time.time() - self.since < 12 * 3600  # its time of day is unambiguous
        text = f"pid {self.pid} on {self.host} since " + time.strftime(
            "%H:%M:%S" if recent else "%Y-%m-%d %H:%M", began
        )
        if self.heard is not None:
            text += f", last heard of {self.heard:.0f} s ago"
        return text


def owner(plan: Path, written: Mapping[str, Any]) -> Owner | None:
    """The process that wrote a plan, if it is alive.

    A process of another host whose lock is not visible counts as alive if one of its cells gave a
    sign of life, a heartbeat or a row, in the last `heartbeats.SILENT` seconds.

    Args:
        plan: its file.
        written: its content.
    """
    holder = written.get("owner")
    if not isinstance(holder, Mapping) or not {"host", "pid", "since"} <= holder.keys():
        return None  # of an earlier version
    host, pid, since = str(holder["host"]), int(holder["pid"]), float(holder["since"])
    if locks.is_locked(plan):
        return Owner(host=host, pid=pid, since=since)
    if host == socket.gethostname():
        return None
    folders = (plan.parents[1] / str(cell["run"]) for cell in written["cells"])
    heard = time.time() - max([since, *(sign for each in folders for sign in _signs(each))])
    if heard >= heartbeats.SILENT:
        return None
    return Owner(host=host, pid=pid, since=since, heard=max(0.0, heard))


def _signs(folder: Path) -> Iterator[float]:
    """Times of the heartbeat and of the row of a run, in seconds since the epoch."""
    if (beat := heartbeats.read(folder)) is not None:
        yield beat.time
    if (folder / ROW_FILE).exists():
        yield (folder / ROW_FILE).stat().st_mtime


def waiting(plan: Path, written: Mapping[str, Any]) -> set[str]:
    """The runs that a live command trains or is going to train: they have no row since its start.

    Args:
        plan: its file.
        written: its content.
    """
    began = plan.stat().st_mtime_ns

    def ended(run: str) -> bool:
        try:
            return (plan.parents[1] / run / ROW_FILE).stat().st_mtime_ns >= began
        except FileNotFoundError:
            return False

    wanted = (str(cell["run"]) for cell in written["cells"] if cell.get("train"))
    return {run for run in wanted if not ended(run)}
