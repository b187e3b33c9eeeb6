"""What does a wrong learning rate cost, and what does a larger batch save?"""

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from scaling.analysis import critical_batch, steps_to_loss
from scaling.analysis.intervals import t_interval
from scaling.analysis.lr_sensitivity import LEVEL, SEEDS, Sensitivity, sensitivity
from scaling.analysis.significance import seeds_needed
from scaling.contracts.columns import FINISHED
from scaling.contracts.settings import by_setting
from scaling.studies.claims import Claim, Estimate, Verdict
from scaling.studies.sweep_tables import Evidence

FACTOR = 3.0  # by which lr is off, at most


def applies(evidence: Evidence) -> bool:
    """Whether a sweep varies what the question is about."""
    return any(True for _ in _blocks(evidence.rows))


def sentences(evidence: Evidence) -> Iterator[str]:
    """What a wrong lr costs, and what a larger batch saves, for each other setting."""
    yield from _costs(evidence.rows)
    yield from tradeoff_sentences(evidence.rows, evidence.steps)


def races(evidence: Evidence) -> bool:
    """Whether there are steps of several batch sizes to compare."""
    return any(True for _ in _races(evidence.rows, evidence.steps))


def tables(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """`lr_sensitivity`: what a wrong lr costs, a line for each setting and batch size."""
    found = []
    for title, block in _blocks(evidence.rows):
        with contextlib.suppress(ValueError):  # which a sentence says
            found += [
                {"setting": title, **asdict(one)} for one in sensitivity(block, factors=(FACTOR,))
            ]
    return {"lr_sensitivity": pd.DataFrame(found).drop(columns="each")} if found else {}


def _costs(rows: pd.DataFrame) -> Iterator[str]:
    for title, block in _blocks(rows):
        subject = f"A learning rate off by up to a factor {FACTOR:g}{_where(title)}"
        try:
            found = sensitivity(block, factors=(FACTOR,))
        except ValueError as error:
            yield f"{subject}: cannot tell what it costs; {error}"
            continue
        known, doubts = [one for one in found if _is_known(one)], _doubts(found, block)
        if not known:
            yield f"{subject}: cannot tell what it costs; {'; '.join(doubts)}"
            continue
        costs = ", ".join(f"{one.lost:.3f}{_ends(one)} at {one.batch}" for one in known)
        text = f"{subject} costs on average, in nats, at each batch: {costs}"
        if len(known) > 1 and all(one.seeds >= SEEDS for one in known):
            found_trend = _trend(known, block)
            change = f"costs {'more' if found_trend.value > 0 else 'less'} at larger batch sizes"
            if not (found_trend.low > 0 or found_trend.high < 0):
                change = "whether that changes with the batch: cannot tell"
            doubts = [f"{change}, {found_trend.shown}", *doubts]
        yield "; ".join([text, *doubts])


def tradeoff_sentences(rows: pd.DataFrame, losses: pd.DataFrame) -> Iterator[str]:
    """What a larger batch saves in steps and costs in examples, for each setting.

    `experiment=fixed_examples` is made for this question; `joint` has three batch sizes, one fewer
    than a critical batch takes.

    Args:
        rows: as `scaling.results.read` gives them.
        losses: of these runs, as `scaling.results.steps` gives them, or `scaling.results.epochs`
            where runs were evaluated many times; an empty table gives no sentence.
    """
    for title, block in _races(rows, losses):
        subject = f"Steps against examples{_where(title)}"
        try:
            reached = steps_to_loss.arrivals(block, losses)
            found = critical_batch.tradeoff(reached.points)
        except ValueError as error:
            yield f"{subject}: cannot tell; {error}"
            continue
        if len(found.optima) < 2:
            few = len(found.optima)
            yield f"{subject}: cannot tell; batch sizes with an lr at which every seed ended: {few}"
            continue
        yield f"{subject}: {_course(reached, found)}; {_hyperbola(found)}"


def trend(rows: pd.DataFrame) -> Estimate:
    """What a wrong lr costs more for each doubling of the batch, in nats.

    A line through the losses lost of each seed, over the batch sizes whose best lr is inside the
    grid, and a t interval over seeds. Seeds choose each other's best lr, which ties them a little:
    where noise is a third of the bowl's depth the interval misses in 12 %, not 5 %, on both sides.
    """
    try:
        found = sensitivity(rows, factors=(FACTOR,))
    except ValueError as error:
        return Estimate.missing(str(error))
    return _trend([one for one in found if _is_known(one)], rows)


CLAIMS = (
    Claim(
        "A wrong learning rate costs more at larger batch sizes",
        region=(0.0, math.inf), statistic=trend,
    ),
)  # fmt: skip


def verdicts(evidence: Evidence) -> Iterator[tuple[str, Verdict]]:
    """The claims of the field, for each setting other than batch, lr and seed."""
    for title, block in _blocks(evidence.rows):
        for claim in CLAIMS:
            yield title, claim.judge(block)


def _blocks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings in which some batch size has three learning rates, of runs that ended."""
    ended = rows[rows["status"].isin(FINISHED)]
    for title, block in by_setting(ended):
        if len(block) and block.groupby("batch")["lr"].nunique().max() > 2:
            yield title, block


def _races(rows: pd.DataFrame, losses: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings with several batch sizes, of runs that ended and whose losses are at hand."""
    if losses.empty:
        return
    ended = rows[rows["status"].isin(FINISHED) & rows["run"].isin(losses["run"].unique())]
    for title, block in by_setting(ended):
        if block["batch"].nunique() > 1:
            yield title, block


def _is_known(one: Sensitivity) -> bool:
    """Whether both sides of the best lr were tried, so that it may be the best."""
    return not one.edge and math.isfinite(one.lost)


def _trend(known: Sequence[Sensitivity], rows: pd.DataFrame) -> Estimate:
    if len(known) < 2:
        return Estimate.missing(
            f"batch sizes whose best lr is inside the grid: {len(known)}; it takes 2",
            "learning rates on both sides of a best one that learns",
        )
    table = pd.DataFrame({math.log2(one.batch): dict(one.each) for one in known}).dropna()
    if len(table) < SEEDS:
        seeds = f"seeds at every batch size: {len(table)}"
        return Estimate.missing(f"{seeds}; an interval needs {SEEDS}", "three seeds of every cell")
    x = table.columns.to_numpy(float) - table.columns.to_numpy(float).mean()
    slopes = table.to_numpy(float) @ x / np.square(x).sum()
    found, sd = t_interval(slopes, level=LEVEL, fewest=SEEDS), float(slopes.std(ddof=1))
    kept = ", ".join(map(str, rows["protocol"].dropna().unique())) if "protocol" in rows else ""
    shown = (
        f"{found.value:+.2g} nats per doubling{f' at equal {kept}' if kept else ''} (95 % interval "
        f"{found.low:+.2g} to {found.high:+.2g} over {len(table)} seeds)"
    )
    needed = seeds_needed(found.value / sd, LEVEL) if sd > 0 else math.inf
    more = f"about {needed:.0f} seeds" if math.isfinite(needed) else ""
    return Estimate(found.value, found.low, found.high, shown, more)


def _doubts(found: Sequence[Sensitivity], rows: pd.DataFrame) -> list[str]:
    """What a reader must know of the costs, each with the batch sizes that it is about."""
    ceiling = rows["uniform_loss"].max() if "uniform_loss" in rows else math.nan
    uniform = f"the uniform loss, {ceiling:.3f}"
    said: defaultdict[str, list[str]] = defaultdict(list)
    for one in found:
        reasons = {
            "not known at batch {}: no seed has a loss at every lr": not one.seeds,
            f"not known at batch {{}}: no lr ends below {uniform}": one.seeds and not one.best > 0,
            f"not known at batch {{}}: the best lr is the {one.edge} tried": one.edge,
            "may cost nothing at batch {}": _is_known(one) and one.low <= 0,
            f"at least this at batch {{}}: losses above {uniform}, count as that": (
                _is_known(one) and one.capped
            ),
            "the grid ends within the factor at batch {}": _is_known(one) and one.covered < 0.99,
        }
        for why in (why for why, true in reasons.items() if true):
            said[why].append(str(one.batch))
    doubts = [why.format(", ".join(batches)) for why, batches in said.items()]
    few = sorted({one.seeds for one in found if _is_known(one) and one.seeds < SEEDS})
    if few:
        doubts.append(f"seeds: {few[0]}, and an interval needs {SEEDS}")
    return doubts


def _course(reached: steps_to_loss.Arrivals, found: critical_batch.Tradeoff) -> str:
    """The steps to the target at each batch size, and what the largest one saves."""
    kind = "validation" if reached.loss == "val_loss" else "training"
    steps = ", ".join(
        f"{'at most ' if batch in found.bounded else ''}{taken:.0f} at {batch}"
        for batch, _, taken in found.optima
    )
    text = (
        f"a {kind} loss of {reached.target:.3f}, the lowest that every batch size comes to in "
        f"half a run, takes in steps at each batch {steps}"
    )
    (small, _, most), (large, _, least) = found.optima[0], found.optima[-1]
    if not {small, large} & set(found.bounded):
        times, saved = large / small, least / most
        text += (
            f"; {times:.3g} times the batch takes {saved:.2g} times the steps and "
            f"{saved * times:.2g} times the examples"
        )
    if found.missed:
        left = ", ".join(map(str, found.missed))
        text += f"; left out: batch {left}, where at no lr every seed stays there"
    return text


def _hyperbola(found: critical_batch.Tradeoff) -> str:
    """The critical batch of a target with its interval, or why there is none."""
    if not found.identified:
        return f"cannot tell a critical batch: {found.reason}"

    least, fewest, critical = found.steps_min, found.examples_min, found.critical_batch
    return (
        f"S_min {least.value:.3g} steps ({least.low:.3g} to {least.high:.3g}), E_min "
        f"{fewest.value:.3g} examples ({fewest.low:.3g} to {fewest.high:.3g}); both are twice that "
        f"at the critical batch of this loss, {critical.value:.2g} ({critical.low:.2g} to "
        f"{critical.high:.2g})"
    )


def _ends(one: Sensitivity) -> str:
    return "" if math.isnan(one.low) else f" ({one.low:.3f} to {one.high:.3f})"


def _where(title: str) -> str:
    return f" ({title})" if title else ""
