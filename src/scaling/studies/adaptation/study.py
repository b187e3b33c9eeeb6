"""Does adaptation without labels help, and does its batch size matter?"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import pandas as pd

from scaling.analysis.effects import Contrast
from scaling.analysis.intervals import FEWEST
from scaling.contracts.words import counted
from scaling.studies.adaptation import norm_trends
from scaling.studies.adaptation.accuracy_figures import (
    accuracy_by_batch,
    accuracy_over_passes,
    entropy_and_diversity,
)
from scaling.studies.adaptation.norm_figures import adaptation_norms
from scaling.studies.adaptation.runs import adapted, arms, blocks, measures, passes
from scaling.studies.adaptation.tables import all_tables, reference
from scaling.studies.claims import NEGATIVE, POSITIVE, SMALLER, Claim, Estimate, Verdict
from scaling.studies.cluster_intervals import (
    between_arms,
    changes,
    describe_clusters,
    gain_or_harm,
    gains,
    more_or_less,
    over_clusters,
    per_doubling,
)
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables, where

ORDER = 6
FIGURES = (adaptation_norms, entropy_and_diversity, accuracy_by_batch, accuracy_over_passes)
SOURCE = "published study"
WHERE = {"query": "on the query", "val": "on held-out windows of the same shift"}

__all__ = ["ORDER", "applies", "figures", "measures", "passes", "sentences", "tables", "verdicts"]


def applies(sweep: SweepTables) -> bool:
    """Whether runs were adapted and their passes were recorded."""
    return len(adapted(sweep.rows)) > 0 and len(measures(sweep)) > 0


def sentences(sweep: SweepTables) -> Iterator[str]:
    """The effects of adaptation in each setting: gains, norms, forgetting, early stops, oracle."""
    lines = passes(sweep)
    lost = int((sweep.rows["status"] == "diverged").sum())
    if lost:
        runs = counted(lost, "run diverged and is", "runs diverged and are")
        yield f"Adaptation: {runs} left out below"
    yield from _failures(sweep.rounds)
    for title, block in blocks(measures(sweep)):
        for sentence in _of(block, lines):
            yield f"Adaptation{where(title)}: {sentence}"


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """The published statements, each judged separately in each setting that it applies to."""
    for title, block in blocks(measures(sweep)):
        several = block.loc[~block["grows"], "batch"].nunique() > 1
        for claim in (*(ACROSS if several else ()), *WITHIN):
            yield title, claim.judge(block)


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """The study's tables over all settings, each next to a corrected counterpart."""
    return all_tables(measures(sweep), passes(sweep), sweep.windows)


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """Norms, entropies and accuracies over passes and batch sizes."""
    return drawings(FIGURES, measures(sweep), passes(sweep))


def _of(block: pd.DataFrame, lines: pd.DataFrame) -> Iterator[str]:
    yield describe_clusters(block)
    yield from _sources(block)
    yield _levels(block)
    for split in WHERE:
        each = [f"batch {arm} {_shown(one)}" for arm, one in _gains(block, split)]
        yield f"accuracy {WHERE[split]}, after minus before, in points: {'; '.join(each)}"
    lost = [f"batch {arm} {_shown(one)}" for arm, one in _gains(block, "source")]
    yield f"accuracy on the source, which it may forget, in points: {'; '.join(lost)}"
    yield from _statistics(block)
    if block["arm"].nunique() > 1:
        yield _compared(block)
    yield from norm_trends.sentences(norm_trends.trends(block, lines))
    yield from _terms(block)
    yield from _stops(block)
    yield from _oracle(block)


def _failures(rounds: pd.DataFrame) -> Iterator[str]:
    """Warnings of clients that are missing from averages of a source model, with the reasons."""
    if rounds.empty:
        return
    lost = rounds[rounds["failures"] != ""]
    each = lost.assign(failure=lost["failures"].str.split("; (?=client )", regex=True))
    for failure, lines in each.explode("failure").groupby("failure", sort=True):
        numbers = ", ".join(f"{number:.0f}" for number in sorted(lines["round"].unique()))
        client, _, reason = str(failure).partition(": ")
        yield (
            f"Warning: {client} is missing from the average of round {numbers} of the source of "
            f"{counted(lines['run'].nunique(), 'run')}: {reason}"
        )


