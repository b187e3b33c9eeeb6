"""What the predictions of a query are like, without its labels."""

from jaxtyping import Float
from torch import Tensor

from scaling.adaptation import losses


def prediction_measures(log_probs: Float[Tensor, "n classes"]) -> dict[str, float]:
    """How sure the predictions of a whole query are, and how they are spread over classes.

    - `entropy`: mean H(p), in nats; `confidence`: mean of the largest probability.
    - `diversity`: H(pbar) / log K of the mean prediction pbar.
    - `class_entropy`: the same of the shares of windows that each class is predicted for, of which
      `largest_share` is the largest.
    """
    return {
        "entropy": losses.entropies(log_probs).mean().item(),
        "confidence": log_probs.amax(dim=1).exp().mean().item(),
        "diversity": losses.diversity_share(log_probs).item(),
        "class_entropy": losses.class_entropy(log_probs).item(),
        "largest_share": losses.class_shares(log_probs).max().item(),
    }
