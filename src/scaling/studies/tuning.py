"""What does a wrong learning rate cost, and what does a larger batch save?"""

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import pandas as pd

from scaling.analysis import critical_batch, steps_to_loss
from scaling.analysis.intervals import FEWEST, LEVEL, slopes, t_interval
from scaling.analysis.lr_sensitivity import Sensitivity, sensitivity
from scaling.analysis.significance import seeds_needed
from scaling.contracts.columns import FINISHED
from scaling.contracts.metric import compared_settings, metric_of
from scaling.studies.claims import POSITIVE, Claim, Estimate, Verdict
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables, where
from scaling.studies.tuning_figures import lr_sensitivity, steps_and_examples

ORDER = 4
FACTOR = 3.0  # largest factor by which lr is off


def applies(sweep: SweepTables) -> bool:
    """Whether a setting has three learning rates, or steps of several batch sizes."""
    races = _races(sweep.rows, sweep.steps)
    return any(True for _ in (*_blocks(sweep.rows), *races))


def sentences(sweep: SweepTables) -> Iterator[str]:
    """The cost of a wrong lr and the gain from a larger batch, for each other setting."""
    yield from _costs(sweep.rows)
    yield from tradeoff_sentences(sweep.rows, sweep.steps)


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`lr_sensitivity`: what a wrong lr costs, a line for each setting and batch size."""
    costs = []
    for title, block in _blocks(sweep.rows):
        with contextlib.suppress(ValueError):  # a sentence gives the reason
            costs += [
                {"setting": title, **asdict(one)} for one in sensitivity(block, factors=(FACTOR,))
            ]
    return {"lr_sensitivity": pd.DataFrame(costs).drop(columns="each")} if costs else {}


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """The cost of a wrong lr, and the steps to a loss, if the sweep has either."""
    costs = [lr_sensitivity] if any(True for _ in _blocks(sweep.rows)) else []
    races = [steps_and_examples] if any(True for _ in _races(sweep.rows, sweep.steps)) else []
    return drawings(costs, sweep.rows) | drawings(races, sweep.rows, sweep.steps)


def _costs(rows: pd.DataFrame) -> Iterator[str]:
    for title, block in _blocks(rows):
        subject = f"A learning rate off by up to a factor {FACTOR:g}{where(title)}"
        try:
            sensitivities = sensitivity(block, factors=(FACTOR,))
        except ValueError as error:
            yield f"{subject}: cost inconclusive; {error}"
            continue
        bracketed = [one for one in sensitivities if _is_bracketed(one)]
        doubts = _doubts(sensitivities, block)
        if not bracketed:
            yield f"{subject}: cost inconclusive; {'; '.join(doubts)}"
            continue
        costs = ", ".join(f"{one.lost:.3f}{_ends(one)} at {one.batch}" for one in bracketed)
        unit = f", in {scale}," if (scale := metric_of(block).scale) else ""
        text = f"{subject} costs on average{unit} at each batch: {costs}"
        if len(bracketed) > 1 and all(one.seeds >= FEWEST for one in bracketed):
            slope = _trend(bracketed, block)
            change = f"costs {'more' if slope.value > 0 else 'less'} at larger batch sizes"
            if not (slope.low > 0 or slope.high < 0):
                change = "it is not clear whether this changes with the batch"
            doubts = [f"{change}, {slope.shown}", *doubts]
        yield "; ".join([text, *doubts])


def tradeoff_sentences(rows: pd.DataFrame, losses: pd.DataFrame) -> Iterator[str]:
    """The steps that a larger batch saves and the examples that it costs, for each setting.

    `experiment=fixed_examples` is made for this question; `joint` has three batch sizes, one too
    few for a critical batch.

    Args:
        rows: as `scaling.results.read` gives them.
        losses: of these runs, as `scaling.results.steps` gives them, or `scaling.results.epochs`
            if runs were evaluated many times; an empty table gives no sentence.
    """
    for title, block in _races(rows, losses):
        subject = f"Steps against examples{where(title)}"
        try:
            reached = steps_to_loss.arrivals(block, losses)
            hyperbola = critical_batch.tradeoff(reached.points)
        except ValueError as error:
            yield f"{subject}: inconclusive; {error}"
            continue
        if len(hyperbola.optima) < 2:
            few = len(hyperbola.optima)
            yield f"{subject}: inconclusive; batch sizes that reach the target on all seeds: {few}"
            continue
        yield f"{subject}: {_course(reached, hyperbola)}; {_hyperbola(hyperbola)}"


def trend(rows: pd.DataFrame) -> Estimate:
    """Change in the cost of a wrong lr per doubling of the batch, in nats.

    A line through each seed's losses lost, over the batch sizes with learning rates tried on both
    sides of the best, and a t interval over seeds. Seeds choose each other's best lr, so they are
    slightly dependent: if noise is a third of the bowl's depth, the interval misses in 12 %, not
    5 %, on both sides.
    """
    try:
        sensitivities = sensitivity(rows, factors=(FACTOR,))
    except ValueError as error:
        return Estimate.missing(str(error))
    return _trend([one for one in sensitivities if _is_bracketed(one)], rows)


CLAIMS = (Claim("A wrong learning rate costs more at larger batch sizes", POSITIVE, trend),)


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """The published claims, for each setting other than batch, lr and seed."""
    for title, block in _blocks(sweep.rows):
        for claim in CLAIMS:
            yield title, claim.judge(block)


def _blocks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings in which some batch size has three learning rates, of runs that ended."""
    ended = rows[rows["status"].isin(FINISHED)]
    for title, block in compared_settings(ended):
        if len(block) and block.groupby("batch")["lr"].nunique().max() > 2:
            yield title, block