def _sources(block: pd.DataFrame) -> Iterator[str]:
    """A warning if source models have learned nothing."""
    if not {"before_source_loss", "source_unigram_loss"} <= set(block):
        return
    sources = block.drop_duplicates(["seed", "before_source_loss"])
    bad = sources["before_source_loss"] >= sources["source_unigram_loss"]
    if bad.any():
        yield (
            f"Warning: {bad.sum()} of {counted(len(sources), 'source model')} learned no more than "
            "the frequencies of labels; raise federation.rounds, since gains over such models mean "
            "little"
        )


def _gains(block: pd.DataFrame, split: str) -> list[tuple[str, Contrast]]:
    contrasts = gains(block, split)
    return [(arm, contrasts[arm]) for arm in arms(block) if arm in contrasts]


def _shown(one: Contrast, called: Callable[[Contrast], str] = gain_or_harm) -> str:
    """A difference in percentage points as text, with the verdict corrected for all arms."""
    ends = "no interval"
    if one.seeds >= FEWEST and one.low < one.high:
        ends = f"{100 * one.low:+.2f} to {100 * one.high:+.2f}"
    return f"{100 * one.difference:+.2f} ({ends}; {called(one)})"


def _compared(block: pd.DataFrame) -> str:
    """The accuracy of each arm on the query, compared with the reference arm."""
    against = reference(block)
    each = {str(one.b): one for one in between_arms(block, "query_accuracy", against)}
    shown = [f"batch {arm} {_shown(each[arm], more_or_less)}" for arm in arms(block) if arm in each]
    return (
        f"accuracy on the query minus that of batch {against}, paired by fold and seed, in points: "
        + "; ".join(shown)
    )


def _levels(block: pd.DataFrame) -> str:
    """Accuracies without adaptation, and the best possible one."""
    levels = {
        "source model": "before_query_accuracy",
        "normalisation statistics alone": "statistics_query_accuracy",
        "best possible": "best_accuracy",
    }
    means = {name: block[key].mean() for name, key in levels.items() if key in block}
    shown = ", ".join(f"{name} {100 * x:.2f} %" for name, x in means.items() if not math.isnan(x))
    return f"accuracy on the query without adaptation: {shown}"


def _statistics(block: pd.DataFrame) -> Iterator[str]:
    """The gain from normalisation statistics alone, and that of adaptation beyond them."""
    alone = "statistics_query_accuracy"
    if alone not in block or block[alone].isna().any():
        return
    first = block[block["arm"] == arms(block)[0]]  # they are the same for all arms
    (given,) = changes(first, "before_query_accuracy", alone).values()
    beyond = changes(block, alone, "query_accuracy")
    each = [f"batch {arm} {_shown(beyond[arm], more_or_less)}" for arm in arms(block)]
    yield (
        "accuracy on the query with normalisation statistics taken from it and no adaptation, "
        f"minus the source, in points: {_shown(given)}; after adaptation, minus statistics alone: "
        + "; ".join(each)
    )


def _terms(block: pd.DataFrame) -> Iterator[str]:
    """Whether the gradients of entropy and diversity point the same way."""
    if "gradient_cosine" not in block or block["gradient_cosine"].isna().all():
        return
    each = []
    for arm in arms(block):
        cosines = block[block["arm"] == arm].set_index("unit")["gradient_cosine"]
        one = over_clusters(block, cosines, within=(-1.0, 1.0))
        ends = "no interval" if math.isnan(one.low) else f"{one.low:+.2f} to {one.high:+.2f}"
        each.append(f"batch {arm} {cosines.mean():+.2f} ({ends})")
    yield (
        "cosine between the gradients of entropy and diversity loss, mean over updates and passes: "
        + "; ".join(each)
    )


