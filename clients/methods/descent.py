"""What rewinding and warm starts share: descend from a checkpoint on retained data, with noise before or after.

Of the three numbers (ε, depth, σ) two are given and the third follows.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from rewindnet.certificates import (
    Claim,
    Regime,
    Release,
    TrainingRun,
    View,
    calibrate,
    check_delta,
    check_epsilon,
    claimed_epsilon,
    least_depth,
    propagate,
    scaled_noise,
    settle_rounds,
)
from rewindnet.certificates.sensitivity.departure import mixing_drift
from rewindnet.clients.methods.base import MethodError, UnlearningPlan, weakest_bound
from rewindnet.clients.methods.healing import Heals
from rewindnet.registry import former

#: Of a ball that stands in for a bound that is not known before learning.
_SOME_RADIUS = 1e6

#: How many depths are tried, evenly spaced, where the depth is what follows; each needs a checkpoint.
_LADDER = 50


@former(settings={"settle": "gossip_rounds"})
@dataclass(frozen=True, kw_only=True)
class NoisyDescent(Heals):
    """Descent on retained data from a checkpoint, made indistinguishable from retraining by Gaussian noise.

    The settings are documented at `R2D`.

    Attributes:
        name: of the method.
    """

    name: ClassVar[str]
    needs_checkpoints_alone: ClassVar[bool] = True
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    bound: Literal["published", "worst-case", "instance"] = "worst-case"
    regime: Regime | None = None
    view: str = "node"
    placement: Literal["output", "rewind"] = "output"
    allocation: Literal["uniform", "optimal"] = "uniform"
    gossip_rounds: int = 0
    noise_source: Literal["seed", "os"] = "seed"
    settle_first: int | Literal["auto"] = 0

    def __post_init__(self) -> None:
        """Refuse settings without a meaning, and fill in what two of the three leave open."""
        check_delta(self.delta)
        View.of(self.view)
        if self.epsilon is not None:
            check_epsilon(self.epsilon)
        if self.sigma is not None and not 0 <= self.sigma < float("inf"):
            raise MethodError(f"sigma must be a non-negative number, not {self.sigma}")
        if self.gossip_rounds < 0:
            raise MethodError(f"gossip_rounds is a number of rounds, not {self.gossip_rounds}")
        if self._averaged and self.gossip_rounds:
            raise MethodError(
                "gossip_rounds has no meaning for the view average, where one noise vector is added to the average"
            )
        self._check_healing(1 if self.settle_first == "auto" else self.settle_first)
        if self.settle_first == "auto" and not (self._depth_given and self.bound == "worst-case"):
            raise MethodError(
                "settle_first: auto follows from the noise of a worst case at a depth that is given; give the number "
                "of gossip rounds, or the depth and bound: worst-case"
            )
        otherwise = self.settle_first or not self.descent_clip or self.descent_step_size or self.descent_momentum
        if self.placement == "output" and otherwise:
            raise MethodError(
                "settle_first, descent_clip, descent_step_size and descent_momentum say what follows the noise: they "
                "take placement: rewind, where the descent does"
            )
        if self.bound == "published" and self.regime not in (None, "nonconvex"):
            raise MethodError(f"the published bound is for the nonconvex regime, not {self.regime}")

    @property
    def shares_secret_noise(self) -> bool:
        """Whether one vector from the operating system is added to the average."""
        return self._averaged and self.noise_source == "os"

    @property
    def _averaged(self) -> bool:
        return self.view == "average" and self.placement == "output"

    @property
    def _claim(self) -> Claim:
        return Claim(View.of(self.view), self.delta, self.bound, self.allocation, self.regime)

    @property
    @abstractmethod
    def _depth_given(self) -> bool:
        """Whether the depth is a setting, or follows from ε and σ."""

    @abstractmethod
    def _depths(self, rounds: int) -> Sequence[int]:
        """Return the depths, in rounds, that come into question, increasing."""

    def _checkpoint_round(self, rounds: int, depth: int) -> int:
        """Return the round of learning from which a descent of that depth begins: by default the last."""
        return rounds

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return where the descents begin whose depths come into question."""
        return sorted({self._checkpoint_round(rounds, depth) for depth in self._depths(rounds)}, reverse=True)

    def requested_depth(self, rounds: int) -> tuple[int, int] | None:
        """Return the checkpoint round and the depth where the depth is a setting."""
        if not self._depth_given:
            return None
        depth = self._depths(rounds)[0]
        return self._checkpoint_round(rounds, depth), depth

    def _settle_rounds(self, learning: TrainingRun, depth: int) -> int:
        """Return the number of gossip rounds before the descent: as given, or by a forecast of the noise at each node.

        The forecast takes the noise that there would be without these rounds, so that it does not depend on itself.
        """
        if self.settle_first != "auto":
            return self.settle_first
        plain = replace(self, settle_first=0, settle_acceleration="none", settle_radius=None)
        release, most = plain.plan(learning).release, max(1, learning.rounds // 2)
        accelerated = self._healing_on(learning, self._checkpoint_round(learning.rounds, depth), most)
        return settle_rounds(learning, replace(release, healing=accelerated), most)

    def _release(self, learning: TrainingRun, depth: int) -> Release:
        """Return what is done at that depth, as yet without noise."""
        start = self._checkpoint_round(learning.rounds, depth)
        return Release(
            method=self.name,
            checkpoint_round=start,
            descent_rounds=depth,
            placement=self.placement,
            sigma=np.zeros(learning.mixing.nodes),
            gossip_rounds=self.gossip_rounds,
            averaged=self._averaged,
            noise_source=self.noise_source,
            healing=self._healing_on(learning, start, self._settle_rounds(learning, depth)),
        )

    def check_premises(self, learning: TrainingRun) -> None:
        """Refuse a worst case of a departure without a bound on the models."""
        if self.bound == "worst-case":
            mixing_drift(learning, "worst-case")

    def check(self, learning: TrainingRun) -> None:
        """Refuse what cannot be met; an instance bound, known only after learning, exists where a worst case does."""
        if self.bound == "instance" and weakest_bound(learning) == "instance":
            learning = replace(learning, radius=_SOME_RADIUS)
        if self.bound != "instance":
            self.plan(learning)
        elif self._depth_given:
            replace(self, bound="worst-case").plan(learning)
        else:
            learning.check_view(View.of(self.view))
            propagate(learning, disturbed=learning.rounds, undisturbed=0, regime=self.regime)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the descent, solved for the one of (ε, depth, σ) that is open."""
        learning.check_view(View.of(self.view))
        claim, depths = self._claim, self._depths(learning.rounds)

        def noised(depth: int) -> Release:
            release = self._release(learning, depth)
            assert self.sigma is not None
            return replace(release, sigma=scaled_noise(learning, release, claim, self.sigma))

        if not self._depth_given:
            assert self.epsilon is not None
            release = noised(least_depth(learning, depths, noised, claim, self.epsilon))
        elif self.sigma is not None:
            release = noised(depths[0])
        else:
            assert self.epsilon is not None
            release = self._release(learning, depths[0])
            release = replace(release, sigma=calibrate(learning, release, claim, self.epsilon))
        claimed = self.epsilon if self.sigma is None else claimed_epsilon(learning, release, claim)
        return UnlearningPlan(release, replace(claim, claimed_epsilon=claimed))


def ladder(largest: int) -> list[int]:
    """Return depths from 0 to `largest`, evenly spaced."""
    return sorted({round(depth) for depth in np.linspace(0, largest, _LADDER + 1).tolist()})
