"""The console on which commands print their tables."""

import os

from rich.console import Console

#: The width in characters of output that does not go to a terminal.
_PAGE = 240


def terminal() -> Console:
    """Return a console as wide as the terminal; for a file or a pipe, 240 characters wide."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_PAGE)
