"""Base class of data sets that fit into memory."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor

from scaling.contracts.sizes import Sizes
from scaling.datamodules.batches import Batches, InOrder, gather, in_order
from scaling.seeds import generator_for


class Examples(NamedTuple):
    """Result of `load`: tensors whose first dimension counts examples, such as (x, labels)."""

    train: Sequence[Tensor]
    val: Sequence[Tensor]
    sizes: Sizes


class InMemory(L.LightningDataModule, ABC):
    """A data set of a few tensors, which a subclass returns from `load`.

    Every epoch visits the training examples once, in an order determined by the seed and the
    epoch. A batch holds rows of each training tensor.

    Args:
        batch: examples per optimizer step.
        microbatches: equal parts of a batch, for gradient accumulation.
        seed: draws the order of each epoch.
    """

    def __init__(self, *, batch: int, microbatches: int, seed: int):
        super().__init__()
        self.batch, self.microbatches, self.seed = batch, microbatches, seed

    @abstractmethod
    def load(self) -> Examples:
        """Return the training and validation tensors and their sizes.

        Called once for each run of a sweep, and again before it trains: cache slow steps.
        """

    @cached_property
    def examples(self) -> Examples:
        """The loaded tensors; later changes of files have no effect."""
        return self.load()

    @property
    def fingerprint(self) -> str:
        """Identity of the tensors: of types, shapes and content."""
        content = hashlib.sha256()
        for tensor in (*self.examples.train, *self.examples.val):
            content.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            content.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return content.hexdigest()

    @cached_property
    def batches(self) -> Batches:
        """The training batches, of all epochs."""
        train = self.examples.train
        return Batches(
            gather(*train),
            order=self._order,
            examples=len(train[0]),
            batch=self.batch,
            microbatches=self.microbatches,
        )

    def prepare(self) -> Sizes:
        """Load the tensors once and return the sizes that a model needs.

        Raises:
            ValueError: if the training examples do not fill one batch.
        """
        assert self.batches
        return self.examples.sizes

    def columns(self) -> dict[str, float]:
        """Columns for the row, such as `uniform_loss`; empty unless a subclass overrides it."""
        return {}

    def train_dataloader(self) -> Batches:
        return self.batches

    def val_dataloader(self) -> InOrder:
        return in_order(*self.examples.val)

    def _order(self, epoch: int) -> Tensor:
        draws = generator_for("order", self.seed, epoch)
        return torch.randperm(len(self.examples.train[0]), generator=draws)
