"""R2D on a network: rewind to an earlier checkpoint, descend on retained data, add noise.

Mu and Klabjan (2025), "Rewind-to-delete: certified machine unlearning for nonconvex functions", arXiv 2409.09778,
Algorithms 1 and 2, is the case of one node with `bound: published` and `placement: output`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rewindnet.clients.methods.base import MethodError
from rewindnet.clients.methods.descent import NoisyDescent, ladder


@dataclass(frozen=True, kw_only=True)
class R2D(NoisyDescent):
    """Rewind to a checkpoint, descend on retained data, add Gaussian noise: R2D on a network.

    Give any two of `epsilon`, `rewind` and `sigma`; the third follows. With fewer, `rewind` is 0.5 and `epsilon` 1.

    Args:
        rewind: K/T, the share of the learning rounds that is rewound, in [0, 1].
        epsilon: the ε to reach.
        sigma: the noise, as root mean square over nodes of its standard deviation.
        delta: δ.
        bound: `worst-case` from the constants, `instance` from measured disturbances, `published` as in the paper.
        regime: the curvature to assume; by default the strongest that the model proves.
        view: who sees what: node, node:v, joint, average, transcript, transcript:v or transcript:all.
        placement: noise on the result (`output`) or on the checkpoint before the descent (`rewind`).
        allocation: the same noise everywhere (`uniform`), or more where more can differ (`optimal`): the least in all
            for joint views and for single peers, σ_i ∝ e_i for single models with noise on the result.
        gossip_rounds: gossip-only rounds at the end.
        noise_source: `seed` for studies, `os` for a release.
        settle_first: gossip-only rounds between the noise and the descent (placement rewind). `auto`: the fewest, up to
            T/2, after which no node has more than 1.2 times the noise that T/2 of them would leave, by a forecast from
            the noise and the mixing matrices.
        settle_acceleration: `chebyshev` has them average as much as some square of their number would, on a network
            whose links stay the same.
        settle_radius: of a ball onto which clients project after them; None for none.
        descent_clip: whether whole clients clip in the descent after the noise, where they did in learning.
        descent_step_size: of the descent after the noise; by default that of learning.
        descent_momentum: of these rounds, in [0, 1): each adds so much of what the one before has changed.

    Raises:
        MethodError: if all three are given, or a setting is out of range.
    """

    name = "r2d"
    rewinds = True
    rewind: float | None = None

    def __post_init__(self) -> None:
        """Check the settings, and fill in what is left open of the three."""
        given = (self.epsilon, self.rewind, self.sigma)
        if None not in given:
            raise MethodError(
                "r2d takes two of epsilon, rewind and sigma, and solves for the third; all three are given"
            )
        if self.rewind is not None and not 0 <= self.rewind <= 1:
            raise MethodError(f"rewind is the share of rounds to rewind, in [0, 1], not {self.rewind}")
        if self.rewind is None and (self.epsilon is None or self.sigma is None):
            object.__setattr__(self, "rewind", 0.5)
        if self.epsilon is None and self.sigma is None:
            object.__setattr__(self, "epsilon", 1.0)
        super().__post_init__()

    @property
    def _depth_given(self) -> bool:
        return self.rewind is not None

    def _depths(self, rounds: int) -> Sequence[int]:
        return ladder(rounds) if self.rewind is None else [round(self.rewind * rounds)]

    def _checkpoint_round(self, rounds: int, depth: int) -> int:
        return rounds - depth
