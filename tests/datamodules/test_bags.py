"""Windows of records: each record once, in random order, with the stated content."""

import numpy as np
import pytest

from scaling.datamodules.bags import Records, bags, distinct

KINDS = ["none"] * 400 + ["a"] * 60 + ["b"] * 45 + ["rare"] * 5


def records(features: np.ndarray | None = None, kinds: list[str] = KINDS) -> Records:
    if features is None:
        features = np.random.default_rng(0).normal(size=(len(kinds), 3))
    return Records(features.astype(np.float32), np.array(kinds), "none", None)


def made(attack_records: int = 10, seed: int = 0):
    rows = np.arange(len(KINDS))
    draws = np.random.default_rng(seed)
    return bags(records(), rows, length=10, attack_records=attack_records, draws=draws)


def test_duplicates_count_once_and_contradictions_are_dropped():
    features = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [5, 6], [0.0, 7], [-0.0, 7]])
    found = distinct(records(features, ["none", "a", "none", "none", "a", "b", "b"]))
    assert found.rows.tolist() == [0, 1, 5]
    assert (found.duplicates, found.ambiguous) == (2, 2)


def test_distinct_records_are_those_of_another_library():
    features = np.random.default_rng(1).integers(0, 4, size=(200, 3)).astype(float)
    found = distinct(records(features, ["none"] * 200))
    _, first = np.unique(features, axis=0, return_index=True)
    assert found.rows.tolist() == sorted(first)
    assert found.duplicates == 200 - len(first)


def test_no_record_is_in_two_windows_or_twice_in_one():
    for attack_records in (1, 4, 10):
        rows = made(attack_records).rows
        assert len(np.unique(rows)) == rows.size


def test_a_window_has_as_many_records_of_one_attack_as_it_says():
    found, kinds = made(4), np.array(KINDS)
    for rows, label, kind in zip(*found, strict=True):
        attacks = kinds[rows][kinds[rows] != "none"]
        assert len(attacks) == (4 if label else 0)
        assert set(attacks) == ({kind} if label else set())


@pytest.mark.parametrize(("attack_records", "attacks", "normal"), [(10, 10, 40), (4, 25, 25)])
def test_there_are_as_many_windows_as_records_allow(attack_records, attacks, normal):
    counts = np.bincount(made(attack_records).labels)
    assert counts.tolist() == [normal, attacks]


def test_there_are_never_more_windows_with_an_attack_than_without():
    counts = np.bincount(made(1).labels)  # 110 attack records, but 9 normal ones to each
    assert counts[1] <= counts[0]
    assert counts.tolist() == [21, 21]


def test_neither_windows_nor_their_records_keep_the_order_of_the_file():
    found = made(4)
    assert np.corrcoef(found.rows[:, 0], np.arange(len(found.rows)))[0, 1] < 0.4
    where = [np.flatnonzero(rows >= 400).mean() for rows in found.rows[found.labels == 1]]
    assert 3.5 < np.mean(where) < 5.5  # attacks lie anywhere in their window
    assert (np.diff(found.rows, axis=1) == 1).mean() < 0.05


def test_windows_follow_from_their_generator():
    assert np.array_equal(made(seed=3).rows, made(seed=3).rows)
    assert not np.array_equal(made(seed=3).rows, made(seed=4).rows)
