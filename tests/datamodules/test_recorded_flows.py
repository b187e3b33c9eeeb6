"""Populations of recorded flows: disjoint parts, standardised by the source."""

import numpy as np
import pytest
import torch
from flows import identity

from scaling.datamodules import recorded_flows
from scaling.datamodules.bags import Records
from scaling.datamodules.recorded_flows import Recorded, Source

UNSW = {
    "seed": 0, "source": "unsw_nb15", "length": 30, "attack_records": 8, "later_share": 0.5,
    "unseen_kind": "Exploits", "clients": 5, "alpha": 0.5, "source_windows": 100,
    "query_windows": 450, "heldout_windows": 120, "folds": 5,
}  # fmt: skip
NSL = UNSW | {
    "source": "nsl_kdd", "attack_records": 30, "later_share": None, "unseen_kind": None,
    "query_windows": 510, "heldout_windows": 128,
}  # fmt: skip
SMALL = UNSW | {
    "length": 4, "attack_records": 2, "unseen_kind": None, "clients": 3, "source_windows": 10,
    "query_windows": 30, "heldout_windows": 10,
}  # fmt: skip


@pytest.fixture
def planted(monkeypatch) -> Records:
    """A file of 1,200 records, a third of them attacks of two kinds, and a tenth duplicates."""
    draws = np.random.default_rng(0)
    features = draws.normal(size=(1_200, 3)).astype(np.float32) * [1, 5, 0] + [0, 100, 7]
    kinds = np.repeat(["none", "a", "b"], [800, 300, 100])
    features[::10] = features[1::10]
    made = Records(features.astype(np.float32), kinds, "none", None)
    source = Source(lambda path: (), lambda files: made, made.fingerprint, "planted")
    monkeypatch.setitem(recorded_flows.SOURCES, "unsw_nb15", source)
    Recorded._drawn.cache_clear()
    yield made
    Recorded._drawn.cache_clear()


def small(**changes) -> Recorded:
    return Recorded(**SMALL | changes)


def test_no_record_is_in_two_parts_and_features_are_standardised_by_the_clients(planted):
    made = small().draw(None, 0)
    rows = torch.cat([part.windows.flatten(0, 1) for part in made.parts().values()])
    assert len(rows.unique(dim=0)) == len(rows)
    clients = made.pooled.windows.flatten(0, 1)
    assert torch.allclose(clients.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(clients.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4)
    assert made.query.windows.flatten(0, 1).mean(0)[:2].abs().max() > 1e-3  # not its own
    assert made.checks["duplicate_records"] == 120
    assert made.checks["leak_file_order"] < 0.05


def test_a_kind_can_be_kept_from_the_clients(planted):
    with_it, without = small().draw(None, 0), small(unseen_kind="b").draw(None, 0)
    assert with_it.checks["query_unseen_share"] == 0
    assert without.checks["query_unseen_share"] > 0.1


def test_folds_wrap_around_and_overlap_as_their_lengths_require(planted):
    folds = [small(folds=3).draw(None, fold) for fold in range(3)]
    assert len({identity(made.clients) for made in folds}) == 1
    queries = [{window.numpy().tobytes() for window in made.query.windows} for made in folds]
    for made, query, following in zip(folds, queries, queries[1:] + queries[:1], strict=True):
        assert made.checks["query_overlap"] == pytest.approx(len(query & following) / 30)
    apart = [small(folds=3, query_windows=20).draw(None, fold) for fold in range(3)]
    assert {made.checks["query_overlap"] for made in apart} == {0}


def test_seeds_are_divisions_of_the_same_records(planted):
    one, other = small().draw(None, 0), small(seed=1).draw(None, 0)
    assert identity(one.clients) != identity(other.clients)
    assert small().fingerprint(None) == small(seed=1).fingerprint(None) == planted.fingerprint


@pytest.mark.parametrize(
    ("changes", "fold", "said"),
    [
        ({"source": "kdd99"}, 0, "source=kdd99 must be one of unsw_nb15, nsl_kdd"),
        ({"attack_records": 5}, 0, "attack_records=5 must be at most length=4"),
        ({"length": 1}, 0, "length=1 must be at least 2"),
        ({"later_share": 1.0}, 0, "later_share=1.0 must lie between 0 and 1"),
        ({"later_share": None}, 0, "later_share=None must be a share of the records for unsw_nb15"),
        ({"unseen_kind": "c"}, 0, "unseen_kind=c must be one of a, b"),
        ({"alpha": 0.0}, 0, "alpha=0.0 must be positive"),
        ({"source_windows": 5_000}, 0, "source_windows=5000 leaves 0 of the .* for clients=3"),
        ({"clients": 5_000}, 0, "source_windows=10 leaves .* for clients=5000; choose fewer"),
        ({"query_windows": 5_000}, 0, "query_windows=5000 and heldout_windows=10 exceed the"),
        ({}, 5, "fold=5 must be below folds=5"),
    ],
)
def test_an_impossible_population_is_refused_with_its_key(planted, changes, fold, said):
    with pytest.raises(ValueError, match=said):
        small(**changes).draw(None, fold)


def test_records_with_a_broken_number_are_refused(planted):
    planted.features[:800:7, 1] = np.nan
    with pytest.raises(ValueError, match="is not finite at window .* feature 1 .nan.; remove"):
        small().draw(None, 0)


@pytest.mark.parametrize("settings", [UNSW, NSL], ids=["unsw_nb15", "nsl_kdd"])
def test_real_windows_leak_nothing_and_are_as_many_as_stated(real_data, settings):
    for seed in (0, 1):
        made = Recorded(**settings | {"seed": seed}).draw(None, 0)
        assert made.checks["leak_windows"] == made.checks["leak_records"] == 0
        assert made.checks["leak_file_order"] < 0.01
        assert len(made.query.labels) == settings["query_windows"]
        assert len(made.heldout.labels) == settings["heldout_windows"]
        assert 0.2 < made.checks["query_unseen_share"] < 0.32
        assert made.query.labels.float().mean() == pytest.approx(0.5, abs=0.05)
        assert made.pooled.windows.shape[1:] == (30, 23 if settings is UNSW else 41)


def test_the_sizes_of_real_data_are_those_of_the_configs(real_data):
    unsw, nsl = (Recorded(**settings).draw(None, 4) for settings in (UNSW, NSL))
    assert unsw.checks["duplicate_records"] == 24_912
    assert unsw.checks["ambiguous_records"] == 10_168
    assert 480 < len(unsw.pooled.labels) < 520
    assert len(nsl.pooled.labels) == 734
    assert (nsl.checks["duplicate_records"], nsl.checks["ambiguous_records"]) == (105, 139)
    for settings in (UNSW, NSL):
        with pytest.raises(ValueError, match="exceed the 6[0-9][0-9] windows after the shift"):
            Recorded(**settings | {"query_windows": 600}).draw(None, 0)
