"""The verifier on plans: what the scenario's method would do, given the records of learning, is what was certified.

Here it shares the methods with the path that produced the records: what they plan is data, and a plan that was not
followed shows in the weights and the audit.
"""

from rewindnet.certificates import Certificate, TrainingRun
from rewindnet.clients.methods import METHODS, Method, MethodError
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.records import MismatchError, demand, same, short


def method_of(folder: RunFolder, index: int) -> Method:
    """Return the scenario's method that made a release."""
    methods = folder.scenario["unlearning"]
    settings = dict(methods[index % len(methods)])
    method: Method = METHODS.build(settings.pop("method"), **settings).seeded(folder.scenario["seed"])
    return method


def check_plan(method: Method, claimed: Certificate, learning: TrainingRun) -> None:
    """A certificate against what its method plans by the scenario's settings.

    Raises:
        MismatchError: if the noise or the mechanism is another.
    """
    try:
        release = method.plan(learning).release
    except MethodError as problem:
        raise MismatchError(f"by these records the method would have refused: {problem}") from None
    planned, recorded = release.mechanism.to_record(), claimed.release.mechanism.to_record()
    kind = claimed.release.mechanism.kind
    demand(planned["kind"] == kind, f"the mechanism of {claimed.method} is {planned['kind']}, not {kind}")
    if claimed.release.mechanism.measured:
        return
    demand(same(planned, recorded), f"{claimed.method} would be planned as {short(planned)}")
    sigma = release.sigma.tolist()
    demand(
        same(sigma, list(claimed.release.sigma)),
        f"{claimed.method} would add noise of σ up to {short(max(sigma))}, not {short(max(claimed.release.sigma))}",
    )