def _races(rows: pd.DataFrame, losses: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings with several batch sizes, of finished runs with recorded losses.

    Adapted runs are left out: their aim is not a low loss.
    """
    if losses.empty or "query_accuracy" in rows:
        return
    ended = rows[rows["status"].isin(FINISHED) & rows["run"].isin(losses["run"].unique())]
    for title, block in compared_settings(ended):
        if block["batch"].nunique() > 1:
            yield title, block


def _is_bracketed(one: Sensitivity) -> bool:
    """Whether learning rates on both sides of the best one were tried."""
    return not one.edge and math.isfinite(one.lost)


def _trend(bracketed: Sequence[Sensitivity], rows: pd.DataFrame) -> Estimate:
    if len(bracketed) < 2:
        return Estimate.missing(
            "batch sizes with learning rates tried on both sides of the best: "
            f"{len(bracketed)}; at least 2 needed",
            "learning rates on both sides of a best one that learns",
        )
    table = pd.DataFrame({math.log2(one.batch): dict(one.each) for one in bracketed}).dropna()
    if len(table) < FEWEST:
        seeds = f"seeds at every batch size: {len(table)}"
        return Estimate.missing(f"{seeds}; an interval needs {FEWEST}", "three seeds of every cell")
    changes = slopes(table.columns.to_numpy(float), table.to_numpy(float))
    interval, sd = t_interval(changes), float(changes.std(ddof=1))
    protocol = ", ".join(map(str, rows["protocol"].dropna().unique())) if "protocol" in rows else ""
    equal = f" at equal {protocol}" if protocol else ""
    shown = (
        f"{interval.value:+.2g}{metric_of(rows).unit} per doubling{equal} "
        f"(95 % interval {interval.low:+.2g} to {interval.high:+.2g} over {len(table)} seeds)"
    )
    needed = seeds_needed(interval.value / sd, LEVEL) if sd > 0 else math.inf
    more = f"about {needed:.0f} seeds" if math.isfinite(needed) else ""
    return Estimate(interval.value, interval.low, interval.high, shown, more)


def _doubts(sensitivities: Sequence[Sensitivity], rows: pd.DataFrame) -> list[str]:
    """Caveats of the costs, each with its batch sizes."""
    ceiling = rows["uniform_loss"].max() if "uniform_loss" in rows else math.nan
    uniform = f"the uniform loss, {ceiling:.3f}"
    batches: defaultdict[str, list[str]] = defaultdict(list)
    for one in sensitivities:
        inside = _is_bracketed(one)
        reasons = {
            "not known at batch {}: no seed has a loss at every lr": not one.seeds,
            f"not known at batch {{}}: no lr ends below {uniform}": one.seeds and not one.best > 0,
            f"not known at batch {{}}: the best lr is the {one.edge} tried": one.edge,
            "may cost nothing at batch {}": inside and one.low <= 0,
            f"at least this at batch {{}}: losses are capped at {uniform}": inside and one.capped,
            "the grid ends within the factor at batch {}": inside and one.covered < 0.99,
        }
        for why in (why for why, true in reasons.items() if true):
            batches[why].append(str(one.batch))
    doubts = [why.format(", ".join(sizes)) for why, sizes in batches.items()]
    few = sorted({one.seeds for one in sensitivities if _is_bracketed(one) and one.seeds < FEWEST})
    if few:
        doubts.append(f"seeds: {few[0]}, and an interval needs {FEWEST}")
    return doubts


def _course(reached: steps_to_loss.Arrivals, hyperbola: critical_batch.Tradeoff) -> str:
    """The steps to the target at each batch size, and what the largest one saves."""
    kind = "validation" if reached.loss == "val_loss" else "training"
    steps = ", ".join(
        f"{'at most ' if batch in hyperbola.bounded else ''}{taken:.0f} at {batch}"
        for batch, _, taken in hyperbola.optima
    )
    text = (
        f"a {kind} loss of {reached.target:.3f}, the lowest that every batch size reaches in "
        f"half a run, takes this many steps at each batch: {steps}"
    )
    (small, _, most), (large, _, least) = hyperbola.optima[0], hyperbola.optima[-1]
    if not {small, large} & set(hyperbola.bounded):
        times, saved = large / small, least / most
        text += (
            f"; {times:.3g} times the batch takes {saved:.2g} times the steps and "
            f"{saved * times:.2g} times the examples"
        )
    if hyperbola.missed:
        left = ", ".join(map(str, hyperbola.missed))
        text += f"; left out: batch {left}, where no lr stays at this loss on every seed"
    return text


def _hyperbola(hyperbola: critical_batch.Tradeoff) -> str:
    """The critical batch of a target with its interval, or why it is not reported."""
    if not hyperbola.identified:
        return f"critical batch inconclusive: {hyperbola.reason}"

    least, fewest, critical = hyperbola.steps_min, hyperbola.examples_min, hyperbola.critical_batch
    return (
        f"S_min {least.value:.3g} steps ({least.low:.3g} to {least.high:.3g}), E_min "
        f"{fewest.value:.3g} examples ({fewest.low:.3g} to {fewest.high:.3g}); both are twice that "
        f"at the critical batch of this loss, {critical.value:.2g} ({critical.low:.2g} to "
        f"{critical.high:.2g})"
    )


def _ends(one: Sensitivity) -> str:
    return "" if math.isnan(one.low) else f" ({one.low:.3f} to {one.high:.3f})"
