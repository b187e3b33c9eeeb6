"""A run is identified by what it was trained with: contents, names and numbers, not paths."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from expansions import expand
from idx_files import MNIST, a_set, write_set

from scaling import results
from scaling.config import identity
from scaling.config.folder import FOLDER
from scaling.contracts.settings import by_setting
from scaling.datamodules import text_sources
from scaling.datamodules.text import Text
from scaling.runs import task
from scaling.storage import exports
from scaling.storage.rows import read_row, write_row

STUDY = Path("multirun", "scratch")
WORDS = "the cat sat on the mat and the dog sat on the log. "


def digests() -> list[str]:
    return sorted(path.parent.name.rpartition("-")[2] for path in STUDY.glob("*/row.json"))


def flipped(path: Path, position: int = 100) -> None:
    """Change one byte of a file."""
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(raw)


def texts(folder: Path) -> dict[str, list[str]]:
    """Kinds of text, each with its files and typed keys."""
    (folder / "one.txt").write_text(WORDS * 40)
    for place in ("pair", "wikitext2", "many"):
        (folder / place).mkdir()
    for name in ("train", "valid"):
        (folder / "pair" / f"{name}.txt").write_text(WORDS * 40)
        (folder / "wikitext2" / f"{name}.txt").write_text(WORDS * 40)
        (folder / "many" / f"{name}-part.txt").write_text(WORDS * 40)
    return {
        "one.txt": ["data=text", "data.path=one.txt"],
        "pair/train.txt": ["data=text", "data.path=pair"],
        "pair/valid.txt": ["data=text", "data.path=pair"],
        "many/valid-part.txt": ["data=text", "data.path=many"],
        "wikitext2/train.txt": ["data=wikitext2", "data.path=wikitext2"],
        "wikitext2/valid.txt": ["data=wikitext2", "data.path=wikitext2"],
    }


def test_one_byte_of_a_text_makes_another_run(command, folder):
    typed = texts(folder)["one.txt"]
    assert command(*typed).code == 0
    flipped(folder / "one.txt")
    assert command(*typed).code == 0
    assert len(set(digests())) == 2


def test_one_byte_of_any_file_of_a_text_gives_another_identity(folder):
    for file, typed in texts(folder).items():
        (before,) = expand(*typed)
        flipped(folder / file)
        (after,) = expand(*typed)
        assert after.digest != before.digest, file


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("unsw_nb15", ["UNSW_NB15_training-set.csv"]),
        ("nsl_kdd", ["KDDTrain+_20Percent.txt", "KDDTest+.txt"]),
    ],
)
def test_a_good_row_does_not_stand_for_a_file_with_other_content(
    command, folder, real_data, data, names
):
    typed = ("model=tcn", f"data={data}")
    good = command(*typed)
    assert good.code == 0
    (folder / "mine").mkdir()
    for name in names:
        (folder / "mine" / name).write_text("hello")
    bad = command(*typed, "data.path=mine")
    assert bad.code == 2
    assert f"data.path: mine/{names[0]} holds no records" in bad.err.replace(f"{folder}/", "")
    assert "val_loss" not in bad.out
    assert command(*typed).out.splitlines()[-1] == good.out.splitlines()[-1]  # and is not lost


def test_one_byte_of_an_image_or_a_label_gives_another_identity(folder):
    typed = ("model=mlp", "data=idx", "data.path=.", "data.val_examples=10", "batch=10")
    write_set(folder, a_set())
    (before,) = expand(*typed)
    for name in MNIST:
        flipped(folder / name, -1)
        (after,) = expand(*typed)
        assert after.digest != before.digest, name
        flipped(folder / name, -1)
    assert expand(*typed)[0].digest == before.digest


def test_the_content_of_a_path_counts_and_not_its_place(command, folder):
    for place in ("here.txt", "there.txt"):
        (folder / place).write_text(WORDS * 40)
    assert command("data=text", "data.path=here.txt").code == 0
    assert "done" in command("data=text", "data.path=there.txt").out
    assert len(digests()) == 1


def test_a_byte_order_mark_and_line_endings_are_not_part_of_a_text(tmp_path):
    lines = (WORDS + "\n") * 30
    forms = {"lf": lines.encode(), "crlf": lines.replace("\n", "\r\n").encode()}
    forms |= {"cr": lines.replace("\n", "\r").encode(), "mark": lines.encode("utf-8-sig")}
    for name, raw in forms.items():
        (tmp_path / f"{name}.txt").write_bytes(raw)
    found = {text_sources.load("files", str(tmp_path / f"{name}.txt"), 0.1) for name in forms}
    assert len(found) == 1
    assert len("".join(found.pop()[:2])) == len(lines)


def test_a_validation_text_from_another_system_has_no_unknown_characters(command, folder):
    (folder / "train.txt").write_bytes((WORDS + "\n").encode() * 40)
    (folder / "valid.txt").write_bytes(("\ufeff" + (WORDS + "\r\n") * 40).encode())
    assert command("data=text", "data.path=.").code == 0
    (row,) = results.read(STUDY).itertuples()
    assert (row.unknown_train, row.unknown_val) == (0, 0)
    assert row.train_characters == row.val_characters == 40 * (len(WORDS) + 1)


def test_a_number_that_a_grid_makes_is_the_one_that_is_typed(command):
    assert command("-m", "lr=range(0.1,0.45,0.1)").code == 0
    assert len(digests()) == 4
    for typed in ("lr=0.3", "lr=0.30000000000000004", "lr=3.0e-1"):
        assert command(typed).code == 0
    assert len(digests()) == 4
    rows = results.read(STUDY)
    assert sorted(rows["lr"]) == [0.1, 0.2, 0.3, 0.4]
    (row,) = [run for run in rows["run"] if run.startswith("batch=32,lr=0.3,")]
    assert read_row(STUDY / row).config["lr"] == 0.3  # the value that it was trained with
    assert results.steps(STUDY / row)["lr"].iloc[0] == pytest.approx(0.3, rel=1e-7)


def test_numbers_of_tables_are_grouped_by_twelve_digits(tmp_path):
    table = pd.DataFrame({"batch": [8, 8], "lr": [0.3, 0.1 + 0.2], "val_loss": [2.0, 2.1]})
    table["model.dropout"] = [3 * 0.1, 0.3]
    table.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.warns(UserWarning, match="has missing columns"):
        rows = results.read(tmp_path / "mine.csv")
    assert rows["lr"].nunique() == rows["model.dropout"].nunique() == 1
    assert rows["seed"].tolist() == [0, 1]  # repeats of one cell
    assert len(list(by_setting(rows))) == 1
    assert exports.rows_of(tmp_path / "mine.csv")


def test_a_component_of_ours_is_identified_by_its_name_and_another_by_its_path():
    found = identity.canonical_node(
        {"_target_": "scaling.models.mlp.MLP", "inner": [{"_target_": "torch.optim.Adam"}]}
    )
    assert found == {"_target_": "MLP", "inner": [{"_target_": "torch.optim.Adam"}]}
    other = {"_target_": "scaling_more.MLP"}
    assert identity.canonical_node(other) == other


def test_no_two_components_of_a_group_have_one_name():
    named: dict[tuple[str, str], set[str]] = {}
    for file in FOLDER.glob("*/*.yaml"):
        for line in file.read_text().splitlines():
            key, _, target = line.strip().partition(": ")
            if key == "_target_" and target.startswith("scaling."):
                group = file.parent.name
                named.setdefault((group, target.rpartition(".")[2]), set()).add(target)
    assert len(named) > 15
    assert all(len(paths) == 1 for paths in named.values()), named


def test_moving_a_module_retrains_nothing(command, monkeypatch):
    typed = ("model=mlp", "data=digits")
    assert command(*typed).code == 0
    (before,) = digests()
    there = importlib.import_module("scaling.models.mlp")
    monkeypatch.setitem(sys.modules, "scaling.models.moved", there)
    monkeypatch.setattr("scaling.models.moved", there, raising=False)
    ended = command(*typed, "model._target_=scaling.models.moved.MLP")
    assert ended.code == 0, ended.err
    assert digests() == [before]


def as_if_written_by_an_earlier_version(folder: Path) -> None:
    """Give a row the earlier schema, digest and numbers, in a folder with the earlier name."""
    row = read_row(folder)
    number = {0.3: 0.1 + 0.2}.get(row.config["lr"], row.config["lr"])
    settings = row.config | {"lr": number, "optimizer": row.config["optimizer"] | {"lr": number}}
    write_row(dataclasses.replace(row, schema=1, digest="0" * 12, config=settings), folder)
    record = json.loads((folder / "row.json").read_text())
    first = {"schema": record.pop("schema")}  # as they were written
    (folder / "row.json").write_text(json.dumps(first | record, indent=1))
    before = folder.name.rpartition("-")[0].replace("lr=0.3", "lr=0.30000000000000004")
    folder.rename(folder.with_name(f"{before}-{'0' * 12}"))


def test_rows_of_an_earlier_version_are_read_but_their_cells_are_trained_again(command):
    assert command("-m", "seed=0,1", "lr=0.3").code == 0
    for file in list(STUDY.glob("*/row.json")):
        as_if_written_by_an_earlier_version(file.parent)
    old = results.read(STUDY)
    assert old["status"].tolist() == ["done", "done"]
    assert json.loads(next(STUDY.glob("*/row.json")).read_text())["schema"] == 1
    ended = command("-m", "seed=0,1", "lr=0.3,1e-2", "hydra/launcher=basic", "workers=null")
    assert ended.code == 0
    (line,) = [line for line in ended.out.splitlines() if "earlier version" in line]
    assert "2 of 4 cells to train ended in an earlier version" in line
    assert "they are trained again" in line
    assert len(results.read(STUDY)) == 6
    assert "earlier version" not in command("-m", "seed=0,1", "lr=0.3,1e-2").out


def test_a_file_that_changes_during_a_sweep_fails_the_remaining_cells(command, folder, monkeypatch):
    from scaling.runs import run

    file = folder / "a.txt"
    file.write_text(WORDS * 40)
    fit = run._fit

    def changing(cell, *rest):
        ended = fit(cell, *rest)
        file.write_text(WORDS.upper() * 40)
        return ended

    monkeypatch.setattr(run, "_fit", changing)
    ended = command("-m", "data=text", "data.path=a.txt", "seed=0,1")
    assert ended.code == 1
    rows = results.read(STUDY).set_index("seed")
    assert rows["status"].to_dict() == {0: "done", 1: "failed"}
    assert "its data have changed since the command started; run it again" in rows["error"][1]


def test_a_file_that_changes_during_a_run_does_not_change_it(command, folder, monkeypatch):
    def losses() -> tuple:
        (folder / "a.txt").write_text(WORDS * 40)
        assert command("data=text", "data.path=a.txt", "resume=all").code == 0
        (row,) = results.read(STUDY).itertuples()
        return row.val_loss, row.fivegram_loss, row.unknown_val, row.train_characters

    unchanged = losses()
    places = {"train_dataloader": Text, "module": task, "begin": task, "val_dataloader": Text}
    for hook, place in places.items():
        changed = []
        with monkeypatch.context() as patch:
            patch.setattr(place, hook, changing(folder / "a.txt", getattr(place, hook), changed))
            assert losses() == unchanged, hook
        assert changed, hook


def changing(file: Path, begin, changed: list):
    """A function that changes a file and then begins; while a run runs, not while it is checked."""

    def hook(*arguments, **more):
        if list(STUDY.glob("*/.beat.json")):
            changed.append(file.write_text("another text altogether " * 100))
        return begin(*arguments, **more)

    return hook


def test_runs_on_other_data_are_not_seeds_of_one_cell_and_copies_of_a_file_are(command, folder):
    for place, words in {"x": WORDS, "y": WORDS, "z": WORDS.upper()}.items():
        (folder / place).mkdir()
        (folder / place / "a.txt").write_text(words * 40)
    for seed, place in enumerate("xyz"):
        assert command("data=text", f"data.path={place}/a.txt", f"seed={seed}").code == 0
    rows = results.read(STUDY)
    assert "data.path" not in rows
    blocks = [sorted(block["seed"]) for _, block in by_setting(rows)]
    assert sorted(blocks) == [[0, 1], [2]]


def test_keys_that_change_no_result_make_no_other_run(command):
    assert command().code == 0
    for typed in ("trainer.precision=32", "trainer.log_every_n_steps=3", "+trainer.num_nodes=1"):
        assert command(typed).code == 0
        assert len(digests()) == 1, typed
    assert command("clip=inf").code == 0
    assert command("clip=inf", "trainer.gradient_clip_algorithm=value").code == 0
    assert len(digests()) == 2
