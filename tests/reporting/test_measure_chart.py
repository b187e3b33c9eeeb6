"""Charts of a measure where no learning rate was swept."""

import altair as alt
import pandas as pd
import pytest

from scaling.reporting.charts.measure import varied_chart

FIXED = {
    "status": "done", "study": "x", "run": "y",
    "model": "mlp", "data": "flows", "optimizer": "adamw", "protocol": "steps", "duration": 9,
}  # fmt: skip


def rows(batches, widths):
    lines = [
        {"batch": b, "lr": 0.1, "clip": 1.0, "seed": s, "model.width": w, "val_loss": w + s / 10}
        for b in batches for w in widths for s in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(lines).assign(**FIXED)


def encodings(spec) -> dict[str, str]:
    """Channel -> field of the layers of a chart."""
    return {
        channel: encoding["field"]
        for layer in spec["layer"]
        for channel, encoding in layer["encoding"].items()
        if "field" in encoding
    }


@pytest.mark.parametrize(
    ("batches", "widths", "x", "y"),
    [((8,), (16, 32), "mean", "setting"), ((8, 16), (16, 32), "batch", "mean")],
)
def test_settings_are_below_each_other_and_batch_sizes_side_by_side(batches, widths, x, y):
    spec = varied_chart(rows(batches, widths))
    alt.Chart.from_dict(spec)  # a wrong one raises SchemaValidationError
    fields = encodings(spec)
    assert (fields["x"], fields["y"]) == (x, y)
    assert spec["width"] == "container"


def test_names_of_settings_have_a_line_for_each_key():
    table = rows((8,), (16, 32))
    crossed = pd.concat([table, table.assign(data="mnist")], ignore_index=True)
    one, several = varied_chart(table), varied_chart(crossed)
    (axis,) = {
        layer["encoding"]["y"]["axis"]["labelExpr"]
        for layer in several["layer"]
        if layer["encoding"]["y"].get("field") == "setting"
    }
    assert axis == "split(datum.label, ', ')"
    assert several["height"] == 3 * one["height"]  # 4 names of 2 lines, 2 of 1, and a space each


def test_one_setting_at_one_batch_size_has_no_chart():
    assert varied_chart(rows((8,), (16,))) is None
