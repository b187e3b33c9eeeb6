"""Tables of other programs are read as they come, or refused with the words to type instead."""

import math
import re
import sys
from typing import get_args

import pandas as pd
import pytest
from rows import write_sweep

from scaling import report, results
from scaling.contracts.columns import Status
from scaling.contracts.settings import by_setting
from scaling.reporting import build
from scaling.storage.foreign_columns import STATES

pytestmark = pytest.mark.filterwarnings("ignore:.*has missing columns")

WANDB = """Name,State,Runtime,learning_rate,batch_size,eval/loss,seed
"a, b",finished,12,0.001,32,2.5,0
b,crashed,3,0.01,32,2.9,0
c,running,1,0.1,32,,0
d,finished,12,0.01,64,NaN,0
"""
MLFLOW = """run_id,status,metrics.val_loss,params.lr,params.batch_size
a,FINISHED,2.5,0.001,32
b,FAILED,,0.01,32
"""
RAY = """val_loss,training_iteration,done,config/lr,config/batch_size,trial_id
2.5,10,True,0.001,32,a
Infinity,2,True,1.0,32,b
"""


def read(folder, content: str | bytes, **options) -> pd.DataFrame:
    path = folder / "mine.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return results.read(path, **options)


@pytest.mark.filterwarnings("ignore:.*not used")
@pytest.mark.parametrize(
    ("content", "statuses"),
    [
        (WANDB, ["done", "failed", "interrupted", "diverged"]),
        (MLFLOW, ["done", "failed"]),
        (RAY, ["done", "diverged"]),
    ],
)
def test_exports_of_other_programs_are_read_as_they_come(tmp_path, content, statuses):
    rows = read(tmp_path, content)
    assert rows["status"].tolist() == statuses
    assert rows["lr"][0] == 0.001
    assert rows["batch"][0] == 32
    assert rows["val_loss"][0] == 2.5


def test_every_state_has_a_word():
    assert set(STATES) == set(get_args(Status))
    words = [word for theirs in STATES.values() for word in theirs]
    assert len(words) == len(set(words))


LINES = ("batch", "lr", "val_loss"), ("8", "0.001", "2.5"), ("8", "0.01", "2.25")


@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_encodings_and_line_ends_change_nothing(tmp_path, separator, encoding, end):
    content = end.join(separator.join(line) for line in LINES) + end
    rows = read(tmp_path, content.encode(encoding))
    assert rows[["batch", "lr", "val_loss"]].to_numpy().tolist() == [
        [8, 1e-3, 2.5],
        [8, 1e-2, 2.25],
    ]


@pytest.mark.parametrize(
    "header",
    [
        " Batch Size , Learning Rate , Eval Loss ",
        "config/batch_size,config/lr,eval/loss",
        "params.batch_size,params.learning_rate,metrics.val_loss",
        "bs,lr,validation loss (nats)",
        "batch-size [sequences],max_lr,valid_loss",
        "config.training.batch_size,config.optimizer.lr,eval/loss",
        "hparams/data/batch_size,params.optim.learning_rate,eval/loss",
    ],
)
def test_usual_names_prefixes_and_units_are_known(tmp_path, header):
    rows = read(tmp_path, f"{header}\n8,0.001,2.5\n")
    assert rows[["batch", "lr", "val_loss"]].iloc[0].tolist() == [8, 0.001, 2.5]


