"""How do gradients reach the layers of an MLP: over depth, init, optimizer and label noise?"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from scaling import results
from scaling.claims import Claim, Estimate, Verdict
from scaling.evidence import Evidence
from scaling.intervals import t_interval
from scaling.studies.layer_measures import RUN, SHARE, measures

LEVEL, SEEDS = 0.95, 3
MORE = "three seeds of every setting, or more"


def applies(evidence: Evidence) -> bool:
    """Whether an MLP's layers were measured at every mini-batch."""
    return bool((evidence.rows["model"] == "mlp").any()) and len(evidence.layer_epochs) > 0


def sentences(evidence: Evidence) -> Iterator[str]:
    """What the layers of each setting say, and whether their gradients collapse."""
    table = measures(evidence)
    for title, block in results.settings(table):
        where = f" ({title})" if title else ""
        ratio, scatter = _over_seeds(block, "rms_ratio"), _over_seeds(block, "scatter")
        yield (
            f"Gradient's RMS of the first weight matrix over the classifier's{where}: "
            f"{_ends(ratio)} in the first epoch; mini-batch norms scatter by {_ends(scatter)} of "
            "their mean"
        )
        lost = block["collapse"].dropna()
        if len(lost):
            onsets = ", ".join(f"{onset:g}" for onset in sorted(lost))
            yield (
                f"Collapse{where}: in {len(lost)} of {len(block)} runs the first layer's gradient "
                f"is below {SHARE:g} of its start while the loss stands still, from epoch {onsets}"
            )


def verdicts(evidence: Evidence) -> Iterator[tuple[str, Verdict]]:
    """The published notes, each statement by itself: within settings, then across them."""
    table = measures(evidence)
    for title, block in results.settings(table):
        for claim in WITHIN:
            yield title, claim.judge(block)
    for key, claims in ACROSS.items():
        if key not in table or table[key].nunique() < 2:
            continue
        for title, block in results.settings(table, together=(key,)):
            for claim in claims:
                yield title, claim.judge(block)


def tables(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """`layers`: a line for each run, as `measures` gives it."""
    table = measures(evidence)
    own = [key for key in table if key not in evidence.rows]
    named = [*RUN, *(key for key in ACROSS if key in table), "seed", "test_accuracy"]
    return {"layers": table[[key for key in named if key in table] + own]}


def _over_seeds(block: pd.DataFrame, measure: str, *, positive: bool = True) -> Estimate:
    """A measure of runs that differ in their seed only, by a t interval over its logs."""
    values = block[measure].dropna() if measure in block else pd.Series(dtype=float)
    return _estimate(values.to_numpy(float), positive=positive)


def _estimate(values: np.ndarray, *, positive: bool) -> Estimate:
    if len(values) < SEEDS or (positive and not (values > 0).all()):
        return Estimate.missing(f"seeds with a number: {len(values)}; it takes {SEEDS}", MORE)
    found = t_interval(np.log(values) if positive else values, level=LEVEL, fewest=SEEDS)
    value, low, high = (
        (math.exp(end) if positive else end) for end in (found.value, found.low, found.high)
    )
    shown = f"{value:.3g}, 95 % interval {low:.3g} to {high:.3g} over {len(values)} seeds"
    return Estimate(value, low, high, shown, "more seeds")


def _ends(found: Estimate) -> str:
    known = not math.isnan(found.value)
    return f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})" if known else found.shown


def _against(
    block: pd.DataFrame, measure: str, *, key: str, of: object, to: object, positive: bool = True
) -> Estimate:
    """A measure at one value of a key over that at another (or less it), paired by seed."""
    wide = block.pivot_table(index="seed", columns=key, values=measure)
    lacking = [str(value) for value in (of, to) if value not in wide]
    if lacking:
        return Estimate.missing(f"no run at {key}={', '.join(lacking)}", "such a run")
    pairs = wide[[of, to]].dropna()
    values = pairs[of] / pairs[to] if positive else pairs[of] - pairs[to]
    return _estimate(values.to_numpy(float), positive=positive)


def _ends_of(block: pd.DataFrame, measure: str, *, key: str, positive: bool = True) -> Estimate:
    """A measure at the largest value of a key against that at the smallest."""
    low, high = block[key].min(), block[key].max()
    return _against(block, measure, key=key, of=high, to=low, positive=positive)


def _optimizers(
    block: pd.DataFrame, measure: str, *, of: str, to: str, tuned: bool, positive: bool = True
) -> Estimate:
    """A measure under one optimizer against another, at one lr of both or each at its best.

    The best lr of an optimizer is that of the highest mean validation accuracy among those tried.
    """
    if tuned:
        means = block.groupby(["optimizer", "lr"])["val_accuracy"].mean().reset_index()
        best = means.sort_values("val_accuracy").groupby("optimizer")["lr"].last()
        kept = block[block["lr"] == block["optimizer"].map(best)]
        if len(best) > 1 and best.nunique() == 1 and block["lr"].nunique() == 1:
            return Estimate.missing("one lr was tried", "experiment=optimizers has those tuned")
    else:
        tried = block.groupby("lr")["optimizer"].nunique()
        common = tried.index[tried == block["optimizer"].nunique()]
        if len(common) != 1:
            return Estimate.missing(f"lr that all optimizers share: {len(common)}", "one of them")
        kept = block[block["lr"] == common[0]]
    return _against(kept, measure, key="optimizer", of=of, to=to, positive=positive)


