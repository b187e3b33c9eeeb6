"""Least squares of independent columns, and of dependent ones."""

import numpy as np
import pytest

from scaling.analysis.least_squares import least_squares


@pytest.mark.parametrize("dependent", [False, True])
def test_coefficients_are_those_of_the_pseudoinverse(dependent):
    rng = np.random.default_rng(0)
    columns, target = rng.normal(size=(30, 4)), rng.normal(size=30)
    if dependent:
        columns[:, 3] = 2 * columns[:, 0] - columns[:, 1]
    coefficients, residuals, basis = least_squares(columns, target)
    slow = np.linalg.pinv(columns) @ target
    np.testing.assert_allclose(coefficients, slow, rtol=1e-9)
    np.testing.assert_allclose(residuals, target - columns @ slow, atol=1e-12)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(basis @ (basis.T @ columns), columns, atol=1e-12)


def test_a_target_in_the_span_of_the_columns_leaves_nothing():
    columns = np.vander(np.linspace(-1, 1, 9), 3)
    coefficients, residuals, _ = least_squares(columns, columns @ [1.0, -2.0, 3.0])
    np.testing.assert_allclose(coefficients, [1, -2, 3])
    np.testing.assert_allclose(residuals, 0, atol=1e-14)
