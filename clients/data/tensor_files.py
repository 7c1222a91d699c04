"""Read tensors by name from files of weights, and say which weights they are."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rewindnet.errors import UserError
from rewindnet.reading import located, opened

if TYPE_CHECKING:
    from torch import Tensor


def tensors_of(path: str, key: str, error: type[UserError]) -> "dict[str, Tensor]":
    """Read the tensors of a file by name: safetensors, or a state_dict of torch.save; nothing in it is executed.

    Args:
        path: the file.
        key: the key of a scenario that names it, for messages.
        error: what to raise.

    Raises:
        UserError: if it cannot be read, or is neither.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with opened(path, error):
        place = located(path, error)
    try:
        return load_file(place)
    except SafetensorError:
        pass
    try:
        found = torch.load(place, map_location="cpu", weights_only=True)
    except Exception as problem:
        reason = str(problem).partition("\n")[0]
        raise error(f"{key}: '{path}' is neither a safetensors file nor a state_dict of torch.save: {reason}") from None
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise error(f"{key}: '{path}' holds no state_dict, which is tensors by name")
    return {str(name): value for name, value in found.items()}


def sha256_of_tensors(tensors: "Mapping[str, Tensor]") -> str:
    """Return the sha256 of tensors with their names, types and shapes, in the order of their names.

    Args:
        tensors: by name.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()
