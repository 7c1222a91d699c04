"""Torch, imported when something of it is first used: that takes seconds, and many commands need none of it."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Late(ModuleType):
    """A module that is imported when something of it is first used.

    What it has is looked up once and kept. The module itself in `sys.modules` is the real one, so that other libraries
    see nothing of this.

    Args:
        name: of the module.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(import_module(self.__name__), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    import torch as torch
else:
    torch = _Late("torch")
