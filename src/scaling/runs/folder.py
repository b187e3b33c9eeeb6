"""A run's folder: its config and its checkpoint."""

import logging
import shutil
from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import OmegaConf

from scaling.callbacks.checkpoint import Resumable
from scaling.config.cell import Cell
from scaling.storage import heartbeats, locks
from scaling.storage.rows import ROW_FILE

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.ckpt"


class Checkpoint(NamedTuple):
    """A checkpoint that a run resumes from."""

    step: int  # optimizer steps
    threads: int | None  # None in those of an earlier version


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Read a run's checkpoint; None if absent.

    An unreadable checkpoint is set aside, and the run starts from the beginning.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        state = saved["callbacks"].get(Resumable.__qualname__, {})
        return Checkpoint(int(saved["global_step"]), state.get("threads"))
    except Exception as error:  # a damaged or foreign file may raise anything
        aside = folder.with_name(f"{folder.name}.corrupt.ckpt")
        path.replace(aside)
        log.warning("%s cannot be read (%s); set aside as %s; the run starts again",
                    path, type(error).__name__, aside.name)  # fmt: skip
        return None


def clear(folder: Path) -> None:
    """Create the run's folder, or remove the files of an unfinished attempt, except the row.

    The old row stays until the new one replaces it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in (ROW_FILE, locks.FILE, heartbeats.FILE):
            entry.unlink()


def keep_config(cell: Cell, folder: Path) -> None:
    """Write `.hydra`, as Hydra does: the composed config and the typed overrides."""
    place = folder / ".hydra"
    place.mkdir()
    (place / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(cell.composed)))
    (place / "overrides.yaml").write_text(OmegaConf.to_yaml(list(cell.overrides)))
