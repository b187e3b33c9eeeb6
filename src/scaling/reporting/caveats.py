"""Caveats of a sweep, as sentences."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from scaling.analysis import optima
from scaling.contracts.columns import FINISHED, NOTES, REFERENCES
from scaling.contracts.metric import compared, compared_settings, metric_of
from scaling.contracts.settings import by_setting
from scaling.contracts.words import counted
from scaling.reporting.run_caveats import READ, Caveat, caveats
from scaling.studies.sweep_tables import where

NOTHING = 0.02  # nats between a loss and its floor below which nothing is left to learn
NGRAMS = ("unigram", "bigram", "trigram", "fourgram", "fivegram")


def without_learning(rows: pd.DataFrame) -> str:
    """The losses that need no learning, in a line; empty if rows do not agree on any."""
    levels = [f"{name} {value:.3f}" for name, value in trivial(rows).items()]
    return f"Reachable without learning: {', '.join(levels)}" if levels else ""


def sweep_caveats(rows: pd.DataFrame, *, flat: float | None = None) -> list[str]:
    """All caveats of the losses, optima and comparisons of a sweep.

    Args:
        rows: from `scaling.results.read`.
        flat: rise of the loss in nats below which an optimum is flat (`scaling.optimum`).
    """
    readable = rows[rows["status"] != "corrupt"]
    references = without_learning(readable)
    lines = [*doubts(rows), *([references] if references else [])]
    return [*lines, *uncertain_optima(readable, flat=flat)]


def doubts(rows: pd.DataFrame) -> list[str]:
    """The caveats of losses and comparisons, the worst first; those of optima are in an answer."""
    readable = rows[rows["status"] != "corrupt"]
    lines = [*_of_runs(readable), *_of_files(readable), *_unfinished(rows), *_mixed(readable)]
    lines += _meaningless(readable)
    blocks = dict(compared_settings(readable))
    floors = {title: _floor_reached(block) for title, block in blocks.items()}
    for title, floor in floors.items():
        if floor is not None:
            lines.append(
                f"Nothing to learn{where(title)}: every best loss lies within {NOTHING} of "
                f"{floor:.3f}, the lowest possible loss, which letter frequencies reach: no lr is "
                "best"
            )
    lines += _beside_ngrams({t: block for t, block in blocks.items() if floors[t] is None})
    comparable = compared(readable)
    return [*lines, *_unasked(comparable), *_repeated(comparable), *_seeds(readable)]


def uncertain_optima(rows: pd.DataFrame, *, flat: float | None = None) -> list[str]:
    """The batch sizes of each setting whose best lr is not known, grouped by the reason.

    Args:
        rows: from `scaling.results.read`.
        flat: rise of the loss in nats below which an optimum is flat (`scaling.optimum`).
    """
    blocks = compared_settings(rows)
    return [line for title, block in blocks for line in _uncertain(block, where(title), flat)]


def _of_runs(rows: pd.DataFrame) -> Iterator[str]:
    """The caveats of single runs, a line for each kind with the worst run."""
    by_kind: dict[str, list[tuple[Caveat, str]]] = defaultdict(list)
    finished = rows[rows["status"].isin(FINISHED)]
    measured = [key for key in READ if key in finished and finished[key].notna().any()]
    for row in finished[["run", *measured]].to_dict("records") if measured else ():
        for caveat in caveats(row):
            by_kind[caveat.kind].append((caveat, str(row["run"])))
    for kind, runs in by_kind.items():
        worst, run = max(runs, key=lambda one: one[0].size)
        which = "" if len(runs) == 1 else "the worst, "
        yield (
            f"{kind.capitalize()}, {len(runs)} of {counted(len(finished), 'run')}: {which}{run}: "
            f"{worst.sentence}; {worst.remedy}"
        )


def _of_files(rows: pd.DataFrame) -> Iterator[str]:
    """Notes on how data sets read their files, and on files that are not the reference."""
    if NOTES not in rows:
        return
    for (data, notes), runs in rows.groupby(["data", NOTES], sort=False):
        some = "" if len(runs) == len(rows) else f" ({len(runs)} of {counted(len(rows), 'run')})"
        yield f"Files of data={data}{some}: {notes}"


def trivial(rows: pd.DataFrame) -> dict[str, float]:
    """The losses that need no learning, by name and in nats, if all rows agree on them."""
    names = [name for name in REFERENCES if f"{name}_loss" in rows]
    levels = {name: rows[f"{name}_loss"].dropna().unique() for name in names}
    return {name: float(values[0]) for name, values in levels.items() if len(values) == 1}


def _mixed(rows: pd.DataFrame) -> Iterator[str]:
    """Settings with several values, which must not be compared."""
    for key in ("protocol", "duration", "model", "data"):
        values = set(rows[key].dropna())
        if len(values) < 2 or (key == "duration" and rows["protocol"].nunique() > 1):
            continue
        names = ", ".join(sorted(f"{v:g}" if isinstance(v, float) else str(v) for v in values))
        yield (
            f"Several values of {key} are mixed ({names}): each is shown separately, and a "
            "difference between them is not an effect of batch, lr or clip"
        )


def _meaningless(rows: pd.DataFrame) -> Iterator[str]:
    """The data sets whose losses mean nothing, beside others."""
    kept = compared(rows)
    left_out = rows.drop(kept.index)["data"].dropna().unique()
    if len(kept) and len(left_out):
        yield f"Losses of data={', '.join(left_out)} mean nothing, and are not compared"


def _best(block: pd.DataFrame) -> pd.Series:
    """The lowest mean loss over seeds of each batch size."""
    done = block[block["status"] == "done"]
    return done.groupby(["batch", "lr"])["val_loss"].mean().groupby("batch").min().dropna()


def _floor_reached(block: pd.DataFrame) -> float | None:
    """The lowest possible loss, if letter frequencies and every batch size reach it."""
    reachable, best = trivial(block), _best(block)
    floor = reachable.get("floor")
    if floor is None or best.empty or reachable.get("unigram", np.inf) > floor + NOTHING:
        return None
    return floor if bool((np.abs(best - floor) <= NOTHING).all()) else None


def _beside_ngrams(blocks: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The settings whose best loss is worse than an n-gram model, or lower than possible."""
    worse: dict[str, list[str]] = defaultdict(list)
    for title, block in blocks.items():
        reachable, best = trivial(block), _best(block)
        if best.empty:
            continue
        lowest, setting = float(best.min()), where(title)
        if not_beaten := [name for name in NGRAMS if lowest >= reachable.get(name, np.inf)]:
            model = f"{not_beaten[0]} model ({reachable[not_beaten[0]]:.3f})"
            worse[model].append(f"{lowest:.3f}{setting}")
        if lowest < reachable.get("floor", -np.inf) - NOTHING:
            yield (
                f"Below the floor{setting}: {lowest:.3f} is less than {reachable['floor']:.3f}, "
                "which is possible only by memorising the validation data"
            )
    for model, losses in worse.items():
        suspect = ": too few steps, or data or evaluation are wrong" if "unigram" in model else ""
        yield f"The best loss, {'; '.join(losses)}, is worse than a {model}{suspect}"


