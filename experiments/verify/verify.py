"""Verify a run: derive every certificate again from its folder, and what the folder says of its data from the data.

The verifier shares `certificates` with the code that produced the records, and the unlearning methods to derive their
plans. It builds the topology again from the scenario and the seed, loads the data where their source allows, draws the
noise again from its address, and measures divergences, distances and accuracies again on the stored weights. What
takes more than that, such as the rounds of learning, is said to be on the record's word.
"""

from collections.abc import Callable
from pathlib import Path

from rewindnet.certificates import CertificateError, TrainingRun
from rewindnet.certificates.findings import Finding
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.verify.certificates import check_certificate
from rewindnet.experiments.verify.data import (
    check_checkpoints,
    check_data,
    check_disturbances,
    check_estimates,
)
from rewindnet.experiments.verify.elsewhere import check_elsewhere, learned_elsewhere
from rewindnet.experiments.verify.files import check_files
from rewindnet.experiments.verify.learning import check_learning
from rewindnet.experiments.verify.measures import check_costs, check_measures
from rewindnet.experiments.verify.network import check_network
from rewindnet.experiments.verify.noise import check_noise, check_released
from rewindnet.experiments.verify.noise_audit import check_noise_audit
from rewindnet.experiments.verify.rebuild import Rebuilt, rebuild
from rewindnet.experiments.verify.records import DAMAGE, estimates_constants, finding, recorded_runs_of_releases
from rewindnet.experiments.verify.rounds import check_rounds
from rewindnet.experiments.verify.sampling import check_samples
from rewindnet.experiments.verify.scenario import check_inputs, check_scenario
from rewindnet.experiments.verify.summary import check_table
from rewindnet.experiments.verify.traffic import check_traffic
from rewindnet.experiments.verify.weights import check_audit, check_weights

#: The checks of one release on its records, by name.
_RELEASE_CHECKS: dict[str, Callable[[RunFolder, TrainingRun, int], str]] = {
    "certificate": check_certificate,
    "audit": check_audit,
    "Monte-Carlo audit": check_samples,
    "noise": check_noise,
    "noise audit": check_noise_audit,
    "released models": check_released,
}


def verify_folder(path: Path, data: bool = True, run_code: bool = False) -> list[Finding]:
    """Check a run folder: the scenario, the network, the data, learning, the weights, every release, and the table.

    Args:
        path: the run folder.
        data: whether to load the data, where their source allows; what they would give is otherwise on the record's
            word.
        run_code: whether to import code of a user's own that the scenario names, such as the class of the model. The
            code can do anything, also make every check hold; without it, data that need it are not loaded.

    Returns:
        One finding for each check. If the scenario, the network or learning does not verify, later checks are left out,
        because they depend on them.

    Raises:
        FolderError: if the folder holds no complete run.
    """
    folder = read_folder(path)
    try:
        rebuilt = rebuild(folder, data, run_code)
    except DAMAGE as problem:
        return [Finding("scenario", "FAILS", f"the records are damaged: {type(problem).__name__} {problem}")]
    findings = [
        finding("files", check_files, folder, rebuilt),
        finding("scenario", check_scenario, folder, rebuilt),
        finding("inputs", check_inputs, folder, rebuilt),
    ]
    for what, check in (
        ("network", lambda: check_network(folder, rebuilt)),
        ("learning", lambda: check_learning(folder, rebuilt)),
    ):
        findings.append(finding(what, check))
        if not findings[-1].holds:
            return findings
    findings += [
        finding("data", check_data, folder, rebuilt),
        *([finding("estimated constants", check_estimates, folder, rebuilt)] if estimates_constants(folder) else []),
        finding("measured disturbances", check_disturbances, folder),
        finding("stored weights", check_weights, folder),
        finding("checkpoints", check_checkpoints, folder, rebuilt),
        *([finding("learning elsewhere", check_elsewhere, folder)] if learned_elsewhere(folder) else []),
        finding("rounds", check_rounds, folder, rebuilt),
        finding("traffic", check_traffic, folder),
    ]
    try:
        training_runs = recorded_runs_of_releases(folder)
    except CertificateError as problem:
        return [*findings, Finding("releases", "FAILS", str(problem))]
    except DAMAGE as problem:
        return [*findings, Finding("releases", "FAILS", f"the records are damaged: {type(problem).__name__} {problem}")]
    for index, training in enumerate(training_runs):
        findings += _verify_release(folder, rebuilt, training, index)
    findings.append(finding("table", check_table, folder))
    return findings


def _verify_release(folder: RunFolder, rebuilt: Rebuilt, training: TrainingRun, index: int) -> list[Finding]:
    """Run every check of one release."""
    release = f"{index} {folder.methods[index].certificate.get('method')}"
    return [
        *(finding(f"{release}, {what}", check, folder, training, index) for what, check in _RELEASE_CHECKS.items()),
        finding(f"{release}, accuracy and distances", check_measures, folder, rebuilt, training, index),
        finding(f"{release}, cost and attacks", check_costs, folder, rebuilt, index),
    ]
