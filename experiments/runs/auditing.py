"""The audit of one release of a run: divergence, exact ε, and samples of the noise."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, NoiseAudit, TrainingRun, audit, monte_carlo
from rewindnet.certificates.audits.montecarlo import MOST_DRAWS
from rewindnet.certificates.audits.noise import (
    LEVEL,
    NO_NOISE,
    NoiseTraces,
    audit_logs,
    audit_vectors,
    no_traces,
)
from rewindnet.clients.training.noise import draw
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.simulator.outcome import Outcome, divergence
from rewindnet.topologies import Stream


def audited(
    setup: RunSetup,
    certificate: Certificate,
    outcome: Outcome,
    retrained: Tensor,
    index: int,
    noise_audit: NoiseAudit,
) -> Audit:
    """Audit a certificate by retraining, and by samples from the source of its noise.

    Every block of draws has an address of its own, (seed, audit, index · MOST_DRAWS + first, node), so that they repeat
    on any transport and can be drawn again by a verifier. Secret noise is drawn at its source and cannot be repeated.

    Args:
        setup: of the run.
        certificate: of the release.
        outcome: of the release: where the noise was added, and what shifts were measured.
        retrained: [N, d], the models before the noise had the network never seen the forget set.
        index: which release of the run it is.
        noise_audit: of the noise that was added.
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
    return audit(
        certificate, setup.network.remaining, divergence(centre, retrained), sampled, outcome.shifts, noise_audit
    )


def audited_noise(
    setup: RunSetup,
    training: TrainingRun,
    outcome: Outcome,
    retrained: Tensor,
    earlier: Sequence[NoiseTraces],
) -> tuple[NoiseAudit, NoiseTraces]:
    """Audit the noise that a release has added to its models, whatever its source.

    Args:
        setup: of the run.
        training: how the network learned up to the request.
        outcome: of the release: the models before and after the noise, and what nodes have measured on the way.
        retrained: [N, d], the models before the noise had the network never seen the forget set.
        earlier: of the earlier releases of the run, in order.

    Returns:
        The audit, and what later releases are compared with.
    """
    release, parameters = outcome.plan.release, outcome.centre.shape[1]
    additions = release.mechanism.additions(training, release)
    if not len(additions):
        return NO_NOISE, no_traces(parameters)
    level = LEVEL / releases(setup)
    if not release.adds_one_vector:
        return audit_logs(additions, outcome.noise, parameters, level, earlier)
    return audit_vectors(
        additions,
        outcome.centre.cpu().numpy(),
        outcome.noised.cpu().numpy(),
        torch.finfo(outcome.noised.dtype).eps / 2,
        level,
        retrained.cpu().numpy(),
        release.shares_noise,
        earlier,
    )


def releases(setup: RunSetup) -> int:
    """Return how many releases a run makes."""
    return len(setup.methods) * len(setup.network.training_runs)
