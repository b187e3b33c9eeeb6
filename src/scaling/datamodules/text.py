"""Characters of a text, cut into windows of the model's context."""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from scaling.contracts.limits import check_choice, check_least
from scaling.contracts.sizes import Sizes
from scaling.datamodules import baseline_cache, text_sources
from scaling.datamodules.batches import Batches, InOrder
from scaling.datamodules.ngrams import ngram_losses
from scaling.seeds import generator_for, seed_for

VOCABULARIES = ("ascii", "characters")
VAL_BATCH = 64  # windows at a time; no number depends on it
SUBSTITUTE = 26  # the ASCII control code for a character that cannot be represented


class Text(L.LightningDataModule):
    """Predict the next character of a text.

    An epoch visits the training text once, in shuffled windows of `context` characters that start
    at an offset drawn for each epoch. Validation windows are spread evenly over the validation text
    and are the same for every run.

    Args:
        batch: windows per optimizer step.
        microbatches: equal parts of a batch, for gradient accumulation.
        seed: draws offsets and order.
        source: `pydoc`, `files`, `wikitext2` or `tinyshakespeare`.
        path: file or folder of the text, if the source has one.
        vocabulary: `ascii`, its 128 codes, or `characters`, those of the training text and an
            unknown one. Other characters become code 26, or the unknown one, and are counted.
        context: characters per window.
        val_share: share of the text, at its end, for validation, if the source has no split.
        val_windows: maximum number of windows to validate on.

    Raises:
        ValueError: for a value out of range or a file that cannot be used, naming its key.
    """

    def __init__(
        self,
        *,
        batch: int,
        microbatches: int,
        seed: int,
        source: str,
        path: str | None,
        vocabulary: str,
        context: int,
        val_share: float,
        val_windows: int,
    ):
        super().__init__()
        check_choice(VOCABULARIES, vocabulary=vocabulary)
        check_least(1, context=context, val_windows=val_windows)
        self.batch, self.microbatches, self.seed = batch, microbatches, seed
        self.source, self.path, self.val_share = source, path, val_share
        self.vocabulary, self.context, self.val_windows = vocabulary, context, val_windows
        self.corpus: text_sources.Corpus | None = None
        self.sizes: Sizes | None = None

    @property
    def fingerprint(self) -> str:
        """Identity of the content: of the loaded text, else of the files now."""
        return text_sources.fingerprint(self.corpus or self._load())

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the files were read."""
        return self.corpus.notes if self.corpus else ()

    def prepare(self) -> Sizes:
        """Load and encode the text once and return the sizes of its windows.

        Later changes of the file have no effect.

        Raises:
            ValueError: if the text is too short for a window or for a batch.
        """
        if self.sizes is not None:
            return self.sizes
        self.corpus = self._load()
        self.tokens = _tokens(self.corpus, self.vocabulary)
        for split, tokens in {"training": self.tokens.train, "validation": self.tokens.val}.items():
            if len(tokens) < 2 * self.context:  # a window and the room to shift it
                raise ValueError(
                    f"the {split} text has {len(tokens)} characters, too few for "
                    f"context={self.context}; give a longer text or a shorter context"
                )
        self.batches = Batches(
            self._windows,
            order=self._starts,
            examples=self._train_windows,
            batch=self.batch,
            microbatches=self.microbatches,
        )
        self.sizes = Sizes(self.tokens.vocabulary, self.tokens.vocabulary, self.context)
        return self.sizes

    def columns(self) -> dict[str, float]:
        """Losses of n-gram models on the validation windows, in nats per character, and text sizes.

        N-grams have orders up to 5 and, unlike a model, see characters before their window.
        `train_characters` and `val_characters` are the lengths of the texts, `unknown_train` and
        `unknown_val` the numbers of their characters outside the vocabulary.
        """
        key = (self.fingerprint, self.vocabulary, self.context, self.val_windows)
        ladder = baseline_cache.kept(("ngrams", *key), self._ngram_losses)
        return {
            **{f"{name}_loss": loss for name, loss in ladder.items()},
            "train_characters": len(self.tokens.train),
            "val_characters": len(self.tokens.val),
            "unknown_train": self.tokens.unknown_train,
            "unknown_val": self.tokens.unknown_val,
        }

    def setup(self, stage: str) -> None:
        self.prepare()

    def train_dataloader(self) -> Batches:
        return self.batches

    def val_dataloader(self) -> InOrder:
        starts = _spread(len(self.tokens.val), self.context, self.val_windows)
        return InOrder(partial(_cut, self.tokens.val, self.context), starts, batch=VAL_BATCH)

    @property
    def _train_windows(self) -> int:
        """Windows that fit after every offset, so that all epochs have the same length."""
        return (len(self.tokens.train) - self.context) // self.context

    def _starts(self, epoch: int) -> Integer[Tensor, " windows"]:
        """Position of the first character of each training window of an epoch."""
        offset = seed_for("order", self.seed, epoch) % self.context
        draws = generator_for("order", self.seed, epoch)
        return offset + self.context * torch.randperm(self._train_windows, generator=draws)

    def _windows(self, starts: Integer[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        return _cut(self.tokens.train, self.context, starts)

    def _ngram_losses(self) -> Mapping[str, float]:
        """N-gram losses on the characters that validation scores."""
        train, val, size = self.tokens.train, self.tokens.val, self.tokens.vocabulary
        starts = _spread(len(val), self.context, self.val_windows)
        targets = (starts[:, None] + torch.arange(1, self.context + 1)).flatten()
        return ngram_losses(train, val, targets, vocabulary=size)

    def _load(self) -> text_sources.Corpus:
        return text_sources.load(self.source, self.path, self.val_share)


class Tokens(NamedTuple):
    """A text as codes of its vocabulary."""

    train: Integer[Tensor, " train"]
    val: Integer[Tensor, " val"]
    vocabulary: int
    unknown_train: int  # characters outside the vocabulary
    unknown_val: int


@lru_cache(maxsize=2)
def _tokens(corpus: text_sources.Corpus, vocabulary: str) -> Tokens:
    """Encode both splits with the vocabulary of the training text."""
    train, val = (np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32) for text in corpus[:2])
    if vocabulary == "ascii":
        characters, unknown = np.arange(128, dtype=np.uint32), SUBSTITUTE
    else:
        characters = np.unique(train)
        unknown = len(characters)
    size = max(len(characters), unknown + 1)
    smallest = np.uint8 if size <= 256 else np.int32  # 10.8 million tokens in 11 MB

    def encoded(points: np.ndarray) -> tuple[Tensor, int]:
        codes = np.searchsorted(characters, points).clip(max=len(characters) - 1)
        outside = characters[codes] != points
        codes[outside] = unknown
        return torch.from_numpy(codes.astype(smallest)), int(outside.sum())

    (train_codes, unknown_train), (val_codes, unknown_val) = encoded(train), encoded(val)
    return Tokens(train_codes, val_codes, size, unknown_train, unknown_val)


def _spread(tokens: int, context: int, most: int) -> Integer[Tensor, " windows"]:
    """Starts of at most `most` windows that do not overlap, spread evenly."""
    windows = (tokens - 1) // context
    return context * (torch.arange(min(windows, most)) * windows // min(windows, most))


def _cut(tokens: Tensor, context: int, starts: Integer[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
    """Inputs and targets: windows of `tokens`, and the same windows one token later."""
    spans = tokens[starts[:, None] + torch.arange(context + 1)].long()
    return spans[:, :-1], spans[:, 1:]
