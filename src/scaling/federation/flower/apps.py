"""Clients as Flower apps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
CLIENT, CLIENTS = "partition-id", "num-partitions"  # Flower's names: number of a client, of all
EXAMPLES = "num-examples"  # Flower's name of the weight in its average
RAISED = 2  # Flower's code of an error in a client

Arrays = dict[str, np.ndarray]
Work = Callable[[Arrays, int, int, float], tuple[Arrays, int, float]]


def client_app(work: Work) -> ClientApp:
    """An app of clients that train and report their numbers.

    Args:
        work: takes the arrays of a round, the round's number from 1, the client's number from 0 and
            the weight of the proximal term; returns new arrays, the number of examples and the mean
            loss. Ray pickles it.
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
    """Answer with the result of the work, or with the reason why it failed."""

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
        except Exception as error:  # a failed client must not stop the others
            reason = f"{type(error).__name__}: {error}"
            return Message(Error(code=RAISED, reason=reason), reply_to=message)
        metrics = MetricRecord({EXAMPLES: examples, "loss": loss})
        return Message(RecordDict({ARRAYS: record(new), METRICS: metrics}), reply_to=message)


def record(sent: Arrays) -> ArrayRecord:
    """Convert arrays to Flower's type."""
    return ArrayRecord({name: Array(array) for name, array in sent.items()})


def arrays(received: Mapping[str, Any]) -> Arrays:
    """Convert Flower's records to arrays."""
    return {name: array.numpy() for name, array in received.items()}
