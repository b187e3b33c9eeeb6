"""Files of network records: as they are distributed, or changed on the way, and what is refused."""

import codecs
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.datamodules import nsl_kdd, unsw_nb15
from scaling.datamodules.files import content, file_at
from scaling.datamodules.flow_files import normal_of, numbers, place_of

HEADER = ",".join(nsl_kdd.FEATURES)
TRAIN, TEST = f"{nsl_kdd.TRAIN[0]}.txt", f"{nsl_kdd.TEST[0]}.txt"


def connections(seed: int, records: int = 40, difficulty: bool = True) -> list[str]:
    """Lines as in NSL-KDD, a third of them attacks of two kinds."""
    draws = np.random.default_rng(seed)
    lines = []
    for i in range(records):
        values = [f"{value:.2f}" for value in draws.random(len(nsl_kdd.FEATURES)) * 100]
        values[1:4] = [str(draws.choice(names)) for names in (["tcp", "udp"], ["ftp"], ["SF"])]
        kind = ("normal", "normal", "neptune", "normal", "normal", "smurf")[i % 6]
        lines.append(",".join([*values, kind, *(["20"] if difficulty else [])]))
    return lines


def arff(lines: list[str]) -> str:
    names = "\n".join(f"@attribute '{name}' real" for name in nsl_kdd.FEATURES)
    return f"@relation 'KDD'\n{names}\n@attribute 'class' {{}}\n@data\n" + "\n".join(lines) + "\n"


def shorter(lines: list[str]) -> list[str]:
    return [line.rpartition(",")[0] for line in lines]


FORMS = {  # of NSL-KDD: names of both files, and their content
    "distributed": (TRAIN, TEST, lambda lines: "\n".join(lines) + "\n"),
    "crlf": (TRAIN, TEST, lambda lines: "\r\n".join(lines) + "\r\n"),
    "all training data": ("KDDTrain+.txt", "KDDTest+.txt", "\n".join),
    "header": (TRAIN, TEST, lambda lines: "\n".join([f"{HEADER},class,difficulty", *lines])),
    "no difficulty": (TRAIN, TEST, lambda lines: "\n".join(shorter(lines))),
    "csv": ("train.csv", "test.csv", lambda ls: "\n".join([f"{HEADER},label", *shorter(ls)])),
    "arff": ("KDDTrain+.arff", "KDDTest+.arff", lambda lines: arff(shorter(lines))),
    "old": (TRAIN, TEST, lambda lines: "\n".join(f"{line}." for line in shorter(lines))),
}


def written(folder: Path, form: str = "distributed") -> Path:
    train, test, content = FORMS[form]
    folder.mkdir(exist_ok=True)
    for name, seed in ((train, 0), (test, 1)):
        (folder / name).write_bytes(content(connections(seed)).encode())
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_records_of_nsl_kdd_are_the_same_in_every_form(tmp_path, form):
    usual, other = (
        nsl_kdd.read(nsl_kdd.files(str(written(tmp_path / name, name))))
        for name in ("distributed", form)
    )
    np.testing.assert_array_equal(usual.features, other.features)
    assert usual.kinds.tolist() == other.kinds.tolist()
    assert usual.kinds[:3].tolist() == ["normal", "normal", "neptune"]
    assert usual.later.tolist() == other.later.tolist() == [False] * 40 + [True] * 40
    assert usual.fingerprint == other.fingerprint


def test_the_fifth_of_the_training_data_is_read_unless_the_whole_is_given(tmp_path):
    written(tmp_path)
    (tmp_path / "KDDTrain+.txt").write_text("\n".join(connections(2, records=50)))
    (tmp_path / "KDDTest-21.txt").write_text("\n".join(connections(3)))
    assert [file.path.name for file in nsl_kdd.files(str(tmp_path))] == [TRAIN, TEST]
    whole = nsl_kdd.files(str(tmp_path / "KDDTrain+.txt"))
    assert [file.path.name for file in whole] == ["KDDTrain+.txt", TEST]
    assert len(nsl_kdd.read(whole).kinds) == 90


