"""Sentences, tables and captions name what was maximised, and nothing else is in nats."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
from rows import write_sweep

from scaling import report, results
from scaling.contracts.metric import LOSS, UNKNOWN_UNIT, metric_of
from scaling.reporting import build, text
from scaling.studies import clipping, overview, tuning
from scaling.studies.study import all_studies
from scaling.studies.sweep_tables import SweepTables

pytestmark = pytest.mark.filterwarnings("ignore:.*(missing columns|read as settings|not used)")


def table(factor: float = 1.0) -> pd.DataFrame:
    """A grid of accuracies with two clips, whose best lr grows with the batch size."""
    draws, lines = np.random.default_rng(0), []
    for batch in (32, 64, 128, 256, 512):
        for lr in np.geomspace(1e-4, 1e-1, 7).round(6):
            for clip, seed in ((0.5, 0), (0.5, 1), (0.5, 2), (1, 0), (1, 1), (1, 2)):
                log = np.log(lr / (1e-3 * (batch / 32) ** 0.7))
                value = 0.9 - 0.02 * log**2 - 0.01 * (clip < 1) + 0.002 * draws.normal()
                lines.append((batch, lr, clip, seed, factor * max(value, 0.1)))
    return pd.DataFrame(lines, columns=["batch", "lr", "clip", "seed", "accuracy"])


def read(folder, content: str, name: str = "mine.csv"):
    (folder / name).write_text(content)
    return results.read(folder / name, maximise="accuracy")


@pytest.fixture
def no_figures(monkeypatch):
    for study in all_studies():
        monkeypatch.setattr(study, "figures", lambda _: {})


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(("factor", "loss"), [(1.0, "1 - accuracy"), (100.0, "100 - accuracy")])
def test_a_report_of_an_accuracy_shows_accuracies_and_no_nats(
    tmp_path, monkeypatch, capsys, factor, loss
):
    rows = table(factor)
    rows.to_csv(tmp_path / "mine.csv", index=False)
    typed = ["report", str(tmp_path / "mine.csv"), "--maximise", "accuracy"]
    monkeypatch.setattr(sys, "argv", typed)
    assert report.main() == 0
    out = capsys.readouterr().out
    assert f"The loss is {loss}: accuracy is maximised\n" in out
    text = (tmp_path / "mine" / "report" / "report.txt").read_text()
    assert f"{loss} at clip 0.5 minus that at 1: +" in text
    assert f"costs on average, in {loss}, at each batch" in text
    assert f"accuracy (the loss is {loss})\n\nclip=0.5:" in out
    best = rows[rows["clip"] == 1].groupby(["batch", "lr"])["accuracy"].mean().groupby("batch")
    shown = re.findall(r"\*(\d+\.\d+)", out.partition("clip=1:\n")[2])
    assert shown == [f"{accuracy:.3f}" for accuracy in best.max()]
    page = (tmp_path / "mine" / "report" / "index.html").read_text()
    for words in ("nats", "alidation loss", "unigram"):
        assert words not in out + text + page


def test_figures_and_captions_name_the_loss(tmp_path):
    table().to_csv(tmp_path / "mine.csv", index=False)
    sweep = SweepTables.of(tmp_path / "mine.csv", maximise="accuracy")
    drawn = {}
    for study in (overview, clipping, tuning):
        drawn |= study.figures(sweep)
    labels = {"lr_sensitivity": "mean loss lost (1 - accuracy)"}
    for name in ("loss_against_lr", "loss_against_clip", "lr_sensitivity"):
        (axes, *_) = drawn[name].draw().axes
        assert axes.get_ylabel() == labels.get(name, "1 - accuracy")
    assert drawn["loss_heatmap"].draw().axes[-1].get_ylabel() == "1 - accuracy"
    assert drawn["loss_heatmap"].caption.startswith("1 - accuracy over batch and learning rate")
    losses = SweepTables(results.read(write_sweep(tmp_path / "sweep")))
    caption = overview.figures(losses)["loss_heatmap"].caption
    assert caption.startswith("Validation loss (nats) over batch and learning rate")


@pytest.mark.usefixtures("no_figures")
def test_rows_of_an_accuracy_are_read_again_as_such(tmp_path):
    table().query("batch < 128").to_csv(tmp_path / "mine.csv", index=False)
    build.write([tmp_path / "mine.csv"], tmp_path / "report", maximise="accuracy")
    rows, again = results.read(tmp_path / "mine.csv", maximise="accuracy"), tmp_path / "report"
    assert metric_of(results.read(again)) == metric_of(rows)
    assert text.summary_table(results.read(again)) == text.summary_table(rows)


def test_the_maximum_is_that_of_all_files(tmp_path):
    read(tmp_path, "batch,lr,accuracy\n8,1,0.5\n8,2,1\n", "low.csv")
    read(tmp_path, "batch,lr,accuracy\n8,1,75\n8,2,50\n", "high.csv")
    files = (tmp_path / "low.csv", tmp_path / "high.csv")
    assert results.read(files[0], maximise="accuracy")["val_loss"].tolist() == [0.5, 0]
    both = results.read(*files, maximise="accuracy")
    assert both["val_loss"].tolist() == [99.5, 99, 25, 50]
    assert metric_of(both).shown(25.0) == 75
    assert metric_of(both).label == "100 - accuracy"


def test_a_metric_without_a_maximum_is_negated(tmp_path):
    rows = read(tmp_path, "batch,lr,accuracy\n8,1,-3\n8,2,-1\n")
    assert rows["val_loss"].tolist() == [3, 1]
    assert metric_of(rows).loss == "-accuracy"
    assert "-1.000" in text.summary_table(rows)


def test_an_empty_field_is_not_measured_and_nan_diverged(tmp_path):
    content = "batch,lr,accuracy,status\n8,1,0.5,done\n8,2,,done\n8,4,NaN,done\n"
    assert read(tmp_path, content)["status"].tolist() == ["done", "done", "diverged"]


def test_an_accuracy_and_a_loss_are_not_one_sweep(tmp_path):
    table().to_csv(tmp_path / "mine.csv", index=False)
    results.read(tmp_path / "mine.csv", maximise="accuracy").to_csv(
        tmp_path / "accuracies.csv", index=False
    )
    (tmp_path / "losses.csv").write_text("batch,lr,val_loss\n8,1,2.0\n")
    with pytest.raises(ValueError, match="several metrics, accuracy and validation loss; report"):
        results.read(tmp_path / "accuracies.csv", tmp_path / "losses.csv")
    assert metric_of(results.read(tmp_path / "losses.csv")) == UNKNOWN_UNIT


@pytest.mark.usefixtures("no_figures")
def test_losses_of_a_table_from_elsewhere_have_no_unit(tmp_path):
    columns = {"accuracy": "val_loss"}
    table().rename(columns=columns).assign(val_loss=lambda t: 1 - t["val_loss"]).to_csv(
        tmp_path / "mine.csv", index=False
    )
    build.write([tmp_path / "mine.csv"], tmp_path / "report")
    said = (tmp_path / "report" / "report.txt").read_text()
    assert "\nValidation loss\n\nclip=0.5:" in said
    assert "costs on average at each batch" in said
    assert "nats" not in said + (tmp_path / "report" / "index.html").read_text()


def test_damaged_rows_do_not_hide_the_unit_of_the_others():
    rows = pd.DataFrame({"digest": ["a", None], "status": ["done", "corrupt"]})
    assert metric_of(rows) == LOSS
    assert metric_of(rows.assign(status="done")) == UNKNOWN_UNIT
