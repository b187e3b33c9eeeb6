"""Windows of time series, to train a source model on or to adapt it to without labels."""

import math
import zlib
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from scaling.contracts.labeled import Labeled, unigram_loss
from scaling.contracts.limits import check_choice, check_least
from scaling.contracts.scores import window_scores
from scaling.contracts.sizes import Sizes
from scaling.contracts.words import counted
from scaling.datamodules.batches import Batches, InOrder, gather, in_order
from scaling.datamodules.passes import Passes, doubling
from scaling.datamodules.population import Population
from scaling.seeds import generator_for

TRAIN_ON = ("source", "query")


class Windows(L.LightningDataModule):
    """Classify windows, before and after a shift.

    With `train_on=source` a model is trained on the labeled windows of all clients. `val` is the
    source, windows of the same distribution; `test` is the held-out windows after the shift.

    With `train_on=query` a model is adapted to the query. Batches are `(windows,)`, without labels,
    in training and in the evaluated splits: `val`, the held-out windows after the same shift,
    `query` and `source`. Labels are only used in `scores`, `changes` and `right`. An epoch is a
    pass over all windows of the query, whose last batch may be shorter.

    With `growth` the batch doubles from `batch` to `growth` within `growth_passes` (`doubling`).

    Args:
        batch: windows per optimizer step; of the first pass, if it grows.
        microbatches: equal parts of a batch, for gradient accumulation; 1 on a query.
        seed: draws the order of each epoch or pass.
        path: file or folder of the data; null looks into $SCALING_DATA. Must be null if the data
            are drawn.
        train_on: `source` or `query`.
        fold: number of the query, from 0.
        growth: batch of the last passes; null for no growth.
        growth_passes: number of passes in which it grows.
        population: offers `draw(path, fold)`, a `Population`, and `fingerprint(path)`.

    Raises:
        ValueError: for a value out of range or a file that cannot be used, naming its key.
    """

    def __init__(
        self,
        *,
        batch: int,
        microbatches: int,
        seed: int,
        path: str | None,
        train_on: str,
        fold: int,
        growth: int | None,
        growth_passes: int,
        population: Any,
    ):
        super().__init__()
        check_choice(TRAIN_ON, train_on=train_on)
        check_least(0, fold=fold)
        if train_on == "query" and microbatches != 1:
            raise ValueError(
                f"microbatches={microbatches} must be 1 on a query; the diversity of a batch is "
                "not the mean of its parts"
            )
        if growth is not None and train_on != "query":
            raise ValueError(f"growth={growth} must be null unless train_on=query")
        self.growing = None if growth is None else doubling(batch, growth, growth_passes)
        self.batch, self.microbatches, self.seed, self.path = batch, microbatches, seed, path
        self.train_on, self.fold, self.populations = train_on, fold, population
        self.growth_passes = growth_passes
        self.loaded: str | None = None  # fingerprint of the loaded data
        self.sizes: Sizes | None = None

    @property
    def fingerprint(self) -> str:
        """Identity of the content: of the loaded data, else of the files now."""
        return str(self.loaded or self.populations.fingerprint(self.path))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how files were read, and on files that are not the reference."""
        return self._population.notes if self.sizes else ()

    def prepare(self) -> Sizes:
        """Draw or load the windows once, check for leaks, and return the sizes of windows.

        Later changes of the files have no effect.

        Raises:
            ValueError: if there are fewer windows than a batch, or windows leak.
        """
        if self.sizes is not None:
            return self.sizes
        self.loaded = self.populations.fingerprint(self.path)
        self._population: Population = self.populations.draw(self.path, self.fold)
        trained = self._population.pooled
        if self.train_on == "query":
            self.batches: Batches | Passes = self._passes(self._population.query.windows)
        else:
            self.batches = Batches(
                gather(*trained),
                order=lambda epoch: self._order(len(trained.labels), epoch),
                examples=len(trained.labels),
                batch=self.batch,
                microbatches=self.microbatches,
            )
        length, features = trained.windows.shape[1:]
        self.sizes = Sizes(features, self._population.classes, length)
        return self.sizes

    def check_growth(self, updates: int) -> None:
        """Check that growing batches reach their last size.

        Raises:
            ValueError: if they do not in this number of updates.
        """
        if self.growing is None:
            return
        before = self.batches.updates(self.growing.index(self.growing[-1]))
        if updates <= before:
            raise ValueError(
                f"growth={self.growing[-1]} is reached after {counted(before, 'update')}, but the "
                f"run has {updates}; choose fewer than growth_passes={self.growth_passes}, or a "
                "longer run"
            )

    @property
    def clients(self) -> tuple[Labeled, ...]:
        """Windows and labels of each client, to train a source model on."""
        return self._population.clients

    @property
    def source(self) -> Labeled:
        """Windows and labels of the clients' distribution, not trained on."""
        return self._population.source

    @property
    def query(self) -> Float[Tensor, "n length features"]:
        """All windows to adapt to."""
        return self._population.query.windows

    def columns(self) -> dict[str, int | float]:
        """Sizes, trivial losses and results of leak checks, which need no model.

        Losses are in nats: `uniform_loss`, and `unigram_loss` of the frequencies of the clients'
        labels on `val`; `source_unigram_loss` is the same on the source. `growth` and
        `growth_passes` are missing if the batch does not grow. `best_accuracy` is the best possible
        accuracy on the query's distribution, if known. Runs with the same `query_checksum` (CRC-32)
        adapt to the same windows.
        """
        population, classes = self._population, self._population.classes
        trained = population.pooled.labels
        columns: dict[str, int | float] = {
            "fold": self.fold,
            "classes": classes,
            "clients": len(population.clients),
            "client_windows": len(trained),
            "source_windows": len(population.source.labels),
            "query_windows": len(population.query.labels),
            "heldout_windows": len(population.heldout.labels),
            "query_checksum": zlib.crc32(population.query.windows.numpy().tobytes()),
            "uniform_loss": math.log(classes),
            "unigram_loss": unigram_loss(trained, self._splits()["val"].labels, classes),
            "source_unigram_loss": unigram_loss(trained, population.source.labels, classes),
        }
        if self.growing is not None:
            columns |= {"growth": self.growing[-1], "growth_passes": self.growth_passes}
        if population.best_accuracy is not None:
            columns["best_accuracy"] = population.best_accuracy
        if population.best_accuracy_se is not None:
            columns["best_accuracy_se"] = population.best_accuracy_se
        return columns | population.checks

    def scores(self, split: str, logits: Float[Tensor, "n classes"]) -> dict[str, float]:
        """Scores of the logits of a split against its labels (`window_scores`).

        Args:
            split: `val`, `query` or `source`; `val` or `test` if `train_on=source`.
            logits: of all windows of the split, in the order of its loader.
        """
        return window_scores(logits, self._splits()[split].labels.to(logits.device))

    def changes(self, split: str, before: Sequence[int], now: Sequence[int]) -> dict[str, float]:
        """Numbers of windows of a split that became right, `won`, and wrong, `lost`.

        Args:
            split: as for `scores`.
            before: predicted class of each window, in the order of its loader.
            now: the same, later.
        """
        was, remains = self.right(split, before), self.right(split, now)
        return {"won": float((remains & ~was).sum()), "lost": float((was & ~remains).sum())}

    def right(self, split: str, classes: Sequence[int]) -> Bool[np.ndarray, " n"]:
        """Whether the prediction for each window of a split is right.

        For recording, not for modules: with two classes it reveals the labels.

        Args:
            split: as for `scores`.
            classes: predicted class of each window, in the order of its loader.
        """
        return self._splits()[split].labels.numpy() == np.asarray(classes)

    def setup(self, stage: str) -> None:
        self.prepare()
        if (
            self.growing and self.trainer is not None
        ):  # else all passes would have the first one's length
            self.trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]

    def train_dataloader(self) -> Batches | Passes:
        if self.growing and self.trainer is not None:
            self.batches.set_epoch(self.trainer.current_epoch)  # Lightning asks for its length now
        return self.batches

    def val_dataloader(self) -> dict[str, InOrder]:
        """The windows of each split; with labels only if `train_on=source`."""
        labeled = self.train_on == "source"
        return {
            name: in_order(*(split if labeled else (split.windows,)))
            for name, split in self._splits().items()
        }

    def _splits(self) -> dict[str, Labeled]:
        source, query, heldout = (
            getattr(self._population, name) for name in ("source", "query", "heldout")
        )
        if self.train_on == "source":
            return {"val": source, "test": heldout}
        return {"val": heldout, "query": query, "source": source}

    def _passes(self, windows: Float[Tensor, "n length features"]) -> Passes:
        largest = self.batch if self.growing is None else self.growing[-1]
        if largest > len(windows):
            key = f"batch={largest}" if self.growing is None else f"growth={largest}"
            raise ValueError(
                f"{key} exceeds the {len(windows)} windows of the query; choose at most "
                f"{len(windows)}"
            )
        return Passes(
            gather(windows),
            order=lambda number: self._order(len(windows), number),
            windows=len(windows),
            sizes=self.growing or (self.batch,),
        )

    def _order(self, windows: int, epoch: int) -> Integer[Tensor, " windows"]:
        return torch.randperm(windows, generator=generator_for("order", self.seed, epoch))
