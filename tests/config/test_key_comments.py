"""Comments of YAML files are found where people write them, and every key has one."""

import pytest

from scaling.config import key_comments
from scaling.config.folder import FOLDER
from scaling.config.key_help import LISTED

FILE = """\
# A model. It has
# two parts.
# Note: slow.
defaults:
  - parent
  - override /data: digits
  - _self_

_target_: some.Model
# Above,
# in two lines.
width: 8
name: "a # b" # behind a string
sizes: [1, 2] # behind a list
batch: ${batch}
inner: # behind a mapping
  depth: 2
  # above, inside
  rate: 0.1

by_scale:
  tiny: {model: {width: 2}}
"""


def test_a_comment_is_behind_a_value_or_above_its_key(tmp_path):
    (tmp_path / "own.yaml").write_text(FILE)
    found = key_comments.read(tmp_path / "own.yaml", "model")
    assert found.header == ("A model. It has two parts.", "Note: slow.")
    assert found.parents == ("parent",)
    assert found.wired == {"model.batch"}
    assert found.keys == {
        "model.width": "Above, in two lines.",
        "model.name": "behind a string",
        "model.sizes": "behind a list",
        "model.batch": "",
        "model.inner": "behind a mapping",
        "model.inner.depth": "",
        "model.inner.rate": "above, inside",
    }


def test_keys_of_a_global_file_have_no_prefix(tmp_path):
    (tmp_path / "own.yaml").write_text("# @package _global_\n# Text.\ndata:\n  fold: 1 # one\n")
    found = key_comments.read(tmp_path / "own.yaml", "adaptation")
    assert (found.header, found.keys) == (("Text.",), {"data": "", "data.fold": "one"})


def test_an_option_has_the_comments_of_the_files_that_it_extends(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "parent.yaml").write_text("width: 4 # of the parent\ndepth: 1 # layers\n")
    (tmp_path / "model" / "own.yaml").write_text(
        "defaults: [parent, _self_]\nwidth: 8\ndepth: 2 # more layers\nnew: 1\n"
    )
    assert key_comments.find("model", "own", [tmp_path / "empty", tmp_path]).keys == {
        "model.width": "of the parent",
        "model.depth": "more layers",
        "model.new": "",
    }
    assert key_comments.find("model", "other", [tmp_path]) == key_comments.Commented()


OPTIONS = [
    (file.parent.name, file.stem)
    for file in sorted(FOLDER.glob("*/*.yaml"))
    if file.parent.name in LISTED
]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_key_of_an_option_has_a_comment(group, option):
    found = key_comments.find(group, option, [FOLDER])
    shown = {} if group in ("experiment", "scale") else found.keys
    silent = {key for key, comment in shown.items() if not comment} - found.wired
    assert {key for key in silent if key.partition(".")[2]} == set()
    assert found.header


def test_every_root_key_has_a_comment():
    comments = key_comments.read(FOLDER / "config.yaml").keys
    assert len(comments) == 16
    assert [key for key, comment in comments.items() if not comment] == []
