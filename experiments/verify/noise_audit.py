"""Verify the audit of the noise that was used: on the stored models, or on the recorded statistics."""

from collections.abc import Mapping
from math import isclose
from typing import Any

from rewindnet.certificates import Audit, NoiseAudit, Release, TrainingRun
from rewindnet.certificates.audits.noise.record import NO_NOISE, NOT_MEASURED
from rewindnet.certificates.audits.noise.statistics import p_value
from rewindnet.certificates.audits.noise.traces import NoiseTraces, no_traces, vector_traces
from rewindnet.certificates.audits.noise.verdict import LEVEL, audit_vectors, judged, required_tests
from rewindnet.certificates.findings import OnRecord, Unchecked
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.records import (
    UNIT_ROUNDOFF,
    certificate_of,
    demand,
    recorded_runs_of_releases,
    request_suffix_of,
    same,
)
from rewindnet.experiments.verify.weights import averaged, stored_release

#: How far a statistic that is measured again may be from the recorded one: sums in another order.
_SUMS = 1e-6


def check_noise_audit(folder: RunFolder, training: TrainingRun, index: int) -> str:
    """Derive an audit of noise again: from the stored models, or from the most extreme statistics on record.

    Args:
        folder: the run folder.
        training: how the network learned up to the request that the release answers.
        index: the number of the release.

    Returns:
        A sentence about what was checked, or why nothing was.

    Raises:
        MismatchError: if the audit does not follow from the models or its statistics, or the noise is violated.
    """
    release = certificate_of(folder.methods[index]).release
    recorded = Audit.from_record(folder.methods[index].audit).noise_audit
    additions = release.mechanism.additions(training, release)
    if not len(additions):
        demand(recorded in (NO_NOISE, NOT_MEASURED), "noise was measured where none is claimed")
        return "no noise is claimed, and none was to be measured"
    if recorded.measured is None:
        return Unchecked(f"{len(additions):,} additions of noise are claimed; {recorded.sentence}")
    demand(recorded.status != "violated", recorded.sentence)
    counted = (recorded.expected, recorded.measured)
    demand(
        counted == (len(additions),) * 2,
        f"{len(additions):,} additions of noise are claimed; {counted[0]:,} were expected and {counted[1]:,} measured",
    )
    _check_arithmetic(recorded, LEVEL / len(folder.methods))
    _check_shape(recorded, required_tests(additions, _parameters(folder, training, index), release.shares_noise))
    if recorded.status == "unchecked":
        return Unchecked(recorded.sentence)
    again = _measured_again(folder, training, index)
    if again is None:
        return OnRecord(f"{recorded.sentence}; the p-values follow from the statistics, which are as recorded")
    compared = _check_same(recorded, again, release, _earlier_known(folder, index))
    if not compared:
        return OnRecord(
            f"{recorded.sentence}; measured again on the stored models, but for the comparison with earlier releases"
        )
    return f"{recorded.sentence}; measured again on the stored models"


def _check_arithmetic(recorded: NoiseAudit, level: float) -> None:
    """Check the p-values against the statistics, and the verdict against the p-values."""
    for test in recorded.tests:
        follows = float(p_value(test.law, test.degrees, test.statistic, test.allowance))
        demand(
            isclose(test.p_value, follows, rel_tol=_SUMS, abs_tol=1e-300),
            f"the p-value of {test.name!r} is recorded as {test.p_value:.6g} and follows as {follows:.6g}",
        )
    assert recorded.measured is not None
    again = judged(recorded.tests, recorded.expected, recorded.measured, level)
    demand(same(again.to_record(), recorded.to_record()), "the audit of the noise does not follow from its own tests")


def _check_shape(recorded: NoiseAudit, required: Mapping[str, tuple[int, int | None]]) -> None:
    """Check that there are the statistics that such noise has, each with its tests and degrees of freedom."""
    found = {test.name: (test.tests, test.degrees) for test in recorded.tests}
    for name, shape in required.items():
        demand(
            found.get(name) == shape,
            f"the statistic {name!r} has {shape[0]:,} tests of {shape[1]} degrees of freedom, and {found.get(name)} is "
            "recorded",
        )


def _parameters(folder: RunFolder, training: TrainingRun, index: int) -> int:
    """Return the number of parameters of a model, by the stored models or by the record of the arithmetic."""
    released = folder.weights(f"{folder.methods[index].place}/released")
    if released is not None:
        return int(released.shape[1])
    assert training.arithmetic is not None
    return training.arithmetic.parameters


def _arrays(folder: RunFolder, index: int) -> tuple[Any, Any] | None:
    """Return the models before and after the noise; None where one was not kept, or noise was added elsewhere too."""
    stored = stored_release(folder, index)
    if stored is None or not certificate_of(folder.methods[index]).release.adds_one_vector:
        return None
    return stored[:2]


def _traces(folder: RunFolder, training_runs: list[TrainingRun], index: int) -> NoiseTraces:
    """Return what later releases are compared with; nothing where it cannot be measured again."""
    release = certificate_of(folder.methods[index]).release
    arrays, training = _arrays(folder, index), training_runs[index]
    additions = release.mechanism.additions(training, release)
    if arrays is None or not len(additions):
        return no_traces(_parameters(folder, training, index))
    roundoff = UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
    return vector_traces(additions, *arrays, roundoff, release.shares_noise)


def _earlier_known(folder: RunFolder, index: int) -> bool:
    """Return whether the noise of every earlier release can be measured again."""
    releases = [certificate_of(method).release for method in folder.methods[:index]]
    return all(_arrays(folder, at) is not None or not release.sigma.any() for at, release in enumerate(releases))


def _measured_again(folder: RunFolder, training: TrainingRun, index: int) -> NoiseAudit | None:
    """Return the audit of the stored models; None where they were not kept, or do not show all of the noise."""
    release, arrays = certificate_of(folder.methods[index]).release, _arrays(folder, index)
    if arrays is None:
        return None
    name = f"checkpoints/retrained{request_suffix_of(folder, index)}-{release.noise_round:06d}"
    retrained, training_runs = folder.weights(name), recorded_runs_of_releases(folder)
    return audit_vectors(
        release.mechanism.additions(training, release),
        *arrays,
        UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]],
        LEVEL / len(folder.methods),
        None if retrained is None else averaged(retrained, release),
        release.shares_noise,
        [_traces(folder, training_runs, at) for at in range(index)],
    )[0]


def _check_same(recorded: NoiseAudit, again: NoiseAudit, release: Release, earlier_known: bool) -> bool:
    """Compare what was recorded with what is measured now; return whether all of it could be compared."""
    demand(again.status != "violated", again.sentence)
    old, new = ({test.name: test for test in found.tests} for found in (recorded, again))
    every = {*old, *new}
    # The direction between two averages is one of rounding, which depends on the order of the sum.
    left_out = {"direction", "all directions", "joint direction"} if release.averaged else set()
    names = every - left_out - (set() if earlier_known else {"earlier release", "earlier repeats"})
    for name in sorted(names):
        demand(name in old and name in new, f"the statistic {name!r} is {'missing' if name in new else 'unfounded'}")
        one, other = old[name], new[name]
        shapes, close = (one.tests, one.degrees) == (other.tests, other.degrees), abs(one.statistic - other.statistic)
        demand(
            shapes and close <= _SUMS * (1 + abs(other.statistic)),
            f"the statistic {name!r} is recorded as {one.statistic:.6g} of {one.tests:,} tests and measures "
            f"{other.statistic:.6g} of {other.tests:,}",
        )
    return earlier_known
