"""Audit one release of a run: its divergence, the ε of this pair of runs, and samples of the noise."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, NoiseAudit, TrainingRun, audit, monte_carlo
from rewindnet.certificates.audits.montecarlo import MOST_DRAWS
from rewindnet.certificates.audits.noise.record import NO_NOISE
from rewindnet.certificates.audits.noise.traces import NoiseTraces, no_traces
from rewindnet.certificates.audits.noise.verdict import LEVEL, audit_logs, audit_vectors
from rewindnet.clients.training.noise import draw
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.simulator.outcome import Outcome, divergence
from rewindnet.topologies import Stream


def audit_release(
    setup: RunSetup,
    certificate: Certificate,
    outcome: Outcome,
    retrained: Tensor,
    index: int,
    noise_audit: NoiseAudit,
) -> Audit:
    """Audit a certificate by retraining, and by samples of the noise.

    Every block of draws has its own address: that of the release, with the number index · MOST_DRAWS + first in the
    stream of audits. The draws are therefore the same on every transport, and a verifier can repeat them. Secret noise
    comes from the operating system and cannot be repeated.

    Args:
        setup: the run.
        certificate: the certificate of the release.
        outcome: the outcome of the release, with the models before the noise and the measured shifts.
        retrained: [N, d], the models before the noise of the network retrained without the forget set.
        index: the number of the release.
        noise_audit: the audit of the noise that was added.
    """
    centre = outcome.centre
    settings, parameters = setup.scenario.audit, centre.shape[1]

    def draw_noise(node: int, first: int, rows: int) -> NDArray[np.float64]:
        address = replace(outcome.address, release=index * MOST_DRAWS + first)
        flat = draw(rows * parameters, address, node, Stream.AUDIT)
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
    return audit(
        certificate, setup.network.remaining, divergence(centre, retrained), sampled, outcome.shifts, noise_audit
    )


def audit_noise(
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
