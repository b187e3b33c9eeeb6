"""Show what is done, running, failed or missing in a sweep: `python -m scaling.status FOLDER`."""

import argparse
import signal
import sys
import time
from pathlib import Path

from scaling.contracts import ctrl_c, standard_streams


def main() -> int:
    """Run the command line and return the exit code: 0 if the folders could be read, else 2."""
    parser = argparse.ArgumentParser(
        prog="python -m scaling.status",
        description="Show what is done, running, failed or missing in a sweep.",
        epilog="Exit codes: 0 the folders could be read; 2 they could not.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER",
        help="such as multirun/quickstart, or multirun for all studies",
    )  # fmt: skip
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--watch", action="store_true", help="repeat until every cell is done or diverged"
    )
    ways.add_argument("--json", action="store_true", help="counts, cells and commands as JSON")
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="between updates; 5 by default"
    )
    given = parser.parse_args()
    if not given.every > 0:
        parser.error(f"--every {given.every:g} must be a positive number of seconds")
    from scaling.contracts.columns import FINISHED
    from scaling.reporting.status import look  # imported here to keep --help quick

    if given.watch:
        signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    try:
        while True:
            cells, text = look(given.folders, as_json=given.json)
            clear = "\033[2J\033[H" if given.watch and sys.stdout.isatty() else ""
            print(f"{clear}{text}", flush=True)
            if not given.watch or all(cell.state in FINISHED for cell in cells):
                return 0
            time.sleep(given.every)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    standard_streams.open_closed()
    ctrl_c.prints("stopped")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader such as head may end first
    sys.exit(main())
