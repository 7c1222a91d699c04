"""What mixing leaves of the noise of a row: how much of it a released model still has, by the mixing matrices alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rewindnet.certificates import CertificateError, Spectrum, noise_left
from rewindnet.clients.methods import METHODS
from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.plan.rows import Row
from rewindnet.experiments.scenario.network_setup import NetworkSetup

#: The largest number of nodes for which it is computed.
_LARGEST = 3_000


@dataclass(frozen=True)
class NoiseAfterMixing:
    """The noise that mixing leaves in the released models of one row, for the requesting client.

    A score is an inner product with features of a norm of at most the radius, most often 1, so this is also the noise
    of a score for each unit of that norm. Descent lowers it further, by an amount that depends on the data.

    Attributes:
        settle_first: the gossip rounds before the descent.
        gossip_rounds: all gossip rounds.
        noise: σ of the noise that the rounds after it leave in a model, root mean square over nodes.
        highest: the same at the node with the most of it.
        even: what would be left if every model were the average of all.
    """

    settle_first: int
    gossip_rounds: int
    noise: float
    highest: float
    even: float

    def to_record(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)


def noise_after_mixing(network: NetworkSetup, rows: Sequence[Row]) -> list[NoiseAfterMixing | None]:
    """Compute what mixing leaves of the noise of each row; None for a row of an open depth or on too large a network.

    Args:
        network: the network that is planned.
        rows: its rows.
    """
    return [_of_row(network, row) if row.depth is not None else None for row in rows]


def _of_row(network: NetworkSetup, row: Row) -> NoiseAfterMixing | None:
    if network.nodes > _LARGEST:
        return None
    training = network.training_run
    method = method_of(row)
    try:
        release = method.plan(training).release
    except CertificateError:
        return None
    flat = Spectrum(np.zeros(1), np.ones(1))
    left, N = noise_left(training, release, flat)[training.present], int(training.present.sum())
    even = release.sigma[0] if release.averaged else float(np.sqrt(np.sum(release.sigma**2))) / N
    return NoiseAfterMixing(
        settle_first=len(release.settling),
        gossip_rounds=len(release.settling) + len(release.gossip),
        noise=float(np.sqrt(np.mean(left**2))),
        highest=float(left.max()),
        even=float(even),
    )


def method_of(row: Row) -> R2D:
    """Return the method of a row, by the bound by which it is planned."""
    settings = dict(row.settings)
    method: R2D = METHODS.build(settings.pop("method"), **settings)
    return replace(method, bound=row.bound)
