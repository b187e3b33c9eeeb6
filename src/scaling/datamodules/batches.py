"""Batches of a run, gathered by row from tensors in memory."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, arange

SCORED_BATCH = 1_000  # examples at a time in evaluations; no number depends on it


class Epochs:
    """Batches with the state that Lightning needs: the epoch, and the position in it.

    Args:
        fetch: returns the batch of given rows.
        order: returns the rows of an epoch in the order of training.
    """

    def __init__(self, fetch: Callable[[Tensor], Sequence[Tensor]], order: Callable[[int], Tensor]):
        self.fetch, self.order = fetch, order
        self.epoch = self.start = self.given = 0

    @property
    def sampler(self) -> "Epochs":
        """Itself: Lightning calls `sampler.set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def rest(self, parts: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
        """The batches of an epoch whose rows are `parts`, from the position of a loaded checkpoint.

        Call it from an `__iter__` that is a generator: epoch and checkpoint are known only when the
        first batch is asked for.
        """
        self.given, self.start = self.start, 0  # the next epoch starts at its beginning
        for part in parts[self.given :]:
            self.given += 1
            yield self.fetch(part)

    def state_dict(self) -> dict[str, int]:
        """The number of parts that this epoch has given, for Lightning's checkpoints."""
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = state["given"]


class Batches(Epochs):
    """Training batches of one epoch after another.

    Batch i of epoch e is `fetch(order(e)[i * batch : (i + 1) * batch])`: iterating draws no random
    numbers. The last, shorter batch of an epoch is dropped, because the noise of steps is
    comparable only at a fixed batch size. With `microbatches` each batch arrives in that many equal
    parts, so that gradient accumulation sees the same examples as one large step.

    Args:
        fetch: returns the batch of given rows.
        order: returns the rows of an epoch in the order of training.
        examples: length of every `order`.
        batch: examples per optimizer step.
        microbatches: equal parts of a batch; must divide it.

    Raises:
        ValueError: if the data are smaller than a batch, or the parts would be unequal.
    """

    def __init__(
        self,
        fetch: Callable[[Tensor], Sequence[Tensor]],
        *,
        order: Callable[[int], Tensor],
        examples: int,
        batch: int,
        microbatches: int,
    ):
        if batch > examples:
            raise ValueError(
                f"batch={batch} exceeds the {examples} training examples; choose at most {examples}"
            )
        if microbatches < 1 or batch % microbatches:
            raise ValueError(f"microbatches={microbatches} must divide batch={batch}")
        super().__init__(fetch, order)
        self.batch, self.microbatches = batch, microbatches
        self.steps = examples // batch

    @property
    def smallest(self) -> int:
        """Examples of the smallest batch that a network sees at a time."""
        return self.batch // self.microbatches

    def updates(self, epochs: int) -> int:
        """Optimizer steps of a number of epochs."""
        return epochs * self.steps

    def updates_for(self, examples: int) -> int:
        """Optimizer steps that see about this number of examples; at least one."""
        return max(1, round(examples / self.batch))

    def examples(self, updates: int) -> int:
        """Examples seen in a number of optimizer steps."""
        return updates * self.batch

    def __len__(self) -> int:
        return self.steps * self.microbatches

    def __iter__(self) -> Iterator[Sequence[Tensor]]:
        rows = self.order(self.epoch)[: self.steps * self.batch]
        yield from self.rest(rows.split(self.batch // self.microbatches))


class InOrder:
    """Batches of given rows in a fixed order; the last one may be shorter.

    Args:
        fetch: returns the batch of given rows.
        rows: the rows, in order.
        batch: rows of a batch.
    """

    def __init__(self, fetch: Callable[[Tensor], Sequence[Tensor]], rows: Tensor, *, batch: int):
        self.fetch, self.parts = fetch, rows.split(batch)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Sequence[Tensor]]:
        return map(self.fetch, self.parts)


def gather(*tensors: Tensor) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """A `fetch` that takes the same rows of each tensor."""
    return lambda rows: tuple(tensor[rows] for tensor in tensors)


def in_order(*tensors: Tensor, batch: int = SCORED_BATCH) -> InOrder:
    """Batches of all rows of tensors, in order."""
    return InOrder(gather(*tensors), arange(len(tensors[0])), batch=batch)
