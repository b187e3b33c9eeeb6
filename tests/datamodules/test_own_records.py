"""Tables of a user's own: which columns are features, symbols and labels."""

from pathlib import Path

import numpy as np
import pytest
from flows import write_flows

from scaling.datamodules.own_records import OwnRecords
from scaling.datamodules.tables import read_table

SETTINGS = {
    "seed": 0, "source": "records", "length": 4, "attack_records": 2, "later_share": 0.5,
    "unseen_kind": None, "clients": 3, "alpha": 0.5, "source_windows": 10, "query_windows": 30,
    "heldout_windows": 10, "folds": 2, "label": None, "normal": None, "leave_out": [],
}  # fmt: skip


def own(**changes) -> OwnRecords:
    return OwnRecords(**SETTINGS | changes)


def records(path: Path, **changes):
    tables = own(**changes).tables
    return tables.read(tables.files(str(path)))


def test_features_are_all_columns_but_labels_and_those_left_out(tmp_path):
    file = write_flows(tmp_path / "flows.csv")
    made, table = records(file), read_table(file)
    assert made.features.shape == (1600, 4)
    assert made.kinds.tolist() == table["class"].tolist()
    assert (made.normal, made.later) == ("BENIGN", None)
    assert made.notes == ("the features are 4 columns (symbols: source ip, proto)",)
    durations = np.log1p(table["duration"]).round(4).astype(np.float32)
    np.testing.assert_array_equal(made.features[:, 1], durations)
    fewer = records(file, leave_out=["Source IP"])
    np.testing.assert_array_equal(fewer.features, made.features[:, 1:])
    assert fewer.fingerprint != made.fingerprint


def test_separators_line_ends_and_encodings_change_nothing(tmp_path):
    plain = records(write_flows(tmp_path / "a.csv"))
    how = {"sep": ";", "lineterminator": "\r\n", "encoding": "utf-16"}
    other = records(write_flows(tmp_path / "b.csv", **how))
    assert plain.fingerprint == other.fingerprint


def test_a_column_without_values_is_a_symbol(tmp_path):
    table = read_table(write_flows(tmp_path / "a.csv")).assign(empty="")
    table.to_csv(tmp_path / "a.csv", index=False)
    made = records(tmp_path / "a.csv")
    assert made.notes == ("the features are 5 columns (symbols: source ip, proto, empty)",)
    assert (made.features[:, 4] == 0).all()


def test_a_column_that_numbers_the_records_is_named(tmp_path):
    table = read_table(write_flows(tmp_path / "a.csv"))
    table.insert(2, "no", range(10, 10 + len(table)))
    table.to_csv(tmp_path / "a.csv", index=False)
    (_, note) = records(tmp_path / "a.csv").notes
    assert note == "no grows with the number of the record, which may leak labels: leave it out"
    assert len(records(tmp_path / "a.csv", leave_out=["no"]).notes) == 1


def test_the_label_and_the_normal_kind_can_be_given(tmp_path):
    file = write_flows(tmp_path / "flows.csv")
    binary = records(file, label="label", leave_out=["source ip"])
    assert (binary.normal, binary.features.shape[1]) == ("0", 3)
    assert records(file, label="Proto", normal="udp").normal == "udp"
    assert records(file, label="label", normal=1).normal == "1"


@pytest.mark.parametrize("kinds", [("0.0", "1.0"), ("False", "True")])
def test_labels_may_be_decimals_or_truth_values(tmp_path, kinds):
    table = read_table(write_flows(tmp_path / "a.csv")).drop(columns="class")
    table["label"] = [kinds[label] for label in table["label"]]
    table.to_csv(tmp_path / "a.csv", index=False)
    made = records(tmp_path / "a.csv")
    assert (made.normal, set(made.kinds)) == (kinds[0], set(kinds))


