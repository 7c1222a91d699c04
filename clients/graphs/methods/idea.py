"""IDEA: a step by the influence of the forgotten nodes, and noise."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.methods.base import Learned, Unlearned
from rewindnet.clients.graphs.models.steps import flat
from rewindnet.topologies.rng import Stream, rng_at

#: Multiplications with the Hessian that find its largest eigenvalue, for the scale of LiSSA.
_POWER_STEPS = 20

Product = Callable[[Tensor], Tensor]


def idea(
    learned: Learned,
    *,
    solver: Literal["lissa", "cg"] = "lissa",
    iterations: int = 100,
    damping: float = 0.01,
    scale: float | None = None,
    noise: float = 0.005,
) -> Unlearned:
    """IDEA: add what, to first order, learning without the forgotten nodes would have changed, and Gaussian noise.

    The step is (H + damping·scale·I)⁻¹ (∇before − ∇after): the gradients at the learned model of what is learned with
    the whole graph and with what remains of it, and H the Hessian of the former. The noise is certified by nothing
    here.

    Dong et al., "IDEA: a flexible framework of certified unlearning for graph neural networks", KDD 2024.

    Args:
        learned: the model and the request.
        solver: LiSSA, h ← v + (1 − damping)·h − Hh/scale, whose result is h/scale; or conjugate gradients, which end
            where the curvature is not positive.
        iterations: of the solver.
        damping: as a share of the scale.
        scale: of LiSSA; by default the largest eigenvalue of H, found by 20 multiplications.
        noise: the standard deviation of the noise on each parameter.

    Raises:
        GraphError: if a number is out of its range, or the iteration diverges.
    """
    if iterations < 1 or not 0 <= damping < 1 or noise < 0 or (scale is not None and scale <= 0):
        raise GraphError(
            "idea takes at least 1 iteration, a damping of at least 0 and below 1, a scale above 0 and noise of at "
            f"least 0; not {iterations}, {damping}, {scale} and {noise}"
        )
    model, seed = learned.copied_model(), learned.training.seed
    parameters = list(model.parameters())
    before, after = (model.objective(graph, learned.training) for graph in (learned.graph, learned.remaining))
    slope = flat(torch.autograd.grad(before, parameters, create_graph=True))
    shift = slope.detach() - flat(torch.autograd.grad(after, parameters))

    def product(vector: Tensor) -> Tensor:
        return flat(torch.autograd.grad(slope, parameters, vector, retain_graph=True))

    taken = 2 + iterations
    if scale is None:
        scale, taken = _largest_eigenvalue(product, len(shift), seed), taken + _POWER_STEPS
    solve = _lissa if solver == "lissa" else _conjugate_gradients
    step = solve(product, shift, iterations, damping, scale)
    drawn = torch.from_numpy(rng_at(seed, Stream.NOISE, context="idea").standard_normal(len(step)))
    if not torch.isfinite(step).all():
        raise GraphError(f"idea diverged with a scale of {scale:g}; a larger scale or more damping helps")
    with torch.no_grad():
        vector_to_parameters(parameters_to_vector(parameters) + step + noise * drawn, parameters)
    return Unlearned(model, learned.remaining, taken)


def _lissa(product: Product, v: Tensor, iterations: int, damping: float, scale: float) -> Tensor:
    """Return the result of LiSSA (Agarwal, Bullins and Hazan, JMLR 2017)."""
    h = v
    for _ in range(iterations):
        h = v + (1.0 - damping) * h - product(h) / scale
    return h / scale


def _conjugate_gradients(product: Product, v: Tensor, iterations: int, damping: float, scale: float) -> Tensor:
    """Return the approximate solution s of (H + damping·scale·I) s = v."""
    s, rest = torch.zeros_like(v), v
    direction, size = rest, rest @ rest
    for _ in range(iterations):
        curved = product(direction) + damping * scale * direction
        curvature = direction @ curved
        if size == 0 or curvature <= 0:
            break
        length = size / curvature
        s, rest = s + length * direction, rest - length * curved
        size, former = rest @ rest, size
        direction = rest + size / former * direction
    return s


def _largest_eigenvalue(product: Product, d: int, seed: int) -> float:
    """Return the eigenvalue of the largest magnitude, by the power method."""
    vector = torch.from_numpy(rng_at(seed, Stream.EVALUATION, context="power method").standard_normal(d))
    norm = vector.norm()
    for _ in range(_POWER_STEPS):
        vector = product(vector / norm)
        norm = vector.norm()
    return max(float(norm), torch.finfo(norm.dtype).tiny)
