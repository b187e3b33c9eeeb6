"""Tokens of a Markov source, whose entropy rate is the lowest loss that a model can reach."""

import math
from functools import lru_cache
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from scaling.contracts.limits import check_least
from scaling.contracts.sizes import Sizes
from scaling.datamodules.batches import Batches, InOrder, in_order
from scaling.seeds import generator_for, seed_for

VERSION = "markov-1"  # change it when sequences are drawn differently
VAL_BATCH = 64  # sequences at a time; no number depends on it


class Markov(L.LightningDataModule):
    """Predict the next token of a first-order Markov source.

    Each row of its transition matrix is drawn from a symmetric Dirichlet distribution. With
    `concentration=inf` every row is uniform: tokens are independent, there is nothing to learn, and
    a training loss below ln V is memorisation. Sequences start in the stationary distribution, so
    the expected loss of the true source is its entropy rate at every position.

    An epoch has `sequences` sequences: new ones in each epoch of an endless stream, else the same
    ones in a new order.

    Args:
        batch: sequences per optimizer step.
        microbatches: equal parts of a batch, for gradient accumulation.
        seed: draws the stream, or the order of a finite set.
        path: must be null; there are no files.
        vocabulary: number of different tokens V.
        context: tokens per sequence that are predicted.
        concentration: concentration of the Dirichlet distribution; smaller is more predictable.
        sequences: sequences of an epoch.
        endless: whether each epoch has new sequences.
        val_windows: sequences to validate on, the same for all runs.
        source_seed: draws the transition matrix, the finite set, and the validation sequences.

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
        vocabulary: int,
        context: int,
        concentration: float,
        sequences: int,
        endless: bool,
        val_windows: int,
        source_seed: int,
    ):
        super().__init__()
        if path is not None:
            raise ValueError(f"path={path} must be null; these data are drawn, not read")
        if not concentration > 0:
            raise ValueError(
                f"concentration={concentration} must be positive; inf makes tokens independent"
            )
        if vocabulary < 2:
            raise ValueError(
                f"vocabulary={vocabulary} must be at least 2; a source of one token has nothing to "
                "predict"
            )
        check_least(1, context=context, sequences=sequences, val_windows=val_windows)
        self.batch, self.microbatches, self.seed = batch, microbatches, seed
        self.vocabulary, self.context, self.concentration = vocabulary, context, concentration
        self.sequences, self.endless = sequences, endless
        self.val_windows, self.source_seed = val_windows, source_seed

    @property
    def fingerprint(self) -> str:
        """Version of the drawing of sequences; the rest of the identity is in the config."""
        return VERSION

    def prepare(self) -> Sizes:
        """Draw the source and return the sizes of its examples.

        Raises:
            ValueError: if an epoch has fewer sequences than a batch.
        """
        self.source = source(self.vocabulary, self.concentration, self.source_seed)
        self.batches = Batches(
            self._examples,
            order=self._order,
            examples=self.sequences,
            batch=self.batch,
            microbatches=self.microbatches,
        )
        return Sizes(self.vocabulary, self.vocabulary, self.context)

    def columns(self) -> dict[str, float]:
        """Losses to compare with, in nats per token.

        `floor_loss` is the entropy rate; `bigram_loss` and `unigram_loss` are the losses of the
        true source and of its stationary distribution on the validation sequences.
        """
        x, y = self._validation()
        stationary, transitions = self.source.stationary, self.source.transitions
        return {
            "uniform_loss": math.log(self.vocabulary),
            "unigram_loss": -stationary.log()[y].mean().item(),
            "bigram_loss": -transitions.log()[x, y].mean().item(),
            "floor_loss": self.source.entropy_rate,
        }

    def setup(self, stage: str) -> None:
        self.prepare()

    def train_dataloader(self) -> Batches:
        return self.batches

    def val_dataloader(self) -> InOrder:
        return in_order(*self._validation(), batch=VAL_BATCH)

    def _order(self, epoch: int) -> Integer[Tensor, " sequences"]:
        """Numbers of the sequences of an epoch; an endless stream counts through all epochs."""
        if self.endless:
            return epoch * self.sequences + torch.arange(self.sequences)
        return torch.randperm(self.sequences, generator=generator_for("order", self.seed, epoch))

    def _examples(self, rows: Integer[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        stretch = int(rows[0]) // self.sequences
        draw = (0, self.seed, stretch) if self.endless else (1,)
        return _shifted(self._drawn(self.sequences, draw)[rows % self.sequences])

    def _validation(self) -> tuple[Tensor, Tensor]:
        return _shifted(self._drawn(self.val_windows, (2,)))

    def _drawn(self, sequences: int, draw: tuple[int, ...]) -> Integer[Tensor, "sequences time"]:
        name = (self.vocabulary, self.concentration, self.source_seed)
        return _sequences(name, sequences, self.context + 1, seed_for("data", *name[2:], *draw))


class Source(NamedTuple):
    """A first-order Markov chain."""

    transitions: Float[Tensor, "tokens tokens"]  # from row to column
    stationary: Float[Tensor, " tokens"]
    entropy_rate: float  # nats per token


@lru_cache(maxsize=4)
def source(vocabulary: int, concentration: float, seed: int) -> Source:
    """Draw a chain, its rows from a symmetric Dirichlet distribution.

    Its entropy rate is sum_i pi_i H(P_i), with pi the stationary distribution: Cover and Thomas,
    "Elements of Information Theory", theorem 4.2.4.

    Args:
        vocabulary: number of states.
        concentration: concentration of the distribution; with inf all rows are uniform.
        seed: seed of the draw.
    """
    if math.isinf(concentration):
        uniform = torch.full((vocabulary,), 1 / vocabulary, dtype=torch.float64)
        return Source(uniform.expand(vocabulary, -1), uniform, math.log(vocabulary))
    draws = np.random.default_rng(seed_for("data", seed))
    rows = draws.dirichlet(np.full(vocabulary, concentration), size=vocabulary)
    rows = np.maximum(rows, np.finfo(np.float64).tiny)  # a probability of 0 has no logarithm
    rows /= rows.sum(axis=1, keepdims=True)
    system = np.vstack([rows.T - np.eye(vocabulary), np.ones(vocabulary)])
    stationary = np.linalg.lstsq(system, np.append(np.zeros(vocabulary), 1.0), rcond=None)[0]
    stationary = np.clip(stationary, np.finfo(np.float64).tiny, None)
    stationary /= stationary.sum()
    entropy = float(stationary @ -(rows * np.log(rows)).sum(axis=1))
    return Source(torch.from_numpy(rows), torch.from_numpy(stationary), entropy)


@lru_cache(maxsize=4)
def _sequences(
    name: tuple[int, float, int], sequences: int, length: int, seed: int
) -> Integer[Tensor, "sequences length"]:
    """Draw sequences of a source by inverting its distribution functions."""
    vocabulary, concentration, _ = name
    draws = torch.Generator().manual_seed(seed)
    if math.isinf(concentration):
        return torch.randint(vocabulary, (sequences, length), generator=draws)
    chain = source(*name)
    uniform = torch.rand(length, sequences, 1, dtype=torch.float64, generator=draws)
    rising = chain.transitions.cumsum(dim=1)
    tokens = torch.empty(length, sequences, dtype=torch.long)
    last = vocabulary - 1
    tokens[0] = torch.searchsorted(chain.stationary.cumsum(0), uniform[0, :, 0]).clamp(max=last)
    for time in range(1, length):
        steps = rising[tokens[time - 1]]
        tokens[time] = torch.searchsorted(steps, uniform[time]).squeeze(1).clamp(max=last)
    return tokens.T.contiguous()


def _shifted(tokens: Integer[Tensor, "batch time"]) -> tuple[Tensor, Tensor]:
    """Inputs and targets: sequences, and the same sequences one token later."""
    return tokens[:, :-1], tokens[:, 1:]
