"""The verifier on the stored weights: are they the run's, how far apart are they, is the noise in them."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Audit, Certificate, Release, TrainingRun, audit
from rewindnet.experiments.folder.reader import RunFolder, digest
from rewindnet.experiments.verify.records import (
    UNIT_ROUNDOFF,
    OnRecord,
    Unchecked,
    certificate_of,
    demand,
    request_of,
    request_suffix_of,
    same,
)

#: The purpose of noise in the address of a draw, as recorded runs have it.
_NOISE = 7


def weights_sentence(folder: RunFolder) -> str:
    """Every array that the run must have kept, against its recorded hash."""
    hashes = folder.record["weights_sha256"]
    odd = sorted(set(hashes) ^ _expected_arrays(folder))
    demand(not odd, f"the record speaks of other arrays than such a run makes: {', '.join(odd)}")
    whole = digest(hashes)
    demand(folder.record.get("sha256") == whole, f"the sha256 of all weights is {whole}, and recorded otherwise")
    stored, kept = 0, bool(folder.scenario["record"]["weights"])
    for place, recorded in hashes.items():
        theta = folder.weights(place)
        demand(theta is not None or not kept, f"{place} was kept by the run and is gone")
        if theta is None:
            continue
        stored += 1
        found = hashlib.sha256(np.ascontiguousarray(theta).tobytes()).hexdigest()
        demand(found == recorded, f"{place} is not what the run wrote: its sha256 differs")
        demand(str(theta.dtype) == folder.scenario["backend"]["dtype"], f"{place} is stored as {theta.dtype}")
    if not stored:
        return Unchecked(f"none of {len(hashes)} arrays was kept, so that no hash was computed again")
    return f"{stored} of {len(hashes)} arrays kept, every one as the run wrote it"


def _expected_arrays(folder: RunFolder) -> set[str]:
    """What a run of this scenario records: all of it, or of secret noise only what was released under it."""
    claimed = [(method.place, certificate_of(method)) for method in folder.methods]
    if any(certificate.release.noise_source == "os" for _, certificate in claimed):
        return {f"{place}/released" for place, certificate in claimed if certificate.release.noise_source == "os"}
    rounds = [int(one["rounds"]) for one in folder.learning["requests"]]
    arrays = {
        f"checkpoints/learned-{t:06d}"
        for t in {*rounds, *(certificate.release.checkpoint_round for _, certificate in claimed)}
    }
    for index, (_, certificate) in enumerate(claimed):
        for t in (certificate.release.noise_round, rounds[request_of(folder, index)]):
            arrays.add(f"checkpoints/retrained{request_suffix_of(folder, index)}-{t:06d}")
    for place, certificate in claimed:
        arrays |= {f"{place}/centre", f"{place}/released"}
        arrays |= (
            {f"{place}/noised"}
            if not certificate.release.mechanism.releases_noised_models(certificate.release)
            else set()
        )
    return arrays


def audit_sentence(folder: RunFolder, learning: TrainingRun, index: int) -> str:
    """Measure the divergence again where weights were kept, and audit again."""
    method = folder.methods[index]
    claimed, recorded = certificate_of(method), Audit.from_record(method.audit)
    release = claimed.release
    centre, retrained = (
        folder.weights(f"{method.place}/centre"),
        folder.weights(f"checkpoints/retrained{request_suffix_of(folder, index)}-{release.noise_round:06d}"),
    )
    divergence = np.array(recorded.divergence)
    how = "weights were not kept, so the recorded divergence was taken as it is"
    if centre is not None and retrained is not None:
        measured = np.linalg.norm(centre.astype(np.float64) - averaged(retrained, release), axis=1)
        alike = np.allclose(measured, divergence, rtol=1e-6, atol=1e-12)
        demand(
            bool(alike), f"the divergence is recorded as up to {divergence.max():.6g} and measures {measured.max():.6g}"
        )
        divergence, how = measured, "measured again on the stored weights"
    again = audit(
        claimed,
        learning.mixing,
        np.array(recorded.divergence),
        recorded.monte_carlo,
        np.array(recorded.shifts),
        recorded.noise_audit,
    )
    demand(same(recorded.to_record(), again.to_record()), "the audit does not follow from its own divergences")
    node = again.worst_node
    bound = claimed.sensitivity[node] if claimed.sensitivity else float("inf")
    demand(again.noise_audit.status != "violated", again.noise_audit.sentence)
    demand(again.holds, f"node {node} diverged by {divergence[node]:.6g}, its sensitivity is {bound:.6g}")
    said: type[str] = str if how.startswith("measured") else OnRecord
    if not claimed.sensitivity:
        most = f"node {node} diverged most, by {divergence[node]:.3g}"
        return said(f"no node was promised to be anywhere ({how}); {most}")
    return said(
        f"no node diverged beyond its sensitivity ({how}); "
        f"node {node} comes closest, {divergence[node]:.3g} of {bound:.3g}"
    )


def averaged(theta: NDArray[Any], release: Release) -> NDArray[np.float64]:
    """What the nodes would have released without noise, as far as averaging goes."""
    plain = theta.astype(np.float64)
    return np.tile(plain.mean(axis=0), (len(plain), 1)) if release.averaged else plain


def noise_sentence(folder: RunFolder, learning: TrainingRun, index: int) -> str:
    """Draw the noise again, and follow it from the centre as far as the records go."""
    method = folder.methods[index]
    claimed = certificate_of(method)
    if not len(claimed.release.mechanism.additions(learning, claimed.release)):
        return "none claimed"
    if claimed.release.noise_source != "seed":
        return Unchecked("from the operating system, so it cannot be drawn again")
    if not claimed.release.adds_one_vector:
        return Unchecked("added on the way, which takes the data to follow")
    centre, released = folder.weights(f"{method.place}/centre"), folder.weights(f"{method.place}/released")
    if centre is None or released is None:
        return Unchecked("weights were not kept")
    kept = folder.weights(f"{method.place}/noised")
    noised = released if kept is None else kept
    expected = centre.astype(np.float64)
    seed, roundoff = int(folder.scenario["seed"]), UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
    for node, sigma in enumerate(claimed.release.sigma):
        address = np.random.SeedSequence([seed, _NOISE, index, 0 if claimed.release.shares_noise else node])
        drawn = sigma * np.random.default_rng(address).standard_normal(expected.shape[1])
        off = float(np.abs(expected[node] + drawn - noised[node]).max())
        demand(
            off <= 8 * roundoff * (float(np.abs(expected[node]).max()) + float(np.abs(drawn).max())),
            f"the models of node {node} are not centre + noise: off by up to {off:.3g}",
        )
    if not claimed.release.mechanism.plain_descent:
        return f"centre + noise of the certificate, drawn again, is what {claimed.method} went on from"
    end = "descended from" if claimed.release.placement == "rewind" and claimed.release.descent_rounds else "released"
    return f"centre + noise of the certificate, drawn again, is what was {end}"


def released_sentence(folder: RunFolder, learning: TrainingRun, index: int) -> str:
    """Follow the released models from the checkpoint through the noise, as far as that takes no data."""
    method = folder.methods[index]
    claimed = certificate_of(method)
    release = claimed.release
    centre, released = folder.weights(f"{method.place}/centre"), folder.weights(f"{method.place}/released")
    if centre is None or released is None:
        return Unchecked("weights were not kept")
    _check_centre(folder, claimed, centre, request_suffix_of(folder, index))
    if not release.mechanism.plain_descent:
        return OnRecord(f"the steps of {claimed.method} need the data, so that its models are on the record's word")
    if release.placement == "rewind" and release.descent_rounds:
        return OnRecord("the descent after the noise needs the data, so that its models are on the record's word")
    kept = folder.weights(f"{method.place}/noised")
    noised, roundoff = released if kept is None else kept, UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
    for t in range(release.noise_round, release.noise_round + release.gossip_rounds):
        noised = learning.mixing.matrix(t) @ noised.astype(np.float64)
    scale = float(np.abs(noised).max()) * learning.mixing.nodes * (release.gossip_rounds + 1)
    demand(
        bool(np.abs(noised - released).max() <= 8 * roundoff * scale), "the released models are not the settled ones"
    )
    if 0 < release.descent_rounds < learning.rounds or release.averaged:
        return OnRecord("they follow from the centre; the descent before it needs the data and is on the record's word")
    return "they follow from the centre, which is what the checkpoints make it"


def _check_centre(folder: RunFolder, claimed: Certificate, centre: NDArray[Any], mark: str) -> None:
    """Where nothing was computed before the noise, the centre is a checkpoint; retraining releases the oracle."""
    release = claimed.release
    if not claimed.release.mechanism.plain_descent:
        return
    learned = folder.weights(f"checkpoints/learned-{claimed.release.checkpoint_round:06d}")
    if learned is not None:
        learned[folder.topology["departed"]] = 0.0
    if release.noise_round == claimed.release.checkpoint_round and not claimed.release.averaged and learned is not None:
        demand(bool(np.array_equal(centre, learned)), "the centre is not the checkpoint that the method started from")
    retrained = folder.weights(f"checkpoints/retrained{mark}-{release.noise_round:06d}")
    if (
        claimed.release.checkpoint_round == 0
        and release.noise_round == claimed.release.descent_rounds
        and retrained is not None
        and not claimed.release.averaged
    ):
        demand(bool(np.array_equal(centre, retrained)), "a descent from the start is not what retraining gave")
