"""The curvatures of a client's objective that a method may choose from; `curvature.py` computes with them."""

from typing import Literal

Curvature = Literal["hessian", "fisher", "diagonal"]
