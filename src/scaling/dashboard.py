"""Open TensorBoard on sweeps, with short names of runs: `python -m scaling.dashboard`."""

import argparse
import signal
import sys
from pathlib import Path

from scaling.contracts import ctrl_c, standard_streams


def main() -> int:
    """Run the command line and return the exit code: 0 after Ctrl-C, 2 without a run to show."""
    parser = argparse.ArgumentParser(
        prog="python -m scaling.dashboard",
        description="Open TensorBoard on sweeps, finished or not; runs are named by what varies.",
        epilog="Other options, such as --port 6007, go to TensorBoard.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="such as multirun/quickstart"
    )
    given, more = parser.parse_known_args()
    from scaling.reporting.tensorboard import serve  # imported here to keep --help quick

    return serve(given.folders, more)


if __name__ == "__main__":
    standard_streams.open_closed()
    ctrl_c.prints("stopped")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
