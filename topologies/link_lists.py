"""Read lists of links from text files: a link in each line, or an adjacency matrix written as text."""

import csv
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rewindnet.reading import text_of
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.links import Links, links_of
from rewindnet.topologies.matrix_files import matrix_links

EDGE_LISTS = (".txt", ".edges", ".edgelist", ".el", ".ncol", ".csv", ".tsv")
_HEADINGS = {
    ("source", "target"),
    ("from", "to"),
    ("src", "dst"),
    ("node_1", "node_2"),
    ("node1", "node2"),
    ("id_1", "id_2"),
}
_QUOTED = re.compile(r'"[^"]*"')
_ATTRIBUTES = re.compile(r"[\s,;]*\{.*\}$")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")


def text_lines(path: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number, from 1, and the fields of each line that is not empty or a comment.

    Args:
        path: the file.

    Raises:
        TopologyError: if the file cannot be read.
    """
    text = text_of(path, TopologyError)
    for number, line in enumerate(text.splitlines(), start=1):
        content = _without_comment(line).strip()
        # networkx writes the attributes of a link at its end, as a dictionary.
        content = _ATTRIBUTES.sub("", content)
        if content:
            yield number, _fields(content, f"line {number} of '{path}'")


def listed_links(path: str) -> Links:
    """Return the links in an edge list, or in an adjacency matrix written as text.

    Args:
        path: the file.

    Raises:
        TopologyError: if it cannot be read, or a line is not a link.
    """
    lines = list(text_lines(path))
    if not lines:
        return Links([], [])
    matrix = _matrix_in(lines)
    if matrix is not None:
        return matrix_links(matrix, path)
    table = _named_matrix_in(lines)
    if table is not None:
        return matrix_links(table[0], path, table[1])
    names: list[str] = []
    if len(lines[0][1]) == 1 and lines[0][1][0].isdecimal() and len(lines[0][1][0]) < 8:
        names = list(map(str, range(int(lines[0][1][0]))))
        lines = lines[1:]
    elif tuple(field.lower() for field in lines[0][1][:2]) in _HEADINGS:
        lines = [(number, fields[:2]) for number, fields in lines[1:]]
    pairs = []
    for number, fields in lines:
        uneven = len(fields) > 3 and len(fields) != len(lines[0][1])
        if len(fields) < 2 or uneven or "" in fields[:2] or not all(map(is_number, fields[2:])):
            raise TopologyError(
                f"line {number} of '{path}' is not a link: a link is two names separated by a comma or "
                "whitespace, optionally followed by numbers, as many in each line, which are ignored; "
                "adjacency lists have the suffix .adjlist"
            )
        pairs.append((fields[0], fields[1]))
    found = links_of(names, pairs)
    if names and len(found.names) > len(names):
        stranger = found.names[len(names)]
        raise TopologyError(f"'{path}' announces the nodes 0 to {len(names) - 1}, but links a node {stranger!r}")
    return found


def _matrix_in(lines: list[tuple[int, list[str]]]) -> NDArray[np.float64] | None:
    """Return the adjacency matrix in the lines of a text file; None if they list links.

    Three lines of three numbers are a matrix only if they are symmetric and hold nothing but 0 and 1.
    """
    size = len(lines)
    if size < 3 or any(len(fields) != size or not all(map(is_number, fields)) for _, fields in lines):
        return None
    matrix = np.array([fields for _, fields in lines], dtype=np.float64)
    return matrix if size > 4 or (np.isin(matrix, (0, 1)).all() and (matrix == matrix.T).all()) else None


def _without_comment(line: str) -> str:
    """Return a line without a comment; within quotes, `#` is no comment."""
    if line.lstrip().startswith("%"):
        return ""
    return next(
        (line[: mark.start()] for mark in re.finditer("#", line) if line[: mark.start()].count('"') % 2 == 0), line
    )


def _fields(content: str, where: str) -> list[str]:
    """Return the fields of a line, without their quotes."""
    mark = next((mark for mark in ",;" if mark in _QUOTED.sub("", content)), None)
    if '"' not in content:
        return [field.strip() for field in content.split(mark)]
    try:
        (fields,) = csv.reader(
            [content if mark else " ".join(content.split())], delimiter=mark or " ", skipinitialspace=True, strict=True
        )
    except (csv.Error, ValueError) as problem:
        raise TopologyError(f"{where} has quotes that do not close, or that stand within a name ({problem})") from None
    return [field.strip() for field in fields]


def _named_matrix_in(lines: list[tuple[int, list[str]]]) -> tuple[NDArray[np.float64], list[str]] | None:
    """Return the adjacency matrix in a table whose first line and first column name the nodes, and the names."""
    names, rows = lines[0][1][1:], [fields for _, fields in lines[1:]]
    # As pandas writes it; two lines of two names are links.
    if (
        len(names) < 2
        or is_number(lines[0][1][0])
        or [fields[0] for fields in rows] != names
        or any(len(fields) != len(names) + 1 for fields in rows)
    ):
        return None
    if len(set(names)) < len(names) or not all(is_number(field) for fields in rows for field in fields[1:]):
        return None
    return np.array([fields[1:] for fields in rows], dtype=np.float64), names


def is_number(text: str) -> bool:
    """Return whether a text can be parsed as a number.

    Args:
        text: the text.
    """
    try:
        float(text)
    except ValueError:
        return False
    return True
