"""A run, a sweep and a report say how data files were read, and which are not the reference."""

from conftest import UNRECORDED
from idx_files import a_set, write_set

from scaling import results
from scaling.reporting.caveats import doubts

MLP = ("model=mlp", "batch=10", "data.val_examples=10", *UNRECORDED)
SAID = (
    "train-images-idx3-ubyte and the 3 other files (fingerprint {}) differ from the reference, "
    "MNIST; labels 1 to 26 became classes 0 to 25"
)


def test_files_that_are_not_the_reference_are_named_once_in_runs_sweeps_and_reports(
    command, folder
):
    write_set(folder / "letters", a_set((28, 28), range(1, 27)))
    typed = ("data=mnist", "data.path=letters", *MLP)
    alone = command(*typed)
    assert alone.code == 0, alone.err
    provenance = results.provenance("multirun/scratch")
    said = SAID.format(provenance["data"])
    assert f"\ndata      {said}\n" in alone.out
    assert provenance["data_notes"] == said
    swept = command("-m", "lr=1e-3,1e-2", *typed)
    assert swept.out.count(said) == 1
    rows = results.read("multirun/scratch")
    assert rows["data_notes"].tolist() == [said] * 2
    assert f"Files of data=mnist: {said}" in doubts(rows)
    rows.to_csv("rows.csv", index=False)
    assert f"Files of data=mnist: {said}" in doubts(results.read("rows.csv"))


def test_runs_of_other_files_are_counted_and_sound_ones_say_nothing(command, folder):
    write_set(folder / "digits", a_set())
    sound = command("data=idx", "data.path=digits", *MLP)
    assert sound.code == 0, sound.err
    assert "\ndata " not in sound.out
    assert "data_notes" not in results.read("multirun/scratch")
    (folder / "train.txt").write_text("to be or not to be " * 100)
    assert command("data=text", "data.path=.").code == 0
    said = "there is no valid.txt beside train.txt: the last 10 % of the text is for validation"
    assert f"Files of data=text (1 of 2 runs): {said}" in doubts(results.read("multirun/scratch"))
