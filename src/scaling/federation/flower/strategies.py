"""Flower's strategies, which also record the clients that did not answer."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdam, FedAvg, FedProx

from scaling.federation import averaging
from scaling.federation.flower.apps import ARRAYS, CLIENT, EXAMPLES, METRICS


class Failure(NamedTuple):
    """A client that did not answer in a round."""

    round: int
    client: int
    reason: str


class RecordedFedAvg(FedAvg):
    """Train every client in every round and record those that do not answer.

    Answers are summed in the order of the clients' numbers, not of their arrival, so that sums are
    bit-identical.

    Args:
        clients: number of clients.
        statistics: names of arrays that are not parameters. They are averaged plainly whatever the
            strategy, because a step of Adam could make a variance negative.
        settings: settings of the strategy.
    """

    def __init__(self, *, clients: int, statistics: Sequence[str], **settings: Any):
        super().__init__(
            fraction_train=1.0,
            fraction_evaluate=0.0,
            min_train_nodes=clients,
            min_available_nodes=clients,
            **settings,
        )
        self.statistics = statistics
        self.numbers: dict[int, int] = {}  # Flower's number of a node -> number of its client
        self.failures: list[Failure] = []
        self.answered: dict[int, int] = {}  # number of clients, by round

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        messages = list(super().configure_train(server_round, arrays, config, grid))
        if not self.numbers:  # all nodes have joined by now
            self.numbers = _numbers(grid, [m.metadata.dst_node_id for m in messages])
        return sorted(messages, key=lambda m: self.numbers[m.metadata.dst_node_id])

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        by_client = {self.numbers[reply.metadata.src_node_id]: reply for reply in replies}
        for client in sorted(self.numbers.values()):
            reply = by_client.get(client)
            if reply is None or reply.has_error():
                reason = "no answer in time" if reply is None else str(reply.error.reason)
                self.failures.append(Failure(server_round, client, reason))
        good = [by_client[i] for i in sorted(by_client) if by_client[i].has_content()]
        self.answered[server_round] = len(good)
        if not good:
            last = self.failures[-1]
            raise RuntimeError(
                f"all {len(self.numbers)} clients failed in round {server_round}; the last error: "
                f"{last.reason}"
            )
        arrays, metrics = super().aggregate_train(server_round, good)
        if arrays is not None and self.statistics:
            contents: list[Any] = [reply.content for reply in good]
            plain = averaging.average(
                [{name: c[ARRAYS][name].numpy() for name in self.statistics} for c in contents],
                [c[METRICS][EXAMPLES] for c in contents],
            )
            arrays.update({name: Array(value) for name, value in plain.items()})
        return arrays, metrics


class Average(RecordedFedAvg):
    """The mean of the clients' weights (McMahan et al., arXiv:1602.05629)."""


class Proximal(RecordedFedAvg, FedProx):
    """The mean of clients that are pulled to the round's start (Li et al., arXiv:1812.06127)."""


class Adaptive(RecordedFedAvg, FedAdam):
    """A step of Adam along the clients' mean change (Reddi et al., arXiv:2003.00295)."""


def _numbers(grid: Grid, nodes: Sequence[int]) -> dict[int, int]:
    """Ask the client at each node for its number.

    Raises:
        RuntimeError: if a client does not answer.
    """
    asked = [Message(RecordDict(), node, MessageType.QUERY) for node in nodes]
    numbers: dict[int, int] = {}
    for reply in grid.send_and_receive(asked, timeout=math.inf):
        if reply.has_error():
            raise RuntimeError(f"a client does not start: {reply.error.reason}")
        content: Any = reply.content
        numbers[reply.metadata.src_node_id] = int(content[METRICS][CLIENT])
    return numbers