def test_columns_with_names_are_taken_by_their_names(tmp_path):
    written(tmp_path)
    plain = nsl_kdd.read(nsl_kdd.files(str(tmp_path)))
    for name, seed in ((TRAIN, 0), (TEST, 1)):
        table = pd.DataFrame([line.split(",") for line in connections(seed)])
        table.columns = [*nsl_kdd.FEATURES, "Attack", "extra"]
        table[sorted(table)].to_csv(tmp_path / name, index=False)
    np.testing.assert_array_equal(
        nsl_kdd.read(nsl_kdd.files(str(tmp_path))).features, plain.features
    )


def flows(folder: Path, name: str, change=lambda table: table, **how) -> Path:
    """A table as of UNSW-NB15, with columns that are not used."""
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.random((30, len(unsw_nb15.NUMERIC))), columns=unsw_nb15.NUMERIC)
    table.insert(0, "id", range(30))
    for symbol in unsw_nb15.SYMBOLS:
        table[symbol] = draws.choice(["a", "b"], 30)
    table["attack_cat"], table["label"] = ["Normal", "DoS", "Normal"] * 10, [0, 1, 0] * 10
    folder.mkdir(exist_ok=True)
    change(table).to_csv(folder / name, index=False, **how)
    return folder / name


def test_records_of_unsw_nb15_are_the_same_with_any_line_ends_and_mark(tmp_path):
    files = [
        flows(tmp_path, "a.csv", lineterminator="\n"),
        flows(tmp_path, "b.csv", lineterminator="\r\n", encoding="utf-8-sig"),
        flows(tmp_path, "c.csv", lambda table: table[sorted(table)].rename(columns=str.upper)),
    ]
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(files[1], "d.csv")
    records = [unsw_nb15.read((file_at(file),)) for file in (*files, tmp_path / "d.zip")]
    assert len({one.fingerprint for one in records}) == 1
    assert records[0].features.shape == (30, 23)
    assert (records[0].normal, records[0].kinds[1]) == ("Normal", "DoS")


def test_a_table_of_unsw_nb15_may_have_any_name_if_it_is_alone(tmp_path):
    file = flows(tmp_path, "mine.csv")
    (tmp_path / "readme.pdf").touch()
    for place in (tmp_path, file):
        assert unsw_nb15.files(str(place)) == (file_at(file),)
    flows(tmp_path, "other.csv")
    with pytest.raises(ValueError, match="has 2 tables; give one file, .*mine.csv, other.csv, r"):
        unsw_nb15.files(str(tmp_path))


def test_one_changed_value_gives_another_fingerprint_and_one_that_is_not_used_does_not(tmp_path):
    def changed(column: str):
        return lambda table: table.assign(**{column: [table[column].iloc[-1], *table[column][1:]]})

    def of(name: str, *change) -> str:
        return unsw_nb15.read((file_at(flows(tmp_path, name, *change)),)).fingerprint

    plain = of("plain.csv")
    prints = {of(f"{key}.csv", changed(key)) for key in ("dur", "ct_dst_src_ltm")}
    assert len(prints | {plain}) == 3
    assert of("id.csv", changed("id")) == plain


def test_numbers_are_logarithms_and_symbols_are_numbered_alphabetically():
    table = pd.DataFrame({"x": [0, 1, 1e6], "s": ["udp", "-", "tcp"], "y": [-1.0, 0, 1]})
    found = numbers(table, ["s"])
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == pytest.approx([0, 0.6931, 13.8155], abs=1e-6)
    assert found[:, 1].tolist() == [2, 0, 1]
    assert found[:, 2].tolist() == pytest.approx([-0.6931, 0, 0.6931], abs=1e-6)


