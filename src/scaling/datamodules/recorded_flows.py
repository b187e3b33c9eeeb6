"""Windows of recorded network flows, before and after a natural shift."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Integer

from scaling.contracts.labeled import Labeled
from scaling.contracts.limits import check_choice, check_least
from scaling.datamodules import nsl_kdd, unsw_nb15
from scaling.datamodules.bags import Bags, Records, bags, distinct
from scaling.datamodules.files import File
from scaling.datamodules.leak_checks import leaks
from scaling.datamodules.partition import dirichlet_partition
from scaling.datamodules.population import Population
from scaling.seeds import seed_for


class Source(NamedTuple):
    """A data set of records: how to find and read its files."""

    files: Callable[[str | None], tuple[File, ...]]
    read: Callable[[tuple[File, ...]], Records]
    reference: str | None  # fingerprint of the records of the reference, if there is one
    reference_name: str


SOURCES = {
    module.__name__.rpartition(".")[2]: Source(
        module.files, module.read, module.REFERENCE, module.REFERENCE_NAME
    )
    for module in (unsw_nb15, nsl_kdd)
}


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Populations of windows with or without an attack, made of the records of a file.

    Duplicates are dropped, records are split into those before and after the shift, and each is
    then put into at most one window (`bags`). A window is a random sample of traffic, not a time
    interval, because the files have no time.

    Before the shift, `source_windows` windows are the source, and the clients have all others. The
    windows after it form a ring: fold f starts at the share f / folds of them, with its query
    followed by its held-out windows. Queries of neighbouring folds overlap if they are longer than
    windows / folds: `query_overlap` is the share that a fold has in common with the next. All of
    this is drawn with the seed, so seeds are different splits of the same records.

    Features are standardised with the means and standard deviations of the clients' records.

    Raises:
        ValueError: for a value out of range, naming its key.
    """

    seed: int
    source: str  # unsw_nb15, nsl_kdd, or the name of your own table
    length: int  # records of a window, at least 2
    attack_records: int  # attack records of a window with an attack; the others are normal
    later_share: float | None  # share of records after the shift; null for a file with a split
    unseen_kind: str | None  # a kind of attack that occurs only after the shift
    clients: int
    alpha: float  # concentration of the clients' labels (Dirichlet); inf: no skew
    source_windows: int
    query_windows: int
    heldout_windows: int
    folds: int

    def __post_init__(self) -> None:
        assert self.tables  # checks the source
        check_least(2, length=self.length)
        sizes = ("attack_records", "clients", "source_windows", "query_windows", "heldout_windows")
        check_least(1, **{key: getattr(self, key) for key in (*sizes, "folds")})
        if self.attack_records > self.length:
            raise ValueError(
                f"attack_records={self.attack_records} must be at most length={self.length}"
            )
        if self.later_share is not None and not 0 < self.later_share < 1:
            raise ValueError(f"later_share={self.later_share} must lie between 0 and 1")
        if not self.alpha > 0:
            raise ValueError(f"alpha={self.alpha} must be positive; inf divides labels evenly")

    @property
    def tables(self) -> Source:
        """The functions that find and read the files.

        Raises:
            ValueError: for an unknown source.
        """
        check_choice(SOURCES, source=self.source)
        return SOURCES[self.source]

    def fingerprint(self, path: str | None) -> str:
        """Identity of the records.

        Raises:
            ValueError: if a file is missing or cannot be read.
        """
        return self.tables.read(self.tables.files(path)).fingerprint

    def draw(self, path: str | None, fold: int) -> Population:
        """The population of a fold; cached until a file changes.

        Raises:
            ValueError: if the fold does not exist, there are too few windows, or a file is missing
                or cannot be read.
        """
        if fold >= self.folds:
            raise ValueError(f"fold={fold} must be below folds={self.folds}")
        return self._drawn(self.tables.files(path), fold)

    @lru_cache(maxsize=32)  # noqa: B019 - the key is the settings and the state of the files
    def _drawn(self, files: tuple[File, ...], fold: int) -> Population:
        records = self.tables.read(files)
        unique = distinct(records)
        draws = np.random.default_rng(seed_for("data", self.seed))
        before, after = (
            bags(
                records,
                rows,
                length=self.length,
                attack_records=self.attack_records,
                draws=draws,
            )
            for rows in self._divided(records, unique.rows, draws)
        )
        self._check_sizes(len(before.rows), len(after.rows))
        source, pooled = np.split(np.arange(len(before.rows)), [self.source_windows])
        query, heldout = self._folded(len(after.rows), fold)
        members = dirichlet_partition(before.labels[pooled], self.clients, self.alpha, draws)
        chosen = {f"client {i}": _part(before, pooled[part]) for i, part in enumerate(members)}
        chosen |= {"source": _part(before, source)}
        chosen |= {"query": _part(after, query), "heldout": _part(after, heldout)}
        values = _standardised(records.features, before.rows[pooled].ravel())
        drawn = Population(
            clients=tuple(_labeled(values, chosen[f"client {i}"]) for i in range(self.clients)),
            **{part: _labeled(values, chosen[part]) for part in ("source", "query", "heldout")},
            classes=2,
            best_accuracy=None,
            best_accuracy_se=None,
            checks={},
            notes=self._notes(files, records),
        )
        next_query, _ = self._folded(len(after.rows), (fold + 1) % self.folds)
        seen = np.isin(after.kinds[query], before.kinds[pooled])
        checks = leaks(drawn.parts(), {name: part.rows for name, part in chosen.items()}) | {
            "duplicate_records": unique.duplicates,
            "ambiguous_records": unique.ambiguous,
            "query_unseen_share": 1 - float(seen.mean()),
            "query_overlap": float(np.isin(query, next_query).mean()) if self.folds > 1 else 0.0,
        }
        return replace(drawn, checks=checks)

    def _notes(self, files: tuple[File, ...], records: Records) -> tuple[str, ...]:
        """Notes on how the files were read, and on records that are not those of the reference."""
        notes = records.notes
        names = " and ".join(file.path.name for file in files)
        if self.tables.reference not in (None, records.fingerprint):
            notes += (
                f"the records of {names} (fingerprint {records.fingerprint}) differ from the "
                f"reference, {self.tables.reference_name}",
            )
        attacks = np.setdiff1d(records.kinds, [records.normal])
        if (later := records.later) is not None:
            early, late = (np.intersect1d(attacks, records.kinds[part]) for part in (~later, later))
            if not np.intersect1d(early, late).size:
                notes += (f"no kind of attack in {files[1].path.name} is in {files[0].path.name}",)
        if len(attacks) == 1:
            notes += (f"all attacks are of one kind, {attacks[0]}",)
        return notes

    def _divided(
        self, records: Records, rows: Integer[np.ndarray, " kept"], draws: np.random.Generator
    ) -> tuple[Integer[np.ndarray, " early"], Integer[np.ndarray, " late"]]:
        """Split records into those before and those after the shift."""
        if (records.later is None) == (self.later_share is None):
            must = "null" if self.later_share else "a share of the records"
            have = "no split" if records.later is None else "a split"
            raise ValueError(
                f"later_share={self.later_share} must be {must} for {self.source}, whose files "
                f"have {have}"
            )
        later = np.zeros(len(rows), dtype=bool) if records.later is None else records.later[rows]
        if self.later_share is not None:
            later = draws.random(len(rows)) < self.later_share
        if self.unseen_kind is not None:
            unseen = records.kinds[rows] == self.unseen_kind
            if self.unseen_kind == records.normal or not unseen.any():
                kinds = [name for name in np.unique(records.kinds) if name != records.normal]
                raise ValueError(
                    f"unseen_kind={self.unseen_kind} must be one of {', '.join(kinds)}"
                )
            if records.later is None:
                later |= unseen
            else:
                rows, later = rows[later | ~unseen], later[later | ~unseen]
        return rows[~later], rows[later]

    def _check_sizes(self, before: int, after: int) -> None:
        if self.source_windows + self.clients > before:
            raise ValueError(
                f"source_windows={self.source_windows} leaves "
                f"{max(0, before - self.source_windows)} of the {before} windows before the shift "
                f"for clients={self.clients}; choose fewer"
            )
        if self.query_windows + self.heldout_windows > after:
            raise ValueError(
                f"query_windows={self.query_windows} and heldout_windows={self.heldout_windows} "
                f"exceed the {after} windows after the shift; choose fewer, or a smaller length"
            )

    def _folded(
        self, windows: int, fold: int
    ) -> tuple[Integer[np.ndarray, " query"], Integer[np.ndarray, " heldout"]]:
        """Query and held-out windows of a fold, in the ring of all windows."""
        both = self.query_windows + self.heldout_windows
        turn = (windows * fold // self.folds + np.arange(both)) % windows
        return turn[: self.query_windows], turn[self.query_windows :]


def _part(windows: Bags, which: Integer[np.ndarray, " some"]) -> Bags:
    return Bags(*(entry[which] for entry in windows))


def _labeled(values: Float32[np.ndarray, "records features"], windows: Bags) -> Labeled:
    return Labeled(torch.from_numpy(values[windows.rows]), torch.from_numpy(windows.labels))


def _standardised(
    features: Float32[np.ndarray, "records features"], reference: Integer[np.ndarray, " some"]
) -> Float32[np.ndarray, "records features"]:
    """Features standardised by those of reference records; constant ones are only centred."""
    chosen = features[reference]
    mean, deviation = chosen.mean(0, dtype=float), chosen.std(0, dtype=float)
    return ((features - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
