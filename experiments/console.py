"""The console on which commands print their tables."""

import os
from typing import Any

from rich.console import Console
from rich.text import Text

from rewindnet.experiments.fitting import PAGE
from rewindnet.experiments.plain_text import spelled, visible


class Terminal(Console):
    """A console that shows text as it is: no markup, no control characters, and no symbols that the terminal lacks."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return text to print, with the width that it has on this terminal."""
        return super().render_str(spelled(visible(text), self.encoding), **settings)

    @property
    def spinner(self) -> str:
        """The name of a spinner that this terminal can show."""
        return "dots" if self.encoding.startswith("utf") else "line"


def terminal(*, wide: bool = False) -> Terminal:
    """Return a console as wide as the terminal; for a file or a pipe, 240 characters wide.

    Args:
        wide: 240 characters wide on a terminal, too.
    """
    console = Terminal()
    fits = not wide and (console.is_terminal or "COLUMNS" in os.environ)
    return console if fits else Terminal(width=PAGE)
