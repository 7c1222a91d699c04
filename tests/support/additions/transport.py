"""A transport whose messages are copied as bytes."""

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.simulator.errors import TransportError
from rewindnet.simulator.transports.base import Job, Transport
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess


class PostalWire(InProcess):
    """All nodes in this process; what one sends to another is put into an envelope of bytes."""

    posted = 0

    def mix(self, messages: Tensor, W: csr_array, counted: bool = True) -> Tensor:
        """Return Σ_j W_ij·message_j, read from the envelopes."""
        envelopes = [message.numpy().tobytes() for message in messages.cpu()]
        PostalWire.posted += len(envelopes)
        opened = np.stack([np.frombuffer(envelope, messages.cpu().numpy().dtype) for envelope in envelopes])
        return super().mix(torch.from_numpy(opened).to(messages), W, counted)


class Post(Transport):
    """All clients in this process, with messages as bytes: a transport of a test.

    Args:
        most: nodes that it serves.
    """

    one_process = True

    def __init__(self, *, most: int = 100) -> None:
        self._most = most

    def check(self, nodes: int) -> None:
        """Refuse a network that is too large."""
        if nodes > self._most:
            raise TransportError(f"the post serves {self._most} nodes, not {nodes}")

    def execute(self, job: Job) -> None:
        """Run the job in this process."""
        wire = PostalWire(job.nodes, job.precision)
        job.run(WorkerNetwork(job.worker(wire.nodes), wire))
