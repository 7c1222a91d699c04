"""Write files of a run folder atomically, and read them with errors that name the damaged file."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import yaml

from rewindnet.experiments.folder.errors import FolderError

Json = dict[str, Any]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON, atomically."""
    write(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write(path: Path, content: str | bytes | Iterable[bytes | memoryview]) -> None:
    """Write a file atomically: under a temporary name first, and then renamed. Missing folders are made.

    Args:
        path: of the file.
        content: of the file, or its parts.

    After a loss of power, too, the file is there as a whole or as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    try:
        with open_new(temporary) as file:
            for part in [content.encode("utf-8")] if isinstance(content, str) else _parts(content):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        # Nothing of a file that a full disk cannot hold stays behind; the system does not say which file that was.
        temporary.unlink(missing_ok=True)
        problem.filename = problem.filename or os.fspath(path)
        raise
    temporary.replace(path)
    sync_folder(path.parent)


def _parts(content: bytes | Iterable[bytes | memoryview]) -> Iterable[bytes | memoryview]:
    return [content] if isinstance(content, bytes) else content


def open_new(path: Path) -> BinaryIO:
    """Open a new file to write to, in place of any that is there; links are replaced, not followed."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def sync_folder(path: Path) -> None:
    """Have the disk store the names of the files in a folder, on systems that can open folders."""
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def check_writable(file: Path) -> None:
    """Check that a file can be written, before the work for it is done.

    Raises:
        FolderError: if it cannot.
    """
    if file.is_dir():
        raise FolderError(f"{file} cannot be written: it is a folder")
    home = next(folder for folder in file.absolute().parents if folder.exists())
    try:
        TemporaryFile(dir=home).close()
    except OSError as problem:
        raise FolderError(f"{file} cannot be written: {problem.strerror}") from None


def read_json(file: Path) -> Json:
    """Read a JSON object.

    Raises:
        FolderError: if the file is missing or damaged.
    """
    return parse_object(read_text(file), str(file))


def parse_object(text: str, what: str) -> Json:
    """Parse a JSON object.

    Args:
        text: the text.
        what: the file or line that it is from, for the message.

    Raises:
        FolderError: if the text is not a JSON object.
    """
    try:
        content = json.loads(text)
    except ValueError as problem:
        raise FolderError(f"{what} is damaged: it is not JSON ({problem})") from None
    except RecursionError:
        raise FolderError(f"{what} is damaged: it is nested too deeply") from None
    if not isinstance(content, dict):
        raise FolderError(f"{what} is damaged: it is not a JSON object")
    return content


def read_scenario(path: Path) -> Json:
    """Read the resolved scenario of a run folder.

    Raises:
        FolderError: if it is missing or damaged.
    """
    file = path / "scenario.yaml"
    try:
        content = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, RecursionError, ValueError):
        raise FolderError(f"{file} is damaged: it is not YAML") from None
    if not isinstance(content, dict):
        raise FolderError(f"{file} is damaged: it holds no scenario")
    return content


def read_text(file: Path) -> str:
    """Read a text file.

    Raises:
        FolderError: if it is missing or cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FolderError(f"{file.name} is missing from {file.parent}") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise FolderError(f"{file} cannot be read: {problem}") from None
