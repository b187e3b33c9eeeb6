"""Curves of gradient norms over the steps of runs."""

import pytest
from adaptations import made_up

from scaling import figures
from scaling.figures.panels import wrapped


@pytest.mark.parametrize(("passes", "marker"), [(2, "."), (40, "None")])
def test_a_run_too_short_for_a_line_is_a_point(passes, marker):
    given = made_up(seeds=2, folds=1, batches=(16,), passes=passes)
    (axes,) = figures.norm_curves(given.rows, given.steps).axes
    (line,) = axes.lines
    assert str(line.get_marker()) == marker
    assert (len(line.get_xdata()) == 1) == (marker == ".")


def test_long_titles_are_broken_between_keys():
    title = "data=flows, model.normalisation=batch, data.population.drift=1"
    lines = wrapped(title, 36).split("\n")
    assert " ".join(lines) == title
    assert max(map(len, lines)) <= 36
    assert all(line.endswith(",") for line in lines[:-1])
