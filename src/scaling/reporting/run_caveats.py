"""Caveats of one run, from the numbers in its row."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from scaling.gradients.noise_scale import FEWEST, LAST, why_unidentified

UNKNOWN = 0.01  # largest share of a text's characters outside the vocabulary
SKIPPED = 0.1  # largest share of skipped steps, as by a scaler that searches its scale
ONE_SIDED = 0.8  # least entropy of the mean prediction after adapting, relative to before
LOST = 0.1  # largest loss of accuracy on the query by adapting


class Caveat(NamedTuple):
    """A problem that a run's losses or accuracies do not show."""

    kind: str  # of problem
    size: float  # larger is worse, among those of one kind
    sentence: str
    remedy: str


def caveats(run: Mapping[Any, Any] | pd.Series) -> list[Caveat]:
    """All caveats of one run; empty if there is no problem.

    Args:
        run: column -> number, as in a row's `measured` or a line of `scaling.results.read`.
    """
    values = {key: float(run[key]) for key in READ if key in run and pd.notna(run[key])}
    kinds = (_unknown_characters, _still, _collapse, _clients, _noise_scale)
    return [caveat for kind in kinds for caveat in kind(values)]


READ = (
    *("unknown_train", "train_characters", "unknown_val", "val_characters"),
    *("query_diversity", "before_query_diversity", "query_accuracy", "before_query_accuracy"),
    *("update_norm", "skipped_steps", "steps"),
    *("query_largest_share", "before_query_largest_share", "federation_failures"),
    *("noise_scale", "noise_scale_low", "noise_scale_probes", "diverged_step"),
)


def _unknown_characters(run: Mapping[str, float]) -> Iterator[Caveat]:
    shares = {
        named: run.get(f"unknown_{split}", 0.0) / run[f"{split}_characters"]
        for split, named in (("train", "training"), ("val", "validation"))
        if run.get(f"{split}_characters")
    }
    if not shares or max(shares.values()) <= UNKNOWN:
        return
    texts = " and ".join(f"{_percent(share)} of the {named}" for named, share in shares.items())
    yield Caveat(
        "unknown characters",
        max(shares.values()),
        f"{texts} text are outside the vocabulary and count as one symbol, so losses are not "
        "comparable with those of other texts",
        "set data.vocabulary=characters, or convert the text"
        if run.get("unknown_train")
        else "validate on text with the characters of the training text",
    )


def _still(run: Mapping[str, float]) -> Iterator[Caveat]:
    """Steps that changed no weight, or were skipped."""
    steps, skipped = run.get("steps", 0.0), run.get("skipped_steps", 0.0)
    if steps and skipped > SKIPPED * steps:
        yield Caveat(
            "skipped steps",
            skipped / steps,
            f"{skipped:.0f} of {steps:.0f} steps were not taken",
            "look at the scale of 16-bit gradients, or at adaptation.objective.margin",
        )
    if skipped < steps and run.get("update_norm") == 0:
        yield Caveat(
            "unchanged weights",
            1.0,
            "no step changed a weight",
            "raise lr or clip, which are too small for the precision of the weights",
        )


def _collapse(run: Mapping[str, float]) -> Iterator[Caveat]:
    """Adaptation that ends in few classes, or that loses accuracy on the query.

    The entropy of the mean prediction is compared with that of the source model on the same query,
    so that a query of few classes is not a collapse.
    """
    measures = ("query_accuracy", "query_diversity", "query_largest_share")
    if not all(key in run and f"before_{key}" in run for key in measures):
        return
    accuracy, entropy, largest = ((run[f"before_{key}"], run[key]) for key in measures)
    lost = accuracy[0] - accuracy[1]
    if entropy[1] < ONE_SIDED * entropy[0] or lost > LOST:
        yield Caveat(
            "collapsed",
            lost,
            f"accuracy on the query {_percent(accuracy[0])} -> {_percent(accuracy[1])}, the "
            f"largest class is given to {_percent(largest[0])} -> {_percent(largest[1])} of it, "
            f"entropy of the mean prediction {entropy[0]:.2f} -> {entropy[1]:.2f} of its maximum",
            "lower lr, choose a larger batch or adaptation.adapt=norm, or set "
            "adaptation.reset_above=0.9",
        )


def _clients(run: Mapping[str, float]) -> Iterator[Caveat]:
    if failures := run.get("federation_failures"):
        yield Caveat(
            "clients missing in an average of the source model",
            failures,
            f"{failures:.0f} answers of clients are missing from the averages of the source model",
            "see scaling.results.rounds for each client and its reason",
        )


def _noise_scale(run: Mapping[str, float]) -> Iterator[Caveat]:
    """A noise scale that was asked for and is not identified; a diverged run explains itself."""
    probes = run.get("noise_scale_probes")
    if probes is None or "noise_scale" in run or "diverged_step" in run:
        return
    low = run.get("noise_scale_low")
    bound = "" if low is None else f", and the noise scale is at least {low:.3g}"
    needed = math.ceil((FEWEST - 0.5) / LAST)
    more = "lower callbacks.noise_scale.every, or train for more steps"
    yield Caveat(
        "noise scale not identified",
        -probes,
        f"{why_unidentified(int(probes))}{bound}",
        f"a run needs {needed} probes: {more}"
        if probes < FEWEST
        else f"{more}, or choose a larger batch",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
