"""Run a command on slowed cores: what a laptop of half the speed takes, measured on this machine.

A process of real-time priority takes a share of each core, for a few of every 10 milliseconds, so
that everything else runs on what is left. Prints the speed of a core in matrix products of 1,500 x
1,500 (GFLOP/s, single precision, one thread) as it is and slowed, and the seconds of the command.
It needs Linux and the right to set a real-time priority, which root has.

    sudo .venv/bin/python tests/benchmarks/slow_machine.py --share 0.4 make test
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time

import torch

PERIOD = 0.01  # seconds
SIZE, REPEATS = 1500, 10  # of the matrix products


def burn(core: int, share: float) -> None:
    """Keep a core busy for a share of each period, before all ordinary processes."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    while True:
        end = time.perf_counter() + share * PERIOD
        while time.perf_counter() < end:
            pass
        time.sleep((1 - share) * PERIOD)


def speed() -> float:
    """Billions of floating-point operations of a core in a second, in matrix products."""
    torch.set_num_threads(1)
    one, other = torch.randn(2, SIZE, SIZE)
    best = min(_seconds(one, other) for _ in range(REPEATS))
    return 2 * SIZE**3 / best / 1e9


def _seconds(one: torch.Tensor, other: torch.Tensor) -> float:
    start = time.perf_counter()
    torch.matmul(one, other)
    return time.perf_counter() - start


def main() -> int:
    """Slow the cores, run the command, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=0.4, help="share of each core to take")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    before = speed()
    cores = os.sched_getaffinity(0)
    context = multiprocessing.get_context("fork")
    burners = [context.Process(target=burn, args=(i, given.share), daemon=True) for i in cores]
    for burner in burners:
        burner.start()
    time.sleep(1)
    if not all(burner.is_alive() for burner in burners):
        sys.exit("a real-time priority cannot be set: run this as root")
    print(f"{len(cores)} cores of {before:.0f} GFLOP/s each, slowed to {speed():.0f}", flush=True)
    start = time.perf_counter()
    code = subprocess.run(given.command).returncode
    print(f"{' '.join(given.command)}: {time.perf_counter() - start:.0f} s, exit code {code}")
    for burner in burners:
        burner.terminate()
    return code


if __name__ == "__main__":
    sys.exit(main())
