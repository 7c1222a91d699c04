"""The unlearning methods. Adding one is a file here and a line in `METHODS`."""

from collections.abc import Callable, Mapping

from clients.methods.baselines import DoNothing, Retrain
from clients.methods.method import Method, MethodError, Plan
from clients.methods.r2d import R2D
from clients.methods.rr_du import RRDU
from clients.methods.walk_dp import WalkDP
from clients.methods.warm_start import WarmStart

#: Built as `METHODS[name](**settings)`; keyword-only parameters are what a scenario may set.
METHODS: Mapping[str, Callable[..., Method]] = {
    "r2d": R2D,
    "retrain": Retrain,
    "do-nothing": DoNothing,
    "warm-start": WarmStart,
    "rr-du": RRDU,
    "walk-dp": WalkDP,
}

__all__ = ["METHODS", "R2D", "RRDU", "DoNothing", "Method", "MethodError", "Plan", "Retrain", "WalkDP", "WarmStart"]
