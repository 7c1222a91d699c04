"""The verifier on Monte-Carlo audits: the same draws again, or at least what follows from the counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Audit, MonteCarlo, TrainingRun, monte_carlo
from rewindnet.certificates.audits.montecarlo import MOST_DRAWS, lower_bound
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.records import OnRecord, certificate_of, demand, request_suffix_of, same
from rewindnet.experiments.verify.weights import averaged

#: The purpose of audits in the address of a draw, as recorded runs have it.
_AUDIT = 20


def sampling_sentence(folder: RunFolder, learning: TrainingRun, index: int) -> str:
    """Draw again where weights were kept, and derive the lower bound from the counts in any case."""
    method, settings = folder.methods[index], folder.scenario["audit"]
    claimed, recorded = certificate_of(method), Audit.from_record(method.audit).monte_carlo
    asked = settings["confidence"], settings["draws"]
    if recorded is not None:
        _check_bound(recorded, claimed.delta)
        met = recorded.confidence == asked[0] and asked[1] in (None, recorded.draws)
        demand(met, f"{recorded.draws} draws at confidence {recorded.confidence} are not what the scenario asked for")
    said = (
        "nothing was sampled" if recorded is None else f"ε ≥ {recorded.epsilon_lower_bound:.3g} follows from the counts"
    )
    release = claimed.release
    centre = folder.weights(f"{method.place}/centre")
    retrained = folder.weights(f"checkpoints/retrained{request_suffix_of(folder, index)}-{release.noise_round:06d}")
    if release.noise_source != "seed":
        return OnRecord(f"{said}; the noise is a secret, so nothing was drawn again")
    if centre is None or retrained is None:
        return OnRecord(f"{said}; weights were not kept, so nothing was drawn again")
    if release.averaged and centre.dtype != np.float64:
        return OnRecord(
            f"{said}; an average in {centre.dtype} is not taken twice to the bit, so nothing was drawn again"
        )
    noise = _Noise(int(folder.scenario["seed"]), index, centre.shape[1])
    again = monte_carlo(claimed, learning.mixing, centre, averaged(retrained, release), noise, asked[1], asked[0])
    _check_same(recorded, again)
    return said if recorded is None else f"{said} of {recorded.draws:,} draws, drawn again"


@dataclass(frozen=True)
class _Noise:
    """The sampler of a release's audit, by address."""

    seed: int
    release: int
    parameters: int

    def __call__(self, node: int, first: int, rows: int) -> NDArray[np.float64]:
        address = np.random.SeedSequence([self.seed, _AUDIT, self.release * MOST_DRAWS + first, node])
        return np.random.default_rng(address).standard_normal((rows, self.parameters))


def _check_bound(recorded: MonteCarlo, delta: float) -> None:
    """The lower bound against the counts."""
    counted = recorded.draws - recorded.draws // 10
    demand(recorded.counted == counted, f"of {recorded.draws} draws {counted} are counted, not {recorded.counted}")
    counts = (*recorded.true_positives, *recorded.false_positives)
    possible = len(counts) == 4 and all(type(count) is int and 0 <= count <= counted for count in counts)
    demand(possible, f"{counts} are no counts of two tests on {counted} draws")
    follows = lower_bound(recorded.true_positives, recorded.false_positives, counted, recorded.confidence, delta)
    demand(
        same(recorded.epsilon_lower_bound, follows),
        f"the lower bound on epsilon is recorded as {recorded.epsilon_lower_bound:.6g} and follows as {follows:.6g}",
    )


def _check_same(recorded: MonteCarlo | None, again: MonteCarlo | None) -> None:
    """What was counted, against what is counted now."""
    if recorded is None or again is None:
        wrong = "nothing was sampled, though there is noise" if recorded is None else "there is nothing to sample"
        demand(recorded is again, wrong)
        return
    for name in ("draws", "thresholds", "true_positives", "false_positives"):
        one, other = getattr(recorded, name), getattr(again, name)
        demand(one == other, f"{name} are recorded as {one} and are {other}")
