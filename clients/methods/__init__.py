"""The unlearning methods. Adding one is a file here and a line in `METHODS`."""

from collections.abc import Callable, Mapping

from rewindnet.clients.methods.base import Method, MethodError, Plan
from rewindnet.clients.methods.baselines import DoNothing, Retrain
from rewindnet.clients.methods.federaser import FedEraser
from rewindnet.clients.methods.gossip_dp import GossipDP
from rewindnet.clients.methods.gradient_ascent import GradientAscent
from rewindnet.clients.methods.langevin import Langevin
from rewindnet.clients.methods.newton import Newton
from rewindnet.clients.methods.noise_only import NoiseOnly
from rewindnet.clients.methods.noisy_finetune import NoisyFinetune
from rewindnet.clients.methods.r2d import R2D
from rewindnet.clients.methods.rr_du import RRDU
from rewindnet.clients.methods.walk_dp import WalkDP
from rewindnet.clients.methods.warm_start import WarmStart

#: Built as `METHODS[name](**settings)`; keyword-only parameters are what a scenario may set.
METHODS: Mapping[str, Callable[..., Method]] = {
    "r2d": R2D,
    "retrain": Retrain,
    "do-nothing": DoNothing,
    "warm-start": WarmStart,
    "noise-only": NoiseOnly,
    "newton": Newton,
    "rr-du": RRDU,
    "noisy-finetune": NoisyFinetune,
    "langevin": Langevin,
    "gossip-dp": GossipDP,
    "walk-dp": WalkDP,
    "federaser": FedEraser,
    "gradient-ascent": GradientAscent,
}

__all__ = [
    "METHODS",
    "R2D",
    "RRDU",
    "DoNothing",
    "FedEraser",
    "GossipDP",
    "GradientAscent",
    "Langevin",
    "Method",
    "MethodError",
    "Newton",
    "NoiseOnly",
    "NoisyFinetune",
    "Plan",
    "Retrain",
    "WalkDP",
    "WarmStart",
]
