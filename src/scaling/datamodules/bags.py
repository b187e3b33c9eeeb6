"""Windows of records that are not time series; each record is in at most one window."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Integer, Shaped

NORMAL, ATTACK = 0, 1  # labels of windows


@dataclass(frozen=True, eq=False)
class Records:
    """Flows of a network in the order of their file."""

    features: Float32[np.ndarray, "records features"]
    kinds: Shaped[np.ndarray, " records"]  # name of the attack, or `normal`
    normal: str  # the kind that is not an attack
    later: Bool[np.ndarray, " records"] | None  # test data, if the file has a split
    notes: tuple[str, ...] = ()  # how the files were read

    @cached_property
    def fingerprint(self) -> str:
        """Identity of features, kinds and split, whatever the format of the files."""
        later = b"" if self.later is None else self.later.tobytes()
        parts = (repr(self.features.shape).encode(), self.features.tobytes(), later)
        kinds = "\n".join(self.kinds.tolist()).encode()
        return hashlib.sha256(b"".join((*parts, kinds))).hexdigest()[:16]


class Bags(NamedTuple):
    """Windows, as row numbers of records."""

    rows: Integer[np.ndarray, "windows length"]
    labels: Integer[np.ndarray, " windows"]
    kinds: Shaped[np.ndarray, " windows"]  # kind of the attack in a window, or `normal`


class Distinct(NamedTuple):
    """Records without duplicates."""

    rows: Integer[np.ndarray, " distinct"]  # the first of each group of duplicates, in file order
    duplicates: int  # records equal to an earlier one
    ambiguous: int  # records with a duplicate of another kind, which are all dropped


def contents(rows: Shaped[np.ndarray, "rows values"]) -> list[bytes]:
    """The bytes of each row, to find equal rows; -0.0 equals 0.0."""
    rows = np.ascontiguousarray(rows + rows.dtype.type(0))
    packed = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))
    return [bytes(content) for content in packed.ravel().tolist()]


def distinct(records: Records) -> Distinct:
    """Keep one record of each group with equal features, and none of groups of several kinds.

    Duplicates can then not end up on both sides of a split.
    """
    first: dict[bytes, int] = {}
    rows = enumerate(contents(records.features))
    group = np.array([first.setdefault(content, i) for i, content in rows])
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

    A normal window has `length` normal records. An attack window has `attack_records` records of
    one kind of attack; the others are normal. There are at most as many attack windows as normal
    ones. The order of windows, and of records in a window, is random. Left-over records, such as
    those of kinds with fewer than `attack_records`, are not used.

    Args:
        records: records of a file.
        rows: the records to use.
        length: records of a window.
        attack_records: records of an attack in an attack window, 1 to `length`.
        draws: random number generator.
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
    attack_kinds = np.array([records.normal] * len(plain) + [names[i] for i in chosen])
    return Bags(mixed[order], labels[order], attack_kinds[order])
