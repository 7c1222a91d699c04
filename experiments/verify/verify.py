"""Verify a run: derive every certificate again from the records of its folder alone.

The verifier shares `certificates` with the code that produced the records, and the unlearning methods to derive their
plans. It rebuilds the mixing matrix from topology.json, draws the noise again from its address, and measures
divergences again on the stored weights.
"""

from collections.abc import Callable
from pathlib import Path

from rewindnet.certificates import CertificateError, TrainingRun
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.verify.certificates import check_certificate
from rewindnet.experiments.verify.learning import check_learning
from rewindnet.experiments.verify.network import check_network
from rewindnet.experiments.verify.noise import check_noise, check_released
from rewindnet.experiments.verify.noise_audit import check_noise_audit
from rewindnet.experiments.verify.records import Finding, finding, recorded_runs_of_releases
from rewindnet.experiments.verify.sampling import check_samples
from rewindnet.experiments.verify.summary import check_table
from rewindnet.experiments.verify.weights import check_audit, check_weights

#: The checks of one release, by name.
_RELEASE_CHECKS: dict[str, Callable[[RunFolder, TrainingRun, int], str]] = {
    "certificate": check_certificate,
    "audit": check_audit,
    "Monte-Carlo audit": check_samples,
    "noise": check_noise,
    "noise audit": check_noise_audit,
    "released models": check_released,
}


def verify_folder(path: Path) -> list[Finding]:
    """Check a run folder: the network, learning, the stored weights, every release, and the table.

    Returns:
        One finding for each check. If the network or learning does not verify, later checks are left out, because they
        depend on them.

    Raises:
        FolderError: if the folder holds no complete run.
    """
    folder = read_folder(path)
    findings: list[Finding] = []
    for what, check in (("network", check_network), ("learning", check_learning)):
        findings.append(finding(what, check, folder))
        if not findings[-1].holds:
            return findings
    findings.append(finding("stored weights", check_weights, folder))
    try:
        training_runs = recorded_runs_of_releases(folder)
    except CertificateError as problem:
        return [*findings, Finding("releases", False, str(problem))]
    for index, training in enumerate(training_runs):
        findings += _verify_release(folder, training, index)
    findings.append(finding("table", check_table, folder))
    return findings


def _verify_release(folder: RunFolder, training: TrainingRun, index: int) -> list[Finding]:
    """Run every check of one release."""
    release = f"{index} {folder.methods[index].certificate.get('method')}"
    return [finding(f"{release}, {what}", check, folder, training, index) for what, check in _RELEASE_CHECKS.items()]