def test_a_test_table_without_a_kind_of_the_training_table_is_noted(tmp_path):
    write_flows(tmp_path / "train.csv")
    table = read_table(write_flows(tmp_path / "test.csv", seed=1))
    table.replace({"class": {"DoS": "Worm", "Scan": "Shell"}}).to_csv(tmp_path / "test.csv")
    note = "no kind of attack in test.csv is in train.csv"
    drawn = own(later_share=None).draw(str(tmp_path), 0)
    assert note in drawn.notes
    table.to_csv(tmp_path / "test.csv", index=False)
    assert note not in own(later_share=None).draw(str(tmp_path), 0).notes


def test_a_folder_of_training_and_test_data_is_before_and_after_the_shift(tmp_path):
    write_flows(tmp_path / "flows_train.csv")
    table = read_table(write_flows(tmp_path / "flows_test.csv", seed=1))
    table[sorted(table)].to_csv(tmp_path / "flows_test.csv", index=False)
    made = records(tmp_path)
    assert made.later.tolist() == [False] * 1600 + [True] * 1600
    np.testing.assert_array_equal(
        made.features[1600:, 2], records(tmp_path / "flows_test.csv").features[:, -1]
    )
    drawn = own(later_share=None).draw(str(tmp_path), 0)
    assert len(drawn.query.labels) == 30
    with pytest.raises(ValueError, match="later_share=0.5 must be null for records, whose files h"):
        own().draw(str(tmp_path), 0)
    table.drop(columns="window").to_csv(tmp_path / "flows_test.csv", index=False)
    said = r"test.csv has no column window; add what flows_train.csv has, or .* leave_out=\["
    with pytest.raises(ValueError, match=said):
        records(tmp_path)
    assert records(tmp_path, leave_out=["window"]).features.shape == (3200, 3)


def test_windows_are_drawn_and_say_how_the_table_was_read(tmp_path):
    drawn = own(leave_out=["source ip"]).draw(str(write_flows(tmp_path / "flows.csv")), 0)
    assert drawn.query.windows.shape == (30, 4, 3)
    assert drawn.notes == ("the features are 3 columns (symbols: proto)",)


@pytest.mark.parametrize(
    ("path", "changes", "said"),
    [
        (None, {}, "path is missing; give a table of records, CSV or ARFF, or its folder"),
        ("nowhere", {}, "path=nowhere does not exist"),
        ("empty", {}, "path: empty has no table; it holds no files"),
        ("two", {}, "path: two has no train data .one with train in its name.; it holds a.csv"),
        (
            "a.csv",
            {"label": "kind"},
            "label=kind must be the column .*a.csv; it has the columns so",
        ),
        ("kinds.csv", {}, r"label=null must be .*none is named attack_cat, .*columns kind, size$"),
        ("a.csv", {"normal": "fine"}, "BENIGN, DoS, Scan, but not fine; give .* normal=K"),
        ("many.csv", {}, "may be normal traffic: Background and Normal; give .* normal=K"),
        ("mixed.csv", {}, r"has - in column size, .* record 2; .* the column with leave_out=\[siz"),
        ("a.csv", {"leave_out": ["id"]}, "leave_out=id must be one of the columns source ip, dur"),
        ("labels.csv", {}, "path: .*labels.csv has no column that is a feature, only labels"),
        ("plain.csv", {}, "path: .*plain.csv has no header with the names of its 3 columns"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_key(tmp_path, monkeypatch, path, changes, said):
    monkeypatch.chdir(tmp_path)
    write_flows(Path("a.csv"))
    Path("plain.csv").write_text("1,2,a\n3,4,b\n")
    Path("labels.csv").write_text("class,label\nnormal,0\n")
    Path("kinds.csv").write_text("kind,size\nnormal,1\n")
    Path("many.csv").write_text("class,size\nBackground,1\nNormal,2\nBotnet,3\n")
    Path("mixed.csv").write_text("class,size\nnormal,1\nnormal,-\ndos,3\n")
    for folder in ("empty", "two"):
        Path(folder).mkdir()
    for name in ("a.csv", "b.csv"):
        write_flows(Path("two", name))
    tables = own(**changes).tables
    with pytest.raises(ValueError, match=said):
        tables.read(tables.files(path))
