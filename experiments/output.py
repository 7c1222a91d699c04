"""Print lines and sentences of the command line, and end in a sentence where the output cannot be written."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rewindnet.experiments.plain_text import ITEM, SPELL, spelled, visible

#: The exit code when the machine fails: here, when the output cannot be written.
MACHINE_FAILED = 3
#: The exit code of a program that the user has interrupted.
INTERRUPTED = 130


class OutputError(Exception):
    """The standard output cannot be written; the message says why."""


def say(text: object) -> None:
    """Print a line on the standard output, without control characters."""
    print(_fit(text, sys.stdout))


def complain(problem: object) -> None:
    """Print a sentence about a problem on the standard error stream: on one line, or one for each item of a list."""
    with suppress(OSError, ValueError):
        items = f"rewindnet: {problem}".split(ITEM)
        print(ITEM.join(_fit(item, sys.stderr) for item in items), file=sys.stderr, flush=True)


@contextmanager
def checked_output() -> Iterator[None]:
    """Spell symbols that the terminal lacks, and end in a sentence if the standard output cannot be written.

    Raises:
        SystemExit: with code 3, if the reader of a pipe has closed it, or a disk is full.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=SPELL)
    plain = sys.stdout
    if plain is None:
        yield
        return
    checked: Any = _Checked(plain)
    sys.stdout = checked
    try:
        try:
            yield
        finally:
            checked.flush()
    except OutputError as problem:
        complain(problem)
        _discard(plain)
        raise SystemExit(MACHINE_FAILED) from None
    finally:
        sys.stdout = plain


class _Checked:
    """A text stream whose failures are an `OutputError`, which no library takes for its own.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write to the stream."""
        with _failures_named():
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        with _failures_named():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _failures_named() -> Iterator[None]:
    """Turn a failure to write into an `OutputError`."""
    try:
        yield
    except BrokenPipeError:
        raise OutputError("the output was not written to its end: its reader has closed the pipe") from None
    except OSError as problem:
        raise OutputError(f"the output cannot be written: {problem.strerror}") from None


def _discard(stream: TextIO) -> None:
    """Send what a stream still holds to nowhere, so that the interpreter does not fail on it when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _fit(text: object, stream: TextIO | None) -> str:
    """Return text as a stream can show it, on one line."""
    return spelled(visible(text), getattr(stream, "encoding", None) or "utf-8")
