"""Seconds and memory of each pass."""

import time

import numpy as np
import pytest
from adapting import adapter, data, fit

from scaling.adaptation.costs import REFS, Costs
from scaling.callbacks.evaluation_table import Evaluations
from scaling.storage.tables import read_parts


class Greedy(type(adapter())):
    """Takes 200 MiB and a fifth of a second in its second pass."""

    def on_train_batch_start(self, batch, batch_idx):
        super().on_train_batch_start(batch, batch_idx)
        if self.current_epoch == 1 and batch_idx == 0:
            np.ones(200 * 2**20, dtype=np.uint8)
            time.sleep(0.2)


def test_a_costly_pass_is_measured_and_later_ones_are_not_affected(tmp_path):
    module, costs = adapter(), Costs()
    module.__class__ = Greedy
    fit(module, data(), tmp_path, [costs, Evaluations()], before=True, max_epochs=3)
    table = read_parts(tmp_path / "epochs")
    assert np.isnan(table["pass_seconds"].iloc[0])  # before the first pass
    seconds = table["pass_seconds"].iloc[1:].to_numpy()
    assert (seconds > 0).all()
    assert seconds[1] > 0.2
    columns = costs.columns()
    assert columns["pass_seconds"] == pytest.approx(seconds.mean(), rel=1e-5)
    if REFS.exists():
        memory = table["pass_memory_mib"].iloc[1:].to_numpy()
        assert memory[1] > memory[0] + 150
        assert memory[1] > memory[2] + 150
        assert columns["pass_memory_mib"] == pytest.approx(memory.max(), rel=1e-5)


def test_a_resumed_pass_has_the_seconds_from_before(tmp_path):
    first, second = Costs(), Costs()
    first.load_state_dict({"seconds": 5.0, "epochs": [], "most": 0.0})
    assert first.state_dict()["seconds"] > 5
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["seconds"] > 5


def test_without_a_pass_there_is_no_cost():
    assert Costs().columns() == {}
