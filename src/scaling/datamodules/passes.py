"""Batches of the windows to adapt to: every window once in each pass."""

import math
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from scaling.datamodules.batches import Epochs


class Passes(Epochs):
    """Batches of one pass over all windows after another.

    Batch i of pass p is `fetch(order(p)[i * size(p) : (i + 1) * size(p)])`: iterating draws no
    random numbers. Unlike in training, the last, shorter batch of a pass is kept, so that every
    window of a query is used equally often.

    Args:
        fetch: returns the batch of given rows of the query.
        order: returns the rows of a pass.
        windows: length of every `order`.
        sizes: windows per batch of each pass; the last one holds for all later passes.
    """

    def __init__(
        self,
        fetch: Callable[[Tensor], Sequence[Tensor]],
        *,
        order: Callable[[int], Tensor],
        windows: int,
        sizes: Sequence[int],
    ):
        super().__init__(fetch, order)
        self.windows, self.sizes = windows, sizes

    @property
    def steps(self) -> int:
        """Updates of the first pass, and of every pass unless batches grow."""
        return self.updates(1)

    @property
    def smallest(self) -> int:
        """Windows of the smallest batch of any pass."""
        return min(self.windows % size or size for size in self.sizes)

    def updates(self, passes: int) -> int:
        """Updates of the first `passes` passes."""
        return sum(math.ceil(self.windows / self.size(p)) for p in range(passes))

    def updates_for(self, examples: int) -> int:
        """Updates that use at least this number of windows; at least one."""
        passes, rest = divmod(examples, self.windows)
        return max(1, self.updates(passes) + math.ceil(rest / self.size(passes)))

    def examples(self, updates: int) -> int:
        """Windows used in a number of updates."""
        passes = 0
        while updates >= (of_pass := math.ceil(self.windows / self.size(passes))):
            updates -= of_pass
            passes += 1
        return passes * self.windows + updates * self.size(passes)

    def size(self, number: int) -> int:
        """Windows per batch of a pass."""
        return self.sizes[min(number, len(self.sizes) - 1)]

    def __len__(self) -> int:
        return math.ceil(self.windows / self.size(self.epoch))

    def __iter__(self) -> Iterator[Sequence[Tensor]]:
        yield from self.rest(self.order(self.epoch).split(self.size(self.epoch)))


def doubling(batch: int, growth: int, passes: int) -> tuple[int, ...]:
    """The batch size of each pass, doubling from `batch` to `growth`.

    Each size has about the same number of passes: with d doublings pass p has a batch size of
    batch 2^floor(p (d + 1) / passes).

    Raises:
        ValueError: if doubling does not reach `growth`, or there are fewer passes than sizes.
    """
    doublings = (growth // batch).bit_length() - 1
    if doublings < 1 or growth != batch * 2**doublings:
        raise ValueError(
            f"growth={growth} must be batch={batch} doubled at least once, such as {2 * batch}"
        )
    if passes <= doublings:
        raise ValueError(
            f"growth_passes={passes} must be at least {doublings + 1}; a batch that doubles "
            f"{doublings} times has as many sizes"
        )
    return tuple(batch * 2 ** (number * (doublings + 1) // passes) for number in range(passes))
