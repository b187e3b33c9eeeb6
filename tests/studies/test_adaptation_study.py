"""The published statements on adaptation hold, fail or stay open as the runs are planted."""

import math

import numpy as np
import pandas as pd
import pytest
from adaptations import WINDOWS, made_up
from folds import leaving
from rows import write_sweep

from scaling.analysis.trends import fold_trend
from scaling.contracts.settings import by_setting
from scaling.reporting import build
from scaling.studies.adaptation import norm_trends, study
from scaling.studies.adaptation.runs import adapted, arms, blocks, norms
from scaling.studies.adaptation.tables import batch_against_batch, reference
from scaling.studies.cluster_intervals import (
    change_of_norm,
    cluster_of,
    describe_clusters,
    gains,
    more_or_less,
)
from scaling.studies.sweep_tables import SweepTables

TIMES = "A pass takes less time at larger batches"
REVERSAL = "The gradient norm rises at batch 32 and falls at batch 64"
BETTER = "Adaptation at larger batches is more accurate on the query"
HELPS = "Adaptation is more accurate than its source on the query, on average over batch sizes"
STEADY = [f"Larger batches give steadier {name} {how}"
          for name in ("gradient norms", "entropy", "diversity")
          for how in ("from pass to pass", "over the mini-batches of a pass")]  # fmt: skip


def words(given: SweepTables) -> dict[str, str]:
    return {verdict.sentence: verdict.word for _, verdict in study.verdicts(given)}


def changed(given: SweepTables, **columns: float) -> SweepTables:
    """The same runs with other columns in their rows."""
    made = SweepTables(given.rows.assign(**columns))
    vars(made).update(epochs=given.epochs, steps=given.steps, windows=given.windows)
    return made


def said(given: SweepTables, begin: str) -> list[str]:
    lines = [line.partition(": ")[2] for line in study.sentences(given)]
    return [line for line in lines if line.startswith(begin)]


def test_measures_are_those_of_the_tables():
    given = made_up(
        seeds=1, folds=1, batches=(16,), gain=lambda run: 0.1, slope=lambda run: 0.6,
        entropy=lambda run: 0.4, spread=lambda run: 1e-9,
    )  # fmt: skip
    (row,) = study.measures(given).itertuples()
    assert (row.arm, row.fold, row.end, row.updates) == ("16", 0, 12, 96)
    assert row.query_gain == pytest.approx(0.1, abs=0.01)
    assert row.query_gain == pytest.approx(row.query_accuracy - row.before_query_accuracy)
    assert row.forgetting == pytest.approx(row.before_source_accuracy - row.source_accuracy)
    assert (row.entropy_fall, row.fall_rate) == pytest.approx((0.6, 0.05))
    assert (row.norm_slope, row.norm_span) == pytest.approx((0.05, 11))
    assert (row.query_norm_slope, row.query_norm_span) == pytest.approx((0.05, 12))
    assert row.norm_jitter == pytest.approx(0, abs=1e-7)


def test_a_pass_without_gradients_is_left_out_of_the_scatter_of_norms():
    given = made_up(seeds=1, folds=1, batches=(16,), passes=3)
    recorded = given.steps["grad_norm_pre_clip"].to_numpy(copy=True).reshape(3, -1)
    recorded[1] = 0
    changed_steps = given.steps.assign(grad_norm_pre_clip=recorded.ravel())
    vars(given).update(steps=changed_steps)
    (row,) = study.measures(given).itertuples()
    others = recorded[[0, 2]]
    assert row.norm_scatter == pytest.approx((others.std(1, ddof=1) / others.mean(1)).mean())


def test_an_update_belongs_to_the_pass_in_which_it_was_taken():
    lines = study.passes(given := made_up(seeds=1, folds=1, batches=(32,), passes=3))
    steps = given.steps["grad_norm_pre_clip"].to_numpy()
    table = norms(lines, "pass_grad_norm")
    assert table["step"].to_list() == [0, 1, 2]
    slow = [steps[4 * p : 4 * p + 4].mean() for p in range(3)]  # 128 windows, 4 updates a pass
    assert table["gradient_norm"].to_list() == pytest.approx(slow)
    assert math.isnan(lines["pass_grad_norm"].iloc[0])
    assert lines["pass_grad_norm_sd"].iloc[1] == pytest.approx(steps[:4].std(ddof=1))
    assert norms(lines, "query_grad_norm")["step"].to_list() == [0, 3]


