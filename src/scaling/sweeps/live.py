"""The view of a running sweep: a display on a terminal, elsewhere a line per cell that ends."""

import contextlib
import logging
import math
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scaling.config.cell import Cell
from scaling.contracts.metric import UNINFORMATIVE
from scaling.reporting.status import MARKS
from scaling.storage import heartbeats
from scaling.storage.heartbeats import Beat
from scaling.storage.run_state import RunState
from scaling.sweeps import console
from scaling.sweeps.pace import Pace, time_left

log = logging.getLogger(__name__)

EVERY = 1.0  # seconds between two drawings
MANY = 400  # cells from which drawings are rarer in proportion
SEARCHED = 100  # cells whose heartbeats are looked for each time; others wait for their turn
WORKERS = 8  # lines of workers; more are counted
WIDE = 72  # columns of a terminal that also shows the speed of each run
IN_GRID = ("batch", "lr", "seed")


class View(Protocol):
    """Shows the cells of a sweep as they end."""

    def ended(self, cell: Cell, state: RunState) -> None:
        """Show a cell that ended."""

    def say(self, line: str) -> None:
        """Show a message."""


@contextlib.contextmanager
def view(
    asked: Sequence[Cell],
    pace: Pace,
    labels: Mapping[Path, str],
    states: Mapping[Path, RunState],
    *,
    redrawn: bool,
) -> Iterator[View]:
    """Return the view of a sweep that fits the output of this command.

    Args:
        asked: all cells of the command.
        pace: of those to train; the view counts cells that end.
        labels: a name for each cell.
        states: of the cells before the sweep.
        redrawn: let a terminal show a display; else it gets lines, too.
    """
    output = Console()
    screen = output.is_terminal and not (output.is_dumb_terminal or output.is_jupyter)
    printed = sys.stdout.isatty()  # a terminal may also be claimed, by FORCE_COLOR
    if not (screen and printed and redrawn and pace.waiting):
        yield Lines(pace, labels)
        return
    display = Display(asked, pace, labels, states, output)
    live = Live(
        get_renderable=display.draw,
        console=output,
        refresh_per_second=1 / (EVERY * max(1.0, pace.total / MANY)),
        transient=True,
        vertical_overflow="crop",
    )
    with live:
        yield display


class Running:
    """The runs that train now, by their heartbeats since this sweep began."""

    def __init__(self, pace: Pace):
        self.pace, self.began = pace, time.time()
        self.searched, self.looked = 0, -math.inf
        self.beats: dict[Path, Beat] = {}
        self.began_any = False

    def look(self) -> dict[Path, Beat]:
        """Read the heartbeats of runs that trained last time, and of some others in turn."""
        if time.monotonic() - self.looked < EVERY / 2:
            return self.beats
        waiting = list(self.pace.waiting)
        first = self.searched % max(1, len(waiting))
        self.searched += SEARCHED
        folders = [*self.beats, *(waiting[first:] + waiting[:first])[:SEARCHED]]
        read = {each: heartbeats.read(each) for each in folders if each in self.pace.waiting}
        self.beats = {each: beat for each, beat in read.items() if beat and beat.time > self.began}
        self.began_any |= bool(self.beats)
        self.looked = time.monotonic()
        return self.beats


def shares(running: Mapping[Path, Beat]) -> dict[Path, float]:
    """The share of its steps that each run has taken."""
    return {folder: beat.step / beat.steps for folder, beat in running.items() if beat.steps}


class Lines:
    """Prints a line for each cell that ends, with the time left."""

    def __init__(self, pace: Pace, labels: Mapping[Path, str]):
        self.pace, self.labels, self.running = pace, labels, Running(pace)

    def ended(self, cell: Cell, state: RunState) -> None:
        self.pace.end(cell, state)
        line = console.line(cell, state, self.pace, self.labels)
        left = time_left(self.pace.left(shares(self.running.look())))
        self.say("  ".join(filter(None, [line, left])))

    def say(self, line: str) -> None:
        log.info("%s", line)


