"""Compute Hessian-vector products per client without the matrix: exact, empirical Fisher or diagonal Fisher.

    hessian     ∇²f(θ)·v, by differentiating the gradient once more along v
    fisher      Σ_k weight_k·g_k·⟨g_k, v⟩ + l2·v, the empirical Fisher information of the samples' loss gradients g_k
    diagonal    (Σ_k weight_k·g_k∘g_k + l2)∘v, its diagonal

All are symmetric. On a convex loss they lie between l2 and L (the Hessian) or G² + l2 (the others, since ‖g_k‖ ≤ G).

Pearlmutter (1994), "Fast exact multiplication by the Hessian"; Amari (1998), "Natural gradient works efficiently in
learning".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Spectrum
from rewindnet.clients.data.dataset import chunks
from rewindnet.clients.models import Model
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.curvatures import Curvature
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Numbers of per-sample gradients that are held at a time.
_AT_ONCE = 1 << 22

#: What a product takes of every sample, in gradients: differentiating twice costs about twice as much.
PRODUCT = 2


def product(block: ClientBlock, theta: Tensor, vectors: Tensor, curvature: Curvature) -> Tensor:
    """Multiply C_i(θ_i)·v_i for every client of the block, on the data that it holds.

    A product counts as `PRODUCT` gradients of every sample.

    Args:
        block: the clients.
        theta: [b, d].
        vectors: [b, d], the v_i.
        curvature: what C is.

    Returns:
        [b, d].
    """
    block.count(PRODUCT * block.samples)
    out, multiply = torch.empty_like(vectors), _PRODUCTS[curvature]
    for bucket in block.buckets:
        for k in bucket.parts:
            rows = bucket.rows[k]
            out[rows] = multiply(block.model, theta[rows], vectors[rows], bucket.x[k], bucket.y[k], bucket.weight[k])
    return out.add_(vectors, alpha=block.model.l2)


def hessian_product(model: Model, theta: Tensor, vectors: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Multiply the Hessians of the weighted losses of samples, without l2, with vectors; nothing is counted.

    Args:
        model: the model.
        theta: [b, d].
        vectors: [b, d].
        x: the designs [b, n, q].
        y: the targets [b, n].
        weight: of the samples [b, n].

    Returns:
        [b, d].
    """
    return _hessian(model, theta, vectors, x, y, weight)


_Product: TypeAlias = "Callable[[Model, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]"


def _hessian(model: Model, theta: Tensor, vectors: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    with torch.enable_grad():
        point = theta.detach().clone().requires_grad_(True)
        # Clients do not interact, so the gradients of the sum are every client's own.
        loss = (weight * model.losses(point, x, y)).sum()
        (gradient,) = torch.autograd.grad(loss, point, create_graph=True)
        (result,) = torch.autograd.grad(gradient, point, grad_outputs=vectors)
    return result


def _fisher(model: Model, theta: Tensor, vectors: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    with torch.enable_grad():
        point = theta.detach().clone().requires_grad_(True)
        losses = model.losses(point, x, y)
        # ⟨g_k, v⟩ of every sample, as the derivative by u of ⟨Σ_k u_k·g_k, v⟩.
        u = torch.ones_like(losses).requires_grad_(True)
        (pulled,) = torch.autograd.grad(losses, point, grad_outputs=u, create_graph=True)
        (along,) = torch.autograd.grad(pulled, u, grad_outputs=vectors, retain_graph=True)
        (result,) = torch.autograd.grad(losses, point, grad_outputs=weight * along)
    return result


def _diagonal(model: Model, theta: Tensor, vectors: Tensor, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    result, together = torch.zeros_like(vectors), max(1, _AT_ONCE // theta.shape[1])
    for client, own in enumerate(theta):
        for first in range(0, x.shape[1], together):
            some = slice(first, first + together)
            # Every sample as a client of its own; the gradient of the regulariser is not the samples'.
            alone, share = x[client, some].unsqueeze(1), weight[client, some]
            ones, points = torch.ones_like(share).unsqueeze(1), own.expand(len(alone), -1)
            each = model.gradient(points, alone, y[client, some].unsqueeze(1), ones).sub_(own, alpha=model.l2)
            result[client] += share @ each.square_()
    return result.mul_(vectors)


_PRODUCTS: Mapping[Curvature, _Product] = {"hessian": _hessian, "fisher": _fisher, "diagonal": _diagonal}


def solve(block: ClientBlock, theta: Tensor, right: Tensor, curvature: Curvature, iterations: int) -> Tensor:
    """Solve C(θ)·x = right for the one client of a block, by a number of conjugate gradients.

    Hestenes and Stiefel (1952), "Methods of conjugate gradients for solving linear systems". All iterations count,
    also those that are left out because nothing but rounding is left to gain: what a release costs is then known from
    its settings, whatever the data.

    Args:
        block: of one client.
        theta: [1, d].
        right: [1, d].
        curvature: what C is.
        iterations: the number of iterations.

    Returns:
        x [1, d].
    """
    solution, residual = torch.zeros_like(right), right.clone()
    direction, size = residual.clone(), float(residual.square().sum())
    # Beyond rounding there is nothing to gain, and something to divide by zero.
    enough = size * torch.finfo(right.dtype).eps ** 2
    for iteration in range(iterations):
        if size <= enough:
            block.count(PRODUCT * block.samples * (iterations - iteration))
            break
        image = product(block, theta, direction, curvature)
        step = size / float((direction * image).sum())
        solution.add_(direction, alpha=step)
        residual.sub_(image, alpha=step)
        before, size = size, float(residual.square().sum())
        direction = torch.add(residual, direction, alpha=size / before)
    return solution


def initial_spectrum(block: ClientBlock) -> Spectrum | None:
    """Return the spectrum of the clients' mean objective where learning starts; None if the model does not know it."""
    return block.model.curvature(second_moment(block))


def second_moment(block: ClientBlock) -> NDArray[np.float64]:
    """Compute Σ_k weight_k·x_k·x_kᵀ [q, q], averaged over the clients of a block, each counting the same.

    This is a study's tool, for a forecast of noise: it reads every client's features at once.
    """
    size = block.buckets[0].x.shape[2]
    total = np.zeros((size, size))
    for bucket in block.buckets:
        for k in bucket.parts:
            x, weight = bucket.x[k].double().flatten(0, 1), bucket.weight[k].double().flatten()
            total += _moment(x * weight[:, None], x)
    return total / len(block.nodes)


def pooled_spectrum(model: Model, features: NDArray[np.float32]) -> Spectrum | None:
    """Return the spectrum of the mean objective of all samples together, where learning starts.

    Args:
        model: the model of every client.
        features: [n, p], of all samples.

    Returns:
        None if there are no samples, or the model does not know its spectrum.
    """
    if not len(features):
        return None
    total = np.zeros((model.inputs, model.inputs))
    for rows in chunks(len(features)):
        total += model.second_moment(features[rows].astype(np.float64))
    return model.curvature(total / len(features))


def _moment(a: Tensor, b: Tensor) -> NDArray[np.float64]:
    """Compute Σ_k a_k·b_kᵀ [q, q] of rows [n, q]."""
    moment: NDArray[np.float64] = (a.T @ b).cpu().numpy()
    return moment
