"""Gaussian inputs, with gradients of a known law to inject at the outputs of a net."""

from functools import lru_cache

import lightning as L
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from scaling.contracts.limits import check_choice, check_least
from scaling.contracts.metric import UNINFORMATIVE
from scaling.contracts.sizes import Sizes
from scaling.datamodules.batches import Batches, InOrder, in_order
from scaling.seeds import seed_for

VERSION = "injected-1"  # change it when examples are drawn differently
LAWS = ("normal", "cauchy")


class Injected(L.LightningDataModule):
    """Examples of an input and of a gradient with respect to the outputs, both random.

    Inputs are N(0, I). Gradients are independent of them and of each other, with the standard
    normal or the standard Cauchy law, whose tail index is 1. Every epoch has new examples.

    Args:
        batch: examples per optimizer step.
        microbatches: equal parts of a batch, for gradient accumulation.
        seed: draws the examples.
        path: must be null; there are no files.
        law: of the gradients, `normal` or `cauchy`.
        inputs: features of an example.
        outputs: gradients of an example.
        examples_per_epoch: that are drawn at a time.
        val_examples: to validate on, the same for all runs; their mean loss means nothing.

    Raises:
        ValueError: for a value out of range, naming its key.
    """

    def __init__(
        self,
        *,
        batch: int,
        microbatches: int,
        seed: int,
        path: str | None,
        law: str,
        inputs: int,
        outputs: int,
        examples_per_epoch: int,
        val_examples: int,
    ):
        super().__init__()
        if path is not None:
            raise ValueError(f"path={path} must be null; these data are drawn, not read")
        check_choice(LAWS, law=law)
        check_least(
            1,
            inputs=inputs,
            outputs=outputs,
            examples_per_epoch=examples_per_epoch,
            val_examples=val_examples,
        )
        self.batch, self.microbatches, self.seed, self.law = batch, microbatches, seed, law
        self.inputs, self.outputs = inputs, outputs
        self.examples_per_epoch, self.val_examples = examples_per_epoch, val_examples

    @property
    def fingerprint(self) -> str:
        """Version of the drawing of examples; the rest of the identity is in the config."""
        return VERSION

    def prepare(self) -> Sizes:
        """Prepare the batches and return the sizes of an example.

        Raises:
            ValueError: if an epoch has fewer examples than a batch.
        """
        self.batches = Batches(
            self._examples,
            order=self._order,
            examples=self.examples_per_epoch,
            batch=self.batch,
            microbatches=self.microbatches,
        )
        return Sizes(self.inputs, self.outputs, 1)

    def columns(self) -> dict[str, float]:
        """A column that marks the loss as meaningless, because its gradients are drawn."""
        return {UNINFORMATIVE: 1.0}

    def setup(self, stage: str) -> None:
        self.prepare()

    def train_dataloader(self) -> Batches:
        return self.batches

    def val_dataloader(self) -> InOrder:
        return in_order(*self._drawn(self.val_examples, seed_for("data")))

    def _order(self, epoch: int) -> Integer[Tensor, " examples"]:
        return epoch * self.examples_per_epoch + torch.arange(self.examples_per_epoch)

    def _examples(self, rows: Integer[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        epoch = int(rows[0]) // self.examples_per_epoch
        drawn = self._drawn(self.examples_per_epoch, seed_for("data", self.seed, epoch))
        inputs, gradients = (part[rows % self.examples_per_epoch] for part in drawn)
        return inputs, gradients

    def _drawn(self, examples: int, seed: int) -> tuple[Tensor, Tensor]:
        return _examples(self.law, examples, self.inputs, self.outputs, seed)


@lru_cache(maxsize=2)
def _examples(
    law: str, examples: int, inputs: int, outputs: int, seed: int
) -> tuple[Float[Tensor, "examples inputs"], Float[Tensor, "examples outputs"]]:
    """Inputs and gradients of an epoch."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(examples, inputs, generator=draws)
    gradients = torch.empty(examples, outputs)
    if law == "normal":
        return x, gradients.normal_(generator=draws)
    return x, gradients.cauchy_(generator=draws)
