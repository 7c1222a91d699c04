"""Programs: the steps that produce a release."""

from dataclasses import dataclass

from rewindnet.clients.steps.base import CommunicationStep, LocalStep


@dataclass(frozen=True)
class Program:
    """The steps of a release from a checkpoint on: rounds before the noise, the noise, and rounds after it.

    Attributes:
        approach: the rounds before the noise.
        noise: what every client does by itself where the noise is added.
        finish: the rounds after it.
        watched: the nodes whose shifts are measured: by how much what they add noise to, or work out, would be another
            had they never had the forget set.
        beforehand: whether all this was done while the network learned, so that a request costs nothing.
    """

    approach: tuple[CommunicationStep, ...] = ()
    noise: tuple[LocalStep, ...] = ()
    finish: tuple[CommunicationStep, ...] = ()
    watched: tuple[int, ...] = ()
    beforehand: bool = False
