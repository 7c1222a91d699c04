"""The conscience over all methods: whatever one does on whatever network, what is measured stays within its claim."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from drawn import examples
from hypothesis import example, given
from hypothesis import strategies as st
from networks import Network, networks
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, CertificateError, TrainingRun, audit, certify
from rewindnet.certificates.audits.audit import violation
from rewindnet.certificates.mechanisms import RRDU as RRDUMechanism
from rewindnet.certificates.mechanisms import GossipDP as GossipDPMechanism
from rewindnet.certificates.mechanisms import Langevin as LangevinMechanism
from rewindnet.certificates.mechanisms import NoisyFinetune as NoisyFinetuneMechanism
from rewindnet.certificates.mechanisms import WalkDP as WalkDPMechanism
from rewindnet.certificates.mechanisms.langevin import contractions
from rewindnet.certificates.sensitivity.local_steps import local_growth, strongest_regime
from rewindnet.certificates.view import View
from rewindnet.clients.methods import METHODS, Method, MethodError, UnlearningPlan
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.gossip_dp import GossipDPRounds
from rewindnet.clients.steps.program import Program
from rewindnet.clients.steps.walk_dp import WalkDPToken
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.simulator.outcome import Outcome, divergence
from rewindnet.simulator.simulation import Simulation


@dataclass(frozen=True)
class Case:
    """A method with its settings, on a network."""

    network: Network
    method: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came of one request; `retrained` is the place of what the centre is compared with."""

    simulation: Simulation
    method: Method
    learning: TrainingRun
    outcome: Outcome
    certificate: Certificate
    found: Audit
    retrained: str


#: What a network has to be for a method to have something to say on it; elsewhere it must refuse, or say nothing.
FITTING: dict[str, dict[str, Any]] = {
    "newton": {
        "order": "consensus-plus-gradient",
        "schedule": "static",
        "sampling": "full",
        "departure": "relay",
        "local_steps": 1,
        "radius": None,
    },
    "rr-du": {"others": (), "departure": "relay"},
    "gossip-dp": {"local_steps": 1, "sampling": "full", "departure": "relay", "early": None},
    "walk-dp": {"departure": "relay"},
    "federaser": {"order": "adapt-then-combine"},
    "public-only": {"public": True},
    "ridge": {"model": "logistic", "schedule": "static", "departure": "relay"},
    "gradient-ascent": {"departure": "relay"},
    "hessian-free": {
        "order": "consensus-plus-gradient",
        "local_steps": 1,
        "sampling": "full",
        "departure": "relay",
        "radius": None,
        "early": None,
    },
}

