"""Products of every client's curvature with a vector, without the matrix: the Hessian, or what stands in for it.

    hessian     ∇²f(θ)·v, by differentiating the gradient once more along v
    fisher      Σ_k weight_k·g_k·⟨g_k, v⟩ + l2·v, the empirical Fisher information of the samples' loss gradients g_k
    diagonal    (Σ_k weight_k·g_k∘g_k + l2)∘v, its diagonal

All are symmetric. On a convex loss they lie between l2 and L (the Hessian) or G² + l2 (the others, since ‖g_k‖ ≤ G).

Pearlmutter (1994), "Fast exact multiplication by the Hessian"; Amari (1998), "Natural gradient works efficiently in
learning".
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.training.client_block import ClientBlock

Curvature = Literal["hessian", "fisher", "diagonal"]

#: Numbers of per-sample gradients that are held at a time.
_AT_ONCE = 1 << 22

#: What a product takes of every sample, in gradients: differentiating twice costs about twice as much.
PRODUCT = 2


def product(block: ClientBlock, theta: Tensor, vectors: Tensor, curvature: Curvature) -> Tensor:
    """C_i(θ_i)·v_i for every client of the block, on the data that it holds: [b, d] from θ [b, d] and v [b, d]."""
    out, multiply = torch.empty_like(vectors), _PRODUCTS[curvature]
    for bucket in block.buckets:
        for k in bucket.parts:
            rows = bucket.rows[k]
            out[rows] = multiply(block.model, theta[rows], vectors[rows], bucket.x[k], bucket.y[k], bucket.weight[k])
    return out.add_(vectors, alpha=block.model.l2)


_Product = Callable[[Model, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def _hessian(model: Model, theta: Tensor, vectors: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    with torch.enable_grad():
        point = theta.detach().clone().requires_grad_(True)
        # Clients do not interact, so the gradients of the sum are every client's own.
        loss = (weight * model.losses(point, x, y)).sum()
        (gradient,) = torch.autograd.grad(loss, point, create_graph=True)
        (found,) = torch.autograd.grad(gradient, point, grad_outputs=vectors)
    return found


def _fisher(model: Model, theta: Tensor, vectors: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    with torch.enable_grad():
        point = theta.detach().clone().requires_grad_(True)
        losses = model.losses(point, x, y)
        # ⟨g_k, v⟩ of every sample, as the derivative by u of ⟨Σ_k u_k·g_k, v⟩.
        u = torch.ones_like(losses).requires_grad_(True)
        (pulled,) = torch.autograd.grad(losses, point, grad_outputs=u, create_graph=True)
        (along,) = torch.autograd.grad(pulled, u, grad_outputs=vectors, retain_graph=True)
        (found,) = torch.autograd.grad(losses, point, grad_outputs=weight * along)
    return found


def _diagonal(model: Model, theta: Tensor, vectors: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    found, together = torch.zeros_like(vectors), max(1, _AT_ONCE // theta.shape[1])
    for client, own in enumerate(theta):
        for first in range(0, x.shape[1], together):
            some = slice(first, first + together)
            # Every sample as a client of its own; the gradient of the regulariser is not the samples'.
            alone, share = x[client, some].unsqueeze(1), weight[client, some]
            ones, points = torch.ones_like(share).unsqueeze(1), own.expand(len(alone), -1)
            each = model.gradient(points, alone, y[client, some].unsqueeze(1), ones).sub_(own, alpha=model.l2)
            found[client] += share @ each.square_()
    return found.mul_(vectors)


_PRODUCTS: Mapping[Curvature, _Product] = {"hessian": _hessian, "fisher": _fisher, "diagonal": _diagonal}


def solve(block: ClientBlock, theta: Tensor, right: Tensor, curvature: Curvature, iterations: int) -> Tensor:
    """C(θ)⁻¹·right [1, d] for the one client of a block, by so many conjugate gradients.

    Hestenes and Stiefel (1952), "Methods of conjugate gradients for solving linear systems".
    """
    found, rest = torch.zeros_like(right), right.clone()
    direction, size = rest.clone(), float(rest.square().sum())
    # Beyond rounding there is nothing to gain, and something to divide by zero.
    enough = size * torch.finfo(right.dtype).eps ** 2
    for _ in range(iterations):
        if size <= enough:
            break
        bent = product(block, theta, direction, curvature)
        step = size / float((direction * bent).sum())
        found.add_(direction, alpha=step)
        rest.sub_(bent, alpha=step)
        before, size = size, float(rest.square().sum())
        direction = torch.add(rest, direction, alpha=size / before)
    return found