def test_skipped_updates_have_no_norm():
    given = made_up(seeds=1, folds=1, batches=(32,), passes=3)
    given.steps.loc[1, "skipped"] = True
    kept = given.steps["grad_norm_pre_clip"][[0, 2, 3]]
    assert study.passes(given)["pass_grad_norm"].iloc[1] == pytest.approx(kept.mean())


def test_each_statement_is_judged_separately():
    good = made_up(
        folds=1,
        gain=lambda run: 0.01 * math.log2(run["batch"]),
        slope=lambda run: 1.0 if run["batch"] == 32 else -1.0,
        spread=lambda run: 1 / run["batch"] ** 2,
        seconds=lambda run: 1 / run["batch"] + 0.001 * run["seed"],
        entropy=lambda run: 0.9 - 0.1 * math.log2(run["batch"]),
    )
    assert set(words(good).values()) == {"supported"}
    bad = made_up(
        folds=1,
        gain=lambda run: -0.01 * math.log2(run["batch"]),
        slope=lambda run: -1.0 if run["batch"] == 32 else 1.0,
        spread=lambda run: run["batch"] ** 2 / 1e5,
        seconds=lambda run: run["batch"] + run["seed"],
        entropy=lambda run: 0.1 * math.log2(run["batch"]),
    )
    judged = words(bad)
    later = [sentence for sentence in judged if sentence.endswith("after equally many updates")]
    assert len(later) == 2
    assert {judged[s] for s in judged if s not in later} == {"contradicted"}


def test_runs_that_differ_by_noise_decide_nothing():
    rng = np.random.default_rng(2)
    noise = made_up(
        spread=lambda run: 0.1 * math.exp(0.3 * rng.standard_normal()),
        seconds=lambda run: math.exp(0.1 * rng.standard_normal()),
        entropy=lambda run: 0.5 + 0.05 * rng.standard_normal(),
        gain=lambda run: 0.01 * rng.standard_normal(),
    )
    judged = words(noise)
    for sentence in (REVERSAL, BETTER, HELPS, TIMES, STEADY[2]):
        assert judged[sentence] == "inconclusive", sentence


def test_both_batches_must_turn_for_the_trend_to_be_reversed():
    for slopes in ({32: 1.0, 64: 1.0}, {32: -1.0, 64: -1.0}):
        one_only = made_up(folds=1, slope=lambda run, s=slopes: s.get(run["batch"], 0.0))
        assert words(one_only)[REVERSAL] == "contradicted"
    without = words(made_up(folds=1, batches=(16, 32)))
    assert without[REVERSAL] == "inconclusive"


def test_the_same_after_as_many_updates_need_not_hold():
    """All updates move equally far: small batches gain only from their number of updates."""
    given = made_up(folds=1, entropy=lambda run: 1 - 0.5 * 16 / run["batch"])
    judged = words(given)
    assert judged["Larger batches end at a lower entropy of the query"] == "contradicted"
    assert judged[
        "Larger batches have a lower entropy of the query after equally many updates"
    ] == "inconclusive"  # fmt: skip
    table = study.measures(given)
    assert (table["equal_updates"] == 24).all()
    assert table["equal_query_entropy"].to_numpy() == pytest.approx(1 - 0.5 / 4)


def test_too_few_seeds_decide_nothing():
    given = made_up(seeds=2, gain=lambda run: 0.05, slope=lambda run: 1.0 * (run["batch"] == 32),
                     seconds=lambda run: 1 / run["batch"])  # fmt: skip
    assert set(words(given).values()) == {"inconclusive"}
    tables = study.tables(given)
    for name in ("adaptation_accuracy", "batch_against_batch", "norm_trends"):
        assert set(tables[name]["verdict"]) == {"inconclusive"}
    assert not any("; gain)" in line for line in study.sentences(given))


def test_an_adaptation_that_changes_nothing_is_no_gain():
    given = made_up(folds=1, passes=2, gain=lambda run: 0.0)
    for split in ("query", "val"):
        given.epochs[f"{split}_accuracy"] = 0.5
    assert words(given)[HELPS] == "inconclusive"
    assert words(given)[BETTER] == "inconclusive"
    (line,) = said(given, "accuracy on the query, after minus before")
    assert line.count("inconclusive") == 3