def test_the_kind_that_is_not_an_attack_is_known_by_its_usual_names():
    for name in ("Normal", "BENIGN", "0", "0.0", "False"):
        assert normal_of(np.array(["dos", name, "1"]), Path("f")) == name
    assert normal_of(np.array(["tcp", "udp"]), Path("f"), "UDP") == "udp"
    said = "path: f has the kinds a, b, but not normal or .*; tables with .* data=records"
    with pytest.raises(ValueError, match=said):
        normal_of(np.array(["b", "a"]), Path("f"))


def test_one_of_several_usual_names_of_normal_traffic_must_be_given():
    kinds = np.array(["Background", "Normal", "Botnet", "normal"])
    said = "may be normal traffic: Background and Normal and normal; choose"
    with pytest.raises(
        ValueError, match=f"kinds Background, Botnet, Normal, normal, and .* {said}"
    ):
        normal_of(kinds, Path("f"), remedy="choose")
    assert normal_of(kinds, Path("f"), "normal") == "normal"
    assert normal_of(kinds, Path("f"), "background") == "Background"
    with pytest.raises(
        ValueError, match="several of them may be normal traffic: Normal and normal"
    ):
        normal_of(kinds, Path("f"), "NORMAL")


def test_a_training_file_is_paired_with_a_test_file_of_its_ending(tmp_path):
    written(tmp_path, "all training data")
    written(tmp_path, "arff")
    for ending in ("txt", "arff"):
        found = nsl_kdd.files(str(tmp_path / f"KDDTrain+.{ending}"))
        assert [file.path.name for file in found] == [f"KDDTrain+.{ending}", f"KDDTest+.{ending}"]
    (tmp_path / "KDDTest+.arff").unlink()
    found = nsl_kdd.files(str(tmp_path / "KDDTrain+.arff"))
    assert found[1].path.name == "KDDTest+.txt"


def test_tables_of_runs_are_not_records(tmp_path):
    file = flows(tmp_path, "mine.csv")
    for report in ("multirun/study/report", "report"):
        (tmp_path / report).mkdir(parents=True)
        (tmp_path / report / "rows.csv").write_text("batch,lr\n1,2\n")
    assert unsw_nb15.files(str(tmp_path)) == (file_at(file),)


def test_the_files_of_a_set_are_found_below_other_tables(tmp_path):
    (tmp_path / "Field Names.csv").write_text("duration,continuous\n")
    written(tmp_path / "sets")
    flows(tmp_path / "sets", "UNSW_NB15_training-set.csv")
    assert [file.path.name for file in nsl_kdd.files(str(tmp_path))] == [TRAIN, TEST]
    assert unsw_nb15.files(str(tmp_path))[0].path.parent == tmp_path / "sets"


def test_a_missing_file_is_named_with_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "notes.md").touch()
    with pytest.raises(ValueError, match=r"has 0 tables; give one file, such as UNSW_NB15_traini"):
        unsw_nb15.files(str(tmp_path))
    with pytest.raises(ValueError, match=r"no train data .KDDTrain\+_20Percent.*it holds notes.md"):
        nsl_kdd.files(str(tmp_path))
    (tmp_path / "KDDTrain+.txt").touch()
    with pytest.raises(ValueError, match=r"has no test data .KDDTest\+, or one with test in its"):
        nsl_kdd.files(str(tmp_path))
    for name in ("test_a.csv", "test_b.csv"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="has 2 files with test in their names; keep one"):
        nsl_kdd.files(str(tmp_path))
    monkeypatch.delenv("SCALING_DATA", raising=False)
    with pytest.raises(
        ValueError, match=r"path is null and there is no \$SCALING_DATA/nsl_kdd; put the files of"
    ):
        place_of(None, "nsl_kdd")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda ls: [*ls[:-1], ls[-1][:60]],
            "has nothing in column .* record 40, the last; if the f",
        ),
        (lambda ls: [*ls[:-1], ls[-1].replace("tcp", "x,y").replace("udp", "x,y")], "has 44 colu"),
        (lambda ls: ["1,2,3"] * 3, "has 3 columns without names; NSL-KDD has 41 features, the na"),
        (lambda ls: ["hello"], "holds no records"),
        (lambda ls: ["a,b,c", "1,2,3"], "has no column duration, .* and 37 more; tables with oth"),
        (lambda ls: [ls[0].replace(ls[0].split(",")[0], "Infinity", 1), *ls], "has inf in colu"),
        (lambda ls: [ls[0].replace(ls[0].split(",")[0], "abc", 1), *ls], "has abc in column dur"),
        (lambda ls: [f"?{line}" for line in ls], "of record 1 and 39 more; remove such records"),
        (lambda ls: [line.replace("normal", "fine") for line in ls], "has the kinds fine, neptu"),
    ],
)
def test_what_is_not_nsl_kdd_is_refused_by_name(tmp_path, change, said):
    written(tmp_path)
    for name, seed in ((TRAIN, 0), (TEST, 1)):
        (tmp_path / name).write_text("\n".join(change(connections(seed))))
    with pytest.raises(ValueError, match=f"path: .*KDDTrain.*{said}"):
        nsl_kdd.read(nsl_kdd.files(str(tmp_path)))


