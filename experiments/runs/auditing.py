"""Audit one release of a run: its divergence, the ε of this pair of runs, and samples of the noise."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, audit, monte_carlo
from rewindnet.certificates.audits.montecarlo import MOST_DRAWS
from rewindnet.clients.training.noise import draw
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.simulator.outcome import Outcome, divergence
from rewindnet.topologies import Stream


def audit_release(setup: RunSetup, certificate: Certificate, outcome: Outcome, retrained: Tensor, index: int) -> Audit:
    """Audit a certificate by retraining, and by samples of the noise.

    Every block of draws has its own address, (seed, audit, index · MOST_DRAWS + first, node). The draws are therefore
    the same on every transport, and a verifier can repeat them. Secret noise comes from the operating system and cannot
    be repeated.

    Args:
        setup: the run.
        certificate: the certificate of the release.
        outcome: the outcome of the release, with the models before the noise and the measured shifts.
        retrained: [N, d], the models before the noise of the network retrained without the forget set.
        index: the number of the release.
    """
    centre = outcome.centre
    seed, settings, parameters = setup.scenario.seed, setup.scenario.audit, centre.shape[1]

    def draw_noise(node: int, first: int, rows: int) -> NDArray[np.float64]:
        number = index * MOST_DRAWS + first
        flat = draw(rows * parameters, seed, number, node, certificate.release.noise_source, Stream.AUDIT)
        return flat.reshape(rows, parameters)

    sampled = monte_carlo(
        certificate,
        setup.network.remaining,
        centre.cpu().numpy(),
        retrained.cpu().numpy(),
        draw_noise,
        settings.draws,
        settings.confidence,
    )
    return audit(certificate, setup.network.remaining, divergence(centre, retrained), sampled, outcome.shifts)
