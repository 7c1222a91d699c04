"""Verify that the certified release is the one that the method of the scenario plans from the records of learning.

This check uses the same methods as the run: a plan is data, and a run that deviates from its plan is found by the
checks of the weights and the audit.
"""

from typing import Any

from rewindnet.certificates import Certificate, TrainingRun
from rewindnet.clients.methods import METHODS, Method, MethodError
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.scenario.views import with_node
from rewindnet.experiments.verify.records import MismatchError, demand, same, short

#: The parts of a release that its method plans, whatever it measures later.
_PLANNED = ("checkpoint_round", "descent_rounds", "placement", "gossip_rounds", "averaged", "noise_source", "healing")
#: The parts of a claim that follow from the plan; the regime may be resolved later.
_CLAIMED = ("view", "delta", "bound", "allocation", "claimed_epsilon", "claimed_by")


def settings_of(folder: RunFolder, index: int) -> dict[str, Any]:
    """Return the settings of the method that made a release, with its name, and with the node of its view by number."""
    methods, at = folder.scenario["unlearning"], index % len(folder.scenario["unlearning"])
    return with_node(methods[at], folder.names, int(folder.topology["nodes"]), f"unlearning.{at}")


def method_of(folder: RunFolder, index: int) -> Method:
    """Build the method of the scenario that made a release."""
    settings = settings_of(folder, index)
    method: Method = METHODS.build(settings.pop("method"), **settings).seeded(folder.scenario["seed"])
    return method


def check_plan(method: Method, claimed: Certificate, training: TrainingRun) -> None:
    """Check the rounds, the mechanism, the noise and the claim of a certificate against the plan of its method.

    Args:
        method: the method, with the settings of the scenario.
        claimed: the recorded certificate.
        training: how the network learned up to the request.

    Raises:
        MismatchError: if the rounds, the mechanism, the noise or the claim differ from the plan.
    """
    try:
        plan = method.plan(training)
    except MethodError as problem:
        raise MismatchError(f"by these records the method would have refused: {problem}") from None
    release = plan.release
    for name in _PLANNED:
        wanted, given = getattr(release, name), getattr(claimed.release, name)
        demand(wanted == given, f"{claimed.method} would be planned with {name} {wanted}, not {given}")
    planned, recorded = release.mechanism.to_record(), claimed.release.mechanism.to_record()
    kind = claimed.release.mechanism.kind
    demand(planned["kind"] == kind, f"the mechanism of {claimed.method} is {planned['kind']}, not {kind}")
    if claimed.release.mechanism.measured:
        return
    for name in _CLAIMED:
        wanted, given = getattr(plan.claim, name), getattr(claimed.claim, name)
        demand(same(wanted, given), f"{name} of {claimed.method} follows as {short(wanted)}, not {short(given)}")
    demand(same(planned, recorded), f"{claimed.method} would be planned as {short(planned)}")
    sigma = release.sigma.tolist()
    demand(
        same(sigma, list(claimed.release.sigma)),
        f"{claimed.method} would add noise of σ up to {short(max(sigma))}, not {short(max(claimed.release.sigma))}",
    )