def test_a_gain_and_a_harm_are_reported():
    given = made_up(passes=2, gain=lambda run: {16: 0.03, 32: -0.03, 64: 0.0}[run["batch"]])
    (line,) = said(given, "accuracy on the query, after minus before")
    calls = [part.rpartition("; ")[2].rstrip(")") for part in line.split("); ")]
    assert calls == ["gain", "harm", "inconclusive"]
    (line,) = said(given, "accuracy on the query minus that of batch 32")
    assert [part.rpartition("; ")[2].rstrip(")") for part in line.split("); ")] == ["more", "more"]


def test_without_a_gain_one_is_reported_in_few_draws():
    """Seven arms of noise around the source, corrected for each other."""
    rng = np.random.default_rng(1)
    given = made_up(seeds=5, folds=2, batches=(8, 16, 32, 64), passes=2)
    table = study.measures(given)
    called = 0
    for _ in range(60):
        noise = rng.normal(0, 0.01, len(table))
        drawn = table.assign(query_accuracy=table["before_query_accuracy"] + noise)
        called += any(more_or_less(one) != "inconclusive" for one in gains(drawn, "query").values())
    assert called <= 8  # 5 % of 60 are 3


def test_seeds_are_independent_unless_they_share_the_windows_of_a_fold():
    shared = study.measures(made_up(shared=True, passes=2, batches=(16,)))
    own = study.measures(given := made_up(passes=2, batches=(16,)))
    assert (cluster_of(own), cluster_of(shared)) == ("seed", "fold")
    assert cluster_of(own[own["seed"] == 0]) == "fold"
    assert "over 4 seeds, whose folds share clients" in said(given, "12 queries")[0]
    alone = made_up(seeds=1, folds=5, passes=2, gain=lambda run: 0.05)
    assert words(alone)[HELPS] == "supported"
    assert "over 5 folds, of one seed's population" in said(alone, "5 queries")[0]


def test_the_gain_from_statistics_is_separated_from_that_of_adapting():
    few = {"seeds": 6, "folds": 1, "passes": 2}
    given = made_up(**few, batches=(16, 32), gain=lambda run: 0.03)
    (line,) = said(given, "accuracy on the query with normalisation statistics")
    given, beyond = line.split("; after adaptation, minus statistics alone: ")
    alone = pd.Series([0.01 + 0.001 * np.cos(seed) for seed in range(6)])
    assert f"minus the source, in points: {100 * alone.mean():+.2f} (" in given
    assert given.endswith("; gain)")
    assert [part.rpartition("; ")[2].rstrip(")") for part in beyond.split("); ")] == ["more"] * 2
    harmed = made_up(**few, batches=(16,), gain=lambda run: -0.03)
    assert said(harmed, "accuracy on the query with normalisation")[0].endswith("; less)")


def test_without_batch_normalisation_no_sentence_is_about_its_statistics():
    given = made_up(folds=1, passes=2)
    bare = changed(given, statistics_query_accuracy=np.nan)
    assert said(given, "accuracy on the query with normalisation statistics")
    assert not said(bare, "accuracy on the query with normalisation statistics")


def test_folds_that_share_windows_decide_nothing_alone():
    given = made_up(seeds=1, folds=5, passes=2, gain=lambda run: 0.05)
    shared = changed(given, query_overlap=0.7)
    assert words(given)[HELPS] == "supported"
    assert words(shared)[HELPS] == "inconclusive"
    (line,) = said(shared, "accuracy on the query, after minus before")
    assert line.count("no interval; inconclusive") == 3


def test_sources_that_learned_nothing_are_named():
    assert not said(changed(made_up(folds=1, passes=2), source_unigram_loss=1.6), "Warn")
    bad = changed(given := made_up(seeds=4, folds=1, batches=(16,)), source_unigram_loss=0.7)
    losses = dict(zip(given.rows["run"], (0.1, 0.7, 0.9, 0.2), strict=True))
    vars(bad).update(epochs=given.epochs.assign(source_loss=given.epochs["run"].map(losses)))
    (line,) = said(bad, "Warning: 2 of 4 source models learned no more than")
    assert "raise federation.rounds" in line


