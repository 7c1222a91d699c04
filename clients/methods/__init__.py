"""The unlearning methods and their registry."""

from collections.abc import Callable

from rewindnet.clients.methods.base import Method, MethodError, UnlearningPlan
from rewindnet.registry import Registry

#: Built as `METHODS[name](**settings)`.
METHODS: Registry[Callable[..., Method]] = Registry(
    "method",
    {
        "r2d": "rewindnet.clients.methods.r2d:R2D",
        "retrain": "rewindnet.clients.methods.baselines:Retrain",
        "retrain-healed": "rewindnet.clients.methods.retrain_healed:RetrainHealed",
        "do-nothing": "rewindnet.clients.methods.baselines:DoNothing",
        "ridge": "rewindnet.clients.methods.ridge:Ridge",
        "anew": "rewindnet.clients.methods.anew:Anew",
        "public-only": "rewindnet.clients.methods.public_only:PublicOnly",
        "warm-start": "rewindnet.clients.methods.warm_start:WarmStart",
        "noise-only": "rewindnet.clients.methods.noise_only:NoiseOnly",
        "newton": "rewindnet.clients.methods.newton:Newton",
        "rr-du": "rewindnet.clients.methods.rr_du:RRDU",
        "noisy-finetune": "rewindnet.clients.methods.noisy_finetune:NoisyFinetune",
        "langevin": "rewindnet.clients.methods.langevin:Langevin",
        "gossip-dp": "rewindnet.clients.methods.gossip_dp:GossipDP",
        "walk-dp": "rewindnet.clients.methods.walk_dp:WalkDP",
        "federaser": "rewindnet.clients.methods.federaser:FedEraser",
        "gradient-ascent": "rewindnet.clients.methods.gradient_ascent:GradientAscent",
        "finetune": "rewindnet.clients.methods.finetune:Finetune",
        "scrub": "rewindnet.clients.methods.scrub:Scrub",
        "neggrad": "rewindnet.clients.methods.neggrad:NegGrad",
        "salun": "rewindnet.clients.methods.salun:SalUn",
        "sfron": "rewindnet.clients.methods.sfron:SFRon",
        "npo": "rewindnet.clients.methods.npo:NPO",
        "idk": "rewindnet.clients.methods.idk:IDK",
        "lune": "rewindnet.clients.methods.lune:Lune",
        "siu": "rewindnet.clients.methods.siu:SIU",
        "manif-smc": "rewindnet.clients.methods.manif_smc:ManifSmc",
        "fisher-forgetting": "rewindnet.clients.methods.fisher_forgetting:FisherForgetting",
        "cns": "rewindnet.clients.methods.cns:CNS",
        "hessian-free": "rewindnet.clients.methods.hessian_free:HessianFree",
    },
    MethodError,
)

__all__ = ["METHODS", "Method", "MethodError", "UnlearningPlan", "rewinds"]


def rewinds(name: str) -> bool:
    """Return whether the method of that name rewinds (`Method.rewinds`); one that is not registered does not."""
    return name in METHODS and bool(getattr(METHODS[name], "rewinds", False))
