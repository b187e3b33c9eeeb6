"""What counting alone can predict: the losses that a model has to beat."""

import math
from typing import NamedTuple

from jaxtyping import Integer
from torch import Tensor, bincount, searchsorted


class Ngrams(NamedTuple):
    """Losses that need no learning, in nats per token, on the pairs that they were scored on."""

    uniform: float  # every token equally likely: ln V
    unigram: float  # token frequencies of the training text, each count plus one
    bigram: float  # frequencies after the previous token, Witten-Bell smoothed


def ngram_losses(
    train: Integer[Tensor, " tokens"],
    previous: Integer[Tensor, " scored"],
    targets: Integer[Tensor, " scored"],
    vocabulary: int,
) -> Ngrams:
    """Mean losses of uniform, unigram and bigram predictions of `targets`, counted on `train`.

    The bigram leans on the unigram by Witten-Bell: p(b|a) = (n(ab) + t(a) p(b)) / (n(a) + t(a)),
    with t(a) the number of different tokens seen after a. Witten and Bell (1991), "The
    zero-frequency problem", method C; Chen and Goodman (1999), section 2.4.

    Args:
        train: tokens to count, each in [0, vocabulary).
        previous: the token before each target.
        targets: tokens to predict.
        vocabulary: number of different tokens V; only pairs that occur take memory.

    Raises:
        ValueError: if there is nothing to count or nothing to score.
    """
    if len(train) < 2 or not len(targets):
        raise ValueError(f"cannot count {len(train)} tokens and score {len(targets)}")
    train, previous, targets = train.long(), previous.long(), targets.long()
    singles = bincount(train, minlength=vocabulary).double() + 1
    unigram = singles / singles.sum()
    pairs, counts = (train[:-1] * vocabulary + train[1:]).unique(return_counts=True)
    first = pairs // vocabulary
    kinds = bincount(first, minlength=vocabulary).double()[previous]
    seen = bincount(train[:-1], minlength=vocabulary).double()[previous]
    scored = previous * vocabulary + targets
    place = searchsorted(pairs, scored).clamp(max=len(pairs) - 1)
    count = counts[place].where(pairs[place] == scored, 0).double()
    bigram = (count + kinds * unigram[targets]) / (seen + kinds).clamp(min=1)
    bigram = bigram.where(seen > 0, unigram[targets])
    return Ngrams(
        uniform=math.log(vocabulary),
        unigram=-unigram.log()[targets].mean().item(),
        bigram=-bigram.log().mean().item(),
    )
