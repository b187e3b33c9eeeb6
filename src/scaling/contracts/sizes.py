"""What a model has to know of the data, so that the two never meet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Handed by `prepare()` of a datamodule to the constructor of a model."""

    inputs: int  # tokens in the vocabulary, or features per example
    outputs: int  # tokens or classes to choose among
    length: int  # tokens or time steps per example
