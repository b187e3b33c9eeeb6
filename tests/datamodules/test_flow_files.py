"""Files of records: where they are looked for, what is refused, and what is read from them."""

import hashlib
import zipfile

import numpy as np
import pandas as pd
import pytest

from scaling.datamodules import nsl_kdd, unsw_nb15
from scaling.datamodules.flow_files import content, existing, folder, numbers, reference


def test_numbers_are_logarithms_and_symbols_are_numbered_alphabetically():
    table = pd.DataFrame({"x": [0, 1, 1e6], "s": ["udp", "-", "tcp"]})
    found = numbers(table, ["s"])
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == pytest.approx([0, 0.6931, 13.8155], abs=1e-6)
    assert found[:, 1].tolist() == [2, 0, 1]


def test_a_file_is_identified_by_its_content_packed_or_not(tmp_path):
    plain, packed = tmp_path / "a.csv", tmp_path / "a.zip"
    plain.write_bytes(b"1,2\n")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(plain, "a.csv")
    known = hashlib.sha256(b"1,2\n").hexdigest()
    other = tmp_path / "b.csv"
    other.write_bytes(b"3,4\n")
    for names in (["a.csv"], ["a.zip"], ["b.csv", "a.csv"]):
        assert content(reference(existing(tmp_path, names), known), known) == b"1,2\n"
    with pytest.raises(ValueError, match="b.csv has sha256 .*; fetch it again"):
        content(reference(existing(tmp_path, ["b.csv", "a.csv"]), "0" * 64), "0" * 64)
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(ValueError, match="a.zip"):
        content(existing(tmp_path, ["a.zip"])[0], known)


def test_a_missing_file_is_named_with_where_to_put_it(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"b.zip does not exist \(or b.csv\); put it there"):
        existing(tmp_path, ["b.zip", "b.csv"])
    for module, name in ((unsw_nb15, "UNSW_NB15_training-set.zip"), (nsl_kdd, "KDDTrain")):
        with pytest.raises(ValueError, match=f"path: .*{name}.* does not exist"):
            module.files(str(tmp_path))
    monkeypatch.delenv("SCALING_DATA", raising=False)
    with pytest.raises(
        ValueError, match=r"path is null and there is no \$SCALING_DATA/nsl_kdd; put the files of"
    ):
        folder(None, "nsl_kdd")


def test_files_of_another_content_are_refused(tmp_path):
    (tmp_path / "UNSW_NB15_training-set.csv").write_text("id,dur\n1,2\n")
    for name in (nsl_kdd.TRAIN, nsl_kdd.TEST):
        (tmp_path / name).write_text("0,tcp\n")
    for module in (unsw_nb15, nsl_kdd):
        with pytest.raises(ValueError, match="has sha256 "):
            module.read(module.files(str(tmp_path)))


def test_the_file_of_unsw_nb15_is_found_beside_the_other_one(real_data, tmp_path):
    (there,) = unsw_nb15.files(None)
    (tmp_path / "UNSW_NB15_training-set.csv").write_text("id,dur\n1,2\n")
    (tmp_path / "UNSW_NB15_testing-set.csv").symlink_to(there.path)  # known by its content
    for place in (tmp_path, tmp_path / "UNSW_NB15_testing-set.csv"):
        assert unsw_nb15.read(unsw_nb15.files(str(place))).features.shape == (82_332, 23)


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
    assert made.features.shape == (47_736, 41)
    assert made.later.sum() == 22_544
    unseen = ~np.isin(made.kinds[made.later], made.kinds[~made.later])
    assert unseen.mean() == pytest.approx(0.166, abs=0.005)
    assert len(np.unique(made.kinds)) == 40