@pytest.mark.filterwarnings("ignore:.*not used")
def test_the_outer_of_two_names_is_meant_and_a_logged_lr_is_not(tmp_path):
    header = "config.batch_size,config.data.batch_size,config.optimizer.lr,train/learning_rate,loss"
    columns = {"val_loss": "loss"}
    rows = read(tmp_path, f"{header}\n8,9,0.001,0.0,2.5\n", columns=columns)
    assert rows[["batch", "lr"]].iloc[0].tolist() == [8, 0.001]
    with pytest.raises(ValueError, match="no column lr, but .* --columns lr=NAME$"):
        read(tmp_path, "batch,train/learning_rate,loss\n8,0.0,2.5\n", columns=columns)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("a,b", "no column batch, but 'a', 'b'; name it with --columns batch=NAME, or"),
        ("arch,train_bs,lr,loss", "no column batch, but 'train_bs'; name it with --columns batch="),
        ("batch,max_iters,loss", "no column lr, but 'batch', 'max_iters', 'loss'; name"),
        ("model_size,lr,loss", "--columns batch=NAME, or"),
        ("batch,dropout_rate,loss", "--columns lr=NAME"),
        (
            "batch,lerning_rate,loss",
            "no column lr, but 'lerning_rate'; name it with --columns lr=l",
        ),
    ],
)
def test_a_name_that_is_similar_by_chance_is_not_suggested(tmp_path, header, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        read(tmp_path, f"{header}\n" + ",".join("1" for _ in header.split(",")))


def test_named_columns_are_used_and_others_are_listed_once(tmp_path):
    content = "bs,rate,smooth loss,D,width,note\n8,1,2.5,100,64,a\n8,1,2.6,200,32,b\n"
    columns = {"batch": "bs", "lr": "rate", "val_loss": "smooth loss", "tokens": "D"}
    with pytest.warns(UserWarning, match="columns that are not used: width, note$"):
        rows = read(tmp_path, content, columns=columns)
    assert rows["tokens"].tolist() == [100, 200]
    assert rows["seed"].tolist() == [0, 0]  # another number of tokens is another cell
    assert "width" not in rows


def test_a_named_column_takes_the_place_of_one_of_that_name(tmp_path):
    content = "batch,lr,val_loss,smooth loss\n8,1,9.0,2.5\n"
    with pytest.warns(UserWarning, match="not used: val_loss"):
        rows = read(tmp_path, content, columns={"val_loss": "smooth loss"})
    assert rows["val_loss"].tolist() == [2.5]


def test_numbers_may_have_a_suffix(tmp_path):
    rows = read(tmp_path, "batch,lr,val_loss\n0.5M,1e-3,2.5\n2k,.01,inf\n")
    assert rows["batch"].tolist() == [500_000, 2000]
    assert math.isinf(rows["val_loss"][1])
    assert rows["status"].tolist() == ["done", "diverged"]


@pytest.mark.parametrize(
    ("accuracies", "distances"),
    [((0.75, 0.5), (0.25, 0.5)), ((75, 50), (25, 50)), ((-3, -1), (3, 1))],
)
def test_an_accuracy_is_maximised_on_request(tmp_path, accuracies, distances):
    content = f"batch,lr,acc\n8,1,{accuracies[0]}\n8,2,{accuracies[1]}\n"
    rows = read(tmp_path, content, maximise="acc")
    assert rows["val_loss"].tolist() == list(distances)


@pytest.mark.parametrize(
    "content",
    [
        "\n\nbatch,lr,val_loss\n8,1,2\n",
        "batch,lr,val_loss\r8,1,2\r",
        "sep=;\nbatch;lr;val_loss\n8;1;2\n",
        "# a comment\nbatch,lr,val_loss\n8,1,2\n",
        ",batch,lr,val_loss\n0,8,1,2\n",
        "batch,lr,val_loss,,\n8,1,2,,\n,,,,\n",
        "batch,lr,val_loss,duration,steps\n8,1,2,12.5,10k\n",
    ],
)
@pytest.mark.filterwarnings("ignore:.*not used")
def test_what_spreadsheets_and_data_frames_add_changes_nothing(tmp_path, content):
    rows = read(tmp_path, content)
    assert rows[["batch", "lr", "val_loss"]].to_numpy().tolist() == [[8, 1, 2]]
    (tmp_path / "mine.tsv").write_text("batch\tlr\tval_loss\n8\t1\t2\n")
    assert len(results.read(tmp_path / "mine.tsv")) == 1


def test_repeats_of_a_cell_may_have_names_and_times_of_their_own(tmp_path):
    content = "Name,Runtime,batch,lr,val_loss\na,10,8,1,2.0\nb,11,8,1,2.1\n"
    with pytest.warns(UserWarning, match="not used: Name, Runtime"):
        assert read(tmp_path, content)["seed"].tolist() == [0, 1]


def test_runs_of_other_axes_are_no_repeats(tmp_path):
    content = "batch,lr,val_loss,parameters,tokens\n8,1,2.0,100,7\n8,1,2.1,200,7\n"
    rows = read(tmp_path, content, axes=("batch", "parameters", "tokens"))
    assert rows["seed"].tolist() == [0, 0]
    rows = read(
        tmp_path, content.replace("tokens", "D"), columns={"tokens": "D"}, axes=("parameters",)
    )
    assert rows["seed"].tolist() == [0, 0]


def test_settings_with_a_dot_are_kept_beside_named_columns(tmp_path):
    content = "bs,lr,val_loss,model.width\n8,1,2.0,64\n8,1,2.1,128\n"
    rows = read(tmp_path, content, columns={"batch": "bs"})
    assert len(list(by_setting(rows))) == 2
    with pytest.raises(ValueError, match="several runs of one cell, which differ in width"):
        read(tmp_path, content.replace("model.width", "width"), columns={"batch": "bs"})


def test_columns_of_other_programs_are_not_for_runs(tmp_path):
    folder = write_sweep(tmp_path / "sweep")
    for options in ({"columns": {"batch": "bs"}}, {"maximise": "val_accuracy"}):
        with pytest.raises(ValueError, match="holds runs; columns and maximise are for tables"):
            results.read(folder, **options)


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("batchsize_,rate,loss\n8,1,2", {}, "but 'rate'; name it with --columns lr=rate$"),
        ("rate,lr,loss\n8,1,2", {}, "batch=NAME, or batch=32 if all runs have that batch size$"),
        ("bs,lr,loss\n8,1,2", {"columns": {"batch": "32"}}, "no column '32', but 'bs', 'lr'"),
        ("lr,batch\n1,2", {"columns": {"val_loss": "3"}}, "no column '3', but 'lr', 'batch'"),
        ("lr,val_loss\n1,2", {"columns": {"batch": "-8"}}, "no positive batch in line 2"),
        ("b s,lr,loss\n8,1,2", {"columns": {"batch": "bs"}},
         "no column 'bs', but 'b s'; name it with --columns 'batch=b s'"),
        ("batch,lr,val_loss\n8,1%,2", {}, "'1%' in its column lr, line 2; .* without a percent"),
        ("batch,lr,acc\n8,1,2\n8,2,3", {}, "several lrs for a batch, and no column val_loss, but"),
        ('batch,lr,val_loss\n8,"0,001",2', {}, "'0,001' in its column lr, .* with a point: 0.001"),
        ("batch,lr,val_loss\n8,1,2\nlarge,1,2", {}, "'large' in its column batch, line 3; it must"),
        ("batch,lr,val_loss\n8,1,2\n\n8,1", {}, "line 4 has 2 fields, its header 3"),
        ("batch,lr,val_loss\n8,-1,2", {}, "no positive lr in line 2"),
        ("batch,lr,seed,val_loss\n8,1,0,2\n8,1,,2", {}, "no seed in line 3; .*--columns seed="),
        ("bs,batch_size,lr,val_loss\n8,9,1,2", {},
         "2 columns for batch: 'bs', 'batch_size'; choose one, such as --columns batch=bs"),
        ("lr,learning_rate,batch,val_loss\n1,2,8,2", {},
         "2 columns for lr: 'lr', 'learning_rate'; choose one, such as --columns lr=lr"),
        ('batch,lr,val_loss\n"1,024",1,2', {}, "without separators of thousands: 1024"),
        ("batch,lr,val_loss\n8,3m,2", {}, "'3m' in its column lr, line 2; it must be a number"),
        ("batch (k),lr,val_loss\n8,1,2", {}, "a factor in the name of its column 'batch .k.'"),
        ("batch,learning_rate (1e-3),val_loss\n8,1,2", {}, "a factor in the name of its column"),
        ("batch,lr,val_loss\n8,1,2", {"columns": {"a": "lr", "b": "lr"}}, "given to both a and b"),
        ("batch,lr,acc\n8,1,0.5", {"maximise": "accuracy"},
         "has no column accuracy, but .*'acc'"),
        (b"batch,lr\n\xff\xff,1", {}, "not UTF-8 text .*; save it as CSV in UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_message_with_the_remedy(tmp_path, content, options, said):
    with pytest.raises(ValueError, match=said):
        read(tmp_path, content, **options)


@pytest.mark.parametrize("name", ["mine.xlsx", "mine.XLS", "mine.csv"])
@pytest.mark.parametrize("begin", [b"PK\x03\x04\x14", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_a_spreadsheet_is_refused_in_one_line_with_the_remedy(
    tmp_path, monkeypatch, capsys, name, begin
):
    (tmp_path / name).write_bytes(begin + bytes(range(256)))
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path / name)])
    assert report.main() == 2
    error = capsys.readouterr().err
    assert re.fullmatch(f"error: .*{name} is a spreadsheet(, .*)?; save the sheet as CSV\n", error)


def grid(**columns) -> str:
    """A table of two batch sizes, three lrs and two widths, with a column of `f(batch, width)`."""
    header = ",".join(["batch", "lr", "val_loss", "width", *columns])
    cells = [(b, lr, w) for b in (32, 64) for lr in (0.1, 0.2, 0.4) for w in (128, 256)]
    return header + "\n" + "\n".join(
        ",".join(map(str, [b, lr, 2 + lr, w, *(f(b, w) for f in columns.values())]))
        for b, lr, w in cells
    )  # fmt: skip


def test_a_number_in_place_of_a_name_is_the_value_of_all_runs(tmp_path):
    content = "lr,val_loss\n0.1,2\n0.2,1\n0.4,3"
    rows = read(tmp_path, content, columns={"batch": "32", "parameters": "1.5M"})
    assert rows["batch"].tolist() == [32] * 3
    assert rows["parameters"].tolist() == [1.5e6] * 3
    assert rows["lr"].tolist() == [0.1, 0.2, 0.4]
    named = read(
        tmp_path, content.replace("lr", "8,lr").replace("\n", "\n16,"), columns={"batch": "8"}
    )
    assert named["batch"].tolist() == [16] * 3  # a column of that name comes first


def test_a_column_of_few_values_that_varies_is_a_setting(tmp_path):
    with pytest.warns(UserWarning, match="read as settings: width; to leave them out, name"):
        rows = read(tmp_path, grid())
    assert [title for title, _ in by_setting(rows)] == ["config.width=128", "config.width=256"]
    assert set(rows["seed"]) == {0}


@pytest.mark.filterwarnings("ignore:.*read as settings")
def test_a_column_that_follows_from_the_batch_size_is_confounded_with_it(tmp_path):
    content = grid(dropout=lambda batch, width: 0.3 if batch == 32 else 0.5)
    said = "dropout varies with batch alone (0.3 at 32, 0.5 at 64); their effects are confounded"
    with pytest.warns(UserWarning, match=re.escape(said)):
        rows = read(tmp_path, content)
    assert len(list(by_setting(rows))) == 2  # of the widths
    with pytest.warns(UserWarning, match=re.escape(said)):
        build.write([tmp_path / "mine.csv"], tmp_path / "report")
    assert said in (tmp_path / "report" / "index.html").read_text()


@pytest.mark.filterwarnings("ignore:.*read as settings")
def test_what_describes_a_run_is_no_setting(tmp_path):
    content = grid(Host=lambda batch, width: "ab"[width // 256])
    with pytest.warns(UserWarning, match="columns that are not used: Host"):
        rows = read(tmp_path, content)
    assert len(list(by_setting(rows))) == 2
