"""The verifier: derives every certificate of a run again from the folder's records alone.

It shares `certificates` with the path that produced them and nothing else: the mixing matrix is rebuilt from
topology.json, the noise is drawn again from its address, divergences are measured again on the stored weights.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isclose, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from certificates import (
    Audit,
    Certificate,
    CertificateError,
    Claim,
    Learning,
    Release,
    audit,
    certify,
    derive,
    forget_digest,
    worst_case_disturbance,
)
from experiments.folder import MethodRecords, RunFolder, read_folder

_TOLERANCE = 1e-9
_UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}
#: The purpose of noise in the address of a draw, as recorded runs have it.
_NOISE = 7


@dataclass(frozen=True)
class Finding:
    """One thing that was checked, whether it holds, and how it was found out."""

    what: str
    holds: bool
    sentence: str


class _MismatchError(Exception):
    """Something does not hold; the message says what."""


@dataclass(frozen=True)
class _Recorded:
    """The network of topology.json."""

    weights: csr_array

    @property
    def nodes(self) -> int:
        return int(self.weights.shape[0])

    def matrix(self, round: int) -> csr_array:
        return self.weights


def verify_folder(path: Path) -> list[Finding]:
    """Check a run folder: the network, learning, the stored weights, and every certificate and audit.

    Raises:
        FolderError: if the folder holds no complete run.
    """
    folder = read_folder(path)
    findings = [_finding("network", _network_sentence, folder)]
    if not findings[0].holds:
        return findings
    findings.append(_finding("learning", _learning_sentence, folder))
    if not findings[1].holds:
        return findings
    findings.append(_finding("stored weights", _weights_sentence, folder))
    learning = _learning(folder)
    for index, method in enumerate(folder.methods):
        for what, check in (
            ("certificate", _certificate_sentence),
            ("audit", _audit_sentence),
            ("noise", _noise_sentence),
        ):
            findings.append(
                _finding(f"{index} {method.certificate.get('method')}, {what}", check, folder, learning, index)
            )
    findings.append(_finding("table", _table_sentence, folder))
    return findings


def _finding(what: str, check: Callable[..., str], *arguments: Any) -> Finding:
    try:
        return Finding(what, True, check(*arguments))
    except (_MismatchError, CertificateError) as problem:
        return Finding(what, False, str(problem))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
        return Finding(what, False, f"the records are damaged: {type(problem).__name__} {problem}")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _MismatchError(otherwise)


def _network(folder: RunFolder) -> _Recorded:
    N = int(folder.topology["nodes"])
    rows, columns, values = (np.array(part) for part in zip(*folder.topology["weights"], strict=True))
    entries = coo_array((values.astype(np.float64), (rows.astype(int), columns.astype(int))), shape=(N, N))
    weights = csr_array(entries.tocsr())
    weights.sort_indices()
    return _Recorded(weights)


def _network_sentence(folder: RunFolder) -> str:
    """Non-negative weights on edges, rows that sum to 1."""
    W = _network(folder).weights
    _demand(bool(np.all(W.data >= 0)), "a mixing weight is negative")
    worst = float(np.abs(W.sum(axis=1) - 1).max())
    _demand(worst <= _TOLERANCE, f"a row of the mixing matrix is {worst:.3g} away from summing to 1")
    edges = {frozenset(edge) for edge in folder.topology["edges"]}
    off = [(i, j) for i, j, w in folder.topology["weights"] if i != j and w != 0 and frozenset((i, j)) not in edges]
    _demand(not off, f"nodes {off[0] if off else ''} exchange weight without an edge between them")
    return f"{W.shape[0]} nodes, {len(edges)} edges, every row of the mixing matrix sums to 1"


def _learning(folder: RunFolder) -> Learning:
    return Learning.from_record(folder.learning, _network(folder))


def _learning_sentence(folder: RunFolder) -> str:
    """learning.json against the scenario, the constants against the model and features, the ledger against G."""
    learning, scenario = _learning(folder), folder.scenario
    for key in ("rounds", "step_size", "local_steps", "order"):
        asked, recorded = scenario["learning"][key], getattr(learning, key)
        _demand(asked == recorded, f"learning.{key} is {asked} in the scenario and {recorded} in the record")
    constants = learning.constants
    _demand(
        constants.model == scenario["model"]["kind"], f"the constants are those of another model, {constants.model}"
    )
    l2 = float(scenario["model"]["l2"])
    again = derive(constants.model, constants.radius, l2)
    for name in ("G", "L", "l2", "strong_convexity"):
        one, other = getattr(constants, name), getattr(again, name)
        same = isclose(one.value, other.value, rel_tol=_TOLERANCE, abs_tol=1e-15) and one.provenance == other.provenance
        _demand(
            same,
            f"the constant {name} is {one.value} ({one.provenance}); it follows as {other.value} ({other.provenance})",
        )
    _demand(
        constants.radius.provenance == _radius_provenance(scenario["data"]["features"]),
        f"the feature norm is said to be {constants.radius.provenance}, which these features do not support",
    )
    _check_radius(constants.radius.value, scenario)
    _check_forget(folder, learning)
    dtype = scenario["backend"]["dtype"]
    _demand(
        learning.arithmetic is not None and learning.arithmetic.unit_roundoff == _UNIT_ROUNDOFF[dtype],
        f"rounding is not charged as that of {dtype}",
    )
    if learning.ledger is not None:
        bound = worst_case_disturbance(learning)[list(learning.ledger.nodes)]
        excess = float((learning.ledger.disturbance / bound).max(initial=0.0))
        _demand(excess <= 1 + 1e-6, f"a measured disturbance is {excess:.4g} times what the constants allow")
    return f"{learning.rounds} rounds, constants derived again, disturbances within their bound"


def _radius_provenance(features: Mapping[str, Any]) -> str:
    if features["kind"] == "raw":
        return "estimated" if features.get("radius") is None else "enforced"
    return "proven"


def _check_radius(radius: float, scenario: Mapping[str, Any]) -> None:
    """What enforced features make of the norm, the bias counted in; an estimated norm cannot be derived again."""
    features, bias = scenario["data"]["features"], float(scenario["model"]["bias"])
    enforced = 1.0 if features["kind"] != "raw" else features.get("radius")
    if enforced is not None:
        expected = sqrt((1 - bias**2) * enforced**2 + bias**2) if bias else enforced
        _demand(isclose(radius, expected, rel_tol=_TOLERANCE), f"the feature norm is {expected:.6g}, not {radius:.6g}")


def _check_forget(folder: RunFolder, learning: Learning) -> None:
    forget = {int(node): positions for node, positions in folder.learning["forget"].items()}
    client = int(folder.scenario["deletion"]["client"])
    _demand(set(forget) == {client}, f"the forget set is not that of the deleting client {client}")
    for node, positions in forget.items():
        distinct = set(positions)
        inside = all(0 <= position < learning.samples[node] for position in distinct)
        _demand(
            inside and len(distinct) == len(positions), f"the forget set of node {node} is not a set of its samples"
        )
    _demand(forget_digest(forget) == learning.forget_sha256, "the forget set is not the one that was certified")
    asked, client = folder.scenario["deletion"]["samples"], int(folder.scenario["deletion"]["client"])
    n, gone = int(learning.samples[client]), len(forget[client])
    counts = {"all": n, "indices": len(asked["indices"]) if isinstance(asked, dict) and "indices" in asked else None}
    wanted = counts["all"] if asked == "all" else counts["indices"] if isinstance(asked, dict) else asked
    if isinstance(wanted, float):
        wanted = max(1, round(wanted * n))
    _demand(wanted in (None, gone), f"{asked} of {n} samples were to be deleted, not {gone}")
    counted = np.zeros_like(learning.deleted)
    for node, positions in forget.items():
        counted[node] = len(positions)
    _demand(
        bool(np.array_equal(counted, learning.deleted)),
        "the numbers of deleted samples are not those of the forget set",
    )


def _weights_sentence(folder: RunFolder) -> str:
    """Every array that the run must have kept, against its recorded hash."""
    hashes = folder.record["weights_sha256"]
    odd = sorted(set(hashes) ^ _expected_arrays(folder))
    _demand(not odd, f"the record speaks of other arrays than such a run makes: {', '.join(odd)}")
    stored, kept = 0, bool(folder.scenario["record"]["weights"])
    for place, digest in hashes.items():
        theta = folder.weights(place)
        _demand(theta is not None or not kept, f"{place} was kept by the run and is gone")
        if theta is None:
            continue
        stored += 1
        found = hashlib.sha256(np.ascontiguousarray(theta).tobytes()).hexdigest()
        _demand(found == digest, f"{place} is not what the run wrote: its sha256 differs")
        _demand(str(theta.dtype) == folder.scenario["backend"]["dtype"], f"{place} is stored as {theta.dtype}")
    return f"{stored} of {len(hashes)} arrays kept, every one as the run wrote it"


def _expected_arrays(folder: RunFolder) -> set[str]:
    """What a run of this scenario records: all of it, or of secret noise only what was released under it."""
    claimed = [(method.place, _claimed(method)) for method in folder.methods]
    if any(certificate.noise_source == "os" for _, certificate in claimed):
        return {f"{place}/released" for place, certificate in claimed if certificate.noise_source == "os"}
    T = int(folder.scenario["learning"]["rounds"])
    sites = {_release(certificate).site for _, certificate in claimed}
    arrays = {f"checkpoints/learned-{t:06d}" for t in {T, *(certificate.restored for _, certificate in claimed)}}
    arrays |= {f"checkpoints/retrained-{t:06d}" for t in {T, *sites}}
    for place, certificate in claimed:
        arrays |= {f"{place}/centre", f"{place}/released"}
        after_noise = certificate.settle or (certificate.placement == "rewind" and certificate.descended)
        arrays |= {f"{place}/noised"} if after_noise else set()
    return arrays


def _claimed(method: MethodRecords) -> Certificate:
    return Certificate.from_record(method.certificate)


def _release(certificate: Certificate) -> Release:
    return Release(
        method=certificate.method,
        restored=certificate.restored,
        descended=certificate.descended,
        placement=certificate.placement,  # type: ignore[arg-type]
        sigma=np.array(certificate.sigma),
        settle=certificate.settle,
        averaged=certificate.averaged,
        noise_source=certificate.noise_source,  # type: ignore[arg-type]
    )


def _certificate_sentence(folder: RunFolder, learning: Learning, index: int) -> str:
    """Certify what the certificate says was done, and compare every field."""
    claimed = _claimed(folder.methods[index])
    _check_settings(claimed, folder.scenario["unlearning"][index])
    _check_cost(folder.methods[index], claimed, learning)
    claim = Claim(
        view=claimed.view,
        delta=claimed.delta,
        bound=claimed.bound,  # type: ignore[arg-type]
        allocation=claimed.allocation,  # type: ignore[arg-type]
        regime=claimed.regime,  # type: ignore[arg-type]
        claimed_epsilon=claimed.claimed_epsilon,
    )
    again = certify(learning, _release(claimed), claim)
    for name, one in claimed.to_record().items():
        other = again.to_record()[name]
        _demand(_same(one, other), f"{name} is recorded as {_short(one)} and follows as {_short(other)}")
    if claimed.epsilon is None:
        return f"rightly claims nothing: {claimed.reason}"
    return f"({claimed.epsilon:.6g}, {claimed.delta:g}) for the view {claimed.view} follows from the records"


def _check_settings(claimed: Certificate, asked: Mapping[str, Any]) -> None:
    """The certificate against what the scenario asked of the method."""
    _demand(claimed.method == asked["method"], f"the scenario asked for {asked['method']}")
    for name in ("view", "delta", "bound", "placement", "allocation", "settle", "noise_source"):
        if name in asked:
            _demand(
                getattr(claimed, name) == asked[name],
                f"{name} was asked to be {asked[name]}, not {getattr(claimed, name)}",
            )
    T = claimed.rounds
    depth = {"retrain": (0, T), "do-nothing": (T, 0)}.get(claimed.method)
    if claimed.method == "r2d" and asked["rewind"] is not None:
        depth = (T - round(asked["rewind"] * T), round(asked["rewind"] * T))
    if depth is not None:
        _demand((claimed.restored, claimed.descended) == depth, f"it was asked to restore and descend {depth} rounds")
    wanted, published = asked.get("epsilon"), claimed.bound == "published"
    if wanted is not None and not published:
        reached = claimed.epsilon is not None and claimed.epsilon <= wanted * (1 + _TOLERANCE)
        _demand(reached, f"epsilon {wanted} was asked for and {claimed.epsilon} is certified")
    if asked.get("sigma") is not None:
        size = sqrt(float(np.mean(np.square(claimed.sigma))))
        _demand(isclose(size, asked["sigma"], rel_tol=1e-6), f"sigma {asked['sigma']} was asked for, not {size:.6g}")


def _audit_sentence(folder: RunFolder, learning: Learning, index: int) -> str:
    """Measure the divergence again where weights were kept, and audit again."""
    method = folder.methods[index]
    claimed, recorded = _claimed(method), Audit.from_record(method.audit)
    release = _release(claimed)
    centre, retrained = (
        folder.weights(f"{method.place}/centre"),
        folder.weights(f"checkpoints/retrained-{release.site:06d}"),
    )
    divergence = np.array(recorded.divergence)
    how = "weights were not kept, so the recorded divergence was taken as it is"
    if centre is not None and retrained is not None:
        measured = np.linalg.norm(centre.astype(np.float64) - _averaged(retrained, release), axis=1)
        same = np.allclose(measured, divergence, rtol=1e-6, atol=1e-12)
        _demand(
            bool(same), f"the divergence is recorded as up to {divergence.max():.6g} and measures {measured.max():.6g}"
        )
        divergence, how = measured, "measured again on the stored weights"
    again = audit(claimed, learning.mixing, np.array(recorded.divergence))
    _demand(_same(recorded.to_record(), again.to_record()), "the audit does not follow from its own divergences")
    node = again.worst_node
    bound = claimed.sensitivity[node]
    _demand(again.holds, f"node {node} diverged by {divergence[node]:.6g}, its sensitivity is {bound:.6g}")
    return (
        f"no node diverged beyond its sensitivity ({how}); "
        f"node {node} comes closest, {divergence[node]:.3g} of {bound:.3g}"
    )


def _averaged(theta: NDArray[Any], release: Release) -> NDArray[np.float64]:
    plain = theta.astype(np.float64)
    return np.tile(plain.mean(axis=0), (len(plain), 1)) if release.averaged else plain


def _noise_sentence(folder: RunFolder, learning: Learning, index: int) -> str:
    """Draw the noise again, and follow it from the centre as far as the records go."""
    method = folder.methods[index]
    claimed = _claimed(method)
    if claimed.noise_source != "seed":
        return "from the operating system, so nobody can draw it again; not checked"
    centre, released = folder.weights(f"{method.place}/centre"), folder.weights(f"{method.place}/released")
    if centre is None or released is None:
        return "weights were not kept; not checked"
    _check_centre(folder, claimed, centre)
    kept = folder.weights(f"{method.place}/noised")
    noised = released if kept is None else kept
    expected = centre.astype(np.float64)
    seed, roundoff = int(folder.scenario["seed"]), _UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
    for node, sigma in enumerate(claimed.sigma):
        address = np.random.SeedSequence([seed, _NOISE, index, 0 if claimed.averaged else node])
        drawn = sigma * np.random.default_rng(address).standard_normal(expected.shape[1])
        off = float(np.abs(expected[node] + drawn - noised[node]).max())
        _demand(
            off <= 8 * roundoff * (float(np.abs(expected[node]).max()) + float(np.abs(drawn).max())),
            f"the models of node {node} are not centre + noise: off by up to {off:.3g}",
        )
    said = "centre + noise of the certificate, drawn again, is what was released" if any(claimed.sigma) else "none"
    if claimed.placement == "rewind" and claimed.descended:
        return f"{said.replace('released', 'descended from')}; the descent itself needs the data and is not checked"
    for t in range(claimed.restored + claimed.descended, claimed.restored + claimed.descended + claimed.settle):
        noised = learning.mixing.matrix(t) @ noised.astype(np.float64)
    scale = float(np.abs(noised).max()) * learning.mixing.nodes * (claimed.settle + 1)
    _demand(
        bool(np.abs(noised - released).max() <= 8 * roundoff * scale), "the released models are not the settled ones"
    )
    return said


def _check_centre(folder: RunFolder, claimed: Certificate, centre: NDArray[Any]) -> None:
    """Where nothing was computed before the noise, the centre is a checkpoint; retraining releases the oracle."""
    release = _release(claimed)
    learned = folder.weights(f"checkpoints/learned-{claimed.restored:06d}")
    if release.site == claimed.restored and not claimed.averaged and learned is not None:
        _demand(bool(np.array_equal(centre, learned)), "the centre is not the checkpoint that the method started from")
    retrained = folder.weights(f"checkpoints/retrained-{release.site:06d}")
    if claimed.restored == 0 and release.site == claimed.descended and retrained is not None and not claimed.averaged:
        _demand(bool(np.array_equal(centre, retrained)), "a descent from the start is not what retraining gave")


def _check_cost(method: MethodRecords, claimed: Certificate, learning: Learning) -> None:
    """The cost that was counted against what the certificate says was done, on the network and data it says."""
    W, retained = learning.mixing.matrix(0), int((learning.samples - learning.deleted).sum())
    links = int(W.nnz - np.count_nonzero(W.diagonal()))
    rounds = claimed.descended + claimed.settle
    everyone = W.shape[0] * (W.shape[0] - 1)
    expected = {
        "rounds": rounds + claimed.averaged,
        "messages": rounds * links + claimed.averaged * everyone,
        "gradients": claimed.descended * claimed.local_steps * retained,
    }
    for name, value in expected.items():
        counted = method.metrics["cost"][name]
        _demand(counted == value, f"{counted} {name} were counted; what the certificate speaks of takes {value}")


def _table_sentence(folder: RunFolder) -> str:
    """summary.json against certificates, audits and metrics."""
    for index, (row, method) in enumerate(zip(folder.summary, folder.methods, strict=True)):
        claimed, found = _claimed(method), Audit.from_record(method.audit)
        expected = {
            "index": index,
            "method": claimed.method,
            "view": claimed.view,
            "epsilon_sound": claimed.epsilon,
            "epsilon_claimed": claimed.claimed_epsilon,
            "epsilon_audited": found.exact_epsilon,
            "holds": found.holds,
            "conditional": claimed.conditional,
            "sensitivity": max(claimed.sensitivity),
            "divergence": max(found.divergence),
            "distance_to_retrained": max(method.metrics["distance_to_retrained"]),
        }
        for name, value in expected.items():
            _demand(_same(row[name], value), f"row {index} says {name} = {_short(row[name])}; it is {_short(value)}")
        for name, scores in row["accuracy"].items():
            nodes = method.metrics["accuracy"][name]["nodes"]
            same = isclose(scores["mean"], sum(nodes) / len(nodes)) and scores["lowest"] == min(nodes)
            _demand(same, f"row {index} shows another accuracy on {name} than its metrics")
    return f"{len(folder.summary)} rows, as their certificates, audits and metrics have it"


def _same(one: Any, other: Any) -> bool:
    """Equal, with numbers equal to within a tolerance that certificates are insensitive to."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other or one == other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return isclose(one, other, rel_tol=_TOLERANCE, abs_tol=1e-300)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _short(value: Any) -> str:
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else text[:77] + "…"
