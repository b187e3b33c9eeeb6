"""Measure what a sweep costs besides its training, and what parallel workers gain.

Each part prints its cost and the limit; exit code 1 if one costs more.

    python tests/benchmarks/sweep_cost.py finished    # 1,000 done cells, 10,000 rows: a minute
    python tests/benchmarks/sweep_cost.py cell        # what a cell costs besides its training
    python tests/benchmarks/sweep_cost.py workers     # 16 runs with 1, 2, 3 workers: 10 minutes
"""

import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scaling import results
from scaling.storage.rows import Row, read_row, write_row

TRAIN = (sys.executable, "-m", "scaling.train")
TINY = (
    *("steps=1", "model.d_model=16", "model.layers=1", "model.heads=2", "data.context=16"),
    *("data.val_windows=8", "logger=none"),
)


def run(*command: str) -> tuple[float, str]:
    """Seconds that a command takes, and what it prints."""
    start = time.monotonic()
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return time.monotonic() - start, out


def copies(like: Row, cells: list[str]) -> None:
    """Rows for the cells that a dry run lists, all with the numbers of one."""
    for name in cells:
        batch, lr, clip, seed = re.findall(r"=([^,]+)", name.rsplit("-", 1)[0])
        point = {"batch": int(batch), "lr": float(lr), "clip": float(clip), "seed": int(seed)}
        folder = Path("multirun", like.study, name)
        folder.mkdir(parents=True)
        digest = name.rsplit("-", 1)[1]
        row = dataclasses.replace(like, run=name, digest=digest, config=like.config | point)
        write_row(row, folder)


def finished() -> bool:
    """A sweep whose cells are all done; a large table."""
    run(*TRAIN, "study=one", *TINY)
    like = read_row(next(Path("multirun/one").glob("batch=*")))
    assert like is not None
    ok = True
    for count, limits in ((1000, {"train": 20.0}), (10_000, {"read": 5.0, "status": 10.0})):
        study = f"rows_{count}"
        seeds = f"seed=range(0,{count // 40})"
        grid = ("-m", f"study={study}", "batch=8,16,32,64", "lr=1e-4,1e-3", "clip=0.1,1,10,100,inf")
        _, out = run(*TRAIN, *grid, seeds, *TINY, "dry_run=true")
        cells = re.findall(r"^train  (\S+)", out, flags=re.MULTILINE)
        assert len(cells) == count
        copies(dataclasses.replace(like, study=study), cells)
        for what, limit in limits.items():
            if what == "train":
                seconds, out = run(*TRAIN, *grid, seeds, *TINY)
                assert f"{count} done before, 0 to train" in out
            elif what == "read":
                start = time.monotonic()
                assert len(results.read(f"multirun/{study}")) == count
                seconds = time.monotonic() - start
            else:
                seconds, _ = run(sys.executable, "-m", "scaling.status", f"multirun/{study}")
            print(f"{what:7} of {count:6,} cells: {seconds:5.1f} s (at most {limit:g} s)")
            ok &= seconds <= limit
    return ok


def cell() -> bool:
    """Seconds of a worker per cell besides training, and once for the sweep."""
    walls = {}
    for count in (10, 50):
        walls[count], _ = run(
            *TRAIN, "-m", f"study=cells_{count}", f"seed=range(0,{count})", "workers=1", *TINY,
            "logger=tensorboard",
        )  # fmt: skip
    trained = results.read("multirun/cells_50")["seconds"].mean()
    each = (walls[50] - walls[10]) / 40
    once = walls[10] - 10 * each
    print(f"a cell: {each - trained:.3f} s beside its training (at most 0.5 s, 5 % of 10 s)")
    print(f"a sweep: {once:.1f} s once, most of it imports")
    return each - trained <= 0.5


def workers(numbers: list[int]) -> bool:
    """A sweep with different numbers of workers, each with its share of the cores."""
    walls = {}
    for number in numbers:
        walls[number], _ = run(
            *TRAIN, "-m", "batch=8,16,32,64", "lr=3e-4,1e-3,3e-3,1e-2", "data.context=64",
            f"study=workers_{number}", f"workers={number}",
        )  # fmt: skip
        print(f"{number} workers: {walls[number]:.0f} s", flush=True)
    gains = {number: walls[1] / wall for number, wall in walls.items() if number != 1}
    for number, gain in gains.items():
        print(f"{number} workers are {gain:.2f} times as fast as one with all cores")
    return max(gains.values()) >= 1.2


def main() -> int:
    """Measure one part in an empty folder; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("finished", "cell", "workers"))
    parser.add_argument("--numbers", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        parts = {"finished": finished, "cell": cell, "workers": lambda: workers(given.numbers)}
        return 0 if parts[given.part]() else 1


if __name__ == "__main__":
    sys.exit(main())
