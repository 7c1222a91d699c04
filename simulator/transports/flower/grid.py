"""A Flower grid without a network: each message is a call of the ClientApp, here and now, in node order.

Everything this grid needs of Flower that Flower does not promise to keep is imported in this file, and only here:
`TaskIdentity`, from which `Message` takes its sender and without which it refuses to be made; `Run`, which the
interface of `Grid` speaks of; `ErrorCode`, by which Flower tells the errors of a ClientApp from its own; and the
number of the node that the ServerApp itself is.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import NUM_PARTITIONS_KEY, PARTITION_ID_KEY, SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from rewindnet.simulator.transports.flower.errors import FlowerError

_RUN_ID = 1
_TASK_ID = 1
#: The first client's node id: ids count up from here, past the ServerApp's own.
FIRST_NODE_ID = SUPERLINK_NODE_ID + 1


class DirectGrid(Grid):
    """Calls a ClientApp for each message, one after another, in the order of the nodes.

    Between the messages a node keeps its `Context`, and what the ClientApp put into its `state`. The objects in a
    message are handed over as they are, not copied.

    Args:
        client_app: what runs at every node.
        clients: the number of nodes N; node ids are `FIRST_NODE_ID`, ..., in the order of the partitions.

    Raises:
        FlowerError: if there are no clients.
    """

    def __init__(self, client_app: ClientApp, clients: int) -> None:
        if clients < 1:
            raise FlowerError(f"a network of {clients} clients cannot be run; it takes at least 1")
        self._client_app = client_app
        self._run = Run.create_empty(run_id=_RUN_ID)
        self._sent = 0
        self._replies: dict[str, Message] = {}
        self._contexts = {
            FIRST_NODE_ID + node: Context(
                run_id=_RUN_ID,
                node_id=FIRST_NODE_ID + node,
                node_config={PARTITION_ID_KEY: node, NUM_PARTITIONS_KEY: clients},
                state=RecordDict(),
                run_config={},
            )
            for node in range(clients)
        }

    @property
    def run(self) -> Run:
        """The run, as Flower describes it."""
        return self._run

    def set_run(self, run: Run) -> None:
        """Replace the description of the run."""
        self._run = run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Make a message to a node: the older form of `Message(...)`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the ids of all nodes, in the order of their partitions."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Call the ClientApp for every message, and keep the replies until they are pulled.

        Returns:
            The ids of the messages, in the order given.

        Raises:
            FlowerError: for a message to a node that there is not, before any is delivered.
        """
        sent = list(messages)
        for message in sent:
            self._stamp(message)
        for message in sorted(sent, key=lambda message: message.metadata.dst_node_id):
            self._replies[message.metadata.message_id] = self._deliver(message)
        return [message.metadata.message_id for message in sent]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to these messages, each once."""
        replies = (self._replies.pop(message_id, None) for message_id in message_ids)
        return [reply for reply in replies if reply is not None]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Return the replies to these messages, in the same order; there is nothing to wait for."""
        return self.pull_messages(self.push_messages(messages))

    def _stamp(self, message: Message) -> None:
        if message.metadata.dst_node_id not in self._contexts:
            raise FlowerError(
                f"node {message.metadata.dst_node_id} is not in this network; its nodes are "
                f"{FIRST_NODE_ID} to {FIRST_NODE_ID + len(self._contexts) - 1}"
            )
        self._sent += 1
        _name(message, str(self._sent))

    def _deliver(self, message: Message) -> Message:
        try:
            reply = self._client_app(message, self._contexts[message.metadata.dst_node_id])
            if not isinstance(reply, Message):
                raise TypeError(f"the ClientApp returned {reply!r} instead of a Message")
        except Exception as error:
            # Worded as Flower's own runtimes word it.
            reason = f"{type(error)}:<'{error}'>"
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
        _name(reply, f"{message.metadata.message_id}-reply")
        return reply


def _name(message: Message, message_id: str) -> None:
    # Flower's own grids set the id the same way: the metadata have no setter for it.
    vars(message.metadata)["_message_id"] = message_id


@contextmanager
def server_identity() -> Iterator[None]:
    """Make this process the ServerApp of a run, without which Flower makes no `Message`, and undo it afterwards."""
    before = {name: vars(TaskIdentity)[name] for name in ("_run_id", "_task_id", "_node_id")}
    TaskIdentity.run_id = _RUN_ID
    TaskIdentity.task_id = _TASK_ID
    TaskIdentity.node_id = SUPERLINK_NODE_ID
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(TaskIdentity, name, value)


def server_context() -> Context:
    """Return the context that a ServerApp is given."""
    return Context(run_id=_RUN_ID, node_id=SUPERLINK_NODE_ID, node_config={}, state=RecordDict(), run_config={})