def _uncertain(block: pd.DataFrame, setting: str, flat: float | None) -> Iterator[str]:
    if block.groupby("batch")["lr"].nunique().max() < 2:
        return  # the sweep has no lr to compare
    batches: dict[str, list[str]] = defaultdict(list)
    found = optima.optimum(block, flat=flat)
    flats = [optimum for optimum in found if optimum.status == "flat"]
    rise = max(flats, key=lambda optimum: optimum.depth).reason if flats else ""
    for optimum in found:
        if optimum.status in ("low_edge", "high_edge"):
            low = optimum.status == "low_edge"
            end = float(block["lr"].min() if low else block["lr"].max())
            place = f"below {end:g}, the lowest" if low else f"above {end:g}, the highest"
            doubt = f"the best lr may lie {place} tried"
            if optimum.lr != end:
                doubt += " (the lowest mean is not at this end; the rise to it is within the noise)"
        else:
            doubt = rise if optimum.status == "flat" else optimum.reason
        if optimum.status != "interior":
            kind = "Censored" if "edge" in optimum.status else optimum.status.capitalize()
            batches[f"{kind}{setting}, batch {{}}: {doubt}"].append(f"{optimum.batch:g}")
    for doubt, names in batches.items():
        yield doubt.format(", ".join(names))


def _unasked(rows: pd.DataFrame) -> Iterator[str]:
    """Questions that the sweep cannot answer, because it varied too little."""
    blocks = [block for _, block in by_setting(rows)]
    if all(block.groupby("batch")["lr"].nunique().max() == 1 for block in blocks):
        yield "One learning rate at each batch size: another may be better"
    if all(block["batch"].nunique() == 1 for block in blocks):
        yield "One batch size in each setting: no law of the batch size can be fitted"


def _repeated(rows: pd.DataFrame) -> Iterator[str]:
    """Cells run more than once with one seed, with different losses; folds are not repeats."""
    spreads = []
    keys = ["batch", "lr", "seed", *(["fold"] if "fold" in rows else [])]
    for _, block in by_setting(rows[rows["status"] == "done"]):
        losses = block.groupby(keys, dropna=False)["val_loss"]
        spreads += [spread for spread in losses.max() - losses.min() if spread > 0]
    if spreads:
        apart = f"{max(spreads):.4f}{metric_of(rows).unit}"
        yield (
            f"{counted(len(spreads), 'cell was', 'cells were')} run more than once with one seed: "
            f"losses differ by up to {apart}, by noise or by a setting without a column"
        )


def _seeds(rows: pd.DataFrame) -> Iterator[str]:
    """Whether noise can be estimated, and whether every cell has the same seeds."""
    finished = rows[rows["status"].isin(FINISHED)]
    if rows["seed"].nunique() == 1:
        yield "One seed: how much losses vary between seeds is not known"
    ragged, cells = 0, 0
    for _, block in by_setting(finished):
        counts = block.groupby(["batch", "lr"])["seed"].nunique()
        ragged, cells = ragged + int((counts < counts.max()).sum()), cells + len(counts)
    if ragged:
        yield f"Seeds are missing in {ragged} of {cells} cells: means over seeds are not comparable"


def _unfinished(rows: pd.DataFrame) -> Iterator[str]:
    for status in ("diverged", "failed", "interrupted", "corrupt"):
        if count := int((rows["status"] == status).sum()):
            yield f"{count} of {counted(len(rows), 'run')} {status}"
