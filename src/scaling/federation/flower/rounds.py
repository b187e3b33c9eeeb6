"""Run federated rounds, in this process or on Ray."""

import contextlib
import importlib.util
import logging
import math
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from flwr.app import ArrayRecord, Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Result

from scaling.federation.flower.apps import Arrays, Work, arrays, client_app, record
from scaling.federation.flower.grid import InProcessGrid
from scaling.federation.flower.strategies import Failure, RecordedFedAvg


class Rounds(NamedTuple):
    """The result of all rounds."""

    arrays: Arrays
    losses: dict[int, float]  # mean over the examples of the clients that answered, by round
    answered: dict[int, int]  # number of clients, by round
    failures: list[Failure]


def run(
    make: Callable[[], RecordedFedAvg],
    work: Work,
    initial: Arrays,
    *,
    clients: int,
    rounds: int,
    backend: str,
    watch: Callable[[int, Arrays], None],
) -> Rounds:
    """Train for a number of rounds.

    Args:
        make: makes the strategy.
        work: the work of a client in a round, see `client_app`.
        initial: arrays at the start of the first round.
        clients: number of clients.
        rounds: number of rounds.
        backend: `in_process`, or `ray`: on the cluster of the variable RAY_ADDRESS, else on this
            machine with a processor for each client.
        watch: called with the number and the arrays of each round, and with 0 before the first.

    Raises:
        ValueError: if `backend` is `ray` and Ray is not installed.
        RuntimeError: if no client answers in a round.
    """
    with _quiet():
        strategy = make()

    def serve(grid: Grid) -> Result:
        def evaluate(server_round: int, current: ArrayRecord) -> None:
            watch(server_round, arrays(current))

        state = random.getstate()  # Flower draws the clients of a round, although all train
        try:
            return strategy.start(
                grid, record(initial), num_rounds=rounds, timeout=math.inf, evaluate_fn=evaluate
            )
        finally:
            random.setstate(state)

    app = client_app(work)
    with _quiet():
        if backend == "ray":
            result = _with_ray(serve, app, clients)
        else:
            result = serve(InProcessGrid(app, clients))
    losses: dict[int, Any] = {i: m["loss"] for i, m in result.train_metrics_clientapp.items()}
    return Rounds(arrays(result.arrays), losses, strategy.answered, strategy.failures)


def _with_ray(serve: Callable[[Grid], Result], app: ClientApp, clients: int) -> Result:
    if importlib.util.find_spec("ray") is None:
        raise ValueError(
            "backend=ray needs Ray, which is not installed; pip install '.[federated-ray]' in a "
            "checkout, or choose backend=in_process"
        )
    from flwr.simulation import run_simulation  # imports Ray

    results: list[Result] = []
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        results.append(serve(grid))

    # Flower writes an identity into its home even without telemetry; Ray has its own telemetry.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        _environment(FLWR_HOME=home, RAY_USAGE_STATS_ENABLED="0"),
    ):
        run_simulation(server, app, clients, backend_config={"client_resources": {"num_cpus": 1}})
    return results[0]


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables for the block, then restore the whole environment."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Flower's log of every round; failures are reported elsewhere."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