SIGMAS = st.sampled_from([1e-9, 1e-3, 0.1, 1.0, 30.0, 1e4])
EPSILONS = st.sampled_from([0.01, 1.0, 8.0])
POSITIVE = st.sampled_from([1e-2, 0.3, 1.0, 20.0])


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Often what the method takes by itself."""
    return st.none() | values


def views(nodes: int) -> st.SearchStrategy[str]:
    single = st.builds("{}:{}".format, one_of("node", "transcript"), st.integers(0, nodes - 1))
    return one_of("node", "joint", "average", "transcript", "transcript:all") | single


@st.composite
def noise(draw: st.DrawFn) -> dict[str, Any]:
    """An ε to reach, or a σ, or neither."""
    name = draw(one_of("epsilon", "sigma", None))
    return {} if name is None else {name: draw(EPSILONS if name == "epsilon" else SIGMAS)}


def settings_of(method: str, network: Network) -> st.SearchStrategy[dict[str, Any]]:
    """What a scenario might set."""
    regime = maybe(one_of("nonconvex", "weakly-convex", "convex", "strongly-convex"))
    bound, rounds = one_of("worst-case", "instance"), maybe(st.integers(0, 6))
    seen: dict[str, Any] = {"view": views(network.nodes), "delta": one_of(1e-9, 1e-5, 0.1)}
    descent = {
        "bound": one_of("worst-case", "instance", "published"),
        "regime": regime,
        "allocation": one_of("uniform", "optimal"),
        "gossip_rounds": one_of(0, 0, 2),
    }
    placed = {**descent, "placement": one_of("output", "rewind")}
    alternation = {
        "way": one_of("local", "gossip", "server", "token"),
        "optimizers": one_of("shared-sgd", "shared-adam", "dual-ss", "dual-as", "dual-aa"),
        "retain_momentum": one_of("local", "local", "carried"),
    }
    own: dict[str, dict[str, Any]] = {
        "r2d": {**placed, "rewind": maybe(st.floats(0, 1))},
        "warm-start": {**placed, "rounds": rounds},
        "noise-only": descent,
        "newton": {
            "reach": one_of("network", "uniform"),
            "curvature": one_of("hessian", "fisher", "diagonal"),
            "iterations": maybe(st.integers(1, 8)),
            "tolerance": one_of(1e-2, 1e-6),
            "noise": one_of("certified", "certified", "claimed"),
            "shared_noise": st.booleans(),
            "clean": st.integers(0, 2),
        },
        "rr-du": {
            "hops": st.integers(1, 12),
            "alignment": one_of("exact", "lightweight", "lightweight+descent"),
            "routing": one_of("others", "neighbours"),
            "visit_probability": maybe(one_of(0.0, 0.5, 1.0)),
            "start": one_of("u", "random"),
            "visits": maybe(st.integers(0, 4)),
            "noise": one_of("claimed", "certified", "off"),
            "clip": POSITIVE,
            "trust_radius": maybe(POSITIVE),
            "trust_centre": one_of("reference", "noised"),
            "optimizer": one_of("sgd", "sgd", "adam", "dual-as"),
            "step_size": maybe(POSITIVE),
            "minibatches": st.integers(1, 3),
            "batch": st.integers(0, 3),
            "bound": bound,
            "regime": regime,
        },
        "noisy-finetune": {
            "rounds": rounds,
            "clipping": one_of("gradient", "model"),
            "start_radius": maybe(POSITIVE),
            "gradient_radius": maybe(POSITIVE),
            "model_radius": maybe(POSITIVE),
            "step_size": maybe(POSITIVE),
            "decay": maybe(one_of(0.0, 0.1, 1.5)),
            "bound": one_of("worst-case", "instance", "published"),
            "regime": regime,
        },
        "langevin": {"rounds": rounds, "bound": bound, "regime": regime},
        "gossip-dp": {"clip": maybe(POSITIVE), "calibrate": one_of("certified", "claimed")},
        "walk-dp": {
            "hops": maybe(st.integers(1, 12)),
            "noise": one_of("certified", "claimed"),
            "clip": maybe(POSITIVE),
            "step_size": maybe(POSITIVE),
            "start": maybe(st.integers(0, network.nodes - 1)),
        },
        "federaser": {"interval": st.integers(1, 3), "ratio": one_of(0.5, 1.0)},
        "gradient-ascent": {"ascent_steps": st.integers(1, 3), "radius": maybe(POSITIVE), "rounds": rounds},
        "finetune": {"epochs": st.integers(1, 3), "batch": st.integers(1, 9), "step_size": POSITIVE},
        "scrub": {
            "epochs": st.integers(1, 3),
            "batch": st.integers(1, 9),
            "max_steps": st.integers(0, 2),
            **alternation,
        },
        "neggrad": {"epochs": st.integers(1, 2), "batch": st.integers(1, 9), **alternation},
        "salun": {"epochs": st.integers(1, 2), "share": one_of(0.1, 1.0), **alternation},
        "sfron": {
            "epochs": st.integers(1, 2),
            "retain_steps": st.integers(1, 3),
            "exponent": one_of(0.0, 0.5),
            **alternation,
        },
        "lune": {"epochs": st.integers(1, 2), "rank": st.integers(1, 3), "negatives": st.integers(1, 2)},
        "idk": {"epochs": st.integers(1, 2), "loss_filter": one_of(0.0, 0.4), "continued_rounds": st.integers(0, 2)},
        "siu": {
            "goal": one_of("name", "name", "refusal", "ascent"),
            "token_mask": st.booleans(),
            "vocab_mask": st.booleans(),
            "beta": one_of(0.0, 0.75),
            "steps": st.integers(1, 3),
            "others": st.integers(0, 3),
        },
        "npo": {"epochs": st.integers(1, 2), "beta": one_of(0.1, 1.0), **alternation},
        "manif-smc": {"epochs": st.integers(1, 2), "margin": one_of("smc", "smc-label-free", "fixed"), **alternation},
        "fisher-forgetting": {"alpha": POSITIVE, "most": POSITIVE},
        "hessian-free": {},
        "cns": {
            "recursions": st.integers(1, 2),
            "terms": st.integers(1, 4),
            "batch": st.integers(1, 9),
            "sigma": maybe(one_of(0.0, 0.1)),
            "formula": one_of("paper", "code"),
        },
        "retrain": {},
        "do-nothing": {},
        "public-only": {},
        "ridge": {"penalty": one_of(1e-4, 0.3)},
        "anew": {"rewind": one_of(0.0, 0.3, 1.0)},
        "retrain-healed": {"rewind": one_of(0.0, 0.3, 1.0), "settle_first": st.integers(0, 2)},
    }
    drawn = st.fixed_dictionaries({**seen, **own[method]})
    quiet = ("retrain", "do-nothing", "federaser", "gradient-ascent", "finetune", "scrub", "fisher-forgetting", "anew")
    if method in (
        *quiet,
        "neggrad",
        "salun",
        "sfron",
        "npo",
        "idk",
        "lune",
        "siu",
        "manif-smc",
        "hessian-free",
        "cns",
        "ridge",
        "public-only",
        "retrain-healed",
    ):
        return drawn
    return st.builds(lambda some, more: {**some, **more}, drawn, noise()).map(lambda found: tidied(method, found))


def tidied(method: str, found: dict[str, Any]) -> dict[str, Any]:
    """Without settings that the method would only refuse: two that exclude each other."""
    if method == "r2d" and len({"epsilon", "sigma"} & set(found)) == 0 and found["rewind"] is None:
        found = {**found, "epsilon": 1.0, "sigma": 1.0}
    if method == "noisy-finetune":
        unused = ("model_radius",) if found["clipping"] == "gradient" else ("start_radius", "gradient_radius")
        found = {name: value for name, value in found.items() if name not in unused}
        if found["clipping"] == "model" and found["model_radius"] is None:
            found["model_radius"] = 1.0
        if found["bound"] == "published":
            found |= {"regime": None} | ({"start_radius": 1.0} if found["clipping"] == "gradient" else {})
    if method in ("r2d", "warm-start", "noise-only"):
        if found["bound"] == "published":
            found = {**found, "regime": None}
        if found["view"] == "average":
            found = {**found, "gossip_rounds": 0}
    if method == "rr-du" and (found["noise"] == "off" or (found["noise"] == "certified" and "sigma" in found)):
        found = {name: value for name, value in found.items() if name not in ("epsilon", "sigma")}
    if method == "newton" and "sigma" in found:
        found = {**found, "noise": "certified"}
    return found


@st.composite
def cases(draw: st.DrawFn, *methods: str) -> Case:
    """One of the methods on a small network, most often one on which it has something to say."""
    method = draw(one_of(*(methods or METHODS)))
    fixed: dict[str, Any] = {"rounds": draw(st.integers(1, 6))}
    if draw(st.integers(0, 7)):
        fixed |= FITTING.get(method, {})
        if method == "newton":
            fixed |= {
                "model": draw(one_of("logistic", "huber-logistic")),
                "l2": draw(one_of(0.1, 1.0)),
                "step": draw(one_of(0.1, 0.5)),
            }
    network = draw(networks(**fixed))
    return Case(network, method, draw(settings_of(method, network)))


def answers(case: Case) -> list[Answer]:
    """What a run does: learn, and for every request plan, retrain, carry out, certify, audit.

    Raises:
        MethodError, CertificateError: where the method refuses.
    """
    simulation = case.network.simulation()
    method = METHODS[case.method](**case.settings).seeded(case.network.seed)
    for training in simulation.requests:
        method.check(training)
    arrive = [request.rounds for request in simulation.requests]
    learned, learnings = simulation.learn({*arrive}.union(*(method.checkpoints(T) for T in arrive)))
    found = []
    for at, (T, learning) in enumerate(zip(arrive, learnings, strict=True)):
        plan = method.plan(learning)
        oracle = simulation.retrain(method.horizon(T), {0, T, plan.release.noise_round}, at)
        outcome = simulation.execute(method, plan, learned, at, at)
        certificate = certify(learning, outcome.plan.release, outcome.plan.claim)
        apart = divergence(outcome.centre, simulation.oracle_state(outcome.plan.release, oracle, at))
        audited = audit(certificate, simulation.training_run.mixing, apart, shifts=outcome.shifts)
        found.append(
            Answer(
                simulation,
                method,
                learning,
                outcome,
                certificate,
                audited,
                oracle.checkpoint_names[plan.release.noise_round],
            )
        )
    return found


def tried(case: Case) -> list[Answer]:
    """The same; nothing where the method refuses, which it does in a sentence and with no other error."""
    try:
        return answers(case)
    except (MethodError, CertificateError) as refused:
        refusal = str(refused)
    assert len(refusal.split()) > 4
    return []


def plain(certificate: Certificate) -> Any:
    """As it lies in a file."""
    return json.loads(json.dumps(certificate.to_record()))


#: One disturbed round, measured: the bound is what is measured but for rounding, and so is ε.
MEASURED_TO_THE_LAST_DIGITS = Case(
    Network(
        *("barabasi-albert", 5, "max-degree", "adapt-then-combine", "sigmoid", 0.1, 0.5, 1, 2, 2, "all"),
        *((22, 28, 5, 18, 25), "float64", 407883851),
        spread=5.0,
        schedule="walk metropolis",
        sampling="poisson",
        others=(0,),
    ),
    "noisy-finetune",
    {
        "regime": "convex",
        "bound": "instance",
        "gradient_radius": 0.01,
        "decay": 0.1,
        "view": "transcript:2",
        "epsilon": 0.01,
    },
)

#: What remains of a star without one of its points is in two parts.
WALK_THAT_LOST_A_HOLDER = Case(
    Network(
        *("star", 5, "lazy-metropolis-hastings", "combine-then-adapt", "sigmoid", 1.0, 1.9, 3, 3, 4, "half"),
        *((13, 26, 14, 30, 15), "float64", 1234379),
        departure="leave",
        radius=0.5,
    ),
    "walk-dp",
    {"start": 3, "hops": 2},
)


@given(case=cases())
@example(case=MEASURED_TO_THE_LAST_DIGITS)
@example(case=WALK_THAT_LOST_A_HOLDER)
@examples(200)
def test_what_is_measured_stays_within_what_is_claimed(case: Case) -> None:
    for answer in tried(case):
        certificate, found = answer.certificate, answer.found
        assert found.holds, violation(certificate, found)
        assert np.all(np.array(found.shifts) <= np.array(certificate.shifts))
        if certificate.sensitivity:
            assert np.all(np.array(found.divergence) <= np.array(certificate.sensitivity))
        if certificate.epsilon is None:
            assert certificate.reason
        else:
            assert found.epsilon_empirical is not None
            assert found.epsilon_empirical <= certificate.epsilon
        if case.method == "do-nothing" and reached(certificate.view, found):
            assert certificate.epsilon is None
        again = Certificate.from_record(plain(certificate))
        assert plain(again) == plain(certificate)
        assert plain(certify(answer.learning, again.release, again.claim)) == plain(certificate)


def reached(view: str, found: Audit) -> bool:
    """Whether a model that the view shows is other than that of retraining."""
    node = View.of(view).node
    return any(found.divergence) if node is None else found.divergence[node] > 0


class OnRetained(Method):
    """A method that learns in private, had it never had the forget set: its own steps, with nothing to remember."""

    def __init__(self, own: Method) -> None:
        self._own = own

    def checkpoints(self, rounds: int) -> Sequence[int]:
        return self._own.checkpoints(rounds)

    def horizon(self, rounds: int) -> int:
        return self._own.horizon(rounds)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        return self._own.plan(learning)

    def program(self, *asked: Any) -> Program:
        """The very steps of the method, that take the block without the forget set for all there ever was."""
        program = self._own.program(*asked)
        return replace(program, finish=tuple(_retaining(step) for step in program.finish), watched=())


def _retaining(step: CommunicationStep) -> CommunicationStep:
    if not isinstance(step, GossipDPRounds | WalkDPToken):
        return step

    class Retaining(type(step)):  # type: ignore[misc]
        needs_forget_set = False

        def message(self, block: ClientBlock, *rest: Any) -> Tensor:
            return super().message(replace(block, before_erasure=block), *rest)

        def combine(self, block: ClientBlock, *rest: Any) -> Tensor:
            return super().combine(replace(block, before_erasure=block), *rest)

    return Retaining(**{field.name: getattr(step, field.name) for field in fields(step)})


def furthest(answer: Answer) -> NDArray[np.float64] | None:
    """[N], how far apart two runs end at most that share their noise, by the constants of the mechanism alone.

    From what was measured where they begin, or at every visit; None where the mechanism has no such constants.
    """
    learning, release, mechanism = answer.learning, answer.outcome.plan.release, answer.outcome.plan.release.mechanism
    start, shifts, N = np.array(answer.found.divergence), answer.outcome.shifts, learning.mixing.nodes
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(mechanism, LangevinMechanism):
            grown = contractions(learning, answer.outcome.plan.claim.regime, release.descent_rounds + 1)
            return np.full(N, np.linalg.norm(start) * np.prod(grown))
        if isinstance(mechanism, NoisyFinetuneMechanism):
            start = np.minimum(start, 2 * (mechanism.start_radius or np.inf))
            if mechanism.growth is None:
                return None
            moved = start * mechanism.growth**mechanism.rounds
            return moved if mechanism.model_radius is None else np.minimum(moved, 2 * mechanism.model_radius)
        if isinstance(mechanism, RRDUMechanism):
            if mechanism.alignment != "exact" or mechanism.centre is not None or mechanism.optimizer != "sgd":
                return None
            known = replace(learning, step_size=mechanism.step_size)
            regime, far = answer.outcome.plan.claim.regime or strongest_regime(learning), float(start[mechanism.node])
            for holder, works in zip(mechanism.holders, mechanism.works, strict=True):
                if works and holder == mechanism.node:
                    far += min(mechanism.slope * far, 2 * mechanism.step_size * mechanism.clip)
                elif works:
                    far *= local_growth(known, regime)
            return np.full(N, far)
        if isinstance(mechanism, WalkDPMechanism):
            felt, far = dict(zip(mechanism.events, shifts.tolist(), strict=True)), 0.0
            for visit in enumerate(mechanism.holders):
                far = mechanism.growth * far + mechanism.step_size * felt.get(visit, 0.0)
            return np.full(N, far)
        if isinstance(mechanism, GossipDPMechanism):
            felt, z = dict(zip(mechanism.events, shifts.tolist(), strict=True)), np.zeros(N)
            for t in range(mechanism.rounds):
                participating = learning.mixing.participating(t)
                grown = (
                    mechanism.growth * z
                    if participating is None
                    else np.where(participating, mechanism.growth, 1.0) * z
                )
                z = learning.mixing.matrix(t) @ (
                    grown + learning.step_size * np.array([felt.get((t, i), 0) for i in range(N)])
                )
            return z
    return None


@given(case=cases("langevin", "noisy-finetune", "rr-du", "walk-dp", "gossip-dp"))
@examples(60)
def test_two_runs_under_the_same_noise_part_no_faster_than_the_mechanism_says(case: Case) -> None:
    """What every proof of amplification leans on, run: the same steps, coins and noise, with and without."""
    case = replace(case, network=replace(case.network, dtype="float64"))
    for at, answer in enumerate(tried(case)):
        bound = furthest(answer)
        if bound is None:
            continue
        release, simulation = answer.outcome.plan.release, answer.simulation
        private = isinstance(release.mechanism, WalkDPMechanism | GossipDPMechanism)
        method = OnRetained(answer.method) if private else answer.method
        other = simulation.resample_noise(method, release, answer.retrained, at, at)
        apart = divergence(answer.outcome.released, other) * answer.learning.present
        longest = max(float(answer.outcome.released.norm()), float(answer.outcome.noised.norm()))
        assert np.all(apart <= bound * (1 + 1e-9) + 1e-11 * (1 + longest)), (apart, bound)
