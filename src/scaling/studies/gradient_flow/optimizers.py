"""Is it the optimizer, or its learning rate? All at one lr, and each at its best lr."""

import math
from collections.abc import Iterator
from functools import partial

import pandas as pd

from scaling.contracts.metric import metric_of
from scaling.studies.claims import LARGER, NEGATIVE, POSITIVE, Estimate
from scaling.studies.cluster_intervals import against
from scaling.studies.gradient_flow.notes import noted

TUNING = 2  # seeds that choose each optimizer's lr; the others compare optimizers
HOW = {False: "at one lr", True: "each at its best lr"}


def best_lrs(block: pd.DataFrame) -> pd.DataFrame:
    """Choose the best lr of each optimizer on the first two seeds.

    The best lr has the lowest mean validation loss over these seeds, which the comparison leaves
    out: choosing on the compared runs would favour the optimizer with more lrs tried. An lr at
    which one of these seeds has no finished run is not chosen.

    Args:
        block: a line per run with `optimizer`, `lr`, `seed` and `val_loss`.

    Returns:
        A line per optimizer: `optimizer`, `lr`, `tried` (how many lrs), `edge` (`smallest` or
        `largest` of those tried, so a better one may lie beyond; else empty), `next` and `lead`,
        the second best lr and how many nats the best is below it (nan for a single lr).
    """
    tuned = block[block["seed"].isin(_tuning_seeds(block))]
    lines = []
    for optimizer in sorted(block["optimizer"].unique()):
        runs = tuned[tuned["optimizer"] == optimizer]
        by_seed = runs.groupby(["lr", "seed"])["val_loss"].mean()
        seeds = by_seed.groupby("lr").agg(["mean", "count"])
        means = seeds.loc[seeds["count"] == TUNING, "mean"].sort_values()
        if means.empty:
            continue
        lrs = sorted(block.loc[block["optimizer"] == optimizer, "lr"].unique())
        best, second = means.index[0], means.index[1] if len(means) > 1 else math.nan
        edge = {lrs[0]: "smallest", lrs[-1]: "largest"}.get(best, "") if len(lrs) > 1 else ""
        lines.append(
            {"optimizer": optimizer, "lr": best, "tried": len(lrs), "edge": edge, "next": second,
             "lead": means.get(second, math.nan) - means.iloc[0]}
        )  # fmt: skip
    return pd.DataFrame(lines, columns=["optimizer", "lr", "tried", "edge", "next", "lead"])


def sentences(block: pd.DataFrame) -> Iterator[str]:
    """The best lr of each optimizer, and how tuning changes the verdicts."""
    best = best_lrs(block)
    if len(best) < 2 or best["tried"].max() < 2:
        return
    shown, metric = [], metric_of(block)
    for one in best.to_dict("records"):
        notes = [f"the {one['edge']} tried"] if one["edge"] else []
        if not math.isnan(one["lead"]):
            notes.append(f"{one['lead']:.2g}{metric.unit} below {one['next']:g}")
        shown.append(
            f"{one['optimizer']} {one['lr']:g}" + (f" ({', '.join(notes)})" if notes else "")
        )
    seeds = ", ".join(f"{seed:g}" for seed in _tuning_seeds(block))
    yield f"Best lr of each optimizer, by {metric.name} of seeds {seeds}: {', '.join(shown)}"
    changed = []
    for sentence, *_ in STATEMENTS:
        at_one, tuned = (
            claim.judge(block).word for claim in CLAIMS if claim.sentence.startswith(sentence)
        )
        if at_one != tuned:
            changed.append(f'"{sentence}" is {at_one} at one lr and {tuned} tuned')
    several = ": " if changed else ""
    yield (
        f"Tuning changes {len(changed)} of {len(STATEMENTS)} verdicts on optimizers{several}"
        + "; ".join(changed)
    )


def _tuning_seeds(block: pd.DataFrame) -> list[float]:
    return sorted(map(float, block["seed"].unique()))[:TUNING]


def _compared(
    block: pd.DataFrame, measure: str, *, of: str, to: str, tuned: bool, positive: bool = True
) -> Estimate:
    """Compare a measure between two optimizers, on the seeds not used for tuning."""
    rest = block[~block["seed"].isin(_tuning_seeds(block))]
    if tuned:
        best = best_lrs(block)
        if len(best) < 2 or best["tried"].max() < 2:
            return Estimate.missing("only one lr was tried", "experiment=optimizers tries several")
        chosen = dict(zip(best["optimizer"], best["lr"], strict=True))
        rest = rest[rest["lr"] == rest["optimizer"].map(chosen)]
    else:
        tried = block.groupby("lr")["optimizer"].nunique()
        common = tried.index[tried == block["optimizer"].nunique()]
        if len(common) != 1:
            return Estimate.missing(
                f"learning rates that all optimizers share: {len(common)}; exactly one needed",
                "one common lr, as in experiment=optimizers",
            )
        rest = rest[rest["lr"] == common[0]]
    return against(rest, measure, key="optimizer", of=of, to=to, positive=positive)


STATEMENTS = (
    ("Early gradients decay faster under SGD than under Adam", NEGATIVE, "first_decay",
     {"of": "sgd", "to": "adam", "positive": False}),
    ("Early gradients scatter more under SGD than under Adam", LARGER, "first_scatter",
     {"of": "sgd", "to": "adam"}),
    ("Momentum slows the decay of SGD", POSITIVE, "first_decay",
     {"of": "sgd_momentum", "to": "sgd", "positive": False}),
    ("Adam keeps early gradients larger than SGD", LARGER, "first_rms",
     {"of": "adam", "to": "sgd"}),
)  # fmt: skip
CLAIMS = tuple(
    noted(6, f"{sentence}, {how}", region, partial(_compared, tuned=tuned), measure, **settings)
    for tuned, how in HOW.items()
    for sentence, region, measure, settings in STATEMENTS
)
