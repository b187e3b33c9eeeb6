"""Clients as Flower knows them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
CLIENT, CLIENTS = "partition-id", "num-partitions"  # Flower's names for a client and their number
EXAMPLES = "num-examples"  # and for what its average weighs by
RAISED = 2  # and its code for an error in a client

Arrays = dict[str, np.ndarray]
Work = Callable[[Arrays, int, int, float], tuple[Arrays, int, float]]


def client_app(work: Work) -> ClientApp:
    """Clients that train, and say which they are.

    Args:
        work: from the arrays of a round, its number from 1, that of the client from 0, and the
            weight of the proximal term, to new arrays, the number of examples and the mean loss.
            Ray pickles it.
    """
    app = ClientApp()
    app.query()(number)
    app.train()(Training(work))
    return app


def number(message: Message, context: Context) -> Message:
    """Answer with the client's number."""
    metrics = MetricRecord({CLIENT: int(context.node_config[CLIENT])})
    return Message(RecordDict({METRICS: metrics}), reply_to=message)


@dataclass(frozen=True)
class Training:
    """Answer with what came of the work, or with the reason why nothing did."""

    work: Work

    def __call__(self, message: Message, context: Context) -> Message:
        config: Any = message.content[CONFIG]
        try:
            new, examples, loss = self.work(
                arrays(message.content[ARRAYS]),
                int(config["server-round"]),
                int(context.node_config[CLIENT]),
                float(config.get("proximal-mu", 0.0)),
            )
        except Exception as error:  # whatever goes wrong in a client, the others go on
            said = f"{type(error).__name__}: {error}"
            return Message(Error(code=RAISED, reason=said), reply_to=message)
        metrics = MetricRecord({EXAMPLES: examples, "loss": loss})
        return Message(RecordDict({ARRAYS: record(new), METRICS: metrics}), reply_to=message)


def record(sent: Arrays) -> ArrayRecord:
    """Arrays in Flower's form."""
    return ArrayRecord({name: Array(array) for name, array in sent.items()})


def arrays(received: Mapping[str, Any]) -> Arrays:
    """Arrays out of it."""
    return {name: array.numpy() for name, array in received.items()}
