"""Images of digits as vectors, split for training, validation and test, with label noise."""

import math
import zlib
from functools import lru_cache
from typing import NamedTuple

import lightning as L
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from scaling.contracts.labeled import unigram_loss
from scaling.contracts.sizes import Sizes
from scaling.datamodules import digit_sources
from scaling.datamodules.batches import SCORED_BATCH, Batches, InOrder
from scaling.datamodules.label_noise import symmetric
from scaling.seeds import generator_for


class Images(L.LightningDataModule):
    """Tell which digit an image shows.

    The source has a test set of its own. The last `val_examples` of its other examples are for
    validation, the same for all runs, and the rest is trained on. Pixels lie between 0, the
    background, and 1.

    `labels` has those of the training examples, as given and as they are true (`label_noise`);
    validation and test labels are never corrupted. Evaluations score the splits `val`, `test` and
    `train`; the last has at most `scored_examples` training examples, spread evenly.

    Args:
        batch: examples per optimizer step.
        microbatches: equal parts of a batch, for gradient accumulation.
        seed: draws the order of each epoch, and which labels are corrupted and how.
        source: `digits` or `mnist`.
        path: folder of MNIST's files; null looks into $SCALING_DATA/mnist, else downloads.
        label_noise: share of the training labels that are replaced by a wrong one, in [0, 1).
        val_examples: kept from the training examples for validation.
        scored_examples: most training examples to measure accuracy on.

    Raises:
        ValueError: naming the key whose value, or whose file, cannot be used.
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
        counts = {"val_examples": val_examples, "scored_examples": scored_examples}
        for key, value in counts.items():
            if value < 1:
                raise ValueError(f"{key}={value} must be at least 1")
        self.batch, self.microbatches, self.seed = batch, microbatches, seed
        self.source, self.path, self.label_noise = source, path, label_noise
        self.val_examples, self.scored_examples = val_examples, scored_examples
        self.loaded: digit_sources.Handwriting | None = None
        self.sizes: Sizes | None = None

    @property
    def fingerprint(self) -> str:
        """Identity of images and labels, of those that were loaded, or are there now."""
        return (self.loaded or digit_sources.load(self.source, self.path)).fingerprint

    def prepare(self) -> Sizes:
        """Load the images, once, corrupt labels, and say how large examples are.

        What was loaded stays, whatever becomes of its files.

        Raises:
            ValueError: if the training examples do not fill one batch.
        """
        if self.sizes is not None:
            return self.sizes
        self.loaded = digit_sources.load(self.source, self.path)
        self.splits = _splits(self.loaded, self.val_examples)
        self.labels = symmetric(
            self.splits.train_labels,
            classes=digit_sources.CLASSES,
            share=self.label_noise,
            seed=self.seed,
        )
        self.batches = Batches(
            lambda rows: (self.splits.train[rows], self.labels.given[rows]),
            order=self._order,
            examples=len(self.splits.train),
            batch=self.batch,
            microbatches=self.microbatches,
        )
        self.sizes = Sizes(self.splits.train.shape[1], digit_sources.CLASSES, 1)
        return self.sizes

    def columns(self) -> dict[str, float]:
        """What needs no look at an image: losses in nats, and what the training labels are.

        `unigram_loss` is that of the frequencies of the training labels, as given, each with one
        more, on the validation labels. `corrupted_examples` counts the corrupted ones;
        `labels_checksum` (CRC-32, of one byte for each label as given) tells whether two runs were
        given the same.
        """
        given, classes = self.labels.given, digit_sources.CLASSES
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
        """Images and labels of each split; of training examples also the true labels."""
        splits, labels = self.splits, self.labels
        examples = len(splits.train)
        scored = min(self.scored_examples, examples)
        return {
            "val": _in_order(splits.val, splits.val_labels),
            "test": _in_order(splits.test, splits.test_labels),
            "train": InOrder(
                lambda rows: (splits.train[rows], labels.given[rows], labels.true[rows]),
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
def _splits(images: digit_sources.Handwriting, val_examples: int) -> Splits:
    """A source in the form in which it is trained on, kept in memory.

    Raises:
        ValueError: if validation would take all examples.
    """
    cut = len(images.train) - val_examples
    if cut < 1:
        raise ValueError(
            f"val_examples={val_examples} leaves none of {len(images.train)} examples to "
            "train on; choose fewer"
        )
    train, test = images.train / images.ink, images.test / images.ink
    labels = images.train_labels
    return Splits(train[:cut], labels[:cut], train[cut:], labels[cut:], test, images.test_labels)


def _in_order(images: Tensor, labels: Tensor) -> InOrder:
    rows = torch.arange(len(labels))
    return InOrder(lambda part: (images[part], labels[part]), rows, batch=SCORED_BATCH)
