"""The best learning rate over several axes, such as batch size, parameters and tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from scaling.analysis.axes_regression import AxesFit, Grids, fit_axes
from scaling.analysis.blas_threads import one_blas_thread
from scaling.analysis.grids_left_out import Source, predict_left_out
from scaling.analysis.intervals import LEVEL
from scaling.analysis.law_selection import DECISIVE, FORMS
from scaling.analysis.loss_surface import Matrix, Vector
from scaling.analysis.seed_groups import grouped
from scaling.analysis.sweep_optima import SweepOptima, sweep_optima
from scaling.contracts.columns import FINISHED, alike, need, need_coordinates
from scaling.contracts.settings import AXIS, settings_of
from scaling.contracts.words import counted

SETTINGS = ("clip", "model", "data", "optimizer", "protocol")
ALIKE = 1e-4  # share of an axis's variance that the other axes leave; below it they are collinear


class Exponent(NamedTuple):
    """An exponent with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class AxesLaw:
    """A law of the best learning rate over several axes, or the reason why none is reported.

    `exponents` has an exponent for each axis. For a constant or a power law they are exponents of
    lr. Saturating laws and surges bend at a batch size B_n: for these, `exponents` are those of
    LR_max, and `turn_exponents` those of B_n.
    """

    axes: tuple[str, ...]
    identified: bool
    reason: str  # why not; empty if identified
    exponents: dict[str, Exponent] = field(default_factory=dict)
    turn_exponents: dict[str, Exponent] = field(default_factory=dict)
    tied: tuple[str, ...] = ()  # forms that predict as well; the best first
    grids: int = 0
    curves: int = 0  # with their optimum inside their grid
    left_out: dict[str, str] = field(default_factory=dict)  # grid -> why it has no optima
    fits: tuple[AxesFit, ...] = field(default=(), repr=False)  # the best first
    source: Source | None = field(default=None, repr=False)

    @property
    def form(self) -> str:
        """The form that predicts left-out grids best; empty if no law is identified."""
        return self.fits[0].form if self.fits else ""

    @property
    def centre(self) -> Vector:
        """Mean natural log of the batch size, then of the other axes; empty without a law."""
        return self.source.centre if self.source else np.zeros(0)

    @cached_property
    def held_out(self) -> pd.DataFrame:
        """Each curve, predicted from the other grids: a line for each; takes some seconds.

        The axes; `form`, the one chosen without this grid; `lr`, `low` and `high` as `predict`
        gives them; `best_lr`, the minimum of a cubic through the runs near the best one, and
        `best_lr_error`, half the width of the 95 % interval of its natural log, nan at an edge;
        `loss_lost` by the predicted lr, on the curve through all runs, and `loss_lost_cubic` on
        that cubic, in nats.
        """
        return self.held_out_by()

    @one_blas_thread()
    def held_out_by(self, form: str = "") -> pd.DataFrame:
        """Each curve, predicted from the other grids by one form; otherwise like `held_out`.

        Args:
            form: `constant`, `power`, `saturating` or `surge`.

        Raises:
            ValueError: for another form.
        """
        if form and form not in FORMS:
            raise ValueError(f"form={form} must be one of {', '.join(FORMS)}")
        if self.source is None or len(self.source.grids.axes) < len(self.axes) + 2:
            return pd.DataFrame()  # the others would leave no degree of freedom
        fits = [fit for fit in self.fits if form in ("", fit.form) and math.isfinite(fit.score)]
        return predict_left_out(self.source, self.axes, fits)

    def predict(self, table: pd.DataFrame) -> pd.DataFrame:
        """Predict the best learning rate of new curves of new grids.

        Args:
            table: a column for each axis.

        Returns:
            `lr`, and `low` and `high` of its 95 % prediction interval, on the index of `table`.

        Raises:
            ValueError: if no law is identified, a column is absent or a value is not positive.
        """
        logs, axes = self._centred(table)
        lr, half = self.fits[0].predict(logs, axes, LEVEL)
        columns = {"lr": lr, "low": lr - half, "high": lr + half}
        return pd.DataFrame({key: np.exp(x) for key, x in columns.items()}, index=table.index)

    def turn(self, table: pd.DataFrame) -> pd.DataFrame:
        """The batch size B_n at which the law bends, with its 95 % interval.

        Args:
            table: a column for each axis except the batch size.

        Returns:
            `batch`, `low` and `high`, on the index of `table`; nan for a form that does not bend.

        Raises:
            ValueError: as `predict`.
        """
        _, axes = self._centred(table.assign(batch=1.0))
        fit, columns = self.fits[0], axes.shape[1]
        if FORMS[fit.form][1][-1] != "batch":
            return pd.DataFrame(math.nan, table.index, ["batch", "low", "high"])
        assert self.source is not None  # a law has one
        logs = axes @ fit.theta[columns:] + self.source.centre[0]
        errors = np.einsum("ij,jk,ik->i", axes, fit.covariance[columns:, columns:], axes)
        half = fit.quantile(LEVEL) * np.sqrt(errors)
        shown = {"batch": logs, "low": logs - half, "high": logs + half}
        return pd.DataFrame({key: np.exp(x) for key, x in shown.items()}, index=table.index)

    def _centred(self, table: pd.DataFrame) -> tuple[Vector, Matrix]:
        if self.source is None:
            raise ValueError(f"no law to predict with: {self.reason}")
        logs = _logs(table, self.axes) - self.source.centre
        return logs[:, 0], np.column_stack([np.ones(len(logs)), logs[:, 1:]])