def test_batches_that_grow_in_all_runs_are_reported_as_such():
    given = made_up(seeds=3, folds=1, batches=(16,))
    rows = given.rows.drop(columns=["data.growth"])
    assert set(adapted(rows.assign(growth=64.0))["arm"]) == {"16 to 64"}
    assert set(adapted(rows.assign(growth=np.nan))["arm"]) == {"16"}
    slower = rows.assign(growth=64.0, growth_passes=np.where(rows["seed"] == 0, 20.0, 50.0))
    assert set(adapted(slower)["arm"]) == {"16 to 64 in 20", "16 to 64 in 50"}


def test_a_run_in_two_studies_counts_once():
    given = made_up(seeds=3, folds=1, batches=(16,))
    twice = pd.concat([given.rows, given.rows.assign(study="other")], ignore_index=True)
    assert len(adapted(twice)) == 3


def test_a_measure_that_an_arm_lacks_is_left_out_of_its_table():
    """Such as the spread over the updates of a pass if the whole query is one batch."""
    table = study.measures(given := made_up(batches=(32, 64, WINDOWS)))
    assert table.loc[table["arm"] == str(WINDOWS), "norm_scatter"].isna().all()
    against = batch_against_batch(table, study.passes(given))
    arms_of = against.groupby("measure")["arm"].agg(set)
    assert arms_of["norm_scatter"] == {"64"}
    assert arms_of["query_accuracy"] == {"64", str(WINDOWS)}
    table.loc[table["arm"] == "32", "norm_scatter"] = np.nan
    left = batch_against_batch(table, study.passes(given))
    assert "norm_scatter" not in set(left["measure"])


def test_rates_of_runs_that_stop_early_are_over_passes_that_all_have():
    """Entropy falls fast at first, but a run that stops early is not faster."""
    given = made_up(
        seeds=3, folds=1, batches=(16, 32), passes=10,
        stop=lambda run: 2 if run["batch"] == 16 else None,
    )  # fmt: skip
    course = {passes: math.exp(-passes) for passes in range(11)}
    vars(given).update(epochs=given.epochs.assign(query_entropy=given.epochs["passes"].map(course)))
    rates = study.measures(given)["fall_rate"]
    assert rates.tolist() == pytest.approx([(1 - math.exp(-2)) / 2] * 6)


def test_a_query_without_a_first_norm_is_left_out_and_reported():
    given = made_up(seeds=4, folds=1, batches=(16,))
    table, lines = study.measures(given), study.passes(given).copy()
    gone = (lines["seed"] == 1) & (lines["passes"] == 1)
    lines.loc[gone, "pass_grad_norm"] = np.nan
    lines.loc[(lines["seed"] == 2) & (lines["passes"] == 5), "pass_grad_norm"] = 0.0
    trends = norm_trends.trends(table, lines)
    batches = trends[trends["norm_of"] == "mini-batches"].iloc[0]
    assert (batches["late"], batches["zeros"], batches["at_risk"]) == (1, 1, 3)
    (line,) = [one for one in norm_trends.sentences(trends) if one.startswith("Warning")]
    assert "1 of 4 queries have no norm in the first pass" in line
    assert "1 norms are 0" in line


def test_shared_parts_of_replicates_are_reported():
    table = study.measures(made_up(passes=2))
    divided = table.assign(query_overlap=0.7)
    assert "over 4 seeds, each a new division of the same records" in describe_clusters(divided)
    same = divided[divided["fold"] == 0].assign(query_checksum=1)
    assert "over 4 seeds, retrained on the same windows" in describe_clusters(same)
    apart = table[table["seed"] == 0].assign(query_overlap=0.0)
    assert "over 3 folds, which share no window" in describe_clusters(apart)
    one = table[table["fold"] == 0].assign(query_checksum=1)
    assert (
        describe_clusters(one) == "4 runs on one query; intervals over 4 seeds, for this query only"
    )


def test_folds_of_a_seed_are_not_further_replicates():
    """All folds of a seed share the gain of its source, so the interval is over seeds' means."""
    given = made_up(seeds=4, folds=3, batches=(16,), gain=lambda run: 0.02 * run["seed"])
    table = study.measures(given)
    one = gains(table, "query")["16"]
    means = table.groupby("seed")["query_gain"].mean()
    assert (one.seeds, one.pairs) == (4, 12)
    assert one.difference == pytest.approx(means.mean())
    reach = 3.182446 * means.std(ddof=1) / 2  # t with 3 degrees of freedom
    assert one.high - one.difference == pytest.approx(reach, rel=1e-5)


