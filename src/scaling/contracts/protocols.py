"""Members that a run needs of its parts, and the check for missing ones.

Networks are in `contracts.net`, so that this module does not import torch.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, runtime_checkable

from scaling.contracts.sizes import Sizes

PAGES = {  # config group -> page of docs/howto on writing such a part
    "model": "model",
    "data": "data_set",
    "callbacks": "callback",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "experiment": "experiment",
}


@runtime_checkable
class Observer(Protocol):
    """A part that adds columns to a run's row: a callback, a data set, a module."""

    def columns(self) -> Mapping[str, float]:
        """Column -> number; called when the run ends, also after an error."""


@runtime_checkable
class NeedsSteps(Protocol):
    """A callback that records nothing useful in a run of few steps."""

    def check_steps(self, steps: int) -> None:
        """Raise ValueError if the optimizer steps of a run are too few."""


@runtime_checkable
class RunBatches(Protocol):
    """The batches of a run, which convert between epochs, examples and optimizer steps."""

    @property
    def smallest(self) -> int:
        """Examples of the smallest batch that a network sees at a time."""

    def updates(self, epochs: int) -> int:
        """Optimizer steps of a number of epochs."""

    def updates_for(self, examples: int) -> int:
        """Optimizer steps that see about this number of examples; at least one."""

    def examples(self, updates: int) -> int:
        """Examples seen in a number of optimizer steps."""


@runtime_checkable
class DataSet(Observer, Protocol):
    """A data set before it is loaded; also a `lightning.LightningDataModule`."""

    microbatches: int  # equal parts of a batch, for gradient accumulation

    @property
    def fingerprint(self) -> str:
        """Identity of the content, independent of the paths of files."""

    def prepare(self) -> Sizes:
        """Load the data once and return the sizes that a model needs."""

    def train_dataloader(self) -> Any:
        """The training batches, in an order determined by the seed and the epoch."""

    def val_dataloader(self) -> Any:
        """The validation batches, the same each time; or a mapping of split -> batches."""


@runtime_checkable
class Noted(Protocol):
    """A data set that says, once prepared, how it read its files."""

    @property
    def notes(self) -> Sequence[str]:
        """Notes for the user, such as that files are not the reference; often empty."""


@runtime_checkable
class RunData(DataSet, Protocol):
    """A data set after `prepare()`."""

    batches: RunBatches


@runtime_checkable
class Scorer(Protocol):
    """Data that score predictions, so that others need no labels.

    A split has the name of its validation loader. Predictions are in the order of that loader.
    """

    def scores(self, split: str, logits: Any) -> dict[str, float]:
        """Loss, accuracy and other scores of logits (n classes)."""

    def changes(self, split: str, before: Any, now: Any) -> dict[str, float]:
        """Number of predicted classes that became right, `won`, and wrong, `lost`."""

    def right(self, split: str, classes: Any) -> Any:
        """Whether each predicted class is right; for recording only, because it reveals labels."""


@runtime_checkable
class QueryData(Scorer, Protocol):
    """A data set with a query, windows without labels, that a model is adapted to."""

    @property
    def query(self) -> Any:
        """Windows to adapt to, in the order of the validation loader of that name."""

    @property
    def clients(self) -> Any:
        """Labeled windows of each client, which train the source model together."""

    @property
    def source(self) -> Any:
        """Labeled windows from before the shift, which score the source model."""

    def check_growth(self, steps: int) -> None:
        """Check that growing batches reach their last size in this number of optimizer steps."""


def required(part: object, contract: type, path: str, *, name: str | None = None) -> Any:
    """Check that a part has all members of its contract, and return it.

    Args:
        part: as its config built it.
        contract: a `Protocol`.
        path: place of the part in the config, for its page of the docs.
        name: of the part in the message; its class by default.

    Raises:
        ValueError: naming the missing members.
    """
    # look at the class first: a property of the object may load the data
    missing = [
        _shown(contract, member)
        for member in _members(contract)
        if not hasattr(type(part), member) and not hasattr(part, member)
    ]
    if missing:
        raise ValueError(
            f"{name or name_of(part)} has no {', '.join(missing)}, which a run needs{howto(path)}"
        )
    return part


def name_of(part: object) -> str:
    """The full name of a part's class, as a `_target_` spells it."""
    return f"{type(part).__module__}.{type(part).__qualname__}"


def howto(path: str) -> str:
    """The end of a message: the page on writing such a part; empty without a page."""
    page = PAGES.get(path.partition(".")[0])
    return f"; see docs/howto/{page}.md" if page else ""


def _members(contract: type) -> list[str]:
    """Public names that a protocol and its bases declare."""
    bases = [base for base in contract.__mro__ if base not in (Protocol, Generic, object)]
    names = [name for base in bases for name in (*inspect.get_annotations(base), *vars(base))]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _shown(contract: type, name: str) -> str:
    """A member with its parameters, such as `losses(batch)`."""
    member = inspect.getattr_static(contract, name, None)
    if not inspect.isfunction(member):
        return name
    _, *parameters = inspect.signature(member).parameters
    return f"{name}({', '.join(parameters)})"
