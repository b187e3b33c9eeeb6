"""Images as vectors, with label noise."""

import math
import zlib
from functools import lru_cache
from typing import NamedTuple

import lightning as L
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from scaling.contracts.labeled import unigram_loss
from scaling.contracts.limits import check_least
from scaling.contracts.sizes import Sizes
from scaling.datamodules import image_sources
from scaling.datamodules.batches import SCORED_BATCH, Batches, InOrder, gather, in_order
from scaling.datamodules.label_noise import symmetric
from scaling.seeds import generator_for


class Images(L.LightningDataModule):
    """Classify images.

    The source has its own test set. The last `val_examples` of the other examples are for
    validation, the same for all runs; the rest is for training. Pixels are in [0, 1]; 0 is the
    background.

    `labels` holds the given and the true labels of the training examples (`label_noise`);
    validation and test labels are never corrupted. The evaluated splits are `val`, `test` and
    `train`, which has at most `scored_examples` training examples, spread evenly.

    Args:
        batch: examples per optimizer step.
        microbatches: equal parts of a batch, for gradient accumulation.
        seed: draws the order of each epoch and the corrupted labels.
        source: `digits`, `mnist` or `idx`.
        path: folder of idx files, or one of them; for `mnist`, null looks into $SCALING_DATA/mnist,
            else downloads.
        label_noise: share of the training labels that are replaced by a wrong one, in [0, 1).
        val_examples: number of examples held out for validation.
        scored_examples: maximum number of training examples to measure accuracy on.

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
        label_noise: float,
        val_examples: int,
        scored_examples: int,
    ):
        super().__init__()
        check_least(1, val_examples=val_examples, scored_examples=scored_examples)
        self.batch, self.microbatches, self.seed = batch, microbatches, seed
        self.source, self.path, self.label_noise = source, path, label_noise
        self.val_examples, self.scored_examples = val_examples, scored_examples
        self.loaded: image_sources.LabeledImages | None = None
        self.sizes: Sizes | None = None

    @property
    def fingerprint(self) -> str:
        """Identity of images and labels: the loaded ones, else those of the files now."""
        return (self.loaded or image_sources.load(self.source, self.path)).fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the files were read, and on files that are not the reference."""
        return self.loaded.notes if self.loaded else ()

    def prepare(self) -> Sizes:
        """Load the images once, corrupt labels, and return the sizes of examples.

        Later changes of the files have no effect.

        Raises:
            ValueError: if there are fewer training examples than a batch.
        """
        if self.sizes is not None:
            return self.sizes
        self.loaded = image_sources.load(self.source, self.path)
        self.splits = _splits(self.loaded, self.val_examples)
        self.labels = symmetric(
            self.splits.train_labels,
            classes=self.loaded.classes,
            share=self.label_noise,
            seed=self.seed,
        )
        self.batches = Batches(
            gather(self.splits.train, self.labels.given),
            order=self._order,
            examples=len(self.splits.train),
            batch=self.batch,
            microbatches=self.microbatches,
        )
        self.sizes = Sizes(self.splits.train.shape[1], self.loaded.classes, 1)
        return self.sizes

    def columns(self) -> dict[str, float]:
        """Trivial losses, in nats, and properties of the training labels.

        `unigram_loss` is the loss of predicting the validation labels by the frequencies of the
        given training labels. `corrupted_examples` counts corrupted labels; runs with the same
        `labels_checksum` (CRC-32 of one byte for each given label) have the same labels.
        """
        given, classes = self.labels.given, self.prepare().outputs
        return {
            "uniform_loss": math.log(classes),
            "unigram_loss": unigram_loss(given, self.splits.val_labels, classes),
            "corrupted_examples": int(self.labels.corrupted.sum()),
            "labels_checksum": zlib.crc32(given.to(torch.uint8).numpy().tobytes()),
        }

    def setup(self, stage: str) -> None:
        self.prepare()

    def train_dataloader(self) -> Batches:
        return self.batches

    def val_dataloader(self) -> dict[str, InOrder]:
        """Images and labels of each split; for training examples also the true labels."""
        splits, labels = self.splits, self.labels
        examples = len(splits.train)
        scored = min(self.scored_examples, examples)
        return {
            "val": in_order(splits.val, splits.val_labels),
            "test": in_order(splits.test, splits.test_labels),
            "train": InOrder(
                gather(splits.train, labels.given, labels.true),
                torch.arange(scored) * examples // scored,
                batch=SCORED_BATCH,
            ),
        }

    def _order(self, epoch: int) -> Integer[Tensor, " train"]:
        draws = generator_for("order", self.seed, epoch)
        return torch.randperm(len(self.splits.train), generator=draws)


class Splits(NamedTuple):
    """Images with pixels from 0 to 1, and their true labels."""

    train: Float[Tensor, "train pixels"]
    train_labels: Integer[Tensor, " train"]
    val: Float[Tensor, "val pixels"]
    val_labels: Integer[Tensor, " val"]
    test: Float[Tensor, "test pixels"]
    test_labels: Integer[Tensor, " test"]


@lru_cache(maxsize=1)
def _splits(images: image_sources.LabeledImages, val_examples: int) -> Splits:
    """Split a source and scale its pixels; the result is cached.

    Raises:
        ValueError: if validation takes all examples.
    """
    cut = len(images.train) - val_examples
    if cut < 1:
        raise ValueError(
            f"val_examples={val_examples} leaves none of {len(images.train)} examples for "
            "training; choose fewer"
        )
    train, test = images.train / images.ink, images.test / images.ink
    labels = images.train_labels
    return Splits(train[:cut], labels[:cut], train[cut:], labels[cut:], test, images.test_labels)
