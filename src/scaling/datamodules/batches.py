"""The batches of a run, gathered from tensors in memory by the rows that they are made of."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

SCORED_BATCH = 1_000  # examples at a time in evaluations; of no influence on any number


class Epochs:
    """What Lightning asks of batches: which epoch it is, and how far into it a checkpoint was.

    Args:
        fetch: rows of the data set, as a batch.
        order: epoch -> row of each example, in the order of training.
    """

    def __init__(self, fetch: Callable[[Tensor], Sequence[Tensor]], order: Callable[[int], Tensor]):
        self.fetch, self.order = fetch, order
        self.epoch = self.start = self.given = 0

    @property
    def sampler(self) -> "Epochs":
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def rest(self, parts: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
        """The batches of an epoch whose rows are `parts`, from where a checkpoint was.

        For an `__iter__` that is itself a generator: only when its first batch is asked for is it
        known which epoch this is, and whether a checkpoint was loaded.
        """
        self.given, self.start = self.start, 0  # the next epoch starts at its beginning
        for part in parts[self.given :]:
            self.given += 1
            yield self.fetch(part)

    def state_dict(self) -> dict[str, int]:
        """Where Lightning's checkpoints find how many of its parts an epoch has given."""
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.start = state["given"]


class Batches(Epochs):
    """One epoch of batches after another, gathered from tensors in memory.

    Batch i of epoch e is `fetch(order(e)[i * batch : (i + 1) * batch])`: nothing is drawn while
    iterating. The last, shorter batch of an epoch is dropped, because the noise of a step is only
    comparable at a fixed batch. With `microbatches` each batch arrives in that many equal parts,
    so that gradient accumulation sees the same examples as one large step.

    Args:
        fetch: rows of the data set, as a batch.
        order: epoch -> row of each example, in the order of training.
        examples: length of every `order`.
        batch: examples per optimizer step.
        microbatches: equal parts of a batch; must divide it.

    Raises:
        ValueError: if no batch fits into the data, or the parts would be unequal.
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
        """Examples of the smallest part of a batch that a network sees at a time."""
        return self.batch // self.microbatches

    def updates(self, epochs: int) -> int:
        """Optimizer steps of so many epochs."""
        return epochs * self.steps

    def updates_for(self, examples: int) -> int:
        """Optimizer steps in which about so many examples are seen; at least one."""
        return max(1, round(examples / self.batch))

    def examples(self, updates: int) -> int:
        """Examples seen in so many optimizer steps."""
        return updates * self.batch

    def __len__(self) -> int:
        return self.steps * self.microbatches

    def __iter__(self) -> Iterator[Sequence[Tensor]]:
        rows = self.order(self.epoch)[: self.steps * self.batch]
        yield from self.rest(rows.split(self.batch // self.microbatches))


class InOrder:
    """Batches of given rows, the same every time; the last one may be shorter.

    Args:
        fetch: rows of the data set, as a batch.
        rows: what to visit, in this order.
        batch: rows at a time.
    """

    def __init__(self, fetch: Callable[[Tensor], Sequence[Tensor]], rows: Tensor, *, batch: int):
        self.fetch, self.parts = fetch, rows.split(batch)

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Sequence[Tensor]]:
        return map(self.fetch, self.parts)
