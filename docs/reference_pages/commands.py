"""The page about the commands, from the command line itself."""

from collections.abc import Iterator

import click
import typer

from rewindnet.experiments.cli import app

_HEAD = """# Commands

`rewindnet COMMAND --help` prints the same on a terminal. `SCENARIO` is a YAML file or the name of a recipe, `KEY=VALUE`
[a key of the scenario](scenario.md) and its value in YAML, like `topology.kind=ring`, and `DIR` the folder of a run.
"""
_EXIT_CODES = """
## Exit codes

| code | meaning |
| --- | --- |
| 0 | everything is in order |
| 1 | a certificate was violated, or an audit or a check failed |
| 2 | input that cannot be used; a sentence for each obstacle is on the standard error stream |
| 3 | the machine failed (no room, no memory, a lost process); the same command goes on |
| 130, 143, 129 | ended by Ctrl-C, SIGTERM or SIGHUP; the same command goes on |
"""


def commands_page() -> str:
    """Return the page: every command with its arguments and options."""
    program = typer.main.get_command(app)
    lines = [_HEAD]
    for path, command in every_command(program, "rewindnet"):
        lines += [f"## {path}", "", *_about(path, command)]
    return "\n".join(lines) + _EXIT_CODES


def every_command(group: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Return every command below a group that does something by itself, with the words by which it is called."""
    if not isinstance(group, click.Group):
        yield path, group
        return
    for name, command in group.commands.items():
        yield from every_command(command, f"{path} {name}")


def _about(path: str, command: click.Command) -> Iterator[str]:
    """Return what a command does, how it is called, and a table of what it takes."""
    context = click.Context(command, info_name=path)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield from (_paragraphs(command.help), "", "```", usage, "```", "")
    rows = [row for row in (_row(parameter, context) for parameter in command.params) if row]
    if rows:
        yield from ("| argument or option | meaning | default |", "| --- | --- | --- |", *rows, "")


def _paragraphs(text: str | None) -> str:
    """Return a help text with each of its paragraphs on one line, with what Markdown would take for markup as code."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n")]
    return "\n\n".join(escaped(paragraph) for paragraph in paragraphs)


def _row(parameter: click.Parameter, context: click.Context) -> str:
    """Return the line of an argument or an option in the table of its command; nothing for hidden ones."""
    if getattr(parameter, "hidden", False):
        return ""
    if isinstance(parameter, click.Option):
        name, value = ", ".join(parameter.opts), "" if parameter.is_flag else f" {parameter.make_metavar(context)}"
    else:
        name, value = parameter.make_metavar(context), ""
    default = parameter.default
    shown = "" if default is None or default is False or callable(default) or default == () else f"`{default}`"
    if parameter.required:
        shown = "required"
    return f"| `{name}{value}` | {escaped(getattr(parameter, 'help', None) or '')} | {shown} |"


def escaped(text: str) -> str:
    """Return text in which no character has a meaning in Markdown or HTML outside of code."""
    parts = text.split("`")
    for at in range(0, len(parts), 2):
        parts[at] = parts[at].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for character in "\\*_[]|":
            parts[at] = parts[at].replace(character, f"\\{character}")
    return "`".join(part.replace("|", "\\|") if at % 2 else part for at, part in enumerate(parts))
