"""Train one run, or a sweep of many: `python -m scaling.train batch=32 lr=1e-3 clip=1.0`."""

from scaling.contracts import standard_streams
from scaling.runs import signals, threads


def main() -> None:
    """Run the command line and exit with its exit code."""
    standard_streams.open_closed()
    signals.quit_before_runs()  # also during the imports below
    threads.sleep_while_waiting()
    from scaling.sweeps import command  # torch reads this setting when it is imported

    command.main()


if __name__ == "__main__":
    main()
