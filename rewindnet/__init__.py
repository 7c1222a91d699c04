"""Certified unlearning in peer-to-peer and federated networks."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("rewindnet")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"
