"""Train one cell and write its row."""

import contextlib
import datetime
import logging
import math
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from scaling.callbacks.checkpoint import Resumable
from scaling.callbacks.heartbeat import Heartbeat
from scaling.callbacks.progress import Progress
from scaling.callbacks.signal_handlers import OwnHandlers
from scaling.config import schema
from scaling.config.cell import Cell, build, keys_of
from scaling.contracts.columns import NOTES, Status
from scaling.contracts.protocols import Noted, Observer, RunData
from scaling.contracts.words import counted
from scaling.runs import denormals, parts, provenance, signals, task, tensorboard, threads
from scaling.runs.folder import CHECKPOINT, Checkpoint, clear, keep_config, read_checkpoint
from scaling.runs.signals import Interrupted
from scaling.storage import heartbeats
from scaling.storage.rows import Row, write_row

log = logging.getLogger(__name__)
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # without its tips

TRACEBACK = "traceback.txt"
BEAT = 2.0  # seconds between heartbeats of a run
LOGGED = ("val_", "test_", "train_accuracy", "query_", "source_")  # metrics that a row has


def rehearse(cell: Cell) -> None:
    """Build everything that `run` will build, without training.

    Raises:
        ValueError: for values that only the built part can check, such as a batch larger than the
            data.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _build(cell, Path("."), bar=False)
    except ValueError:
        raise
    except Exception as error:  # libraries raise various errors for bad values
        raise ValueError(f"{cell.name}: {type(error).__name__}: {error}") from error


def size(cell: Cell) -> tuple[int, int]:
    """Training examples and optimizer steps of a cell."""
    with keys_of(cell.config["data"], "data"):
        data = build(cell.config["data"], "data")
        data.prepare()
    steps = _steps(cell.config, data)
    return int(data.batches.examples(steps)), steps


@denormals.flushed()
def run(cell: Cell, *, bar: bool, fresh: bool = False) -> Row:
    """Train a cell in its folder and write its row, also after an error.

    A run that was killed or interrupted resumes from its checkpoint, with the same result as one
    that was never interrupted. One that raised an error starts from the beginning.

    Args:
        cell: held by this process.
        bar: show a progress bar.
        fresh: start from the beginning, even if there is a checkpoint.

    Raises:
        Interrupted: after the row is written, for Ctrl-C and SIGTERM.
        OSError: if the row cannot be written.
    """
    folder = cell.folder
    measured: dict[str, float] = {}
    where: dict[str, Any] = {"start": _now()}
    stopped_by, cause = None, None
    heartbeats.write(folder, step=0)
    try:
        resumed = None if fresh else read_checkpoint(folder)
        if resumed is None:
            clear(folder)
            keep_config(cell, folder)
        status, error = _fit(cell, folder, measured, where, bar, resumed), None
    except BaseException as caught:
        stopped_by, cause = signals.behind(caught), caught
        status = "interrupted" if stopped_by else "failed"
        error = f"{type(caught).__name__}: {caught}".strip(": ") if not stopped_by else None
        if not stopped_by:
            (folder / TRACEBACK).write_text(traceback.format_exc())
    with signals.held_back():
        written = row_of(cell, where, status=status, error=error, measured=measured)
        write_row(written, folder)
        if not stopped_by:
            (folder / CHECKPOINT).unlink(missing_ok=True)
        heartbeats.end(folder)
    if stopped_by:
        raise Interrupted(stopped_by) from cause
    return written


def row_of(cell: Cell, where: Mapping[str, Any], *, status: Status, **parts: Any) -> Row:
    """The row of a cell; `parts` are its error and what was measured.

    Args:
        cell: that was trained.
        where: `start`, when it started, and number of `threads`, as far as known.
        status: how it ended.
        parts: `error`, `measured`.
    """
    where = {**where, "end": _now(), **provenance.here()}
    return Row(
        study=cell.config["study"],
        run=cell.name,
        digest=cell.digest,
        status=status,
        model=cell.choices["model"],
        data=cell.choices["data"],
        optimizer=cell.choices["optimizer"],
        protocol=schema.protocol(cell.config)[0],
        config=cell.config | {"clip": schema.clip(cell.config)},
        provenance={**where, "data": cell.fingerprint},
        **parts,
    )


def _fit(
    cell: Cell,
    folder: Path,
    measured: dict[str, float],
    where: dict[str, Any],
    bar: bool,
    resumed: Checkpoint | None,
) -> Status:
    """Train and validate, and fill `measured` with what was measured, also after an error.

    Args:
        cell: to be trained.
        folder: of the run.
        measured: column -> number, filled in here.
        where: gets the number of `threads`.
        bar: show a progress bar.
        resumed: the checkpoint to resume from; None to start from the beginning.

    Returns:
        `done`, or `diverged` if a loss was not finite.
    """
    L.seed_everything(cell.config["seed"], workers=True, verbose=False)
    data, module, trainer = _build(cell, folder, bar, resumed)
    if resumed:
        log.info("%s continues from step %d", cell.name, resumed.step)
    (saver,) = [part for part in trainer.callbacks if isinstance(part, Resumable)]  # type: ignore[attr-defined]
    where["threads"] = saver.threads
    if isinstance(data, Noted) and data.notes:
        where[NOTES] = "; ".join(data.notes)
    with threads.on(saver.threads):
        return _train(cell, folder, (data, module, trainer), measured, resumed is not None)


def _train(
    cell: Cell,
    folder: Path,
    built: tuple[RunData, L.LightningModule, L.Trainer],
    measured: dict[str, float],
    resumed: bool,
) -> Status:
    """Train and validate a run after it is built."""
    data, module, trainer = built
    datamodule: Any = data  # `parts.check_data` checked its type
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    observers = [part for part in (data, module, *callbacks) if isinstance(part, Observer)]
    (saver,) = [callback for callback in callbacks if isinstance(callback, Resumable)]
    shown = tensorboard.hyperparameters(cell.config, cell.choices, schema.clip(cell.config))
    measured |= task.begin(cell.config, data, module, folder)
    tensorboard.begin(trainer.loggers, shown)
    try:
        path = folder / CHECKPOINT if resumed else None
        with _known_warnings():
            if not resumed and task.adapts(module):
                trainer.validate(module, datamodule=datamodule, verbose=False)
            trainer.fit(module, datamodule=datamodule, ckpt_path=path, weights_only=True)
        measured["seconds"] = saver.lasted
        with _known_warnings():  # Lightning does not validate if max_steps ends an epoch early
            trainer.validate(module, datamodule=datamodule, verbose=False)
    finally:
        measured.setdefault("seconds", saver.lasted)
        measured["steps"] = trainer.global_step
        measured["examples"] = data.batches.examples(trainer.global_step)
        measured["parameters"] = sum(p.numel() for p in module.parameters())
        for name, value in trainer.callback_metrics.items():
            if name.startswith(LOGGED):
                measured[name] = float(value)
        for observer in observers:
            measured.update(parts.columns(observer))
    finite = math.isfinite(measured.get("val_loss", math.nan))
    done = finite and "diverged_step" not in measured
    tensorboard.conclude(trainer.loggers, measured, diverged=not done)
    return "done" if done else "diverged"


def _build(
    cell: Cell, folder: Path, bar: bool, resumed: Checkpoint | None = None
) -> tuple[RunData, L.LightningModule, L.Trainer]:
    """Data, module and trainer of a cell, ready to fit."""
    settings = cell.config
    with keys_of(settings["data"], "data"):
        data = build(settings["data"], "data")
        sizes = data.prepare()
    parts.check_data(data, sizes)
    if data.fingerprint != cell.fingerprint:
        raise ValueError(
            f"{cell.name}: its data have changed since the command started; run it again"
        )
    steps = _steps(settings, data)
    module = task.module(settings, data, sizes, steps=steps)
    module.configure_optimizers()  # raise its errors now
    nodes = [(f"callbacks.{name}", node) for name, node in (settings["callbacks"] or {}).items()]
    callbacks = [parts.callback(node, path, steps) for path, node in nodes if node is not None]
    callbacks += [*task.observers(module, data), OwnHandlers(signals.raise_dropped)]
    callbacks.append(Heartbeat(folder, seconds=BEAT))
    parts.check_callbacks(callbacks)
    number = resumed.threads if resumed and resumed.threads else _threads(settings, data, module)
    if resumed and settings["threads"] not in (None, number):
        log.info("threads=%s has no effect on a resumed run; this one continues on %s",
                 settings["threads"], counted(number, "thread"))  # fmt: skip
    callbacks.append(Resumable(folder / CHECKPOINT, seconds=settings["save_every"], threads=number))
    clip, logger = schema.clip(settings), settings["logger"]
    place: dict[str, Any] = {"save_dir": str(folder)}
    if resumed is not None and "TensorBoard" in logger.get("_target_", ""):
        place["purge_step"] = resumed.step  # steps after the checkpoint are logged again
    trainer = build(
        settings["trainer"],
        "trainer",
        max_steps=steps,
        max_epochs=-1,
        gradient_clip_val=None if math.isinf(clip) else clip,
        callbacks=[*callbacks, Progress()] if bar else callbacks,
        logger=build(logger, "logger", **place) if logger else False,
        default_root_dir=str(folder),
        # one process, whatever a job's environment says; only submitit requeues
        plugins=settings["trainer"].get("plugins") or [LightningEnvironment()],
        num_sanity_val_steps=0,
        enable_checkpointing=True,  # with our own callback, see Resumable
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if trainer.log_dir is not None and Path(trainer.log_dir).resolve() != folder.resolve():
        raise ValueError(
            f"logger writes into {trainer.log_dir}, where the tables of this run are not read; "
            "leave out name, version and sub_dir of the logger"
        )
    return data, module, trainer


def _steps(settings: Mapping[str, Any], data: RunData) -> int:
    """Optimizer steps of a run, from its fixed duration."""
    protocol, count = schema.protocol(settings)
    if protocol == "epochs":
        return int(data.batches.updates(count))
    if protocol == "examples":
        return int(data.batches.updates_for(count))
    return count


def _threads(settings: Mapping[str, Any], data: RunData, module: L.LightningModule) -> int:
    """Threads of a run that starts from the beginning."""
    weights = sum(parameter.numel() for parameter in module.parameters())
    return threads.number(
        settings["threads"],
        work=weights * settings["batch"] * data.prepare().length / data.microbatches,
        worth=settings["threads_from"],
        most=torch.get_num_threads(),
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def _known_warnings() -> Iterator[None]:
    """Silence Lightning's warnings about what is intended here."""
    with warnings.catch_warnings():
        for message in (
            "Detected call of `lr_scheduler.step",  # if a scaler skipped the first steps
            "The number of training batches",  # is smaller than the logging interval
            ".*treespec, LeafSpec.* is deprecated",  # Lightning 2.6 with torch 2.13
        ):
            warnings.filterwarnings("ignore", message)
        yield
