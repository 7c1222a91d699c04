"""Verify Monte-Carlo audits: repeat the draws where possible, and derive the lower bound from the counts."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Audit, MonteCarlo, TrainingRun, monte_carlo
from rewindnet.certificates.audits.montecarlo import MOST_DRAWS, lower_bound
from rewindnet.certificates.findings import OnRecord
from rewindnet.clients.training.noise import NoiseAddress, draw
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.records import certificate_of, demand, noise_address_of, request_suffix_of, same
from rewindnet.experiments.verify.weights import averaged
from rewindnet.topologies import Stream


def check_samples(folder: RunFolder, training: TrainingRun, index: int) -> str:
    """Derive the lower bound on ε from the counts, and repeat the draws if the weights are stored.

    Args:
        folder: the run folder.
        training: how the network learned up to the request that the release answers.
        index: the number of the release.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if the bound does not follow from the counts, or the counts are not those of the draws.
    """
    method, settings = folder.methods[index], folder.scenario["audit"]
    claimed, recorded = certificate_of(method), Audit.from_record(method.audit).monte_carlo
    confidence, draws = settings["confidence"], settings["draws"]
    if recorded is not None:
        _check_bound(recorded, claimed.delta)
        met = recorded.confidence == confidence and draws in (None, recorded.draws)
        demand(met, f"{recorded.draws} draws at confidence {recorded.confidence} are not what the scenario asked for")
    sentence = (
        "nothing was sampled" if recorded is None else f"ε ≥ {recorded.epsilon_lower_bound:.3g} follows from the counts"
    )
    release = claimed.release
    centre = folder.weights(f"{method.place}/centre")
    retrained = folder.weights(f"checkpoints/retrained{request_suffix_of(folder, index)}-{release.noise_round:06d}")
    if release.noise_source != "seed":
        return OnRecord(f"{sentence}; the noise is a secret, so nothing was drawn again")
    if centre is None or retrained is None:
        return OnRecord(f"{sentence}; weights were not kept, so nothing was drawn again")
    if release.averaged and centre.dtype != np.float64:
        return OnRecord(
            f"{sentence}; an average in {centre.dtype} does not repeat bit for bit, so nothing was drawn again"
        )
    noise = _Noise(noise_address_of(folder, index), centre.shape[1])
    repeated = monte_carlo(claimed, training.mixing, centre, averaged(retrained, release), noise, draws, confidence)
    _check_same(recorded, repeated)
    return sentence if recorded is None else f"{sentence} of {recorded.draws:,} draws, drawn again"


@dataclass(frozen=True)
class _Noise:
    """Draws the noise of an audit again, each block of draws from its own address.

    Attributes:
        address: where the noise of the release is drawn.
        parameters: d.
    """

    address: NoiseAddress
    parameters: int

    def __call__(self, node: int, first: int, rows: int) -> NDArray[np.float64]:
        """Draw [rows, d] standard normal values: the draws of a node from number `first` on."""
        address = replace(self.address, release=self.address.release * MOST_DRAWS + first)
        return draw(rows * self.parameters, address, node, Stream.AUDIT).reshape(rows, self.parameters)


def _check_bound(recorded: MonteCarlo, delta: float) -> None:
    """Check that the counts are possible, and that the lower bound follows from them."""
    counted = recorded.draws - recorded.draws // 10
    demand(recorded.counted == counted, f"of {recorded.draws} draws {counted} are counted, not {recorded.counted}")
    counts = (*recorded.true_positives, *recorded.false_positives)
    possible = len(counts) == 4 and all(type(count) is int and 0 <= count <= counted for count in counts)
    possible = possible and all(t >= f for t, f in zip(recorded.true_positives, recorded.false_positives, strict=True))
    demand(possible, f"{counts} are no counts of two tests on {counted} draws")
    follows = lower_bound(recorded.true_positives, recorded.false_positives, counted, recorded.confidence, delta)
    demand(
        same(recorded.epsilon_lower_bound, follows),
        f"the lower bound on epsilon is recorded as {recorded.epsilon_lower_bound:.6g} and follows as {follows:.6g}",
    )


def _check_same(recorded: MonteCarlo | None, repeated: MonteCarlo | None) -> None:
    """Compare the recorded thresholds and counts with those of the repeated draws."""
    if recorded is None or repeated is None:
        wrong = "nothing was sampled, though there is noise" if recorded is None else "there is nothing to sample"
        demand(recorded is repeated, wrong)
        return
    for name in ("draws", "thresholds", "true_positives", "false_positives"):
        before, now = getattr(recorded, name), getattr(repeated, name)
        demand(before == now, f"{name} are recorded as {before} and are {now}")