def _stops(block: pd.DataFrame) -> Iterator[str]:
    """A sentence on runs that stopped early or would have: their number, reasons and passes."""
    if "stopped_pass" not in block or block["stopped_pass"].isna().all():
        return
    early, continued = block["stopped_pass"].notna(), block["end"] > block["stopped_pass"]
    groups = {
        "stopped early": block[early & ~continued],
        "would have stopped early (observed only: they continued)": block[early & continued],
    }
    for did, stopped in groups.items():
        if stopped.empty:
            continue
        why = {cause: stopped[f"stopped_by_{cause}"].sum() for cause in ("collapse", "patience")}
        reasons = ", ".join(f"{count:.0f} by {name}" for name, count in why.items() if count)
        each = [
            f"batch {arm} {count} of {(block['arm'] == arm).sum()}"
            for arm in arms(block)
            if (count := (stopped["arm"] == arm).sum())
        ]
        when = stopped["stopped_pass"]
        yield (
            f"{len(stopped)} of {counted(len(block), 'run')} {did}, {reasons}, after "
            f"{when.min():.0f} to {when.max():.0f} passes: {'; '.join(each)}"
        )


def _oracle(block: pd.DataFrame) -> Iterator[str]:
    """The accuracy if labels chose the pass: an upper bound, not a result."""
    if "oracle_query_accuracy" not in block:
        return
    best, last = block["oracle_query_accuracy"].mean(), block["query_accuracy"].mean()
    yield (
        f"an oracle that sees the labels would stop after {block['oracle_passes'].median():.0f} "
        f"passes (median) at {100 * best:.2f} % on the query, against {100 * last:.2f} % at the "
        "end; this needs labels, so it is not a result"
    )


def _mean_gain(block: pd.DataFrame, split: str) -> Estimate:
    """The mean over arms of the gain of adaptation over its source."""
    return over_clusters(block, block.groupby("unit")[f"{split}_gain"].mean())


def _claimed(
    sentence: str, region: tuple[float, float], measure: str, *, positive: bool = False
) -> Claim:
    statistic = partial(per_doubling, measure=measure, positive=positive)
    return Claim(sentence, region, statistic, SOURCE)


OVER = {"jitter": "from pass to pass", "scatter": "over the mini-batches of a pass"}
LATER = "after equally many updates"
ACROSS = (
    Claim(
        "The gradient norm rises at batch 32 and falls at batch 64",
        POSITIVE, partial(norm_trends.reversal, rising="32", falling="64"), SOURCE,
    ),
    *(
        _claimed(f"Larger batches give steadier {name} {how}", SMALLER, f"{key}_{spread}",
                 positive=True)
        for key, name in {"norm": "gradient norms", "entropy": "entropy",
                          "diversity": "diversity"}.items()
        for spread, how in OVER.items()
    ),
    _claimed("Larger batches end at a lower entropy of the query", NEGATIVE, "query_entropy"),
    _claimed(f"Larger batches have a lower entropy of the query {LATER}",
             NEGATIVE, "equal_query_entropy"),
    _claimed("Larger batches lower the entropy of the query faster per pass",
             POSITIVE, "fall_rate"),
    _claimed("A pass takes less time at larger batches", SMALLER, "pass_seconds", positive=True),
    _claimed("Adaptation at larger batches is more accurate on the query",
             POSITIVE, "query_accuracy"),
    _claimed(f"Adaptation at larger batches is more accurate {WHERE['val']}",
             POSITIVE, "val_accuracy"),
    _claimed(f"Adaptation at larger batches is more accurate on the query {LATER}",
             POSITIVE, "equal_query_accuracy"),
)  # fmt: skip
WITHIN = tuple(
    Claim(f"Adaptation is more accurate than its source {where}, on average over batch sizes",
          POSITIVE, partial(_mean_gain, split=split), SOURCE)
    for split, where in WHERE.items()
)  # fmt: skip
