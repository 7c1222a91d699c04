"""The Gaussian mechanism: one Gaussian vector per node, added to a checkpoint or to the result of a descent from it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.sensitivity.bounds import is_bounded, propagate
from rewindnet.certificates.sensitivity.rounding import rounding_of_average
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View
from rewindnet.certificates.views.mu import mu_of_view, why_not_covered


@dataclass(frozen=True)
class GaussianOutput(Mechanism):
    """The Gaussian mechanism, applied once in the noise round; every later step is post-processing."""

    kind: ClassVar[str] = "gaussian-output"
    one_vector: ClassVar[bool] = True
    plain_descent: ClassVar[bool] = True
    noise_label: ClassVar[str] = "once"

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return the sensitivity where the noise is added: before the descent (rewind) or after it (output).

        There are no bounds where they would take constants of the model that are not known.

        Where only the network average is released, the noise is added to the average. The average differs by at most
        the mean of the nodes' sensitivities plus what rounding its sum may add.
        """
        if not is_bounded(training, release.checkpoint_round):
            return DivergenceBounds(np.zeros(0))
        nodes = propagate(
            training,
            disturbed=release.checkpoint_round,
            undisturbed=release.noise_round - release.checkpoint_round,
            bound=claim.bound,
            regime=claim.regime,
        )
        if not release.averaged or not np.any(nodes.total > 0):
            return DivergenceBounds(nodes.total, nodes.rounding)
        summing = rounding_of_average(training, release.noise_round)
        return DivergenceBounds(
            nodes=np.full_like(nodes.total, nodes.total.mean() + summing),
            rounding=np.full_like(nodes.rounding, nodes.rounding.mean() + summing),
        )

    def learning_not_covered(self, training: TrainingRun, release: Release) -> str | None:
        """Return why no bound is proven of learning of this kind; step sizes may change from round to round.

        A descent from the initial model has nothing to bound: it is retraining, however the network learns.
        """
        return training.uncovered or None if release.checkpoint_round else None

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ of the view for these bounds (`mu_of_view`)."""
        return mu_of_view(view, bounds.nodes, release, mixing)

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason where nothing is known, or the view includes values without noise (see `views.mu`)."""
        if not is_bounded(training, release.checkpoint_round):
            return training.constants.why_unknown

        def start() -> Vector:
            return propagate(
                training, disturbed=release.checkpoint_round, undisturbed=0, bound=claim.bound, regime=claim.regime
            ).total

        return why_not_covered(claim.view, start, release, training.mixing)

    def shows_without_noise(self, view: View, release: Release, bounds: DivergenceBounds) -> bool:
        """Return whether the view has models other than the noised average, or messages from before the noise.

        The descent takes what differs to the nodes in whose light cones it is, and to no others. So a node whose bound
        is 0 after the descent has received nothing that differs.
        """
        if release.averaged and view.kind != "average":
            return True
        if release.placement == "rewind" or not (view.shows_messages and release.descent_rounds):
            return False
        # One node alone sends no messages.
        if len(bounds.nodes) == 1:
            return False
        return bool(np.any(bounds.nodes > 0 if view.node is None else bounds.nodes[view.node] > 0))

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what the placement of the noise covers."""
        if release.placement == "output":
            return ("What is released is covered; the messages of the unlearning rounds are not.",)
        if claim.view.of_one_node:
            return ("What a single peer receives and releases after the rewind is covered; what peers pool is not.",)
        return ("Every message and every model after the rewind is covered, colluding peers included.",)

    def covers(self, release: Release, certified: View, view: View) -> bool:
        """Return whether the μ of the view `certified` bounds that of the view `view`, which shows no more.

        * With placement rewind, everything after the noised checkpoint is post-processing. So every view of all nodes
          covers all messages, and the released model of one node shows as much as the messages it received.
        * Where only the network average carries noise, no other view is covered.
        * A descent from the initial model never uses the forget set, so every view is covered.
        """
        if certified == view or release.checkpoint_round == 0:
            return True
        if release.averaged:
            return False
        rewound = release.placement == "rewind"
        if certified.kind == "transcript" or (certified.kind == "node" and rewound):
            # The certificate is for one peer, or for every single peer.
            received = view.kind == "node" or (view.kind == "transcript" and rewound)
            return received and certified.node in (None, view.node)
        if rewound or certified.kind == "transcript:all":
            return True
        if certified.kind == "node":
            return certified.node is None and view.kind == "node"
        # Placement output, view joint or average: the same bound holds for all models and for their noised sum.
        return view.kind in ("node", "joint", "average")

    def noise_summary(self, release: Release, claim: Claim) -> str:
        """Return where the noise is added and how it is allocated among the nodes."""
        words = release.healing.words()
        healing = f", {words}" if words else ""
        if not release.sigma.any():
            return f"none{healing}"
        gossip = f", {release.gossip_rounds} gossip rounds" if release.gossip_rounds else ""
        return f"{release.placement} {claim.allocation}{gossip}{healing}"

    def releases_noised_models(self, release: Release) -> bool:
        """Return whether no round follows the noise."""
        return not release.rounds_after_noise

    def describe(self, release: Release, rounds: int) -> str:
        """Return where the descent started, how long it was, and where the noise was added."""
        rewound = rounds - release.checkpoint_round
        if rewound == 0:
            start = "started from the learned model"
        elif release.checkpoint_round == 0:
            start = "went back to the initial model"
        else:
            start = f"rewound {rewound:,} of {rounds:,} rounds ({100 * rewound / rounds:.0f} %)"
        descent = "ran no rounds"
        if release.descent_rounds:
            descent = f"ran {release.descent_rounds:,} rounds on the retained data"
        if release.healing.words():
            descent += f" ({release.healing.words()})"
        return f"{start}, {descent}, {_noise(release)}"


def _noise(release: Release) -> str:
    """Return how much noise was added, and to what, in words."""
    sigma = release.sigma.tolist()
    if not any(sigma):
        return "and added no noise"
    least, most = f"{min(sigma):.3g}", f"{max(sigma):.3g}"
    size = f"σ = {most}" if least == most else f"σ from {least} to {most}"
    where = "the average of all models" if release.averaged else "every model that it releases"
    if release.placement == "rewind":
        where = "every checkpoint before these rounds"
    gossip = f", then averaged with neighbours for {release.gossip_rounds} more rounds" if release.gossip_rounds else ""
    return f"and added noise of {size} to {where}{gossip}"


def noise_size(release: Release) -> str:
    """Return the largest standard deviation of a release's noise in words.

    Args:
        release: what was done.
    """
    return f"noise of σ = {float(release.sigma.max()):.3g}" if release.sigma.any() else "no noise"
