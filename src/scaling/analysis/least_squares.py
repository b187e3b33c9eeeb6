"""Linear least squares, with an orthonormal basis of the columns."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SINGULAR = 1e-9  # share of the largest pivot below which columns count as dependent


def least_squares(columns: Array, target: Array) -> tuple[Array, Array, Array]:
    """Fit a target by columns.

    Args:
        columns: a line for each value, at least as many as columns.
        target: the values.

    Returns:
        Coefficients (the shortest ones if columns depend on each other), residuals, and an
        orthonormal basis of the columns.
    """
    basis, triangle = np.linalg.qr(columns)
    pivots = np.abs(np.diag(triangle))
    if pivots.min() > SINGULAR * pivots.max():
        coefficients: Array = np.linalg.solve(triangle, basis.T @ target)
    else:
        coefficients = np.asarray(np.linalg.lstsq(columns, target, rcond=None)[0], np.float64)
    return coefficients, target - columns @ coefficients, basis
