"""How do gradients reach the layers of an MLP: over depth, init, optimizer and label noise?"""

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from scaling.analysis.at_best import at_best
from scaling.contracts.settings import by_setting
from scaling.contracts.words import counted
from scaling.studies.claims import LARGER, NEGATIVE, POSITIVE, SMALLER, Claim, Estimate, Verdict
from scaling.studies.cluster_intervals import against, over_seeds, share_of_seeds
from scaling.studies.gradient_flow import optimizers
from scaling.studies.gradient_flow.layer_decay import layer_decay
from scaling.studies.gradient_flow.layer_measures import MEASURES, RUN, SHARE, measures
from scaling.studies.gradient_flow.notes import noted
from scaling.studies.study import Drawing
from scaling.studies.sweep_tables import SweepTables, stacked, where

__all__ = ["ORDER", "applies", "figures", "measures", "sentences", "tables", "verdicts"]

ORDER = 5


def applies(sweep: SweepTables) -> bool:
    """Whether an MLP's layers were measured at every mini-batch."""
    mlp = bool((sweep.rows["model"] == "mlp").any())
    return mlp and ("first_rms" in sweep.rows or len(sweep.layer_epochs) > 0)


def sentences(sweep: SweepTables) -> Iterator[str]:
    """Depth ratio and scatter of gradients in each setting, and whether they collapse."""
    for title, block in _blocks(sweep):
        setting = where(title)
        ratio, scatter = over_seeds(block, "rms_ratio"), over_seeds(block, "scatter")
        yield (
            f"Gradient RMS of the first weight matrix divided by the classifier's{setting}: "
            f"{_shown(ratio)} in the first epoch; mini-batch norms scatter by {_shown(scatter)} of "
            "their mean"
        )
        onsets = block["collapse"].dropna()
        if len(onsets):
            epochs = ", ".join(f"{onset:g}" for onset in sorted(onsets))
            yield (
                f"Collapse{setting}: in {len(onsets)} of {counted(len(block), 'run')} the first "
                f"layer's gradient is below {SHARE:g} of its start while the loss stands still, "
                f"from epoch {epochs}"
            )
    if "optimizer" in _compared(measures(sweep)):
        for title, block in _blocks(sweep, across="optimizer"):
            setting = where(title)
            yield from (f"{sentence}{setting}" for sentence in optimizers.sentences(block))


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """The published notes, each statement separately: within settings, then across them."""
    for title, block in _blocks(sweep):
        for claim in WITHIN:
            yield title, claim.judge(block)
    for key in _compared(measures(sweep)):
        for title, block in _blocks(sweep, across=key):
            for claim in ACROSS[key]:
                yield title, claim.judge(block)


def _compared(table: pd.DataFrame) -> list[str]:
    """The keys that claims compare and that have several values."""
    return [key for key in ACROSS if key in table and table[key].nunique() > 1]