@one_blas_thread()
def axes_law(rows: pd.DataFrame, over: Sequence[str], *, flat: float | None = None) -> AxesLaw:
    """Fit a law over several axes; see `scaling.learning_rate_law`, which calls this.

    A grid is one combination of the axes other than the batch size. Its optima are located as in a
    sweep of its own. The law is a regression of all optima (`scaling.analysis.axes_regression`), in
    which grids are the units: t intervals count grids. Each grid is left out in turn and predicted
    by each of `FORMS`, fitted to the other grids. The form with the highest log density is chosen.

    Args:
        rows: as for `learning_rate_law`, with a column for each axis.
        over: the axes, `batch` among them; columns of positive numbers.
        flat: as for `learning_rate_law`.

    Raises:
        ValueError: for an absent column, a value that is not positive, an axis that is constant,
            axes that move together, or several clips, models, data sets, optimizers or protocols.
    """
    if isinstance(over, str):
        raise ValueError(
            f"over={over!r} must be a sequence of columns, such as ('batch', 'tokens')"
        )
    axes = ("batch", *dict.fromkeys(axis for axis in over if axis != "batch"))
    for axis in axes:
        if axis in ("lr", "seed", "val_loss"):
            raise ValueError(f"{axis} cannot be an axis of a law of the best lr")
    if len(axes) > len(set(over)):
        raise ValueError(f"over={','.join(over)} must include batch; a curve is one batch size")
    if len(axes) == 1:
        raise ValueError("over=batch is the law of the batch size alone; leave over out")
    need(rows, *axes, "lr", "seed", "val_loss", "status")
    need_coordinates(rows)
    rows = rows[rows["status"].isin(FINISHED)]
    nested = [key for key in settings_of(rows) if "." in key and not key.startswith(AXIS)]
    alike(rows, *(key for key in (*SETTINGS, *nested) if key not in axes))
    if rows.empty:
        return AxesLaw(axes, False, "no run has finished")
    if wrong := _undetermined(_logs(rows.drop_duplicates(list(axes)), axes), axes):
        remedy = "drop one" if "collinear" in wrong else "leave it out of the axes"
        raise ValueError(f"{wrong}; {remedy}")
    blocks = {
        tuple(np.array(key, float).tolist()): block
        for key, block in rows.groupby(list(axes[1:]), sort=True)
    }
    found, left_out = {}, {}
    for key, block in blocks.items():
        optima = sweep_optima(grouped(block), flat)
        if isinstance(optima, str):
            left_out[_title(axes[1:], key)] = optima
        elif optima.inside.any():
            found[key] = optima
        else:
            left_out[_title(axes[1:], key)] = "no optimum is inside the learning rates"
    if len(found) < len(axes) + 1:
        others = counted(len(axes) - 1, "axis", "axes")
        few = (
            f"grids with optima: {len(found)}; with {others} beside batch, "
            f"{len(axes) + 1} are needed"
        )
        return AxesLaw(axes, False, few, left_out=left_out)
    if wrong := _undetermined(np.log(np.array(list(found), float)), axes[1:]):
        return AxesLaw(axes, False, f"{wrong} among the grids with optima", left_out=left_out)
    grids, centre = _grids(found)
    fits = sorted((fit_axes(form, grids) for form in FORMS), key=lambda fit: -fit.score)
    if not any(math.isfinite(fit.score) for fit in fits):
        alone = "no grid can be left out, because the others would not determine the law"
        return AxesLaw(axes, False, alone, left_out=left_out)
    best, width = fits[0], len(axes)
    errors = best.quantile(LEVEL) * np.sqrt(np.diag(best.covariance))
    estimates = [
        Exponent(value, value - error, value + error)
        for value, error in zip(best.theta.tolist(), errors.tolist(), strict=True)
    ]
    exponents = dict(zip(axes[1:], estimates[1:width], strict=True))
    if best.form == "power":
        exponents = {"batch": estimates[width], **exponents}
    return AxesLaw(
        axes=axes,
        identified=True,
        reason="",
        exponents=exponents,
        turn_exponents=dict(zip(axes[1:], estimates[width + 1 :], strict=False)),
        tied=_tied(fits),
        grids=len(found),
        curves=grids.size,
        left_out=left_out,
        fits=tuple(fits),
        source=Source({key: blocks[key] for key in found}, grids, centre),
    )