class Display:
    """A bar, a line for each run that trains, and the grid of losses so far.

    Cells that need attention are printed above it, others fill the grid.
    """

    def __init__(
        self,
        asked: Sequence[Cell],
        pace: Pace,
        labels: Mapping[Path, str],
        states: Mapping[Path, RunState],
        output: Console,
    ):
        self.pace, self.labels, self.output = pace, labels, output
        self.running = Running(pace)
        self.losses: dict[Path, float] = {}
        self.marks: dict[Path, str] = {}  # of cells that ended without a loss
        for folder, state in states.items():
            self._keep(folder, state)
        parts = {cell.folder: labels[cell.folder].split(",") for cell in asked}
        common = set.intersection(*map(set, parts.values())) if len(asked) > 1 else set()
        varying = {folder: [p for p in each if p not in common] for folder, each in parts.items()}
        self.names = {folder: ",".join(each) for folder, each in varying.items()}
        self.settings = {
            folder: ", ".join(p for p in each if p.partition("=")[0] not in IN_GRID)
            for folder, each in varying.items()
        }
        self.grids: dict[str, dict[tuple[int, float], list[Path]]] = {}
        for cell in asked:
            point = int(cell.config["batch"]), float(cell.config["lr"])
            grid = self.grids.setdefault(self.settings[cell.folder], {})
            grid.setdefault(point, []).append(cell.folder)
        self.shown = self.settings[next(iter(pace.waiting))]  # the setting whose grid is shown

    def ended(self, cell: Cell, state: RunState) -> None:
        self.pace.end(cell, state)
        self.shown = self.settings[cell.folder]
        self._keep(cell.folder, state)
        if state.status != "done":
            self.say(console.line(cell, state, self.pace, self.labels))

    def say(self, line: str) -> None:
        self.output.print(line, markup=False, highlight=False, soft_wrap=True)

    def draw(self) -> RenderableType:
        """Draw the view; called by a thread of its own."""
        running = self.running.look()
        parts: list[RenderableType] = [self._bar(running), self._workers(running)]
        grid = self._grid(running)
        if grid is not None:
            parts += [Text(), grid]
        return Group(*parts)

    def _keep(self, folder: Path, state: RunState) -> None:
        """Keep the loss of a cell that is done, or the mark of its state."""
        measured = state.row.measured if state.row is not None else {}
        if state.status == "done" and "val_loss" in measured and not measured.get(UNINFORMATIVE):
            self.losses[folder] = measured["val_loss"]
        elif state.status in MARKS:
            self.marks[folder] = MARKS[state.status]

    def _bar(self, running: Mapping[Path, Beat]) -> Table:
        done = self.pace.ended + sum(shares(running).values())
        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        line.add_row(
            Text(f"{self.pace.ended} of {self.pace.total} cells"),
            ProgressBar(total=self.pace.total, completed=done),
            Text(time_left(self.pace.left(shares(running)))),
        )
        return line

    def _workers(self, running: Mapping[Path, Beat]) -> RenderableType:
        if not running:
            return Text("" if self.running.began_any or self.pace.ended else "starting workers")
        lines = Table.grid(padding=(0, 2))
        lines.add_column(no_wrap=True, overflow="ellipsis")
        for _ in range(3):
            lines.add_column(no_wrap=True)
        for folder, beat in list(running.items())[:WORKERS]:
            speed = f"{beat.speed:.3g} steps/s" if beat.speed else ""
            lines.add_row(
                Text(self.names[folder]),
                Text(f"step {beat.step}/{beat.steps}" if beat.steps else "preparing"),
                Text("" if beat.loss is None else f"loss {beat.loss:.3f}"),
                Text(speed if self.output.width >= WIDE else ""),
            )
        if len(running) <= WORKERS:
            return lines
        return Group(lines, Text(f"and {len(running) - WORKERS} more"))

    def _grid(self, running: Mapping[Path, Beat]) -> RenderableType | None:
        """Mean losses over seeds, of the cells of one setting."""
        title = self.shown
        points = self.grids[title]
        batches, lrs = (sorted(set(values)) for values in zip(*points, strict=True))
        if len(points) < 2:
            return None
        names = [f"{lr:g}" for lr in lrs]
        width = 7 + sum(2 + max(5, len(name)) for name in names)
        height = 4 + min(len(running), WORKERS) + len(batches)
        if width > self.output.width or height > self.output.height:
            return None
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(1 + len(lrs)):
            grid.add_column(justify="right", no_wrap=True)
        grid.add_row("batch", *[f"lr {names[0]}", *names[1:]])
        for batch in batches:
            row = [self._entry(points.get((batch, lr), []), running) for lr in lrs]
            grid.add_row(str(batch), *row)
        shown = "" if MARKS["done"] in self.marks.values() else "validation loss"
        caption = Text(", ".join(filter(None, [shown, title])), style="dim")
        return Group(caption, grid)

    def _entry(self, here: Sequence[Path], running: Mapping[Path, Beat]) -> Text:
        losses = [self.losses[folder] for folder in here if folder in self.losses]
        waiting = [folder for folder in here if folder in self.pace.waiting]
        if losses:
            mean = f"{statistics.fmean(losses):.3f}"
            return Text(mean, style="dim" if waiting else "")  # dim until its last seed ended
        if waiting:
            trains = any(folder in running for folder in waiting)
            return Text(MARKS["running" if trains else "waiting"])
        return Text(
            "".join(sorted({self.marks[folder] for folder in here if folder in self.marks}))
        )
