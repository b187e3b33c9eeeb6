"""The figures of this study; each takes what it measured of each run, and the passes."""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from scaling.studies.adaptation.accuracy_figures import (
    accuracy_by_batch,
    accuracy_over_passes,
    entropy_and_diversity,
)
from scaling.studies.adaptation.norm_figures import adaptation_norms

FIGURES: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Figure]] = {
    "adaptation_norms": adaptation_norms,
    "entropy_and_diversity": entropy_and_diversity,
    "accuracy_by_batch": accuracy_by_batch,
    "accuracy_over_passes": accuracy_over_passes,
}
