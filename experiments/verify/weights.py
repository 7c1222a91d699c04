"""Verify the stored weights against their hashes, and audit each release again on them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.arrays import sha256_of
from rewindnet.certificates import Audit, Release, TrainingRun, audit
from rewindnet.certificates.findings import OnRecord, Unchecked
from rewindnet.experiments.folder.format import digest
from rewindnet.experiments.folder.reader import RunFolder, goes_on_from_releases
from rewindnet.experiments.scenario.kept_rounds import estimation_rounds
from rewindnet.experiments.verify.halved import halved_arrays
from rewindnet.experiments.verify.records import (
    UNIT_ROUNDOFF,
    certificate_of,
    demand,
    estimates_constants,
    request_of,
    request_suffix_of,
    same,
)


def check_weights(folder: RunFolder) -> str:
    """Check which arrays are recorded, and the hash and type of each stored array.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if an array is missing, surplus or changed.
    """
    hashes = folder.record["weights_sha256"]
    unexpected = sorted(set(hashes) ^ _expected_arrays(folder))
    demand(not unexpected, f"the record lists other arrays than such a run makes: {', '.join(unexpected)}")
    total = digest(hashes)
    demand(folder.record.get("sha256") == total, f"the sha256 of all weights is {total}, and recorded otherwise")
    stored, must_exist = 0, bool(folder.scenario["record"]["weights"])
    unprojected = _noised_starts(folder)
    for name, recorded in hashes.items():
        theta = folder.weights(name)
        demand(theta is not None or not must_exist, f"the file of {name} is missing")
        if theta is None:
            continue
        stored += 1
        demand(sha256_of(theta) == recorded, f"{name} is not what the run wrote: its sha256 differs")
        demand(str(theta.dtype) == folder.scenario["backend"]["dtype"], f"{name} is stored as {theta.dtype}")
        if name.startswith("checkpoints/") and name not in unprojected:
            _check_ball(folder, name, theta)
    if not stored:
        return Unchecked(f"none of {len(hashes)} arrays was kept, so no hash was computed again")
    return f"{stored} of {len(hashes)} arrays are stored, and their hashes are those of the record"


def _noised_starts(folder: RunFolder) -> set[str]:
    """Name the models from which learning, or retraining, goes on after noise that no client has projected."""
    rounds = [int(request["rounds"]) for request in folder.learning["requests"]]
    starts = set()
    for index in range(len(folder.methods)):
        if folder.branch_of(index):
            before = certificate_of(folder.methods[index - len(folder.scenario["unlearning"])]).release
            if np.any(before.sigma > 0) and not _projected(before):
                start = rounds[request_of(folder, index) - 1]
                retrained = f"checkpoints/retrained{request_suffix_of(folder, index)}-{start:06d}"
                starts |= {folder.learned_array(index, start), retrained}
    return starts


def _projected(release: Release) -> bool:
    """Return whether clients project after the noise of a release: all do, in every round of descent."""
    return release.placement == "rewind" and len(release.descent) > 0


def _check_ball(folder: RunFolder, name: str, theta: NDArray[Any]) -> None:
    """Check that the models of a checkpoint lie in the ball onto which the clients project, up to rounding."""
    radius, (nodes, parameters) = folder.scenario["learning"]["radius"], theta.shape
    if radius is not None:
        longest = float(np.linalg.norm(theta.astype(np.float64), axis=1).max())
        rounding = 2 * (nodes + parameters + 16) * UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
        halved = name in halved_arrays(folder)
        off = folder.scenario["learning"]["checkpoints"]["half_precision"] if halved else 0.0
        demand(
            longest <= radius * (1 + rounding) + off,
            f"{name} has a model of norm {longest:.6g} outside the ball of {radius:g}",
        )


def _expected_arrays(folder: RunFolder) -> set[str]:
    """Name the arrays that a run of this scenario records; with secret noise, only releases with that noise."""
    releases = [(method.place, certificate_of(method).release) for method in folder.methods]
    if any(release.noise_source == "os" for _, release in releases):
        return {f"{place}/released" for place, release in releases if release.noise_source == "os"}
    rounds = [int(request["rounds"]) for request in folder.learning["requests"]]
    shared = rounds[:1] if goes_on_from_releases(folder.scenario) else rounds
    estimated = estimation_rounds(rounds[-1]) if estimates_constants(folder) else []
    arrays = {f"checkpoints/learned-{t:06d}" for t in (*shared, *estimated)}
    for index, (place, release) in enumerate(releases):
        start, end = rounds[max(request_of(folder, index) - 1, 0)], rounds[request_of(folder, index)]
        own = {start, end} if folder.branch_of(index) else set()
        arrays |= {folder.learned_array(index, t) for t in {release.checkpoint_round, *own}}
        for t in (release.noise_round, rounds[request_of(folder, index)]):
            arrays.add(f"checkpoints/retrained{request_suffix_of(folder, index)}-{t:06d}")
        arrays |= {f"{place}/centre", f"{place}/released"}
        arrays |= {f"{place}/retrained"} if compared_alike(folder, index) else set()
        if not release.mechanism.releases_noised_models(release):
            arrays.add(f"{place}/noised")
    return arrays


def compared_alike(folder: RunFolder, index: int) -> bool:
    """Return whether a release is compared with retraining that heals alike; runs of earlier versions were not."""
    healing = certificate_of(folder.methods[index]).release.healing
    return bool(healing) and "accuracy_healed" in folder.methods[index].metrics


def check_audit(folder: RunFolder, training: TrainingRun, index: int) -> str:
    """Measure the divergence again on the stored weights, if there are any, and repeat the audit.

    Args:
        folder: the run folder.
        training: how the network learned up to the request that the release answers.
        index: the number of the release.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if the recorded audit does not follow, or a node diverged by more than its sensitivity.
    """
    method = folder.methods[index]
    claimed, recorded = certificate_of(method), Audit.from_record(method.audit)
    release = claimed.release
    centre, retrained = (
        folder.weights(f"{method.place}/centre"),
        folder.weights(f"checkpoints/retrained{request_suffix_of(folder, index)}-{release.noise_round:06d}"),
    )
    divergence = np.array(recorded.divergence)
    how = "weights were not kept, so the recorded divergence was used"
    if centre is not None and retrained is not None:
        measured = np.linalg.norm(centre.astype(np.float64) - averaged(retrained, release), axis=1)
        demand(
            np.allclose(measured, divergence, rtol=1e-6, atol=1e-12 + averaging_error(retrained, release)),
            f"the divergence is recorded as up to {divergence.max():.6g} and measures {measured.max():.6g}",
        )
        divergence, how = measured, "measured again on the stored weights"
    again = audit(
        claimed,
        training.mixing,
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
    if len(recorded.shifts):
        how += ", and the shifts are as recorded"
    sentence: type[str] = OnRecord if len(recorded.shifts) or not how.startswith("measured") else str
    if not claimed.sensitivity:
        most = f"node {node} diverged most, by {divergence[node]:.3g}"
        return sentence(f"no sensitivity is certified ({how}); {most}")
    return sentence(
        f"no node diverged beyond its sensitivity ({how}); "
        f"node {node} comes closest, {divergence[node]:.3g} of {bound:.3g}"
    )


def averaged(theta: NDArray[Any], release: Release) -> NDArray[np.float64]:
    """Return the models [N, d] as float64; for a release of the average, the average in every row."""
    plain = theta.astype(np.float64)
    return np.tile(plain.mean(axis=0), (len(plain), 1)) if release.averaged else plain


def averaging_error(theta: NDArray[Any], release: Release) -> float:
    """Return by how much, in the Euclidean norm, `averaged` may be off the average that the run took in its own type.

    The run sums N products of a weight that is rounded and a parameter: each term of the sum is off by a factor of at
    most (1 + u)^(N + 1), so an entry is off by about (N + 1)·u times the average size of its terms.
    """
    if not release.averaged:
        return 0.0
    sizes = np.abs(theta.astype(np.float64)).mean(axis=0)
    return float((len(theta) + 6) * UNIT_ROUNDOFF[str(theta.dtype)] * np.linalg.norm(sizes))


def checkpoint_rounds(name: str) -> int | None:
    """Return the number of rounds in the name of a checkpoint; None for another array."""
    return int(name.rpartition("-")[2]) if name.startswith("checkpoints/") else None


def stored_release(folder: RunFolder, index: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """Read the models of a release [N, d] before the noise, with it, and as released; None if they were not kept.

    Args:
        folder: the run folder.
        index: the number of the release.
    """
    place, release = folder.methods[index].place, certificate_of(folder.methods[index]).release
    centre, released = folder.weights(f"{place}/centre"), folder.weights(f"{place}/released")
    if centre is None or released is None:
        return None
    noised = released if release.mechanism.releases_noised_models(release) else folder.weights(f"{place}/noised")
    return None if noised is None else (centre, noised, released)
