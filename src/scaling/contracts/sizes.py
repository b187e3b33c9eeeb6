"""The sizes of data that a model needs, so that neither depends on the other."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sizes that a datamodule's `prepare()` returns, for the constructor of a model."""

    inputs: int  # tokens in the vocabulary, or features per example
    outputs: int  # tokens or classes to choose among
    length: int  # tokens or time steps per example