def _blocks(sweep: SweepTables, across: str = "") -> Iterator[tuple[str, pd.DataFrame]]:
    """Runs that differ only in their seed and `across`, at the best lr of each setting.

    The best lr is chosen among all runs, including diverged ones. For optimizers, runs at every lr
    are kept, because those claims are about the choice of lr.
    """
    table = chosen = measures(sweep)
    if across != "optimizer":
        best = pd.MultiIndex.from_frame(at_best(sweep.rows)[RUN])
        chosen = table[pd.MultiIndex.from_frame(table[RUN]).isin(best)]
    for title, setting in by_setting(chosen, together=(across,)):
        for batch, block in setting.groupby("batch"):
            parts = [title] if title else []
            if table["batch"].nunique() > 1:
                parts.append(f"batch={batch:g}")
            if table["lr"].nunique() > 1 and across != "optimizer":
                rates = ", ".join(f"{lr:g}" for lr in sorted(block["lr"].unique()))
                parts.append(f"lr={rates}, the best tried")
            yield ", ".join(parts), block


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`layer_measures`, a line for each run; `layer_decay`, a line for each setting and layer."""
    table = measures(sweep)
    measured = [key for key in MEASURES if key in table]
    named = [*RUN, *(key for key in ACROSS if key in table), "seed", "test_accuracy"]
    shown = table[[key for key in named if key in table] + measured]
    decays = stacked((title, layer_decay(b, sweep.layer_epochs)) for title, b in _blocks(sweep))
    return {"layer_measures": shown} | ({"layer_decay": decays} if len(decays) else {})


def figures(sweep: SweepTables) -> Mapping[str, Drawing]:
    """None: charts of layers are drawn for every net."""
    return {}


def _shown(estimate: Estimate) -> str:
    """A statistic with its interval as text, or the reason why it is missing."""
    if math.isnan(estimate.value):
        return estimate.shown
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def _largest_against_smallest(
    block: pd.DataFrame, measure: str, *, key: str, positive: bool = True
) -> Estimate:
    """A measure at the largest value of a key compared with the smallest."""
    low, high = block[key].min(), block[key].max()
    return against(block, measure, key=key, of=high, to=low, positive=positive)


def _at_most_noise(block: pd.DataFrame, measure: str, *, positive: bool = True) -> Estimate:
    """A measure at the largest share of wrong labels."""
    return over_seeds(_noisiest(block), measure, positive=positive)


def _collapsed(block: pd.DataFrame, measure: str) -> Estimate:
    """The share of seeds that collapse at the largest share of wrong labels."""
    return share_of_seeds(_noisiest(block), measure, looked="lowest")


def _noisiest(block: pd.DataFrame) -> pd.DataFrame:
    return block[block["data.label_noise"] == block["data.label_noise"].max()]


def _orthogonal(block: pd.DataFrame, measure: str) -> Estimate:
    """A measure, of either sign, under orthogonal initialisation."""
    return over_seeds(block[block["model.init"] == "orthogonal"], measure, positive=False)


WITHIN = (
    noted(1, "Mean gradient norms differ by more than a factor of 2 between weight matrices",
           (2.0, math.inf), over_seeds, "norm_range"),
    noted(1, "The first weight matrix has a smaller gradient norm than the classifier",
           SMALLER, over_seeds, "norm_ratio"),
    noted(1, "The same by RMS, which does not depend on size", SMALLER, over_seeds, "rms_ratio"),
    noted(2, "The classifier's gradient norm varies most over mini-batches",
           LARGER, over_seeds, "classifier_variance"),
    noted(2, "The classifier's gradient varies most over coordinates",
           LARGER, over_seeds, "classifier_spread"),
    noted(2, "Gradient norms of biases vary less over mini-batches than those of weights",
           SMALLER, over_seeds, "bias_variance"),
    noted(2, "Gradients of biases vary less over coordinates than those of weights",
           SMALLER, over_seeds, "bias_spread"),
    noted(3, "Mini-batch norms of an epoch scatter by more than 30 % of their mean",
           (0.3, math.inf), over_seeds, "scatter"),
    noted(3, "Validation accuracy rises smoothly: no epoch loses more than 1 %",
           (-math.inf, 1.0), over_seeds, "worst_drop", positive=False),
)  # fmt: skip
DEPTH, INIT = {"key": "model.depth"}, {"key": "model.init"}
NOISE = {"key": "data.label_noise"}
ACROSS: dict[str, tuple[Claim, ...]] = {
    "model.depth": (
        noted(4, "Early gradients are smaller in the deepest net than in the shallowest",
               SMALLER, _largest_against_smallest, "first_rms", **DEPTH),
        noted(4, "They decay faster over the epochs in the deepest net",
               NEGATIVE, _largest_against_smallest, "first_decay", positive=False, **DEPTH),
        noted(4, "They scatter more in the first epoch of the deepest net",
               LARGER, _largest_against_smallest, "first_scatter", **DEPTH),
    ),
    "model.init": (
        noted(5, "He keeps early gradients larger at first than Xavier",
               LARGER, against, "first_rms", of="he", to="xavier", **INIT),
        noted(5, "Orthogonal gradients scatter less at first than He's",
               SMALLER, against, "first_scatter", of="orthogonal", to="he", **INIT),
        noted(5, "Orthogonal gradients scatter less at first than Xavier's",
               SMALLER, against, "first_scatter", of="orthogonal", to="xavier", **INIT),
        noted(5, "Early gradients also decay over the epochs with orthogonal initialisation",
              NEGATIVE, _orthogonal, "first_decay"),
    ),
    "optimizer": optimizers.CLAIMS,
    "data.label_noise": (
        noted(7, "Training accuracy stays above 90 % with the most label noise",
               (0.9, math.inf), _at_most_noise, "train_accuracy"),
        noted(7, "Test accuracy falls with label noise",
               NEGATIVE, _largest_against_smallest, "test_accuracy", positive=False, **NOISE),
        noted(7, "The gap of training to test accuracy widens with label noise",
               POSITIVE, _largest_against_smallest, "gap", positive=False, **NOISE),
        noted(7, "Test accuracy falls by more than 1 % from its peak with the most label noise",
               (1.0, math.inf), _at_most_noise, "peak_drop", positive=False),
        noted(7, "Gradients do not collapse with the most label noise, in most runs",
               (-math.inf, 0.5), _collapsed, "collapse"),
    ),
}  # fmt: skip
