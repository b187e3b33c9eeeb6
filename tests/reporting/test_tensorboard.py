"""TensorBoard opens on the loss, with runs named by what varies, in numerical order."""

import contextlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from processes import HANG
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import (
    EXPERIMENT_TAG,
    SESSION_START_INFO_TAG,
    parse_experiment_plugin_data,
    parse_session_start_info_plugin_data,
)

from scaling import dashboard, results
from scaling.reporting import hparams_columns, run_names, tensorboard
from scaling.runs import tensorboard as runs_tensorboard
from scaling.storage.rows import Row, write_row

STUDY = "multirun/scratch"


def logged(run: str) -> EventAccumulator:
    return EventAccumulator(f"{STUDY}/{run}").Reload()


def started(run: str) -> dict[str, float | str]:
    content = logged(run).summary_metadata[SESSION_START_INFO_TAG].plugin_data.content
    found = parse_session_start_info_plugin_data(content).hparams
    return {key: getattr(value, value.WhichOneof("kind")) for key, value in found.items()}


def test_links_follow_the_runs(tmp_path):
    def run(study: str, name: str):
        folder = tmp_path / "multirun" / study / name
        folder.mkdir(parents=True)
        (folder / f"{tensorboard.EVENTS}1.host").touch()
        return folder

    def links():
        return {
            str(path.parent.relative_to(place)) for path in place.rglob(f"{tensorboard.EVENTS}*")
        }

    place = tmp_path / "links"
    place.mkdir()
    first = run("one", "batch=8,lr=0.1,clip=1,seed=0-" + "a" * 12)
    assert tensorboard.link([tmp_path / "multirun"], place) == 1
    assert links() == {"b8 lr0.1 c1 s0"}
    run("one", "batch=16,lr=0.1,clip=1,seed=0-" + "b" * 12)
    run("two", "batch=16,lr=0.1,clip=1,seed=0-" + "b" * 12)
    assert tensorboard.link([tmp_path / "multirun"], place) == 3
    assert links() == {"one/b08", "one/b16", "two/b16 lr0.1 c1 s0"}
    (first / f"{tensorboard.EVENTS}2.host").touch()  # of a run that was resumed
    tensorboard.link([tmp_path / "multirun"], place)
    assert len(list((place / "one" / "b08").iterdir())) == 2
    run("two", "_sweep")  # the figures of a report
    assert tensorboard.link([tmp_path / "multirun"], place) == 3
    assert "two/_sweep" in links()
    shutil.rmtree(first.parent.parent / "two" / "_sweep")
    shutil.rmtree(first.parent)
    tensorboard.link([tmp_path / "multirun"], place)
    assert links() == {"b16 lr0.1 c1 s0"}
    assert [path.name for path in place.iterdir()] == ["b16 lr0.1 c1 s0"]


@pytest.mark.parametrize("number", [1, 2])
def test_the_columns_of_hparams_follow_the_runs(tmp_path, number):
    digest, lrs = "a" * 12, (0.1, 0.2)[:number]
    names = [f"batch=8,lr={lr},clip=1,seed=0-{digest}" for lr in lrs]
    place, study = tmp_path / "links", tmp_path / "study"
    place.mkdir()
    for name, lr in zip(names, lrs, strict=True):
        (study / name).mkdir(parents=True)
        (study / name / f"{tensorboard.EVENTS}1.host").touch()
        (study / name / tensorboard.SETTINGS).write_text(f"lr: {lr}\n")

    def columns():
        (file,) = place.rglob(f"*{hparams_columns.COLUMNS}")
        content = EventAccumulator(str(file)).Reload().summary_metadata[EXPERIMENT_TAG].plugin_data
        experiment = parse_experiment_plugin_data(content.content)
        return file, [info.display_name for info in experiment.metric_infos]

    tensorboard.link([study], place)
    first, measures = columns()
    assert measures == ["val_loss", "val_loss_se", "train_loss", "diverged"]
    tensorboard.link([study], place)
    assert columns()[0] == first  # nothing changed
    row = Row(
        study="study", run=names[0], digest=digest, status="done", model="m", data="d",
        optimizer="o", protocol="steps", config={}, measured={"val_loss": 2.0, "seconds": 1.0},
    )  # fmt: skip
    write_row(row, study / names[0])
    tensorboard.link([study], place)
    assert not first.parent.exists()  # so that TensorBoard drops what it read there
    assert len(list(place.iterdir())) == number - 1
    tensorboard.link([study], place)
    assert len(list(place.iterdir())) == number
    rest = ["seconds", "diverged"] if number == 1 else ["val_loss_se", "train_loss", "seconds"]
    assert columns()[1][: len(rest) + 1] == ["val_loss", *rest]


def test_a_folder_without_events_is_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dashboard", str(tmp_path)])
    assert dashboard.main() == 2
    assert "no events of TensorBoard" in capsys.readouterr().err


def test_hyperparameters_are_numbers_and_stand_with_the_final_measures(command):
    assert (
        command(
            "-m",
            "batch=8,16",
            "clip=0.5,inf",
        ).code
        == 0
    )
    for row in results.read(STUDY).itertuples():
        known = started(row.run)
        assert known["batch"] == row.batch
        assert known["lr"] == row.lr
        assert known["clip_on"] == (0 if row.clip == float("inf") else 1)
        assert known["clip"] == (0 if row.clip == float("inf") else row.clip)
        assert known["settings/model"] == "nano_transformer"
        assert known["settings/model/d_model"] == 16
        (event,) = logged(row.run).Scalars("final/val_loss")
        assert event.value == pytest.approx(row.val_loss)
        (event,) = logged(row.run).Scalars("final/diverged")
        assert event.value == 0


