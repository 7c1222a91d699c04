"""Where commands print their tables."""

import os

from rich.console import Console

#: Characters in a line of output that goes to no terminal.
_PAGE = 240


def terminal() -> Console:
    """Return a console as wide as the terminal; for a file or a pipe, as wide as the table."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=_PAGE)
