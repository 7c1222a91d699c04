"""The names of the ways of `clients/steps/ways.py`, which can be had without torch."""

from typing import Literal

Way = Literal["local", "gossip", "server", "token"]
