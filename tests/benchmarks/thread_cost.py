"""Measure the gain from threads: runs of growing size, one thread or all, idle or busy machine.

Each case is a real run (`python -m scaling.train`), whose `seconds` of training are read from its
row: on one thread, on all cores with waiting threads that sleep, as ours do, and on all cores with
waiting threads that spin, the default of OpenMP. The three alternate, and the shortest time of each
is shown with the shortest of all. With `--busy`, that many other processes keep a core busy.

`threads_from` in conf/config.yaml comes from this table: it is the work from which all cores pay.
Exit code 1 if the number of threads that a run chooses takes more than 1.3 times the time of the
best number on an idle machine, or, next to a busy core, more than 1.6 times that of one thread on
an idle one. Spinning threads are shown but have no limit: on an idle machine they gain up to 1.7
times at a work of 1e8 to 1e9, and next to a busy core they lose up to 8 times
(OMP_WAIT_POLICY=ACTIVE).

    python tests/benchmarks/thread_cost.py [--busy 1] [--turns 3] [--only "mlp 4 x 256"]
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MLP = ("model=mlp", "data=digits", "optimizer=adam", "trainer.check_val_every_n_epoch=10000")
TEXT = ("data=pydoc", "data.val_windows=64")
CASES = {
    "mlp 4 x 256, batch 64": (*MLP, "batch=64", "steps=1500"),
    "mlp 4 x 256, batch 256": (*MLP, "batch=256", "steps=600"),
    "mlp 4 x 512, batch 64": (*MLP, "model.width=512", "batch=64", "steps=600"),
    "mlp 4 x 512, batch 256": (*MLP, "model.width=512", "batch=256", "steps=200"),
    "transformer 64 x 4, batch 2": (*TEXT, "batch=2", "steps=200"),
    "transformer 64 x 4, batch 8": (*TEXT, "batch=8", "steps=100"),
    "transformer 64 x 4, batch 32": (*TEXT, "batch=32", "steps=50"),
    "transformer 128 x 4, batch 32": (*TEXT, "model.d_model=128", "batch=32", "steps=20"),
}
WAYS = {
    "one": ("threads=1", "PASSIVE"),
    "all": ("threads={cores}", "PASSIVE"),
    "spinning": ("threads={cores}", "ACTIVE"),
    "chosen": ("threads=null", "PASSIVE"),
}
QUIET, BUSY = 1.3, 1.6  # limits


def seconds(folder: Path, case: tuple[str, ...], way: str) -> tuple[float, int]:
    """Training time of a run, and its number of threads."""
    threads, policy = WAYS[way]
    cores = len(os.sched_getaffinity(0))
    subprocess.run(
        [sys.executable, "-m", "scaling.train", *case, "logger=none", "resume=all",
         threads.format(cores=cores)],
        cwd=folder, env=os.environ | {"OMP_WAIT_POLICY": policy}, capture_output=True, check=True,
    )  # fmt: skip
    (row,) = (json.loads(file.read_text()) for file in folder.glob("multirun/*/*/row.json"))
    return row["measured"]["seconds"], row["provenance"]["threads"]


def spin() -> None:
    while True:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=int, default=0, help="processes that keep cores busy")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose names contain this")
    given = parser.parse_args()
    loads = [multiprocessing.Process(target=spin, daemon=True) for _ in range(given.busy)]
    ways = ("one", "all", "spinning", "chosen") if given.busy else ("one", "all", "spinning")
    print(f"{given.busy} busy processes; seconds, least of {given.turns} turns")
    print(f"{'':32}{'chosen':>8}" + "".join(f"{way:>10}" for way in ("quiet one", *ways)))
    missed = False
    for name, case in CASES.items():
        if given.only not in name:
            continue
        least: dict[str, float] = {}
        with tempfile.TemporaryDirectory() as place:
            quiet = seconds(Path(place), case, "one")[0] if given.busy else 0.0
            for load in loads:
                load.start()
            for _ in range(given.turns):
                for way in ways:
                    lasted, _ = seconds(Path(place), case, way)
                    least[way] = min(least.get(way, lasted), lasted)
            _, threads = seconds(Path(place), case, "chosen")
        for load in loads:
            load.kill()
            load.join()
        loads = [multiprocessing.Process(target=spin, daemon=True) for _ in loads]
        own = least.get("chosen", least["one" if threads == 1 else "all"])
        best = min(least["one"], least["all"])
        missed |= own > (BUSY * quiet if given.busy else QUIET * best)
        shown = [f"{quiet:10.2f}" if given.busy else f"{'':10}"]
        shown += [f"{least[way]:10.2f}" for way in ways]
        print(f"{name:32}{threads:8d}" + "".join(shown), flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