def test_a_diverged_run_has_no_final_loss(command):
    assert command("lr=1e30", "clip=inf").code == 0
    (row,) = results.read(STUDY).itertuples()
    assert row.status == "diverged"
    tags = logged(row.run).Tags()["scalars"]
    assert "final/val_loss" not in tags
    (event,) = logged(row.run).Scalars("final/diverged")
    assert event.value == 1


def test_tags_are_grouped_loss_first_and_a_panel_has_one_measure(command):
    assert command("trainer.log_every_n_steps=1").code == 0
    (row,) = results.read(STUDY).itertuples()
    events = logged(row.run)
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("final/")]
    assert min(tags) == "1 loss/train_loss"
    assert {tag.partition("/")[0] for tag in tags} == {
        *("1 loss", "2 gradient", "3 update", "5 other")
    }
    steps = results.steps(STUDY)
    for tag, column in {"1 loss/train_loss": "train_loss", "3 update/lr": "lr"}.items():
        values = [event.value for event in events.Scalars(tag)]
        assert values == pytest.approx(steps[column].tolist())
    layout = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    patterns = re.findall(rb"\^\(\d \w+/\)\?\w+\$", layout)
    shown = [[tag for tag in [*tags, row.run] if re.search(p.decode(), tag)] for p in patterns]
    assert shown[:3] == [
        ["1 loss/val_loss"],
        ["1 loss/train_loss"],
        ["2 gradient/grad_norm_pre_clip"],
    ]
    assert [len(each) for each in shown] == [1] * 7


def test_settings_come_without_a_placeholder_metric(tmp_path):
    logger = runs_tensorboard.GroupedTensorBoardLogger(tmp_path, name="", version="")
    logger.log_hyperparams({"width": 8})  # of a data set with save_hyperparameters
    logger.log_metrics({"val_loss": 2.0}, 0)
    logger.finalize("success")
    assert EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"] == ["1 loss/val_loss"]
    assert yaml.safe_load((tmp_path / "hparams.yaml").read_text()) == {"width": 8}


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("query_loss", "1 loss/query_loss"),
        ("val_loss_se", "5 other/val_loss_se"),
        ("query_grad_norm", "2 gradient/query_grad_norm"),
        ("clip_coefficient", "2 gradient/clip_coefficient"),
        ("test_accuracy", "4 score/test_accuracy"),
        ("mine/loss", "mine/loss"),
    ],
)
def test_the_group_of_a_measure_follows_from_its_name(name, tag):
    assert runs_tensorboard.tag(name) == tag


@pytest.mark.filterwarnings("ignore:Experiment logs directory")  # it is the folder of the run
def test_another_logger_gets_plain_names_and_the_settings(command):
    other = "logger._target_=lightning.pytorch.loggers.CSVLogger"
    assert command(other, "trainer.log_every_n_steps=1").code == 0
    (row,) = results.read(STUDY).itertuples()
    table = pd.read_csv(f"{STUDY}/{row.run}/metrics.csv")
    assert {"train_loss", "val_loss", "grad_norm_pre_clip"} <= set(table)
    logged = yaml.safe_load(Path(f"{STUDY}/{row.run}/hparams.yaml").read_text())
    assert (logged["batch"], logged["settings/model"]) == (32, "nano_transformer")


@contextlib.contextmanager
def board(*folders: str) -> Iterator[str]:
    """Run the command on folders; return the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scaling.dashboard", *folders, "--port", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [said.put(line) for line in process.stderr])
    reader.start()
    try:
        while not (found := re.search(r"http://\S+", said.get(timeout=HANG))):
            pass
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=HANG)
        reader.join()
        process.stderr.close()
    assert code == 0


def test_the_board_opens_on_the_loss_and_hparams_on_what_varies(command, browser):
    assert command("-m", "batch=8,16,128", "clip=1,inf").code == 0
    rows = results.read(STUDY)
    short = run_names.short_names(list(rows["run"]), [{}] * 6)
    names = dict(zip(short, rows.itertuples(), strict=True))
    with board(STUDY) as address:
        page = browser.new_page(viewport={"width": 2400, "height": 1200})
        page.goto(address)
        cards = page.locator("scalar-card")
        cards.nth(1).wait_for(timeout=60_000)
        first, second = ["".join(card.split()) for card in cards.all_inner_texts()[:2]]
        page.goto(f"{address}#hparams")
        page.get_by_text("TABLE VIEW").wait_for()
        lines = page.locator("tf-hparams-table-view vaadin-grid-cell-content")
        lines.filter(has_text=re.compile(r"^\s*b\d+ ")).nth(5).wait_for(timeout=60_000)
        texts = [text.strip() for text in lines.all_inner_texts()]
    assert first.startswith("1loss/train_loss")
    assert second.startswith("1loss/val_loss")
    shown = [texts[i : i + 10] for i, text in enumerate(texts) if text in names]
    assert [line[0] for line in shown] == [
        *("b008 c1", "b008 cinf", "b016 c1", "b016 cinf", "b128 c1", "b128 cinf")
    ]
    head = texts[2:10]
    assert head == [
        *("batch", "clip", "clip_on", "lr", "seed"),
        *("val_loss", "val_loss_se", "train_loss"),
    ]
    for name, _, *numbers in shown:
        row = names[name]
        on = row.clip < float("inf")
        known = [row.batch, row.clip if on else 0, int(on), row.lr, row.seed]
        known += [row.val_loss, row.val_loss_se, row.train_loss]
        assert [float(number) for number in numbers] == pytest.approx(known, rel=1e-3)
