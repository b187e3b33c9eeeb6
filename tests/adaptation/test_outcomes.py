"""Correctness of single windows, against a forward pass of the nets."""

import numpy as np
import torch
from adapting import adapter, data, fit, net

from scaling.adaptation.outcomes import Outcomes
from scaling.callbacks.evaluation_table import Evaluations
from scaling.storage.tables import read_parts


def right(model, part) -> np.ndarray:
    with torch.no_grad():
        return (model.eval().logits(part.windows).argmax(dim=1) == part.labels).numpy()


def test_each_window_is_recorded_before_and_after(tmp_path):
    windows, module = data(), adapter()
    trainer = fit(module, windows, tmp_path, [Outcomes(), Evaluations()], before=True)
    assert read_parts(tmp_path / "windows").empty  # the run is not over
    trainer.validate(module, datamodule=windows, verbose=False)
    table = read_parts(tmp_path / "windows")
    population = windows._population
    for split, part in {"query": population.query, "val": population.heldout}.items():
        own = table[table["split"] == split]
        assert own["window"].to_list() == list(range(len(part.labels)))
        assert (own["before"].to_numpy() == right(net(), part)).all()
        assert (own["after"].to_numpy() == right(module.net, part)).all()
    query = table[table["split"] == "query"]
    last = read_parts(tmp_path / "epochs").iloc[-1]
    assert (query["after"] & ~query["before"]).sum() == last["query_won"] > 0
    assert (query["before"] & ~query["after"]).sum() == last["query_lost"]


def test_a_run_that_was_not_evaluated_before_records_nothing(tmp_path):
    windows, module = data(), adapter()
    trainer = fit(module, windows, tmp_path, [Outcomes()])
    trainer.validate(module, datamodule=windows, verbose=False)
    assert read_parts(tmp_path / "windows").empty
