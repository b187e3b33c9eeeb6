"""A grid of clients in this process."""

from collections.abc import Iterable
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from scaling.federation.flower.apps import CLIENT, CLIENTS


class InProcessGrid(Grid):
    """Clients that answer one after another, without sockets, files or other processes.

    Args:
        app: the app of every client.
        clients: number of clients; Flower's node i + 1 is client i.
    """

    def __init__(self, app: ClientApp, clients: int):
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1  # for every Message
        self.app = app
        self.contexts = {
            client + 1: Context(
                run_id=1,
                node_id=client + 1,
                node_config={CLIENT: client, CLIENTS: clients},
                state=RecordDict(),
                run_config={},
            )
            for client in range(clients)
        }

    def get_node_ids(self) -> list[int]:
        return list(self.contexts)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        return [self.app(m, self.contexts[m.metadata.dst_node_id]) for m in messages]

    # Strategies never call the following.

    def set_run(self, run: Any) -> None:
        raise NotImplementedError("one process has one run")

    @property
    def run(self) -> Any:
        raise NotImplementedError("one process has one run")

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError("Message(...) makes messages")

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError("messages are answered at once, by send_and_receive")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError("messages are answered at once, by send_and_receive")
