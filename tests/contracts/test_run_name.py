"""A run's name is read as it is written, and other folders are not runs."""

import math

import pytest

from scaling.config.identity import run_name
from scaling.contracts.run_name import point

DIGEST = "0123456789ab"


def test_a_name_gives_back_the_root_keys():
    keys = {"batch": 8, "lr": 3e-05, "clip": "inf", "seed": 11}
    named = point(run_name(keys, DIGEST))
    assert named is not None
    assert named._asdict() == keys | {"clip": math.inf}


@pytest.mark.parametrize(
    "folder",
    [
        "_sweep",
        "batch=8,lr=0.1,clip=1,seed=0",
        "batch=8,lr=0.1,clip=1,seed=0-0123456789a",
        f"batch=8,lr=high,clip=1,seed=0-{DIGEST}",
    ],
)
def test_another_folder_is_not_a_run(folder):
    assert point(folder) is None
