"""Sets of idx files: names as they are distributed, labels of any numbering."""

import numpy as np
import pytest
from idx_files import MNIST, a_set, write_set

from scaling.datamodules import idx_sets

LETTERS = tuple(name.replace("t10k", "test") for name in (f"emnist-letters-{n}.gz" for n in MNIST))
NAMES = {
    "mnist": MNIST,
    "packed": tuple(f"{name}.gz" for name in MNIST),
    "dotted": tuple(name.replace("-idx", ".idx") for name in MNIST),
    "dotted and packed": tuple(f"{name.replace('-idx', '.idx')}.gz" for name in MNIST),
    "capitals": tuple(name.upper() for name in MNIST),
    "emnist": LETTERS,
    "qmnist": (
        *("qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int"),
        *("qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int"),
    ),
}


def read(place) -> idx_sets.IdxSet:
    return idx_sets.read(idx_sets.find(place))


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_files_are_found_by_their_names(tmp_path, names):
    arrays = a_set()
    found = read(write_set(tmp_path, arrays, names))
    for array, wanted in zip(found, arrays, strict=False):
        np.testing.assert_array_equal(array, wanted)
    assert (found.classes, found.notes) == (10, ())


def test_subfolders_are_searched_if_the_folder_has_no_set(tmp_path):
    below = write_set(tmp_path / "MNIST" / "raw", a_set())
    assert [file.path.parent for file in idx_sets.find(tmp_path)] == [below] * 4
    write_set(tmp_path, a_set())
    assert [file.path.parent for file in idx_sets.find(tmp_path)] == [tmp_path] * 4


def test_a_file_that_is_there_packed_and_unpacked_is_one_file(tmp_path):
    write_set(tmp_path, a_set())
    write_set(tmp_path, a_set(), NAMES["packed"])
    assert {file.path.suffix for file in idx_sets.find(tmp_path)} == {".gz"}


def test_one_of_several_sets_is_given_by_one_of_its_files(tmp_path):
    balanced = [name.replace("letters", "balanced") for name in LETTERS]
    write_set(tmp_path, a_set(labels=range(1, 27)), LETTERS)
    write_set(tmp_path, a_set(labels=range(47)), balanced)
    with pytest.raises(ValueError, match=r"several sets .emnist-balanced, emnist-letters.; give"):
        idx_sets.find(tmp_path)
    assert read(tmp_path / LETTERS[0]).classes == 26
    assert read(tmp_path / balanced[3]).classes == 47


def test_other_files_of_a_set_are_not_taken_for_its_own(tmp_path):
    write_set(tmp_path, a_set(), NAMES["qmnist"])
    for name in ("qmnist-test10k-images-idx3-ubyte", "qmnist-train-labels.tsv", "xtrain.txt"):
        (tmp_path / name).touch()
    assert [file.path.name for file in idx_sets.find(tmp_path)] == list(NAMES["qmnist"])


def test_labels_from_1_become_classes_from_0_and_a_note_says_so(tmp_path):
    arrays = a_set(labels=range(1, 27))
    found = read(write_set(tmp_path, arrays))
    np.testing.assert_array_equal(found.train_labels, arrays[1] - 1)
    np.testing.assert_array_equal(found.test_labels, arrays[3] - 1)
    assert found.notes == ("labels 1 to 26 became classes 0 to 25",)


def test_labels_with_gaps_become_ranks(tmp_path):
    arrays = a_set(labels=range(0, 40, 10))
    found = read(write_set(tmp_path, arrays))
    np.testing.assert_array_equal(found.train_labels, arrays[1] // 10)
    assert found.notes == ("labels 0 to 30 (4 of them occur) became classes 0 to 3",)


def test_labels_with_several_columns_have_the_class_in_the_first(tmp_path):
    arrays = a_set()
    for part in (1, 3):  # as in QMNIST: class, writer, ...
        arrays[part] = np.stack([arrays[part], *[arrays[part] + 1000] * 7], axis=1)
    found = read(write_set(tmp_path, arrays, NAMES["qmnist"], ("u1", ">i4", "u1", ">i4")))
    np.testing.assert_array_equal(found.test_labels, arrays[3][:, 0])
    assert (found.classes, found.train_labels.dtype) == (10, np.uint8)
    assert found.notes == ("classes are the first of 8 columns of labels",)


def test_what_is_missing_is_named_with_what_is_there(tmp_path):
    write_set(tmp_path, a_set())
    (tmp_path / MNIST[3]).unlink()
    said = f"has no test labels; put t10k-labels-idx1-ubyte.gz, .* it holds {MNIST[2]}, {MNIST[0]}"
    for place in (tmp_path, tmp_path / MNIST[0]):
        with pytest.raises(ValueError, match=said):
            idx_sets.find(place)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no train images, .*test labels; .*it holds no files"):
        idx_sets.find(tmp_path / "empty")


def test_two_files_of_one_part_are_named(tmp_path):
    write_set(tmp_path, a_set())
    write_set(tmp_path, a_set(), NAMES["dotted"])
    with pytest.raises(ValueError, match="has several files of test images .*; keep one"):
        idx_sets.find(tmp_path)


def changed(arrays, part: int, array) -> list[np.ndarray]:
    return [array if i == part else other for i, other in enumerate(arrays)]


@pytest.mark.parametrize(
    ("part", "change", "kind", "said"),
    [
        (1, lambda a: a[:-1], "u1", "has 60 images, but .* 59 labels; fetch them again"),
        (2, lambda a: a[:-2], "u1", "has 18 images, but .* 20 labels; fetch them again"),
        (2, lambda a: a[:, :3], "u1", r"have the shape \(4, 5\), but those of .*t10k.* \(3, 5\)"),
        (0, lambda a: a[:, 0, 0], "u1", "holds 1 axis of type uint8; images are bytes with at"),
        (0, lambda a: a, ">f4", "holds 3 axes of type float32; images are bytes"),
        (1, lambda a: a, ">f4", "holds 1 axis of type float32; labels are whole numbers"),
        (3, lambda a: a[:, None, None], "u1", "holds 3 axes of type uint8; labels are"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path, part, change, kind, said):
    arrays = a_set()
    kinds = changed(["u1"] * 4, part, kind)
    write_set(tmp_path, changed(arrays, part, change(arrays[part])), MNIST, kinds)
    with pytest.raises(ValueError, match=said) as refusal:
        read(tmp_path)
    assert MNIST[part] in str(refusal.value)


def test_a_set_of_one_class_is_refused(tmp_path):
    write_set(tmp_path, a_set(labels=range(3, 4)))
    with pytest.raises(ValueError, match="has the label 3 only; give two classes"):
        read(tmp_path)
