"""Export the certificate of a release from its run folder."""

from collections.abc import Mapping
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from rewindnet.certificates import Audit, Certificate, TrainingRun
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.findings import tally
from rewindnet.certificates.handover.build import Surroundings, handover
from rewindnet.certificates.handover.document import LARGEST_FILE, Document
from rewindnet.experiments.folder.files import write
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.handover.files import HandoverError, as_text
from rewindnet.experiments.results import Result
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.extras import missing_extras_named


def export_certificate(
    run: Result | str | PathLike[str],
    method: str | int,
    request: int | None = None,
    key: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """Make the file of a certificate that can be handed over: it holds no secret of the run.

    The run is verified first, and a run that does not hold is refused.

    Args:
        run: a result, or the folder of a finished run.
        method: the name of the method, or its number in the scenario, which a method that is listed twice needs.
        request: the number of the deletion request; it may be left out where there is only one.
        key: the file of a private Ed25519 key, to sign with; None for no signature.
        out: the file to write; None for none.

    Returns:
        The content of the file.

    Raises:
        UserError: with one sentence, if there is no such release, it must not be handed over, or a file cannot be used.

    Examples:
        >>> import rewindnet
        >>> run = rewindnet.run({"learning": {"rounds": 10}, "unlearning": ["r2d"]})
        >>> certificate = rewindnet.export_certificate(run, "r2d")
        >>> rewindnet.verify_certificate(certificate).holds
        True
    """
    folder = read_folder(run.folder if isinstance(run, Result) else Path(run))
    index = release_index(folder, str(method), request)
    certificate, audit = folder.certified[index]
    if not audit.holds:
        raise HandoverError(
            f"the audit of release {index} ({certificate.method}) has found its certificate violated, so it is not "
            f"handed over; `rewindnet verify {folder.path}` says why"
        )
    document = _document(folder, index, certificate, audit)
    if key is not None:
        with missing_extras_named():
            from rewindnet.experiments.handover.signature import signed
        document = signed(document, Path(key))
    if len(as_text(document).encode("utf-8")) > LARGEST_FILE:
        raise HandoverError(f"the certificate would be larger than the {LARGEST_FILE:,} bytes that a file may have")
    if out is not None:
        _write(Path(out), document)
    return document


def release_index(folder: RunFolder, method: str, request: int | None) -> int:
    """Return the number of the release of a method for a request.

    Args:
        folder: the run folder.
        method: the name of the method, or its number in the scenario.
        request: the number of the request; None where there is only one.

    Raises:
        HandoverError: if there is no such release, or there are several.
    """
    names = [str(listed["method"]) for listed in folder.scenario["unlearning"]]
    requests = len(folder.learning["requests"])
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names))
    if method.isascii() and method.isdigit() and int(method) < len(names):
        places = [int(method)]
    else:
        places = [place for place, name in enumerate(names) if method in (name, f"{place}-{name}")]
    if len(places) != 1:
        problem = f"the run has several methods {method}" if places else f"the run has no method {method!r}"
        raise HandoverError(f"{problem}; name one by its number: {listed}")
    if request is None and requests > 1:
        raise HandoverError(f"the run answers {requests} requests; name one with --request, from 0 to {requests - 1}")
    if not 0 <= (request or 0) < requests:
        raise HandoverError(f"the run has no request {request}; its requests are 0 to {requests - 1}")
    return (request or 0) * len(names) + places[0]


def _document(folder: RunFolder, index: int, certificate: Certificate, audit: Audit) -> Document:
    """Return the certificate of a release as it is handed over, after verifying the run."""
    with missing_extras_named():
        from rewindnet.experiments.handover.models import hashes
    training, place = folder.training_run_of(index), folder.methods[index].place
    shape = (training.mixing.nodes, _parameters(folder, training))
    models = hashes(
        shape,
        folder.scenario["backend"]["dtype"],
        folder.record["weights_sha256"].get(f"{place}/released"),
        folder.weights(f"{place}/released"),
        training.departed,
    )
    around = Surroundings(
        models=models,
        noise="no noise" if audit.noise_audit.no_noise else audit.noise_audit.status,
        issuer=_verified(folder.path),
        versions={name: str(version) for name, version in folder.record["versions"].items()},
        run=str(folder.record["finished"]),
        exported=datetime.now(UTC).isoformat(timespec="seconds"),
        names={node: _printable(name) for node, name in enumerate(folder.names or ()) if name != str(node)},
    )
    try:
        return handover(certificate, training, around)
    except CertificateError as problem:
        raise HandoverError(f"the certificate of release {index} cannot be handed over: {problem}") from None


def _printable(name: str) -> str:
    """Return a name with what cannot be printed escaped; it may be any text of the data."""
    shown = (at if at.isprintable() else at.encode("unicode_escape", "surrogatepass").decode("ascii") for at in name)
    return "".join(shown)


def _verified(path: Path) -> str:
    """Verify the run, and say what was found.

    Raises:
        HandoverError: if a check failed.
    """
    findings = verify_folder(path)
    failed = [finding for finding in findings if not finding.holds]
    if failed:
        raise HandoverError(
            f"the run in {path} does not verify, so nothing of it is handed over: {failed[0].what}: "
            f"{failed[0].sentence}; `rewindnet verify {path}` lists all checks"
        )
    return f"of the checks by rewindnet verify, {tally(findings)}"


def _parameters(folder: RunFolder, training: TrainingRun) -> int:
    """Return d, the number of parameters of a model."""
    if training.arithmetic is not None:
        return training.arithmetic.parameters
    theta = next((folder.weights(name) for name in folder.record["weights_sha256"]), None)
    if theta is None:
        raise HandoverError(f"{folder.path} does not say how many parameters a model has")
    return int(theta.shape[1])


def _write(file: Path, document: Mapping[str, Any]) -> None:
    """Write the file of a certificate."""
    try:
        write(file, as_text(document))
    except OSError as problem:
        raise HandoverError(f"{file} cannot be written: {problem.strerror or problem}") from None
