"""Notebooks as pages: their text, their code, and the results that are stored in them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def notebook_page(path: Path) -> str:
    """Return a notebook (format 4) as Markdown, and say where the file is."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = [part for cell in cells for part in _cell(cell)]
    note = f"This page is the notebook `docs/notebooks/{path.name}`, with the results of its last execution.\n"
    return "\n".join([parts[0], "", note, *parts[1:]])


def _cell(cell: Mapping[str, Any]) -> Iterator[str]:
    """Return the parts of a page that one cell becomes."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source + "\n"
    elif cell["cell_type"] == "code":
        yield f"```python\n{source}\n```\n"
        for output in cell["outputs"]:
            yield from _output(output)


def _output(output: Mapping[str, Any]) -> Iterator[str]:
    """Return a result: HTML or text."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "text/html" in data:
        html = "".join(line for line in "".join(data["text/html"]).splitlines(keepends=True) if line.strip())
        yield f'<div class="output">\n{html}\n</div>\n'
    elif "text/plain" in data:
        text = "".join(data["text/plain"]).rstrip()
        yield f'<div class="output" markdown>\n\n```text\n{text}\n```\n\n</div>\n'
