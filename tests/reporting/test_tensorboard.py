"""TensorBoard lists every run with its numbers, in the order of its numbers."""

import contextlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from processes import HANG
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import (
    SESSION_START_INFO_TAG,
    parse_session_start_info_plugin_data,
)

from scaling import dashboard, results
from scaling.reporting import tensorboard

STUDY = "multirun/scratch"


def logged(run: str) -> EventAccumulator:
    return EventAccumulator(f"{STUDY}/{run}").Reload()


def started(run: str) -> dict[str, float | str]:
    content = logged(run).summary_metadata[SESSION_START_INFO_TAG].plugin_data.content
    found = parse_session_start_info_plugin_data(content).hparams
    return {key: getattr(value, value.WhichOneof("kind")) for key, value in found.items()}


def test_numbers_of_runs_get_equal_length_and_keep_their_value():
    names = [
        "batch=128,lr=0.01,clip=10,seed=11-ab",
        "batch=16,lr=0.00025,clip=0.01,seed=2-ab",
        "batch=8,lr=3e-05,clip=inf,seed=0-12e4567890ab",
        "batch=8,lr=1e-05,clip=1,seed=0-cd",
    ]
    shown = tensorboard.sortable(names)
    assert shown == [
        "batch=128,lr=0.01,clip=10,seed=11-ab",
        "batch=016,lr=0.00025,clip=00.01,seed=02-ab",
        "batch=008,lr=0.00003,clip=inf,seed=00-12e4567890ab",
        "batch=008,lr=0.00001,clip=01,seed=00-cd",
    ]
    assert [shown.index(name) for name in sorted(shown)] == [3, 2, 1, 0]


def test_values_without_a_fixed_number_of_digits_stay_unchanged():
    assert tensorboard.sortable(["lr=1e+38,seed=0-a", "lr=10,seed=0-b"]) == [
        "lr=1e+38,seed=0-a",
        "lr=10,seed=0-b",
    ]


def test_links_follow_the_runs(tmp_path):
    def run(study: str, name: str):
        folder = tmp_path / "multirun" / study / name
        folder.mkdir(parents=True)
        (folder / f"{tensorboard.EVENTS}1.host").touch()
        return folder

    def links():
        return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_symlink()}

    place = tmp_path / "links"
    place.mkdir()
    first = run("one", "batch=8,lr=0.1-a")
    assert tensorboard.link([tmp_path / "multirun"], place) == 1
    assert links() == {"batch=8,lr=0.1-a"}
    run("two", "batch=16,lr=0.1-b")
    assert tensorboard.link([tmp_path / "multirun"], place) == 2
    assert links() == {"one/batch=08,lr=0.1-a", "two/batch=16,lr=0.1-b"}
    shutil.rmtree(first)
    tensorboard.link([tmp_path / "multirun"], place)
    assert links() == {"batch=16,lr=0.1-b"}


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


def test_norms_before_and_after_clipping_share_a_panel(command):
    assert command().code == 0
    (row,) = results.read(STUDY).itertuples()
    events = logged(row.run)
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    layout = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0].decode()
    (pattern,) = re.findall(r"\^grad_norm\S*\$", layout)
    assert [tag for tag in events.Tags()["scalars"] if re.search(pattern, tag)] == [
        "grad_norm_pre_clip",
        "grad_norm_post_clip",
    ]


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


def test_hparams_lists_every_run_with_its_numbers(command, browser):
    assert command("-m", "batch=8,16,128", "clip=1,inf").code == 0
    rows = results.read(STUDY)
    names = dict(zip(tensorboard.sortable(list(rows["run"])), rows.itertuples(), strict=True))
    with board(STUDY) as address:
        page = browser.new_page(viewport={"width": 2400, "height": 1200})
        page.goto(f"{address}#hparams")
        page.get_by_text("TABLE VIEW").wait_for()
        lines = page.locator("tf-hparams-table-view vaadin-grid-cell-content")
        lines.filter(has_text="batch=").nth(5).wait_for(timeout=30_000)
        texts = [text.strip() for text in lines.all_inner_texts()]
    shown = [texts[i : i + 10] for i, text in enumerate(texts) if text.startswith("batch=")]
    assert [line[0] for line in shown] == sorted(names)
    head = texts[2:10]
    assert head == [
        *("batch", "clip", "clip_on", "lr", "seed"),
        *("final/val_loss", "final/val_loss_se", "final/train_loss"),
    ]
    for name, _, *numbers in shown:
        row = names[name]
        on = row.clip < float("inf")
        known = [row.batch, row.clip if on else 0, int(on), row.lr, row.seed]
        known += [row.val_loss, row.val_loss_se, row.train_loss]
        assert [float(number) for number in numbers] == pytest.approx(known, rel=1e-3)
