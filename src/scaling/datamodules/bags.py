"""Windows made of records that are no time series, each record in one window at most."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Integer, Shaped

NORMAL, ATTACK = 0, 1  # labels of windows


class Records(NamedTuple):
    """Flows of a network, as the rows of a file, in its order."""

    features: Float32[np.ndarray, "records features"]
    kinds: Shaped[np.ndarray, " records"]  # names of attacks, or that of no attack
    normal: str  # the kind that is no attack
    later: Bool[np.ndarray, " records"] | None  # those that a split of the source calls test data


class Bags(NamedTuple):
    """Windows, as rows of records."""

    rows: Integer[np.ndarray, "windows length"]
    labels: Integer[np.ndarray, " windows"]
    kinds: Shaped[np.ndarray, " windows"]  # of the attack in a window, or that of no attack


class Distinct(NamedTuple):
    """Records of which no two are alike."""

    rows: Integer[np.ndarray, " distinct"]  # the first of each group of duplicates, in file order
    duplicates: int  # records that repeat one before them
    ambiguous: int  # records whose duplicates are of another kind; none of such a group is kept


def distinct(records: Records) -> Distinct:
    """One record of each group with equal features, and none of groups that contradict themselves.

    So duplicates cannot come to lie on both sides of a split, whatever the split.
    """
    whole = np.ascontiguousarray(records.features + np.float32(0))
    contents = whole.view(np.dtype((np.void, whole.itemsize * whole.shape[1]))).ravel().tolist()
    first: dict[object, int] = {}
    group = np.array([first.setdefault(content, i) for i, content in enumerate(contents)])
    contradicted = np.unique(group[records.kinds != records.kinds[group]])
    ambiguous = np.isin(group, contradicted)
    kept = np.flatnonzero((group == np.arange(len(group))) & ~ambiguous)
    duplicates = len(group) - len(kept) - int(ambiguous.sum())
    return Distinct(kept, duplicates, int(ambiguous.sum()))


def bags(
    records: Records,
    rows: Integer[np.ndarray, " some"],
    *,
    length: int,
    attack_records: int,
    draws: np.random.Generator,
) -> Bags:
    """Windows of records drawn at random without replacement, in random order.

    A normal window has `length` normal records. An attack window has `attack_records` of one kind
    of attack, and is filled up with normal ones. There are at most as many attack windows as normal
    ones. The order of records in a window means nothing, and neither does that of windows.
    What is left over, such as kinds with fewer than `attack_records` records, is not used.

    Args:
        records: of a file.
        rows: those to be used.
        length: records of a window.
        attack_records: records of an attack in an attack window, 1 to `length`.
        draws: where random numbers come from.
    """
    kinds = records.kinds[rows]
    normal = draws.permutation(rows[kinds == records.normal])
    attacks, names = [np.empty((0, attack_records), dtype=int)], []
    for name in np.unique(kinds[kinds != records.normal]):
        members = draws.permutation(rows[kinds == name])
        count = len(members) // attack_records
        attacks.append(members[: count * attack_records].reshape(count, attack_records))
        names += [name] * count
    groups = np.concatenate(attacks)
    rest = length - attack_records
    chosen = draws.permutation(len(groups))[: len(normal) // (length + rest)]
    filling, plain = np.split(normal, [len(chosen) * rest])
    attacked = np.hstack([groups[chosen], filling.reshape(len(chosen), rest)])
    plain = plain[: len(plain) // length * length].reshape(-1, length)
    order = draws.permutation(len(plain) + len(attacked))
    mixed = draws.permuted(np.concatenate([plain, attacked]), axis=1)
    labels = np.repeat([NORMAL, ATTACK], [len(plain), len(attacked)])
    held = np.array([records.normal] * len(plain) + [names[i] for i in chosen])
    return Bags(mixed[order], labels[order], held[order])
