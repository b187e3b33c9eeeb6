"""The chart of best learning rates against batch size."""

import numpy as np
import pandas as pd
import pytest

from scaling import learning_rate_law, optimum
from scaling.figures.axes import round_values
from scaling.reporting.answer import Setting
from scaling.reporting.charts.optima import law_chart


@pytest.mark.parametrize("step", [2, 3, 10])
def test_a_coarse_and_a_fine_grid_have_a_readable_scale_of_learning_rates(step):
    lrs = 1e-3 * float(step) ** np.arange(-2, 3)
    lines = [
        {"batch": batch, "lr": lr, "clip": 1.0, "seed": seed, "status": "done",
         "val_loss": 2 + 0.1 * np.log(lr / 1e-3 / (batch / 32) ** 0.4) ** 2 + 0.001 * seed}
        for batch in (16, 32, 64) for lr in lrs for seed in (0, 1)
    ]  # fmt: skip
    rows = pd.DataFrame(lines)
    setting = Setting("", rows, optimum(rows), learning_rate_law(rows))
    layers = law_chart([setting])["layer"]
    axis = next(y for y in (layer["encoding"]["y"] for layer in layers) if "scale" in y)
    low, high = axis["scale"]["domain"]
    inside = [value for value in axis["axis"]["values"] if low <= value <= high]
    assert len(inside) >= 3


@pytest.mark.parametrize("width", [1.5, 3, 9, 20, 300, 1e4])
def test_round_values_cover_an_interval_with_few_digits(width):
    for low in (0.7e-3, 1.3, 4e5):
        values = round_values(low, low * width)
        assert len([value for value in values if low <= value <= low * width]) >= 3
        assert all(float(f"{value:.3g}") == pytest.approx(value, rel=1e-9) for value in values)
        assert values == sorted(values)
