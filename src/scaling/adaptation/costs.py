"""Seconds and peak memory of each epoch's training, without its validation."""

import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn

STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # of Linux


class Costs(L.Callback):
    """Log `pass_seconds` and `pass_memory_mib`, the peak memory, of each epoch of training.

    On a GPU the peak counts PyTorch's allocations. On a CPU it counts the whole process, including
    the interpreter and libraries. It is missing on systems that do not report it or cannot reset
    it.
    """

    def __init__(self) -> None:
        self.before = 0.0  # seconds of this epoch before the run was resumed
        self.started = time.perf_counter()
        self.clear = False
        self.epochs: list[float] = []  # seconds of each finished epoch
        self.most = 0.0  # bytes, of any epoch

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._lasted(), "epochs": list(self.epochs), "most": self.most}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.before, self.epochs, self.most = state["seconds"], state["epochs"], state["most"]

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._begin(module.device)

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.before = 0.0  # not called if a run is resumed within an epoch
        self._begin(module.device)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.lasted, self.peak = self._lasted(), self._peak(module.device)

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        self.epochs.append(self.lasted)
        module.log("pass_seconds", self.lasted)
        if self.peak is not None:
            self.most = max(self.most, self.peak)
            module.log("pass_memory_mib", self.peak / 2**20)

    def columns(self) -> dict[str, float]:
        """Mean seconds and peak memory over the epochs; missing if not measured."""
        seconds = {"pass_seconds": sum(self.epochs) / len(self.epochs)} if self.epochs else {}
        peak = self.most / 2**20
        return seconds | ({"pass_memory_mib": peak} if peak else {})

    def _lasted(self) -> float:
        return self.before + time.perf_counter() - self.started

    def _begin(self, device: torch.device) -> None:
        self.started = time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            REFS.write_text("5")  # resets the peak to the memory in use now
            self.clear = True
        except OSError:
            self.clear = False

    def _peak(self, device: torch.device) -> float | None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            return float(torch.cuda.max_memory_allocated(device))
        if device.type != "cpu" or not self.clear:
            return None
        lines = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
        return float(lines[0].split()[1]) * 1024 if lines else None