def _at_most_noise(block: pd.DataFrame, measure: str) -> Estimate:
    """A measure at the largest share of wrong labels."""
    return _over_seeds(block[block["data.label_noise"] == block["data.label_noise"].max()], measure)


BELOW, ABOVE, FALLS, RISES = (0.0, 1.0), (1.0, math.inf), (-math.inf, 0.0), (0.0, math.inf)


def _claim(
    note: int,
    sentence: str,
    region: tuple[float, float],
    statistic: Callable[..., Estimate],
    measure: str,
    **settings: object,
) -> Claim:
    source = f"published notes, {note}"
    return Claim(sentence, region, partial(statistic, measure=measure, **settings), source)


WITHIN = (
    _claim(1, "Mean gradient norms differ by more than a factor of 2 between weight matrices",
           (2.0, math.inf), _over_seeds, "norm_range"),
    _claim(1, "The first weight matrix has a smaller gradient norm than the classifier",
           BELOW, _over_seeds, "norm_ratio"),
    _claim(1, "The same by RMS, which does not depend on size", BELOW, _over_seeds, "rms_ratio"),
    _claim(2, "The classifier's gradient norm varies most over mini-batches",
           ABOVE, _over_seeds, "classifier_variance"),
    _claim(2, "The classifier's gradient varies most over coordinates",
           ABOVE, _over_seeds, "classifier_spread"),
    _claim(2, "Gradient norms of biases vary less over mini-batches than those of weights",
           BELOW, _over_seeds, "bias_variance"),
    _claim(2, "Gradients of biases vary less over coordinates than those of weights",
           BELOW, _over_seeds, "bias_spread"),
    _claim(3, "Mini-batch norms of an epoch scatter by more than 30 % of their mean",
           (0.3, math.inf), _over_seeds, "scatter"),
    _claim(3, "Validation accuracy rises smoothly: no epoch loses more than 1 %",
           (-math.inf, 1.0), _over_seeds, "worst_drop", positive=False),
)  # fmt: skip
DEPTH, INIT = {"key": "model.depth"}, {"key": "model.init"}
NOISE = {"key": "data.label_noise"}
ACROSS: dict[str, tuple[Claim, ...]] = {
    "model.depth": (
        _claim(4, "Early gradients are smaller in the deepest net than in the shallowest",
               BELOW, _ends_of, "first_rms", **DEPTH),
        _claim(4, "They decay faster over the epochs in the deepest net",
               FALLS, _ends_of, "first_decay", positive=False, **DEPTH),
        _claim(4, "They scatter more in the first epoch of the deepest net",
               ABOVE, _ends_of, "first_scatter", **DEPTH),
    ),
    "model.init": (
        _claim(5, "He keeps early gradients larger at first than Xavier",
               ABOVE, _against, "first_rms", of="he", to="xavier", **INIT),
        _claim(5, "Orthogonal gradients scatter less at first than He's",
               BELOW, _against, "first_scatter", of="orthogonal", to="he", **INIT),
        _claim(5, "Orthogonal gradients scatter less at first than Xavier's",
               BELOW, _against, "first_scatter", of="orthogonal", to="xavier", **INIT),
    ),
    "optimizer": tuple(
        _claim(6, f"{sentence}, {how}", region, _optimizers, measure, tuned=tuned, **settings)
        for tuned, how in ((False, "at one lr"), (True, "each at its best lr"))
        for sentence, region, measure, settings in (
            ("Early gradients decay faster under SGD than under Adam", FALLS, "first_decay",
             {"of": "sgd", "to": "adam", "positive": False}),
            ("Early gradients scatter more under SGD than under Adam", ABOVE, "first_scatter",
             {"of": "sgd", "to": "adam"}),
            ("Momentum slows the decay of SGD", RISES, "first_decay",
             {"of": "sgd_momentum", "to": "sgd", "positive": False}),
            ("Adam keeps early gradients larger than SGD", ABOVE, "first_rms",
             {"of": "adam", "to": "sgd"}),
        )
    ),
    "data.label_noise": (
        _claim(7, "Training accuracy stays above 90 % with the most label noise",
               (0.9, math.inf), _at_most_noise, "train_accuracy"),
        _claim(7, "Test accuracy falls with label noise",
               FALLS, _ends_of, "test_accuracy", positive=False, **NOISE),
        _claim(7, "The gap of training to test accuracy widens with label noise",
               RISES, _ends_of, "gap", positive=False, **NOISE),
        _claim(7, "Gradients do not collapse with the most label noise: a tenth of their start is "
               "left", (SHARE, math.inf), _at_most_noise, "lowest"),
    ),
}  # fmt: skip