def _undetermined(logs: Matrix, axes: Sequence[str]) -> str:
    """The reason why some exponents cannot be estimated separately; empty if they all can."""
    for axis, column in zip(axes, logs.T, strict=True):
        if np.ptp(column) < 1e-9:
            return f"{axis} has one value"
    centred = logs - logs.mean(axis=0)
    for i, axis in enumerate(axes):
        others = np.delete(centred, i, axis=1)
        weights = np.linalg.lstsq(others, centred[:, i], rcond=None)[0]
        left = centred[:, i] - others @ weights
        if left @ left < ALIKE * (centred[:, i] @ centred[:, i]):
            names = np.delete(axes, i)[np.abs(weights) > 1e-3].tolist()
            together = [name for name in axes if name in (*names, axis)]
            return f"{', '.join(together[:-1])} and {together[-1]} are collinear"
    return ""


def _logs(table: pd.DataFrame, axes: Sequence[str]) -> Matrix:
    """Natural logs of the axes, one column each."""
    need(table, *axes)
    values = table[list(axes)].to_numpy(float)
    for axis, column in zip(axes, values.T, strict=True):
        if not (np.isfinite(column) & (column > 0)).all():
            raise ValueError(f"{axis} must be positive numbers to be an axis")
    return np.log(values)


def _title(axes: Sequence[str], key: tuple[float, ...]) -> str:
    return ", ".join(f"{axis}={value:g}" for axis, value in zip(axes, key, strict=True))


def _grids(found: dict[tuple[float, ...], SweepOptima]) -> tuple[Grids, Vector]:
    """The optima inside their grids, and the mean log of the batch size and the other axes."""
    count, most = len(found), max(int(optima.inside.sum()) for optima in found.values())
    logs, best = np.zeros((count, most)), np.zeros((count, most))
    errors, there = np.zeros((count, most, most)), np.zeros((count, most), bool)
    for i, optima in enumerate(found.values()):
        inside = np.flatnonzero(optima.inside)
        size = len(inside)
        there[i, :size] = True
        logs[i, :size], best[i, :size] = np.log(optima.batches[inside]), optima.best[inside]
        errors[i, :size, :size] = optima.errors[np.ix_(inside, inside)]
    others = np.log(np.array(list(found), float))
    centre = np.append(logs[there].mean(), others.mean(axis=0))
    axes = np.column_stack([np.ones(count), others - centre[1:]])
    return Grids((logs - centre[0]) * there, best, errors, there, axes), centre


def _tied(fits: Sequence[AxesFit]) -> tuple[str, ...]:
    """The form that predicts best, and those within two standard errors of it."""
    tied = [fits[0].form]
    for fit in (fit for fit in fits[1:] if math.isfinite(fit.score)):
        both = fits[0].scores - fit.scores
        differences = both[np.isfinite(both)]
        if len(differences) < 2:
            tied.append(fit.form)
            continue
        error = differences.std(ddof=1) / math.sqrt(len(differences))
        if differences.mean() <= DECISIVE * error:
            tied.append(fit.form)
    return tuple(tied)
