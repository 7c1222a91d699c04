"""ε against rewind depth, for every rewinding method of a run that carries noise."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from rewindnet.certificates import Certificate, CertificateError, TrainingRun, certify, scaled_noise
from rewindnet.clients.methods import rewinds
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.charts.chart import Chart

#: The axis of rewind depths, from 0 to 100 %.
DEPTH = {"label": "rewind depth K/T", "percent": True}
#: The largest number of sparse products times nodes for this chart; they take some seconds.
_WORK = 100_000_000
#: The largest number of depths on a line.
_DEPTHS = 21


def depth_chart(run: RunFolder) -> Chart | None:
    """Certify ε at several rewind depths, with a line for every rewinding method with noise; None if there is none."""
    shown = [
        (index, certificate)
        for index, (certificate, _) in enumerate(run.certified)
        if rewinds(certificate.method) and certificate.epsilon and any(certificate.release.sigma)
    ]
    if not shown:
        return None
    lines = [_line(run.training_run_of(index), index, certificate, len(shown)) for index, certificate in shown]
    data = {"value": "certified ε at the noise of the run", "percent": False, "series": lines, "level": None}
    data["across"] = DEPTH
    return Chart("against", "depth", "Certified ε against rewind depth, one line for each method with noise", data)


def rises(chart: Chart) -> bool:
    """Return whether more rewinding takes ε up anywhere on the chart, by more than a thousandth."""
    pairs = [pair for line in chart.data["series"] for pair in pairwise(line["points"])]
    return any(before and after and after > 1.001 * before for (_, before), (_, after) in pairs)


def _line(training: TrainingRun, index: int, certificate: Certificate, lines: int) -> dict[str, Any]:
    """Certify the depths of one line; the depth of the run is on it, whatever the other depths are."""
    T, own = certificate.training.rounds, certificate.rewound_rounds
    epsilons = {K: _epsilon_at(training, certificate, K) for K in sorted({*_depths(training, lines), own})}
    return {
        "label": _label(index, certificate),
        "points": [[K / T, epsilon or None] for K, epsilon in epsilons.items()],
        "marks": [[own / T, certificate.epsilon]],
        "level": certificate.epsilon,
    }


def _label(index: int, certificate: Certificate) -> str:
    """Return the label of a release in a legend."""
    noise = f"{certificate.release.placement} {certificate.claim.allocation}"
    rounds = certificate.release.gossip_rounds
    gossip = f", {rounds} gossip rounds" if rounds else ""
    return f"{index} {certificate.method}: {certificate.claim.bound}, {noise}{gossip}, {certificate.view}"


def _depths(training: TrainingRun, lines: int) -> list[int]:
    """Select the depths K to certify: fewer depths for larger networks and longer runs."""
    T = training.rounds
    affordable = _WORK // (3 * T * max(training.mixing.nodes, 100) * lines)
    return sorted({round(share * T) for share in np.linspace(0, 1, int(np.clip(affordable, 6, _DEPTHS)))})


def _epsilon_at(training: TrainingRun, certificate: Certificate, K: int) -> float | None:
    """Compute the ε certified for a rewind of K rounds with the same σ and allocation; None if there is none."""
    release, claim = (
        replace(certificate.release, checkpoint_round=certificate.training.rounds - K, descent_rounds=K),
        certificate.claim,
    )
    try:
        if certificate.claim.allocation == "optimal":
            size = float(np.sqrt(np.mean(release.sigma**2)))
            release = replace(release, sigma=scaled_noise(training, release, claim, size))
        return certify(training, release, claim).epsilon
    except CertificateError:
        return None
