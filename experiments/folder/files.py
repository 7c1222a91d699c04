"""Files that are written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """JSON for people to read."""
    write(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write(path: Path, content: str | bytes) -> None:
    """The whole file or none of it; folders are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    beside.replace(path)
