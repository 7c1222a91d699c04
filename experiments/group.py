"""How every command ends: with a sentence about invalid input, a failed run, or an interruption, and its exit code."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

import click
import typer
from typer.core import TyperGroup

from rewindnet.errors import Notice, UserError
from rewindnet.experiments.output import INTERRUPTED, MACHINE_FAILED, complain
from rewindnet.extras import missing_extras_named
from rewindnet.simulator.errors import BrokenTransportError, MachineError, RunError, machine_failure
from rewindnet.simulator.signals import Terminated


class Commands(TyperGroup):
    """Runs the commands, and prints their errors."""

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """Read the options of the program; what it does not have is a sentence and exit code 2."""
        with _sentences():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; invalid input ends it with a sentence and exit code 2, a failure of the machine with 3."""
        with _sentences():
            return super().invoke(ctx)


@contextmanager
def _sentences() -> Iterator[None]:
    """Print errors as sentences, and end with their exit codes."""
    try:
        with _notices_shown(), missing_extras_named():
            yield
    except click.UsageError as problem:
        if isinstance(problem, click.exceptions.NoArgsIsHelpError):
            raise
        _end(_usage(problem), 2)
    except (MachineError, BrokenTransportError) as problem:
        _end(problem, MACHINE_FAILED)
    except (UserError, RunError) as problem:
        _end(problem, 2)
    except (OSError, MemoryError, RuntimeError) as problem:
        failure = machine_failure(problem)
        if failure is None and isinstance(problem, OSError) and problem.filename is not None:
            failure = f"{problem.filename}: {problem.strerror}"
        if failure is None:
            raise
        _end(failure, MACHINE_FAILED)
    except KeyboardInterrupt as stop:
        _end("; ".join(["interrupted", *map(str, stop.args)]), INTERRUPTED)
    except Terminated as stop:
        _end(stop, 128 + stop.number)


def _end(sentence: object, code: int) -> NoReturn:
    """Print a sentence on the standard error stream, and end the command."""
    complain(sentence)
    raise typer.Exit(code) from None


def _usage(problem: click.UsageError) -> str:
    """Return a sentence about arguments that a command does not take, and where its help is."""
    text = problem.format_message().rstrip(".")
    where = "" if problem.ctx is None else f" ({problem.ctx.command_path} --help shows what there is)"
    return text[:1].lower() + text[1:] + where


@contextmanager
def _notices_shown() -> Iterator[None]:
    """Print each notice about input that was changed before use, once."""
    shown: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        elsewhere = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, Notice):
                elsewhere(message, category, filename, lineno, file, line)
            elif str(message) not in shown:
                shown.add(str(message))
                complain(f"note: {message}")

        warnings.showwarning = show
        yield