def test_a_record_without_a_label_is_refused(tmp_path):
    lines = connections(0, difficulty=False)
    written(tmp_path)
    (tmp_path / TRAIN).write_text("\n".join([*lines, lines[0].rpartition(",")[0] + ","]))
    with pytest.raises(ValueError, match="has no label in record 41, the last; if the file is"):
        nsl_kdd.read(nsl_kdd.files(str(tmp_path)))


def test_the_file_of_unsw_nb15_is_found_beside_others_with_any_line_ends(real_data, tmp_path):
    (there,) = unsw_nb15.files(None)
    plain = content(there.path).replace(b"\r\n", b"\n").removeprefix(codecs.BOM_UTF8)
    (tmp_path / "UNSW_NB15_testing-set.csv").write_bytes(plain)  # known by its content
    (tmp_path / "UNSW_NB15_training-set.csv").write_text("id,dur\n1,2\n")
    (tmp_path / "UNSW-NB15_1.csv").write_text("1,2\n")
    for place in (tmp_path, tmp_path / "UNSW_NB15_testing-set.csv"):
        made = unsw_nb15.read(unsw_nb15.files(str(place)))
        assert made.fingerprint == unsw_nb15.REFERENCE


def test_records_of_unsw_nb15_are_read_without_what_gives_labels_away(real_data):
    made = unsw_nb15.read(unsw_nb15.files(None))
    assert made.features.shape == (82_332, 23)
    assert (made.kinds == "Normal").sum() == 37_000
    assert np.isfinite(made.features).all()
    assert made.later is None
    assert "id" not in unsw_nb15.NUMERIC
    file_order = np.abs(np.corrcoef(made.features.T, np.arange(82_332))[-1, :-1])
    assert file_order.max() < 0.9  # no feature numbers the records


def test_records_of_nsl_kdd_are_read_with_their_own_split(real_data):
    made = nsl_kdd.read(nsl_kdd.files(None))
    assert made.fingerprint == nsl_kdd.REFERENCE
    assert made.features.shape == (47_736, 41)
    assert made.later.sum() == 22_544
    unseen = ~np.isin(made.kinds[made.later], made.kinds[~made.later])
    assert unseen.mean() == pytest.approx(0.166, abs=0.005)
    assert len(np.unique(made.kinds)) == 40


def test_records_of_nsl_kdd_with_other_line_ends_are_the_reference(real_data, tmp_path):
    for name in (TRAIN, TEST):
        raw = (real_data / "nsl_kdd" / name).read_bytes()
        (tmp_path / name).write_bytes(raw.replace(b"\n", b"\r\n"))
    made = nsl_kdd.read(nsl_kdd.files(str(tmp_path)))
    assert made.fingerprint == nsl_kdd.REFERENCE
