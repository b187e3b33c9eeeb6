"""The strip of what was trained says what the runs share, and on what they differ."""

from pathlib import Path

from rows import write_sweep

import scaling
from scaling.reporting.trained import trained
from scaling.storage.rows import Row, read_row, write_row

DATA = Path(__file__).parents[2] / "notebooks" / "data"


def test_a_kept_sweep_says_model_data_duration_axes_and_seeds():
    facts = trained(scaling.read(DATA / "joint.csv"))
    assert facts == {
        "model": "nano_transformer, 30,592 parameters",
        "data": "wikitext2",
        "optimizer": "adamw",
        "duration": "400 steps, 12,800 to 51,200 examples (equal steps)",
        "swept": "batch 32, 64, 128; lr 0.0003, 0.001, 0.003, 0.01, 0.03; "
        "clip 0.2, 0.65, 1.25, inf",
        "seeds": "3 (0, 1, 2)",
    }


def test_runs_on_disk_add_options_schedule_and_hardware(tmp_path):
    config = {
        "model": {"_target_": "x.Net", "layers": 2, "dropout": 0.0},
        "schedule": {"_target_": "y.cosine", "_partial_": True, "warmup": 0.1},
        "batch": 8,
    }
    write_sweep(tmp_path / "s")
    folder = next((tmp_path / "s").iterdir())
    row = vars(read_row(folder)) | {"config": config, "provenance": {"device": "x86", "threads": 1}}
    (tmp_path / "t" / "run").mkdir(parents=True)
    write_row(Row(**row), tmp_path / "t" / "run")
    facts = trained(scaling.read(tmp_path / "t"), [tmp_path / "t"])
    assert facts["model"] == "m (layers 2, dropout 0)"
    assert facts["optimizer"] == "o, cosine lr (warmup 0.1)"
    assert facts["hardware"] == "x86, threads a run: 1"


def test_long_axes_are_given_as_a_range():
    rows = scaling.read(DATA / "joint.csv")
    rows = rows.assign(lr=rows["lr"] * (1 + rows["seed"]))
    assert "lr 13 values from 0.0003 to 0.09" in trained(rows)["swept"]
