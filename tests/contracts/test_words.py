"""Numbers agree with their nouns."""

import re

import pytest
from rows import write_sweep

from scaling import results
from scaling.contracts.words import counted, wrapped
from scaling.reporting import build
from scaling.storage import plans
from scaling.storage.rows import ROW_FILE


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (1, ("seed",), "1 seed"),
        (3, ("seed",), "3 seeds"),
        (0, ("seed",), "0 seeds"),
        (1, ("run is", "runs are"), "1 run is"),
        (2, ("run is", "runs are"), "2 runs are"),
    ],
)
def test_a_number_agrees_with_its_noun(number, words, text):
    assert counted(number, *words) == text


def test_a_long_line_is_broken_after_a_semicolon_or_between_words():
    assert wrapped("  short; line", 20) == ["  short; line"]
    assert wrapped("  one two; three four five", 20) == ["  one two;", "    three four five"]
    assert wrapped("one two three four five", 12) == ["one two", "  three four", "  five"]
    text = "a first clause; a second one, which is longer; and a third one"
    assert " ".join(line.strip() for line in wrapped(text, 25)) == text
    assert max(map(len, wrapped(text, 25))) <= 25


def test_a_report_of_one_run_has_no_plural_after_1(tmp_path):
    folder = write_sweep(tmp_path / "sweep")
    cells = [{"run": "other", "digest": "other", "overrides": []}]
    plans.write(folder, "python -m scaling.train study=sweep", cells)
    for file in sorted(folder.glob(f"*/{ROW_FILE}"))[1:]:
        file.unlink()
    files = build.write([folder], tmp_path / "report").files
    page, text = (
        re.sub(r"<script.*?</script>", "", files[-1].read_text(), flags=re.S),
        files[0].read_text(),
    )
    assert "1 run: 1 done" in page
    assert "1 of 1 cell not done" in text
    plural = r"\b1 (runs|lines|seeds|cells|axes|steps|losses|learning rates|batch sizes)\b"
    assert not re.findall(plural, page + text)
    assert len(results.read(folder)) == 1
