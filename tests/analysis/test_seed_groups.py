"""Many seeds are averaged in groups, and the law stays the same."""

import numpy as np
import planted
import pytest

from scaling.analysis import optima, powerlaws
from scaling.analysis.seed_groups import MOST, grouped


def test_few_seeds_are_left_alone():
    rows = planted.bowl(np.random.default_rng(0), "wide", seeds=5).rows
    assert grouped(rows) is rows


def test_groups_average_cells_and_keep_what_diverged():
    rows = planted.bowl(np.random.default_rng(0), "diverged", seeds=3 * MOST).rows
    few = grouped(rows)
    assert few["seed"].nunique() == MOST
    assert (few["status"] == "diverged").sum() == (rows["status"] == "diverged").sum() > 0
    cell = (rows["batch"] == rows["batch"].min()) & (rows["lr"] == rows["lr"].min())
    there = (few["batch"] == rows["batch"].min()) & (few["lr"] == rows["lr"].min())
    assert there.sum() == MOST
    assert few.loc[there, "val_loss"].mean() == pytest.approx(rows.loc[cell, "val_loss"].mean())


def test_thousands_of_seeds_give_the_law_and_optima_of_their_means():
    draw = planted.bowl(np.random.default_rng(1), "wide", seeds=2000, noise=0.3)
    law = powerlaws.learning_rate_law(draw.rows)
    assert law.seeds == 2000
    assert law.low <= draw.exponent <= law.high
    assert law.high - law.low < 0.05
    assert {one.seeds for one in optima.optimum(draw.rows)} == {MOST}
