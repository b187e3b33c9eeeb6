"""Measures of the predictions on a query, without labels."""

from jaxtyping import Float
from torch import Tensor

from scaling.adaptation import losses


def prediction_measures(log_probs: Float[Tensor, "n classes"]) -> dict[str, float]:
    """Confidence of the predictions on a whole query, and their diversity over classes.

    - `entropy`: mean H(p), in nats.
    - `confidence`: mean of the largest probability.
    - `diversity`: H(pbar) / log K of the mean prediction pbar.
    - `class_entropy`: entropy, over log K, of the shares of windows predicted as each class.
    - `largest_share`: the largest of these shares.
    """
    return {
        "entropy": losses.entropies(log_probs).mean().item(),
        "confidence": log_probs.amax(dim=1).exp().mean().item(),
        "diversity": losses.diversity_share(log_probs).item(),
        "class_entropy": losses.class_entropy(log_probs).item(),
        "largest_share": losses.class_shares(log_probs).max().item(),
    }
