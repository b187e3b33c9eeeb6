"""A command whose streams its caller closed prints nothing, and into no file."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from pathlib import Path
from scaling.contracts import standard_streams
standard_streams.open_closed()
import os, sys
with open("opened.txt", "w") as file:
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)
    os.write(1, b"raw")
    assert sys.stdin.read() == "" and not sys.stdout.isatty()
    file.write("mine")
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_nothing_is_printed_into_a_file_that_gets_the_number_of_a_closed_stream(folder, closed):
    command = f"{shlex.join([sys.executable, '-c', PROGRAM])} {closed}"
    ended = subprocess.run(
        command, shell=True, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == (b"" if ">&-" in closed.split() else b"out\nraw")
    assert ended.stderr == (b"" if "2>&-" in closed else b"err\n")
    assert Path("opened.txt").read_text() == "mine"
