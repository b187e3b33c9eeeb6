"""Open TensorBoard on sweeps, runs in the order of their numbers: `python -m scaling.dashboard`."""

import argparse
import signal
import sys
from pathlib import Path

from scaling.reporting.tensorboard import serve


def main() -> int:
    """The command line; gives the exit code: 0 after Ctrl-C, 2 without a run to show."""
    parser = argparse.ArgumentParser(
        prog="python -m scaling.dashboard",
        description="Open TensorBoard on sweeps, finished or not, runs in order of their numbers.",
        epilog="What is not known here goes to TensorBoard, such as --port 6007.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="such as multirun/quickstart"
    )
    given, more = parser.parse_known_args()
    return serve(given.folders, more)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
