"""The settings of RR-DU, each a point that its abstract and the secondary readings leave open."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from math import isfinite
from typing import Any, ClassVar, Literal, Self

from rewindnet.certificates import Regime, TrainingRun, View, check_delta, check_epsilon
from rewindnet.certificates.mechanisms.rr_du import Alignment, Centre, Optimizer
from rewindnet.clients.methods.base import Method, MethodError
from rewindnet.clients.methods.token_paths import graph_weights
from rewindnet.registry import former
from rewindnet.topologies.routing import Routing, TokenPath, TokenStart, adjacency_of_weights, token_path


@former(values={"noise": {"sound": "certified"}})
@dataclass(frozen=True)
class RRDUSettings(Method):
    """What a scenario may set of RR-DU, and the path of the token that follows from it.

    Args:
        seed: the seed of the path, of the batches and, in studies, of the noise.
        hops: T_u, steps that are taken, each by the node that has the token.
        alignment: of u's direction: `lightweight` (m/n_u)·∇f_forget, an ascent; `lightweight+descent`
            −∇f_u + (m/n_u)·∇f_forget; `exact` −∇f'_u; every objective with its regulariser.
        routing: which node steps next, if not u: `others`, any other node, drawn uniformly, along shortest paths of the
            graph (each edge a message and a round); `neighbours`, a neighbour of the holder.
        visit_probability: p; 1/N by default.
        start: which node steps first: `u`, or `random`, drawn like any other.
        visits: the most steps that u takes; no limit by default.
        noise: `claimed`, as the paper's formula has it for epsilon; `certified`, the least that certifies (ε, δ)
            against retraining; `off`.
        epsilon: the ε to claim or to reach; 1 by default.
        sigma: of Z, given instead of epsilon with noise `claimed`; the claim then follows.
        delta: δ.
        clip: L.
        trust_radius: ϱ; no trust region by default.
        trust_centre: `reference`, as u began, or `noised`, as u first sent it.
        optimizer: of all steps: `sgd`, or `adam`, whose moments stay with each holder; or `dual-as` (Zhong, Luo and
            Liu 2025), Adam of u's steps, SGD of the others'.
        step_size: η; that of learning by default.
        step_size_elsewhere: η of the others, with `dual-as`; that of learning by default.
        minibatches: s.
        batch: samples in each; 0: every holder descends by the full gradient.
        view: who sees what; all views of a single token that is given to all are one but for those of transcripts.
        bound: `worst-case` or `instance`, of what u begins with.
        regime: the curvature to assume; by default the strongest that the model proves.
        noise_source: `seed` for studies, `os` for a release.

    Raises:
        MethodError: if a setting is out of range.
    """

    later_settings: ClassVar[Mapping[str, Any]] = {"step_size_elsewhere": None}
    seed: int = 0
    _: KW_ONLY
    hops: int = 100
    alignment: Alignment = "lightweight"
    routing: Routing = "others"
    visit_probability: float | None = None
    start: TokenStart = "u"
    visits: int | None = None
    noise: Literal["claimed", "certified", "off"] = "claimed"
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    clip: float = 0.5
    trust_radius: float | None = None
    trust_centre: Centre = "reference"
    optimizer: Optimizer = "sgd"
    step_size: float | None = None
    step_size_elsewhere: float | None = None
    minibatches: int = 4
    batch: int = 0
    view: str = "node"
    bound: Literal["worst-case", "instance"] = "worst-case"
    regime: Regime | None = None
    noise_source: Literal["seed", "os"] = "seed"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_delta(self.delta)
        View.of(self.view)
        for name in ("hops", "minibatches"):
            if getattr(self, name) < 1:
                raise MethodError(f"{name} of rr-du is at least 1, not {getattr(self, name)}")
        for name in ("visits", "batch"):
            if (getattr(self, name) or 0) < 0:
                raise MethodError(f"{name} of rr-du is not negative, and it is {getattr(self, name)}")
        for name in ("clip", "trust_radius", "step_size", "step_size_elsewhere"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise MethodError(f"{name} of rr-du is a positive number, not {value}")
        if self.step_size_elsewhere is not None and self.optimizer != "dual-as":
            raise MethodError(
                "step_size_elsewhere of rr-du goes with optimizer: dual-as; all others take one step size"
            )
        if self.visit_probability is not None and not 0 <= self.visit_probability <= 1:
            raise MethodError(f"visit_probability is between 0 and 1, not {self.visit_probability}")
        if self.sigma is not None and not (isfinite(self.sigma) and self.sigma >= 0):
            raise MethodError(f"sigma must be a non-negative number, not {self.sigma}")
        self._check_noise()

    def _check_noise(self) -> None:
        """Refuse an ε and a σ that do not fit the noise, and fill in ε where there is noise and neither is given."""
        if self.noise == "off" and (self.epsilon, self.sigma) != (None, None):
            raise MethodError("rr-du with noise off takes neither epsilon nor sigma")
        if self.noise == "certified" and self.sigma is not None:
            raise MethodError("rr-du with noise certified takes the epsilon to reach; sigma follows")
        if self.epsilon is not None and self.sigma is not None:
            raise MethodError("rr-du takes epsilon or sigma, and the other follows; both are given")
        if self.noise != "off" and self.epsilon is None and self.sigma is None:
            object.__setattr__(self, "epsilon", 1.0)
        if self.epsilon is not None:
            check_epsilon(self.epsilon)

    def seeded(self, seed: int) -> Self:
        """Return the method with the path that this seed draws."""
        return replace(self, seed=seed)

    def _probability(self, nodes: int) -> float:
        return 1 / nodes if self.visit_probability is None else self.visit_probability

    @property
    def _centre(self) -> Centre | None:
        return None if self.trust_radius is None else self.trust_centre

    def _step_size(self, learning: TrainingRun) -> float:
        return learning.step_size if self.step_size is None else self.step_size

    def _step_size_elsewhere(self, learning: TrainingRun) -> float | None:
        """Return η of holders other than u, where it is another than that of u."""
        if self.optimizer != "dual-as":
            return None
        return learning.step_size if self.step_size_elsewhere is None else self.step_size_elsewhere

    def _path(self, learning: TrainingRun, client: int) -> TokenPath:
        """Draw the path of the token of a deleting client."""
        return token_path(
            adjacency_of_weights(graph_weights(learning)),
            client,
            self.hops,
            self.seed,
            visit=self._probability(learning.mixing.nodes),
            routing=self.routing,
            start=self.start,
            cap=self.visits,
        )
