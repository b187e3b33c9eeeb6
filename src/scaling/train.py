"""Train one run, or a sweep of many: `python -m scaling.train batch=32 lr=1e-3 clip=1.0`."""

from scaling import threads


def main() -> None:
    """The command line; leaves with the exit code of the command."""
    threads.sleep_while_waiting()
    from scaling import sweep  # imports torch, which reads how its threads are to wait

    sweep.main()


if __name__ == "__main__":
    main()
