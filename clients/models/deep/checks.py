"""Check that a module computes every sample by itself, without chance and without memory, as models here must."""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from rewindnet.clients.models.errors import ModelError

#: The relative difference up to which two outputs in single precision are equal.
_EQUAL = 1e-3

_ALONE = (
    "; every sample must be computed by itself, since erased samples leave zeros in their places, and the gradient of "
    "one sample would have no bound of its own; GroupNorm or LayerNorm in place of BatchNorm does that"
)
_CHANCE = (
    "; random draws of a module come from a generator that all nodes of a process share, so retraining could not "
    "repeat them; leave dropout out, or set its probability to 0"
)
_MEMORY = (
    "; a node's state between rounds is its parameters, and running statistics would neither be averaged nor "
    "unlearned; use GroupNorm or LayerNorm, or track_running_stats=False"
)
_SEVERAL = (
    "; torch.func.vmap computes the nodes together, and it does without branches on values of tensors, .item() and "
    "assignments into tensors: use torch.where and the like"
)


def check_module(module: nn.Module, shape: tuple[int, ...], classes: int, name: str) -> None:
    """Refuse a module that a network of nodes cannot learn, after two samples have gone through it.

    Args:
        module: the module, which is left as it is.
        shape: the shape of one sample.
        classes: C.
        name: what the scenario calls the module, for messages.

    Raises:
        ModelError: if the module has no parameters, fails on samples of this shape, does not return C scores, is
            random, keeps statistics, mixes samples, or cannot be computed for several nodes at once.
    """
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in module.parameters()):
        raise ModelError(f"{name} has lazy layers; give them the sizes of their inputs, which follow from shape")
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ModelError(f"{name} has no parameters to learn")
    before = {key: buffer.clone() for key, buffer in module.named_buffers()}
    generator = torch.Generator().manual_seed(0)
    kind = next(module.parameters()).dtype
    x = torch.randn(2, *shape, generator=generator, dtype=torch.float64).to(kind)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        first, second = _scores(module, x, classes, name), _scores(module, x, classes, name)
        changed = [key for key, buffer in module.named_buffers() if not torch.equal(buffer, before[key])]
        other = _scores(module, torch.stack([x[0], 3 - x[1]]), classes, name)
    for key, buffer in module.named_buffers():
        buffer.copy_(before[key])
    if changed:
        raise ModelError(f"{name} changes its buffer {changed[0]} as it computes ({_culprit(module)}){_MEMORY}")
    if not torch.equal(first, second):
        raise ModelError(f"{name} computes something else each time ({_culprit(module)}){_CHANCE}")
    _check_side_by_side(module, x, name)
    if not torch.allclose(first[0], other[0], rtol=_EQUAL, atol=_EQUAL * float(first.abs().max())):
        raise ModelError(f"{name} computes a sample otherwise beside other samples ({_culprit(module)}){_ALONE}")


def _check_side_by_side(module: nn.Module, x: Tensor, name: str) -> None:
    """Refuse a module that torch cannot differentiate for several sets of parameters at once, as models here must."""
    learned = {key: value.detach() for key, value in module.named_parameters() if value.requires_grad}
    several = {key: torch.stack([value, value]) for key, value in learned.items()}

    def total(values: dict[str, Tensor], samples: Tensor) -> Tensor:
        result: Tensor = functional_call(module, values, (samples,)).sum()
        return result

    try:
        vmap(grad(total))(several, torch.stack([x, x]))
    except Exception as problem:
        reason = str(problem).partition("\n")[0]
        raise ModelError(f"{name} cannot be computed for several nodes at once ({reason}){_SEVERAL}") from None


def _scores(module: nn.Module, x: Tensor, classes: int, name: str) -> Tensor:
    """Compute the scores of two samples."""
    try:
        scores = module(x)
    except Exception as problem:
        raise ModelError(
            f"{name} fails on two samples, a tensor of shape {list(x.shape)}: {type(problem).__name__}: {problem}"
        ) from None
    if not isinstance(scores, Tensor) or tuple(scores.shape) != (len(x), classes):
        given = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ModelError(f"{name} returns {given} for 2 samples; it must return a score for each class, [2, {classes}]")
    return scores


def _culprit(module: nn.Module) -> str:
    """Name the layers that may be the reason."""
    suspects = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd, nn.RReLU)
    found = sorted({type(layer).__name__ for layer in module.modules() if isinstance(layer, suspects)})
    return "layers: " + ", ".join(found or sorted({type(layer).__name__ for layer in module.children()}))
