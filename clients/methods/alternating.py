"""What methods share that alternate between steps on the forget set and steps on retained data, and certify nothing.

DualOptim (Zhong, Luo and Liu 2025, "Enhancing efficacy and stability in machine unlearning with dual optimizers", arXiv
2504.15827) is a setting of all of them: `optimizers` says whether the two kinds of step share an optimizer. On a
network the optimizer of the forget set exists at the clients that delete alone, and what it carries is never sent.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Release, TrainingRun
from rewindnet.clients.methods.base import MethodError, UnlearningPlan
from rewindnet.clients.methods.empirical import Empirical
from rewindnet.clients.methods.token_paths import graph_weights, parents_from
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.objectives import described, plain_objective
from rewindnet.clients.steps.program import Program
from rewindnet.clients.steps.way import Way
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.clients.training.optimizers.pair import OptimizerPair, Pairing
from rewindnet.topologies.routing import Tree, adjacency_of_weights, token_path

_ON_THE_WAY = {
    "local": "by itself, and had all others add what it changed",
    "gossip": "while all others learned on, with an exchange of models after each epoch",
    "server": "while all others learned on, with a server that averages all models after each epoch",
    "token": "as a token came by that all others learned on with",
}


@dataclass(frozen=True, kw_only=True)
class Alternating(Empirical):
    """What a scenario may set of every method that alternates.

    Args:
        epochs: through forget set and retained data.
        step_size: of steps on retained data.
        forget_step_size: of steps on the forget set; by default the same.
        optimizers: of both kinds of step: `shared-sgd` or `shared-adam`, one for both; or two, of which the first
            letter is of the forget set's, `dual-as` (Adam and SGD), `dual-aa`, `dual-ss` or `dual-sa`.
        momentum: of SGD, in [0, 1).
        restart: whether what optimizers carry begins anew with every epoch.
        weight_decay: added to every gradient, times θ.
        clip: the largest norm of a gradient; null for any.
        batch: retained samples in a step.
        forget_batch: forgotten samples in a step.
        way: over the network: `local`, the clients that delete work by themselves, and all others add what these have
            changed; `gossip`, all others learn on meanwhile, and models are mixed after each epoch; `server`, the same
            with the average of all models, with one client the published algorithm; `token`, one model travels.
        hops: of the token, whose holders each go through their data once; by default epochs times clients.
        visit_probability: that the token comes to the deleting client next; by default one over the clients.
        retain_momentum: of the token: `local`, what the optimizer of retained data carries stays with each holder, or
            `carried`, it travels in messages of its own. What that of the forget set carries never does.
        objective: what steps on the forget set go down besides, one of `rewindnet list objectives` with its settings.
        loss_filter: the share of its forget set, in [0, 1), that a client leaves out and does not unlearn: the samples
            whose loss by the learned model is highest, against requests that carry an attack.
        continued_rounds: rounds of learning on retained data that the whole network adds in the end.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        UserError: if a setting is out of range.
    """

    later_settings: ClassVar[Mapping[str, Any]] = {"objective": None, "loss_filter": 0.0, "continued_rounds": 0}
    epochs: int = 10
    step_size: float = 0.01
    forget_step_size: float | None = None
    optimizers: Pairing = "dual-as"
    momentum: float = 0.9
    restart: bool = False
    weight_decay: float = 0.0
    clip: float | None = None
    batch: int = 128
    forget_batch: int = 128
    way: Way = "local"
    hops: int | None = None
    visit_probability: float | None = None
    retain_momentum: Literal["local", "carried"] = "local"
    objective: str | dict[str, Any] | None = None
    loss_filter: float = 0.0
    continued_rounds: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check(positive=("step_size",), counts=("epochs", "batch", "forget_batch"))
        self._check(shares=("weight_decay", "continued_rounds"))
        if not 0 <= self.loss_filter < 1:
            raise MethodError(f"loss_filter of {self.name} is a share in [0, 1), not {self.loss_filter}")
        for name in ("forget_step_size", "clip"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise MethodError(f"{name} of {self.name} must be a positive number, not {value}")
        if not 0 <= self.momentum < 1:
            raise MethodError(f"momentum of {self.name} lies in [0, 1), not {self.momentum}")
        for name, allowed in (("way", get_args(Way)), ("optimizers", get_args(Pairing))):
            if getattr(self, name) not in allowed:
                raise MethodError(f"{name} of {self.name} is one of {', '.join(allowed)}, not {getattr(self, name)}")
        self._check_token()
        object.__setattr__(self, "objective", plain_objective(self.objective))

    def _check_token(self) -> None:
        """Refuse settings of a token that have no meaning."""
        if self.way != "token":
            for name in ("hops", "visit_probability"):
                if getattr(self, name) is not None:
                    raise MethodError(f"{name} of {self.name} is a setting of way: token, not of way: {self.way}")
        if self.hops is not None and self.hops < 1:
            raise MethodError(f"hops of {self.name} is a number of at least 1, not {self.hops}")
        if self.visit_probability is not None and not 0 <= self.visit_probability <= 1:
            raise MethodError(f"visit_probability is between 0 and 1, not {self.visit_probability}")
        if self.retain_momentum == "carried" and (self.way != "token" or self.optimizers.startswith("shared")):
            raise MethodError(
                f"retain_momentum: carried of {self.name} takes way: token, and optimizers that are not shared: what a "
                "shared one carries depends on deleted samples, and is not sent"
            )

    @property
    def variant(self) -> str:
        """The optimizers, and the way over the network."""
        way = f"{self.way}, momentum carried" if self.retain_momentum == "carried" else self.way
        return ", ".join(
            [
                self.optimizers,
                way,
                *([self.objective["kind"]] if isinstance(self.objective, dict) else []),
                *([f"{100 * self.loss_filter:g} % left out"] if self.loss_filter else []),
                *([f"{self.continued_rounds} rounds more"] if self.continued_rounds else []),
            ]
        )

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return what is done; nothing of it is certified.

        Raises:
            MethodError: if the clients that delete are not there, or are too many for the way.
        """
        deleting = np.flatnonzero(self._forgotten(learning)).tolist()
        if self.way in ("local", "token") and learning.departed:
            raise MethodError(
                f"{self.name} with way: {self.way} is done by the client that deletes, so it must stay: use "
                "deletion.departure=relay, or way: gossip"
            )
        if self.way == "token" and (len(deleting) != 1 or learning.mixing.nodes < 2):
            raise MethodError(
                f"the token of {self.name} belongs to one client that deletes, and travels to others; here "
                f"{len(deleting)} of {learning.mixing.nodes} delete"
            )
        return super().plan(learning)

    def _forgotten(self, learning: TrainingRun) -> NDArray[np.int64]:
        """Return [N], how many samples this request asks each client to forget."""
        return learning.deleted - learning.already_deleted(learning.rounds)

    def _on_the_way(self) -> str:
        return _ON_THE_WAY[self.way]

    @abstractmethod
    def _step(self, **shared: Any) -> CommunicationStep:
        """Return the step of the method, with these attributes of every step of its kind."""

    def _forget_epochs(self) -> int | None:
        """Return in how many epochs a client goes through its forget set; None, as by default, for all."""
        return None

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the epochs, the rounds in which others receive what has come of them, and those of learning after."""
        from rewindnet.clients.steps.learning import Descend

        steps = self._steps(learning, address, checkpoint_names[learning.rounds])
        end = max(step.rounds.stop for step in steps)
        further = range(end, end + self.continued_rounds)
        return Program((*steps, Descend(learning.order, further)) if len(further) else steps)

    def _steps(self, learning: TrainingRun, address: NoiseAddress, learned: str) -> tuple[CommunicationStep, ...]:
        """Return the epochs, and the rounds in which others receive what has come of them."""
        from rewindnet.clients.steps.spreading import SpreadChange, spread

        T = learning.rounds
        if self.way == "token":
            return self._token_steps(learning, address, learned)
        rounds = range(T, T + (1 if self.way == "local" else self.epochs))
        epochs = self._epochs(address, learned, rounds, self.epochs // len(rounds))
        if self.way != "local":
            return (epochs,)
        passed = spread(learning.mixing, np.flatnonzero(self._forgotten(learning)).tolist(), rounds.stop)
        return epochs, SpreadChange(passed.rounds, passed.heard, passed.at, learned)

    def _token_steps(self, learning: TrainingRun, address: NoiseAddress, learned: str) -> tuple[CommunicationStep, ...]:
        """Return the hops of the token, and the rounds in which all take over its last model."""
        from rewindnet.clients.steps.spreading import along

        N, T, weights = learning.mixing.nodes, learning.rounds, graph_weights(learning)
        home = int(np.flatnonzero(self._forgotten(learning))[0])
        visit = 1 / N if self.visit_probability is None else self.visit_probability
        hops = self.epochs * N if self.hops is None else self.hops
        path = token_path(adjacency_of_weights(weights), home, hops, address.seed, visit=visit)
        carried = OptimizerPair(self.optimizers, self.momentum).carried * (self.retain_momentum == "carried")
        rounds = range(T, T + len(path.holders) * (1 + carried))
        travel = self._epochs(
            address, learned, rounds, 1, holders=(home, *path.holders), works=path.works, carried=carried
        )
        return travel, along(Tree(parents_from(weights, path.holders[-1])), rounds.stop)

    def _epochs(
        self, address: NoiseAddress, learned: str, rounds: range, epochs: int, **token: Any
    ) -> CommunicationStep:
        """Return the step of the method for some rounds, with so many epochs in each."""
        without: dict[str, Any] = {"holders": (), "works": (), "carried": 0}
        return self._step(
            rounds=rounds,
            seed=address.seed,
            way=self.way,
            epochs=epochs,
            batch=self.batch,
            forget_batch=self.forget_batch,
            forget_epochs=self._forget_epochs(),
            step_size=self.step_size,
            forget_step_size=self.step_size if self.forget_step_size is None else self.forget_step_size,
            optimizers=self.optimizers,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            clip=self.clip,
            restart=self.restart,
            objective=described(self.objective if isinstance(self.objective, dict) else None),
            loss_filter=self.loss_filter,
            learned=learned,
            **(without | token),
        )
