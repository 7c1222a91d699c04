"""The audit of one release of a run: divergence, exact ε, and samples of the noise."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, audit, monte_carlo
from rewindnet.certificates.audits.montecarlo import MOST_DRAWS
from rewindnet.clients.training.noise import draw
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.simulator.outcome import Outcome, divergence
from rewindnet.topologies import Stream


def audited(setup: RunSetup, certificate: Certificate, outcome: Outcome, retrained: Tensor, index: int) -> Audit:
    """Audit a certificate by retraining, and by samples from the source of its noise.

    Every block of draws has an address of its own, (seed, audit, index · MOST_DRAWS + first, node), so that they repeat
    on any transport and can be drawn again by a verifier. Secret noise is drawn at its source and cannot be repeated.

    Args:
        setup: of the run.
        certificate: of the release.
        outcome: of the release: where the noise was added, and what shifts were measured.
        retrained: [N, d], the models before the noise had the network never seen the forget set.
        index: which release of the run it is.
    """
    centre = outcome.centre
    seed, settings, parameters = setup.scenario.seed, setup.scenario.audit, centre.shape[1]

    def noise(node: int, first: int, rows: int) -> NDArray[np.float64]:
        number = index * MOST_DRAWS + first
        flat = draw(rows * parameters, seed, number, node, certificate.release.noise_source, Stream.AUDIT)
        return flat.reshape(rows, parameters)

    sampled = monte_carlo(
        certificate,
        setup.network.remaining,
        centre.cpu().numpy(),
        retrained.cpu().numpy(),
        noise,
        settings.draws,
        settings.confidence,
    )
    return audit(certificate, setup.network.remaining, divergence(centre, retrained), sampled, outcome.shifts)
