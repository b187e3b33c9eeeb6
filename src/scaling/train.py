"""Train one run, or a sweep of many: `python -m scaling.train batch=32 lr=1e-3 clip=1.0`."""

from scaling.runs import threads


def main() -> None:
    """The command line; leaves with the exit code of the command."""
    threads.sleep_while_waiting()
    from scaling.sweeps import command  # torch reads at import how its threads are to wait

    command.main()


if __name__ == "__main__":
    main()
