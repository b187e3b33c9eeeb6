"""Tables are read whatever their separator, header, line ends, packing or format."""

import gzip

import pytest

from scaling.datamodules.tables import read_table

ROWS = "0,tcp,1.5\n7,udp,2e3\n"
HEADER = "Duration, Proto ,Rate\n"
ARFF = """% made by hand

@RELATION 'flows'
@attribute 'Duration' real
@attribute proto {'tcp', 'udp'}
@ATTRIBUTE "rate" numeric

@DATA
% two records
0,tcp,1.5
7,'udp',2e3
"""
FORMS = {
    "header": HEADER + ROWS,
    "crlf": (HEADER + ROWS).replace("\n", "\r\n"),
    "mark": "\ufeff" + HEADER + ROWS,
    "no last line end": (HEADER + ROWS).rstrip(),
    "blank lines": "\n" + HEADER + "\n" + ROWS + "\n\n",
    "spaces": HEADER + ROWS.replace(",", ", "),
    "semicolons": (HEADER + ROWS).replace(",", ";"),
    "tabs": (HEADER + ROWS).replace(",", "\t"),
    "quotes": '"duration","proto","rate"\n0,"tcp",1.5\n7,"udp",2e3\n',
    "arff": ARFF,
    "arff from windows": ARFF.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_the_same_in_every_form(tmp_path, form):
    (tmp_path / "a").write_bytes(FORMS[form].encode())
    (tmp_path / "b.gz").write_bytes(gzip.compress(FORMS[form].encode()))
    for path in tmp_path.iterdir():
        table = read_table(path)
        assert list(table) == ["duration", "proto", "rate"]
        assert table.to_numpy().tolist() == [[0, "tcp", 1.5], [7, "udp", 2000.0]]


def test_a_table_without_a_header_has_numbered_columns(tmp_path):
    (tmp_path / "a").write_text(ROWS)
    assert list(read_table(tmp_path / "a")) == [0, 1, 2]
    assert len(read_table(tmp_path / "a")) == 2


def test_names_that_occur_twice_are_numbered(tmp_path):
    (tmp_path / "a").write_text("Len,len,x\n1,2,3\n")
    assert list(read_table(tmp_path / "a")) == ["len", "len.1", "x"]


def test_missing_fields_are_nan_and_words_such_as_na_are_text(tmp_path):
    (tmp_path / "a").write_text("x,y,z\n1,NA,2\n3,,\n5,nan\n")
    table = read_table(tmp_path / "a")
    assert table["y"].fillna("").tolist() == ["NA", "", "nan"]
    assert table["z"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no records; give a table with one record a line"),
        ("a,b,c\n", "holds no records"),
        ("1,2\n3,4,5\n", "has 3 columns in record 2, but 2 in the first; all need the same"),
        ("a,b,c\n1,2\n", "names 3 columns, but its records have 2"),
        ('1,2\n"3,4\n', "is not a table with one record a line"),
        ("1,2\0\n", "holds NUL characters, so it is not text"),
    ],
)
def test_what_is_not_a_table_is_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "some.csv").write_text(content)
    with pytest.raises(ValueError, match=f"path: .*some.csv {said}") as refusal:
        read_table(tmp_path / "some.csv")
    assert "\n" not in str(refusal.value)
