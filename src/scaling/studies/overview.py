"""What do the runs look like? Charts of losses, clipping, norms and layers."""

from collections.abc import Iterator, Mapping

import pandas as pd

from scaling.contracts.metric import compared
from scaling.contracts.settings import by_setting
from scaling.figures import curves, layers, maps, over_lr
from scaling.studies.claims import Verdict
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables

ORDER = 0
OVER_LR = {  # chart -> column of rows that must contain a number
    over_lr.loss_against_lr: "lr",
    maps.loss_heatmap: "lr",
    maps.clip_frequency: "clip_percent",
    over_lr.gradient_norm: "grad_norm_pre_clip",
    over_lr.update_size: "update_norm",
}
WITH_OPTIMA = {over_lr.loss_against_lr}  # they depend on which optima are flat
OF_LOSSES = {over_lr.loss_against_lr, maps.loss_heatmap}  # left out if losses mean nothing
OVER_NOISE = {layers.accuracy_over_noise: layers.NOISE}
OVER_STEPS = (curves.norm_curves,)
OVER_LAYERS = (layers.layer_norms, layers.layer_map, layers.batch_norms)


def applies(sweep: SweepTables) -> bool:
    """Every sweep can be drawn."""
    return True


def sentences(sweep: SweepTables) -> Iterator[str]:
    """None: these charts answer no question."""
    yield from ()


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """None: these charts answer no question."""
    yield from ()


def tables(sweep: SweepTables) -> Mapping[str, pd.DataFrame]:
    """None besides the rows."""
    return {}


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """The charts whose axes vary in the sweep and whose numbers were measured."""
    rows, steps, layer_epochs = sweep.rows, sweep.steps, sweep.layer_epochs
    comparable = compared(rows)
    rates = [block.groupby("batch")["lr"].nunique().max() for _, block in by_setting(rows)]
    of_rows: dict[str, Drawing] = {}
    for draw, key in ((OVER_LR if max(rates, default=1) > 1 else {}) | OVER_NOISE).items():
        table = comparable if draw in OF_LOSSES else rows
        if key in table and table[key].notna().any():
            options = {"flat": sweep.flat} if draw in WITH_OPTIMA else {}
            of_rows |= drawings([draw], table, **options)
    return {
        **of_rows,
        **drawings(OVER_STEPS if "grad_norm_pre_clip" in steps else (), rows, steps),
        **drawings(OVER_LAYERS if len(layer_epochs) else (), rows, layer_epochs),
    }
