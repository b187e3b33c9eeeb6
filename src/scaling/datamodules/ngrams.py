"""What counting alone can predict: the losses that a model has to beat."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Integer
from torch import Tensor, bincount, searchsorted

ORDERS = ("uniform", "unigram", "bigram", "trigram", "fourgram", "fivegram")  # names by order


def ngram_losses(
    train: Integer[Tensor, " tokens"],
    text: Integer[Tensor, " text"],
    targets: Integer[Tensor, " scored"],
    *,
    vocabulary: int,
    orders: int = 5,
) -> Mapping[str, float]:
    """Mean losses of predicting some tokens of a text by counting, in nats per token, by name.

    `uniform` is ln V and `unigram` the frequencies of the training text, each count plus one. Each
    higher order leans on the one below by Witten-Bell smoothing,

        p_n(w|h) = (c(hw) + t(h) p_{n-1}(w|h')) / (c(h) + t(h)),

    with h the n - 1 tokens before, h' without the first of them, c the counts of the training text
    and t(h) the number of different tokens seen after h. Witten and Bell (1991), "The
    zero-frequency problem", method C; Chen and Goodman (1999), section 2.4. A token that has fewer
    than n - 1 tokens before it in its text keeps the loss of the order below.

    Args:
        train: tokens to count, each in [0, vocabulary).
        text: where tokens are predicted, each from those before it.
        targets: positions in `text` of the tokens to predict.
        vocabulary: number of different tokens V; only n-grams that occur take memory.
        orders: highest order, at most 5.

    Raises:
        ValueError: if there is nothing to count or nothing to score.
    """
    if len(train) < orders or not len(targets):
        raise ValueError(f"cannot count {len(train)} tokens and score {len(targets)}")
    train, text = train.long(), text.long()
    frequencies = bincount(train, minlength=vocabulary).double() + 1
    found = {"uniform": math.log(vocabulary)}
    p = (frequencies / frequencies.sum())[text[targets]]
    found["unigram"] = -p.log().mean().item()
    history = torch.zeros_like(train)  # which tokens stand before each one, as a number
    past = torch.zeros_like(targets)  # the same before each target; -1 if never seen in training
    for order in range(2, orders + 1):
        back = order - 1
        kinds, history = (history[1:] * vocabulary + train[:-back]).unique(return_inverse=True)
        before = past * vocabulary + text[(targets - back).clamp(min=0)]
        past = _place(kinds, before).where((past >= 0) & (targets >= back), -1)
        grams, counts = (history * vocabulary + train[back:]).unique(return_counts=True)
        seen = bincount(history).double()
        after = bincount(grams // vocabulary).double()  # different tokens
        at = _place(grams, past * vocabulary + text[targets])
        count = counts[at].where(at >= 0, 0)
        smoothed = (count + after[past] * p) / (seen[past] + after[past])
        p = smoothed.where(past >= 0, p)
        found[ORDERS[order]] = -p.log().mean().item()
    return found


def _place(
    among: Integer[Tensor, " sorted"], values: Integer[Tensor, " n"]
) -> Integer[Tensor, " n"]:
    """Where each value stands among sorted ones; -1 if it does not."""
    at = searchsorted(among, values).clamp(max=len(among) - 1)
    return at.where(among[at] == values, -1)
