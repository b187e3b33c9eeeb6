"""The curves of a sweep hold its finite runs, between bad learning rates."""

import numpy as np
import planted

from scaling.analysis.sweep_curves import curves_of


def test_runs_that_ended_badly_bound_a_curve_and_failed_ones_are_no_part_of_it():
    rows = planted.bowl(np.random.default_rng(4), "wide", seeds=1, noise=0.02).rows
    first = rows["batch"] == rows["batch"].min()
    lr = np.sort(rows["lr"].unique())
    diverged, jumped = (first & (rows["lr"] == one) for one in lr[:-3:-1])
    rows.loc[diverged, ["val_loss", "status"]] = [np.nan, "diverged"]
    rows.loc[jumped, "val_loss"] += 80
    (some,) = curves_of(rows)
    curve = some.of_batch[8]
    assert curve.lr.tolist() == lr[:-2].tolist()
    assert np.exp(curve.bad[:, 0]).tolist() == [np.float64(lr[-2])]
    assert some.beside is not None
    (some,) = curves_of(rows.assign(status=rows["status"].where(first, "failed")))
    assert all(len(curve.x) == 0 for batch, curve in some.of_batch.items() if batch != 8)
    (none,) = curves_of(rows.assign(status="failed"))
    assert none.beside is None
