"""What a reader must know before believing a sweep, in sentences."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from scaling.analysis import optima
from scaling.contracts.columns import FINISHED, REFERENCES
from scaling.contracts.settings import by_setting
from scaling.reporting.run_caveats import Caveat, caveats

NOTHING = 0.02  # nats between a loss and its floor that leave nothing to learn
NGRAMS = ("unigram", "bigram", "trigram", "fourgram", "fivegram")


def cautions(rows: pd.DataFrame) -> list[str]:
    """Everything that speaks against a sweep's losses, optima and comparisons.

    Args:
        rows: as `scaling.results.read` gives them.
    """
    known = rows[rows["status"] != "corrupt"]
    said = [f"{name} {value:.3f}" for name, value in trivial(known).items()]
    lines = [f"Reachable without learning: {', '.join(said)}"] if said else []
    lines += _mixed(known)
    blocks = dict(by_setting(known))
    floors = {title: _floor_reached(block) for title, block in blocks.items()}
    for title, floor in floors.items():
        if floor is not None:
            lines.append(
                f"Nothing to learn{_where(title)}: every best loss lies within {NOTHING} of "
                f"{floor:.3f}, which no model goes below and letter frequencies reach; "
                "no lr is best"
            )
    lines += _beside_counting({t: block for t, block in blocks.items() if floors[t] is None})
    for title, block in blocks.items():
        lines += _unfound(block, _where(title))
    lines += [*_unasked(known), *_repeated(known), *_seeds(known), *_unfinished(rows)]
    return [*_of_runs(known), *lines]


def _of_runs(rows: pd.DataFrame) -> Iterator[str]:
    """What single runs are in trouble with, each kind in a line, which shows the worst of them."""
    found: dict[str, list[tuple[Caveat, str]]] = defaultdict(list)
    finished = rows[rows["status"].isin(FINISHED)]
    for _, row in finished.iterrows():
        for caveat in caveats(row):
            found[caveat.kind].append((caveat, str(row["run"])))
    for kind, runs in found.items():
        worst, run = max(runs, key=lambda one: one[0].size)
        which = "" if len(runs) == 1 else "the worst, "
        yield (
            f"{kind.capitalize()}, {len(runs)} of {len(finished)} runs: {which}{run}: "
            f"{worst.sentence}; {worst.remedy}"
        )


def trivial(rows: pd.DataFrame) -> dict[str, float]:
    """The losses that need no learning, by name and in nats, if all rows agree on them."""
    names = [name for name in REFERENCES if f"{name}_loss" in rows]
    known = {name: rows[f"{name}_loss"].dropna().unique() for name in names}
    return {name: float(values[0]) for name, values in known.items() if len(values) == 1}


def _where(title: str) -> str:
    return f" ({title})" if title else ""


def _mixed(rows: pd.DataFrame) -> Iterator[str]:
    """What no two blocks should be compared over."""
    for key in ("protocol", "duration", "model", "data"):
        values = set(rows[key].dropna())
        if len(values) < 2 or (key == "duration" and rows["protocol"].nunique() > 1):
            continue
        names = ", ".join(sorted(f"{v:g}" if isinstance(v, float) else str(v) for v in values))
        yield (
            f"Several values of {key} are mixed ({names}): each is shown apart, and a difference "
            "between them is no effect of batch, lr or clip"
        )


def _best(block: pd.DataFrame) -> pd.Series:
    """The lowest mean loss over seeds of each batch size."""
    done = block[block["status"] == "done"]
    return done.groupby(["batch", "lr"])["val_loss"].mean().groupby("batch").min().dropna()


def _floor_reached(block: pd.DataFrame) -> float | None:
    """The loss that nothing goes below, where counting letters reaches it, and every batch size."""
    reachable, best = trivial(block), _best(block)
    floor = reachable.get("floor")
    if floor is None or best.empty or reachable.get("unigram", np.inf) > floor + NOTHING:
        return None
    return floor if bool((np.abs(best - floor) <= NOTHING).all()) else None


def _beside_counting(blocks: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The settings whose best run is worse than counting, or better than anything can be."""
    worse: dict[str, list[str]] = defaultdict(list)
    for title, block in blocks.items():
        reachable, best = trivial(block), _best(block)
        if best.empty:
            continue
        lowest, named = float(best.min()), _where(title)
        if not_beaten := [name for name in NGRAMS if lowest >= reachable.get(name, np.inf)]:
            worse[f"{not_beaten[0]} {reachable[not_beaten[0]]:.3f}"].append(f"{lowest:.3f}{named}")
        if lowest < reachable.get("floor", -np.inf) - NOTHING:
            yield (
                f"Below the floor{named}: {lowest:.3f} is less than {reachable['floor']:.3f}, "
                "which only memory of the validation data can give"
            )
    for rung, losses in worse.items():
        suspect = ": too few steps, or data or evaluation are wrong" if "unigram" in rung else ""
        yield f"Counting does better ({rung}) than the best loss of {'; '.join(losses)}{suspect}"


