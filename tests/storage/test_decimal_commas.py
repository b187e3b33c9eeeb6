"""Decimal commas are read if they are unambiguous; `1,024` is refused with the remedy."""

import re
import subprocess
import sys

import pytest

from scaling import report, results
from scaling.contracts.settings import by_setting
from scaling.studies.study import all_studies

pytestmark = pytest.mark.filterwarnings("ignore:.*(missing columns|read as settings|not used)")


def read(folder, content: str, **options):
    (folder / "mine.csv").write_text(content)
    return results.read(folder / "mine.csv", **options)


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("0,001;32;2,31", (0.001, 32, 2.31)),
        ("0,001;32;2,314", (0.001, 32, 2.314)),  # lr shows that the comma is decimal
        ("1,5e-3;32,0;12,3456", (0.0015, 32, 12.3456)),
        (",5; 0,5M ;1234,567", (0.5, 500_000, 1234.567)),
        ("1e-3;1024;2,31", (0.001, 1024, 2.31)),
        ("3;32;-0,25", (3, 32, -0.25)),
    ],
)
def test_decimal_commas_are_read(tmp_path, separator, line, numbers):
    content = f"lr;batch;val_loss;note\n\n{line};a, b\n".replace(";", separator)
    rows = read(tmp_path, content)
    assert rows[["lr", "batch", "val_loss"]].to_numpy().tolist() == [list(numbers)]
    assert rows["note"].tolist() == ["a, b"]
    assert rows["run"].tolist() == ["line 3"]


def test_axes_and_measures_are_read_and_settings_keep_their_text(tmp_path):
    lines = ["0,1;8;2,5;1,5;64,32;0,25;1,000", "0,2;8;2,4;2,5;64,16;0,75;2,000"]
    header = "lr;batch;acc;tokens;model.widths;train_loss;seconds"
    with pytest.warns(UserWarning, match="'1,000' in its column seconds, .*; the column is not us"):
        rows = read(tmp_path, "\n".join([header, *lines]), maximise="acc", axes=("tokens",))
    assert rows["tokens"].tolist() == [1.5, 2.5]
    assert rows["train_loss"].tolist() == [0.25, 0.75]
    assert rows["val_loss"].tolist() == pytest.approx([97.5, 97.6])
    assert [title for title, _ in by_setting(rows)] == ["model.widths=64,16", "model.widths=64,32"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["1e-3;1,024;2"], "'1,024' in its column batch, line 2, which may be 1024 or 1.024; dec"),
        (["0,001;1,024;2,3"], "'1,024' in its column batch, line 2, which may be 1024 or 1.024"),
        (["1e-3;8;2", "1e-3;8;2,314"], "'2,314' in its column val_loss, line 3, which may be 2314"),
        (["0,001;8;2.5"], "decimal commas and points: '0,001' in its column lr, line 2, and '2.5'"),
        (
            ["0,001;1.024;2,5"],
            "commas and points: .*, and '1.024' in its column batch, line 2; wri",
        ),
    ],
)
def test_ambiguous_numbers_are_refused_with_their_line(tmp_path, lines, said):
    with pytest.raises(ValueError, match=re.escape(said).replace(r"\.\*", ".*")):
        read(tmp_path, "\n".join(["lr;batch;val_loss", *lines]))


@pytest.mark.parametrize(("file", "batch"), [("whole.csv", 1024), ("points.csv", 1.024)])
def test_the_commands_of_the_message_decide(tmp_path, monkeypatch, capsys, file, batch):
    for study in all_studies():
        monkeypatch.setattr(study, "figures", lambda _: {})
    (tmp_path / "my runs.csv").write_text("lr;batch;val_loss\n1;1,024;2\n2;1,024;3\n4;1,024;4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", "my runs.csv"])
    assert report.main() == 2
    commands = re.findall(r"sed .*?\.csv' > \S+\.csv", capsys.readouterr().err)
    for command in commands:
        subprocess.run(command, shell=True, check=True)
    assert results.read(file)["batch"].tolist() == [batch] * 3
    monkeypatch.setattr(sys, "argv", ["report", file])
    assert report.main() == 0