def from_folds(tables: list[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs of one batch and seed with the norms of these folds."""
    given = made_up(seeds=1, folds=len(tables[0]["fold"].unique()), batches=(64,), passes=50)
    lines = study.passes(given).drop(columns="pass_grad_norm")
    own = tables[0].rename(columns={"gradient_norm": "pass_grad_norm"})
    own["passes"] = own["step"] + 1.0
    known = lines.merge(own.drop(columns="step"), on=["fold", "passes"], how="left")
    last = own.groupby("fold")["passes"].max()
    known = known[known["passes"] <= known["fold"].map(last)]
    found = SweepTables(given.rows)
    vars(found).update(epochs=known, steps=pd.DataFrame())
    return study.measures(found), study.passes(found)


def test_the_trend_of_lone_folds_is_that_of_the_trends_module():
    own = leaving(np.random.default_rng(3), folds=5, leave=1, log_change=0.3)
    block, lines = from_folds([own])
    table = norm_trends.trends(block, lines)
    row = table[table["norm_of"] == "mini-batches"].iloc[0]
    found = fold_trend(own)
    ends = [found.change, found.low, found.high, found.survivors_change, found.completers_change,
            found.riskset_change, found.at_risk.iloc[0], found.at_risk.iloc[-1]]  # fmt: skip
    shown = ["change", "low", "high", "survivors", "completers", "riskset", "at_risk", "stayed"]
    assert row[shown].to_list() == pytest.approx(ends)
    assert (row["verdict"], bool(row["conflict"])) == (found.verdict, found.conflict)


def test_a_conflict_gives_a_warning():
    """The highest folds stop: the mean of the remaining folds falls, but no fold does."""
    given = made_up(
        batches=(64,), slope=lambda run: 0.3, level=lambda run: 3.0 if run["fold"] == 0 else 1.0,
        stop=lambda run: 3 if run["fold"] == 0 else None, spread=lambda run: 0.02,
    )  # fmt: skip
    batches, query = said(given, "Warning")
    assert "at batch 64 the norm of mini-batches" in batches
    assert "at batch 64 the norm of the whole query" in query
    assert batches.endswith("(8 of 12 ran to the end)")
    row = study.tables(given)["norm_trends"].iloc[0]
    assert row["survivors"] < 0 < row["completers"]
    assert row["verdict"] == "rises"
    assert not said(made_up(folds=1, batches=(64,), slope=lambda run: 0.3), "Warning")


def test_the_angle_between_the_terms_is_reported_with_its_interval():
    (line,) = said(
        made_up(folds=1, passes=2), "cosine between the gradients of entropy and diversity"
    )
    assert "batch 16 -0.20 (-0.2" in line
    assert line.count(" to ") == 3


def test_early_stops_are_reported_with_cause_and_time():
    def stop(run: dict) -> int | None:
        return 3 + run["seed"] if run["batch"] == 16 and run["fold"] else None

    (line,) = said(made_up(passes=7, stop=stop), "8 of 36 runs")
    assert (
        line == "8 of 36 runs stopped early, 8 by collapse, after 3 to 6 passes: batch 16 8 of 12"
    )
    (line,) = said(made_up(passes=7, stop=stop, observe_only=True), "8 of 36 runs")
    assert "would have stopped early (observed only: they continued)" in line
    assert not said(made_up(folds=1, passes=2), "0 of")


def test_the_oracle_is_labelled_as_one():
    (line,) = said(made_up(folds=1, passes=2, gain=lambda run: -0.05), "an oracle")
    assert line.endswith("this needs labels, so it is not a result")


def test_the_studys_tables_come_with_paired_counterparts():
    given = made_up(
        growth=64, passes=30, slope=lambda run: 0.3, spread=lambda run: 0.02,
        level=lambda run: 3.0 if run["fold"] == 0 else 1.0,
        stop=lambda run: 5 if run["fold"] == 0 and run["batch"] == 64 else None,
    )  # fmt: skip
    found = study.tables(given)
    updates = found["adaptation_updates"].set_index("arm")
    assert updates.index.to_list() == ["16", "32", "64", "16 to 64"]
    assert updates["updates_per_pass"].to_list() == [8, 4, 2, 8]
    assert updates["passes_for_equal"].to_list() == pytest.approx([7.5, 15, 30, 7.5])
    by_pass = found["norm_by_pass"]
    own = by_pass[by_pass["arm"] == "64"]
    assert own["pass"].to_list() == [0, 10, 20, 29]
    assert own["at_risk"].to_list() == [12, 8, 8, 8]
    last = own.iloc[-1]
    assert last["change"] < 0 < last["riskset_change"] < last["completers_change"]
    thirds = found["norm_early_late"].set_index("arm").loc["64"]
    assert thirds["change"] < 0 < thirds["paired_change"]
    assert thirds["pairs"] == 8
    distances = found["norm_threshold"].set_index("arm").loc["64"]
    assert (distances["reached"], distances["queries"]) == (0, 12)
    assert distances["distance_of_all"] > distances["distance_of_those_left"] > 1
    pairs = found["batch_against_batch"]
    assert set(pairs["against"]) == {"32"}
    assert {"query_accuracy", "equal_query_accuracy", "norm_jitter"} <= set(pairs["measure"])


def test_single_evaluations_have_wide_intervals():
    given = made_up(folds=1, passes=2, gain=lambda run: 0.02)
    row = study.tables(given)["adaptation_accuracy"].iloc[0]
    assert row["one_run_high"] - row["one_run_low"] > 0.1  # of 128 windows
    assert row["won"] - row["lost"] == pytest.approx(0.02 * 128, abs=0.5)
    assert row["mcnemar_p_median"] > 0.05  # 2 or 3 windows
    assert row["p_holm"] < 0.05


def test_learning_rates_are_settings_and_labels_choose_none():
    low, high = made_up(passes=2), made_up(passes=2)
    rows = pd.concat(
        [
            low.rows,
            high.rows.assign(lr=0.1, run="x" + high.rows["run"], digest="x" + high.rows["run"]),
        ]
    )
    given = SweepTables(rows)
    renamed = high.epochs.assign(run="x" + high.epochs["run"])
    vars(given).update(epochs=pd.concat([low.epochs, renamed]), steps=pd.DataFrame())
    titles = [title for title, _ in blocks(study.measures(given))]
    assert titles == ["lr=0.001", "lr=0.1"]


def test_diverged_runs_are_counted_and_left_out():
    given = made_up(passes=2)
    given.rows.loc[0, "status"] = "diverged"
    first = next(iter(study.sentences(given)))
    assert first == "Adaptation: 1 run diverged and is left out below"
    assert len(study.measures(given)) == 35


def test_the_study_does_not_apply_to_a_sweep_without_adaptation(tmp_path):
    plain = SweepTables.of(write_sweep(tmp_path / "plain"))
    assert not study.applies(plain)
    assert study.applies(given := made_up(passes=2))
    assert not study.applies(SweepTables(given.rows))


def test_arms_come_in_the_order_of_their_batches():
    table = study.measures(made_up(batches=(8, 16, 128), growth=64, passes=2))
    assert arms(table) == ["8", "16", "128", "8 to 64"]
    assert reference(table) == "8"


def test_exported_rows_give_the_same_sentences(tmp_path, monkeypatch):
    few = {"seeds": 3, "folds": 2, "passes": 4}
    given = made_up(**few, batches=(16, 32), growth=64, gain=lambda run: 0.02)
    monkeypatch.setattr(SweepTables, "of", classmethod(lambda *folders: given))
    build.export([], tmp_path / "kept")
    monkeypatch.undo()
    kept = SweepTables.of(tmp_path / "kept")
    assert kept.steps.empty
    assert words(kept) == words(given)
    again = study.tables(kept)
    for name, table in study.tables(given).items():
        pd.testing.assert_frame_equal(again[name], table, check_dtype=False, rtol=2e-3, atol=0.01)


def test_runs_of_folds_are_one_setting():
    rows = made_up(seeds=1, passes=1).rows
    titles = [title for title, _ in by_setting(rows.assign(fold=rows["data.fold"]))]
    assert titles == [""]


def test_the_interval_of_a_norm_needs_three_replicates():
    table = study.measures(made_up(seeds=2, slope=lambda run: 1.0))
    found = change_of_norm(table[table["arm"] == "16"], "norm")
    assert found.value == pytest.approx(11 / 12, rel=0.1)
    assert math.isnan(found.low)
