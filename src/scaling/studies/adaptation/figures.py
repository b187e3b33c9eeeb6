"""The figures of this study, each with its caption."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from scaling.studies.adaptation.accuracy_figures import (
    accuracy_by_batch,
    accuracy_over_passes,
    entropy_and_diversity,
)
from scaling.studies.adaptation.norm_figures import adaptation_norms


class Chart(NamedTuple):
    """A chart of what was measured of each run, and of its passes."""

    draw: Callable[[pd.DataFrame, pd.DataFrame], Figure]
    caption: str


FIGURES = {
    "adaptation_norms": Chart(
        adaptation_norms,
        "Gradient norm of mini-batches over the passes, a line for each query, with the number "
        "below. A line is the mean over the mini-batches of a pass, of one fold and seed; a dot is "
        "its end, a cross where it left early. Dashed is the mean of those still there, which "
        "changes when one leaves; solid black adds up the increments of those there. Stars are "
        "the norm of the whole query, by such increments, without the noise of small batches.",
    ),
    "entropy_and_diversity": Chart(
        entropy_and_diversity,
        "Entropy of the predictions on the query, H(pbar) / log K, and how their gradients agree. "
        "Means over folds and seeds, the first two on the whole query after each pass; a run that "
        "stopped stays as it was, so that no mean changes because a run left. Triangles mark where "
        "runs stopped. The cosine is between the gradients of both terms, on the mini-batches of "
        "the pass that ended there: below 0 each partly undoes the other.",
    ),
    "accuracy_by_batch": Chart(
        accuracy_by_batch,
        "Accuracy after adaptation, and what it gains over the source, by batch size. Bars are "
        "95 % intervals over what is independent, seeds or folds; those of the gain are paired and "
        "much narrower, as differences between queries cancel. Lines are means without adaptation, "
        "and the accuracy of the best classifier, where that is known.",
    ),
    "accuracy_over_passes": Chart(
        accuracy_over_passes,
        "Accuracy on the query, on held-out windows and on the source, before, during and after. "
        "Means over folds and seeds; a run that stopped stays as it was. Triangles mark where runs "
        "stopped. The highest point of a line takes labels to find, and is no result.",
    ),
}