def _unfound(block: pd.DataFrame, where: str) -> Iterator[str]:
    """The batch sizes whose best lr is not known, by what is known of it."""
    if block.groupby("batch")["lr"].nunique().max() < 2:
        return  # nobody asked for one
    batches: dict[str, list[str]] = defaultdict(list)
    for found in optima.optimum(block):
        if found.status in ("low_edge", "high_edge"):
            low = found.status == "low_edge"
            end = float(block["lr"].min() if low else block["lr"].max())
            place = f"below {end:g}, the lowest" if low else f"above {end:g}, the highest"
            said = f"the best lr may lie {place} tried"
            if found.lr != end:
                said += " (the lowest mean is inside; the rise towards the end is within the noise)"
        elif found.status == "flat":
            said = f"losses differ by less than {optima.FLAT:g} nats over the whole grid"
        else:
            said = found.reason
        if found.status != "interior":
            kind = "Censored" if "edge" in found.status else found.status.capitalize()
            batches[f"{kind}{where}, batch {{}}: {said}"].append(f"{found.batch:g}")
    for said, names in batches.items():
        yield said.format(", ".join(names))


def _unasked(rows: pd.DataFrame) -> Iterator[str]:
    """What no setting can answer, because it was not varied."""
    blocks = [block for _, block in by_setting(rows)]
    if all(block.groupby("batch")["lr"].nunique().max() == 1 for block in blocks):
        yield "One learning rate at each batch size: whether another is better is not known"
    if all(block["batch"].nunique() == 1 for block in blocks):
        yield "One batch size in each setting: how the best lr moves with it is not known"


def _repeated(rows: pd.DataFrame) -> Iterator[str]:
    """Cells that one seed ran more than once, and to different losses; folds are no repeats."""
    spreads = []
    keys = ["batch", "lr", "seed", *(["fold"] if "fold" in rows else [])]
    for _, block in by_setting(rows[rows["status"] == "done"]):
        losses = block.groupby(keys, dropna=False)["val_loss"]
        spreads += [spread for spread in losses.max() - losses.min() if spread > 0]
    if spreads:
        yield (
            f"Run more than once with one seed, {len(spreads)} times: losses differ by up to "
            f"{max(spreads):.4f} nats, which is noise, or what no column shows"
        )


def _seeds(rows: pd.DataFrame) -> Iterator[str]:
    """Whether noise is known, and the same in all cells."""
    finished = rows[rows["status"].isin(FINISHED)]
    if rows["seed"].nunique() == 1:
        yield "One seed: differences between cells include noise of unknown size"
    ragged, cells = 0, 0
    for _, block in by_setting(finished):
        counts = block.groupby(["batch", "lr"])["seed"].nunique()
        ragged, cells = ragged + int((counts < counts.max()).sum()), cells + len(counts)
    if ragged:
        yield f"Seeds are missing in {ragged} of {cells} cells: means over seeds are not alike"


def _unfinished(rows: pd.DataFrame) -> Iterator[str]:
    for status in ("diverged", "failed", "interrupted", "corrupt"):
        if count := int((rows["status"] == status).sum()):
            yield f"{count} of {len(rows)} runs {status}"
