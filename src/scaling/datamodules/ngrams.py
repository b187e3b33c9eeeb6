"""Losses of n-gram models, as baselines of a network."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Integer
from torch import Tensor, bincount, searchsorted

ORDERS = ("uniform", "unigram", "bigram", "trigram", "fourgram", "fivegram")  # names by order
DENSE = 2  # count values in a table if at most so many are possible per token of the text


def ngram_losses(
    train: Integer[Tensor, " tokens"],
    text: Integer[Tensor, " text"],
    targets: Integer[Tensor, " scored"],
    *,
    vocabulary: int,
    orders: int = 5,
) -> Mapping[str, float]:
    """Mean losses of n-gram models on tokens of a text, in nats per token, by name.

    `uniform` is ln V; `unigram` uses the frequencies of the training text, each count plus one.
    Each higher order is smoothed with the one below (Witten-Bell),

        p_n(w|h) = (c(hw) + t(h) p_{n-1}(w|h')) / (c(h) + t(h)),

    with h the n - 1 tokens before, h' without the first of them, c the counts of the training text
    and t(h) the number of different tokens seen after h. Witten and Bell (1991), "The
    zero-frequency problem", method C; Chen and Goodman (1999), section 2.4. A token with fewer than
    n - 1 tokens before it has the loss of the order below.

    Args:
        train: tokens to count, each in [0, vocabulary).
        text: text whose tokens are predicted.
        targets: positions in `text` of the tokens to predict.
        vocabulary: number of different tokens V; only n-grams that occur take memory.
        orders: highest order, at most 5.

    Raises:
        ValueError: if there are fewer tokens to count than `orders`, or no token to predict.
    """
    if len(train) < orders or not len(targets):
        raise ValueError(f"cannot count {len(train)} tokens and score {len(targets)}")
    train, text = train.long(), text.long()
    frequencies = bincount(train, minlength=vocabulary).double() + 1
    losses = {"uniform": math.log(vocabulary)}
    p = (frequencies / frequencies.sum())[text[targets]]
    losses["unigram"] = -p.log().mean().item()
    history = torch.zeros_like(train)  # number of the n-gram before each token
    past = torch.zeros_like(targets)  # the same before each target; -1 if not in the training text
    for order in range(2, orders + 1):
        back = order - 1
        kinds, history = _numbered(history[1:] * vocabulary + train[:-back])
        before = past * vocabulary + text[(targets - back).clamp(min=0)]
        past = _place(kinds, before).where((past >= 0) & (targets >= back), -1)
        grams, counts = _counted(history * vocabulary + train[back:])
        seen = bincount(history).double()
        after = bincount(grams // vocabulary).double()  # different tokens seen after each history
        at = _place(grams, past * vocabulary + text[targets])
        count = counts[at].where(at >= 0, 0)
        smoothed = (count + after[past] * p) / (seen[past] + after[past])
        p = smoothed.where(past >= 0, p)
        losses[ORDERS[order]] = -p.log().mean().item()
    return losses


def _numbered(values: Integer[Tensor, " n"]) -> tuple[Tensor, Integer[Tensor, " n"]]:
    """The different values in order, and the position of each value among them.

    A table of all possible values takes less time than sorting, unless it is much larger than the
    number of values.
    """
    if not len(values) or values.max() >= DENSE * len(values):
        return values.unique(return_inverse=True)
    seen = torch.zeros(int(values.max()) + 1, dtype=torch.int32)
    seen[values] = 1
    return seen.nonzero().squeeze(1), (seen.cumsum(0, dtype=torch.int32) - 1)[values].long()


def _counted(values: Integer[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """The different values in order, and how often each occurs; see `_numbered`."""
    if not len(values) or values.max() >= DENSE * len(values):
        return values.unique(return_counts=True)
    counts = bincount(values)
    different = counts.nonzero().squeeze(1)
    return different, counts[different]


def _place(
    among: Integer[Tensor, " sorted"], values: Integer[Tensor, " n"]
) -> Integer[Tensor, " n"]:
    """Position of each value in sorted ones; -1 if it is not among them."""
    at = searchsorted(among, values).clamp(max=len(among) - 1)
    return at.where(among[at] == values, -1)
