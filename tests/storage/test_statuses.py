"""A column of states with unknown words is refused, or set aside as the message says."""

import shlex
import sys

import pytest

from scaling import report, results
from scaling.contracts.settings import by_setting
from scaling.studies.study import all_studies

CONTENT = """State,width,batch,lr,val_loss
Frobnicated,64,8,0.001,2.5
finished,64,8,0.01,2.25
finished,64,16,0.001,2.5
finished,128,8,0.001,2.4
Frobnicated,128,8,0.01,
finished,128,16,0.001,2.3
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "mine.csv").write_text(CONTENT)
    return tmp_path / "mine.csv"


def typed(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    return report.main()


def test_the_option_of_the_message_sets_the_column_aside(path, monkeypatch, capsys):
    for study in all_studies():
        monkeypatch.setattr(study, "figures", lambda _: {})
    assert typed(monkeypatch, path) == 2
    said = capsys.readouterr().err
    assert "has the unknown status frobnicated; known statuses: done, finished" in said
    option = shlex.split(said.split(": ")[-1])
    assert option == ["--columns", "status="]
    assert typed(monkeypatch, path, *option) == 0
    said = capsys.readouterr()
    assert "status: every run with a loss is done, without one it diverged" in said.err
    assert "1 of 6 runs diverged" in said.out
    assert "config.width=128" in said.out  # other columns are read as without the option
    assert "State" not in said.out + said.err


@pytest.mark.filterwarnings("ignore:.*(missing columns|read as settings)")
def test_optional_columns_can_be_set_aside(tmp_path):
    (tmp_path / "mine.csv").write_text("batch,lr,val_loss,random_state\n8,1,2.0,a\n8,1,2.1,b\n")
    rows = results.read(tmp_path / "mine.csv", columns={"seed": ""})
    assert rows["seed"].tolist() == [0, 1]
    assert len(list(by_setting(rows))) == 1
    for key in ("lr", "tokens"):
        with pytest.raises(ValueError, match=f"{key}= names no column; .* are clip=, seed=, stat"):
            results.read(tmp_path / "mine.csv", columns={key: ""})
