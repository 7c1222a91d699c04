"""The tables of evidence: means over seeds, of the whole network, by distance and by client."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rewindnet.experiments.explain.run import Json

Columns = list[tuple[str, list[str]]]

_DASH = "—"


def titles(runs: Sequence[Json]) -> list[str]:
    """Return the name of each method, with its settings where two rows have one name."""
    methods = runs[0]["methods"]
    names = [method["method"] for method in methods]
    return [_title(method, names.count(method["method"]) > 1, methods) for method in methods]


def _title(method: Json, told_apart: bool, methods: Sequence[Json]) -> str:
    """Return the name of a method, with the settings in which rows of that name differ."""
    if not told_apart:
        return str(method["method"])
    alike = [other["settings"] for other in methods if other["method"] == method["method"]]
    differing = [key for key in method["settings"] if len({str(settings[key]) for settings in alike}) > 1]
    return ", ".join([method["method"], *(f"{key} {method['settings'][key]}" for key in differing)])


def figures(runs: Sequence[Json], verifier: int) -> Columns:
    """Return the columns of a verifier's numbers, one row for each method: means over seeds, ± the standard deviation.

    Args:
        runs: one for each seed.
        verifier: its place in the list.
    """
    first = runs[0]["methods"][0]["evidence"][verifier]["figures"]
    columns: Columns = [("method", titles(runs))]
    for at, figure in enumerate(first):
        cells = []
        for row in range(len(runs[0]["methods"])):
            values = [run["methods"][row]["evidence"][verifier]["figures"][at]["value"] for run in runs]
            cells.append(_cell(values, figure["factor"], figure["digits"]))
        columns.append((figure["heading"], cells))
    shares = ([run["methods"][row]["gradients"] for run in runs] for row in range(len(runs[0]["methods"])))
    return [*columns, ("gradients %", [_cell(list(values), 100.0, 0, spread=False) for values in shares])]


def _cell(values: Sequence[float | None], factor: float, digits: int, spread: bool = True) -> str:
    """Return a mean, with the standard deviation of several values."""
    known = [factor * value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return _DASH
    mean = sum(known) / len(known)
    if len(known) < 2 or not spread:
        return f"{mean:z.{digits}f}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1))
    return f"{mean:z.{digits}f} ± {deviation:.{digits}f}"


def grouped(runs: Sequence[Json], verifier: int, measure: str, by: str) -> Columns:
    """Return the means of a measure of a verifier over the nodes of each client, or at each distance.

    Args:
        runs: one for each seed.
        verifier: its place in the list.
        measure: its name.
        by: `client` or `hops`.
    """
    keys = sorted({group[by] for run in runs for group in _groups(run, 0, verifier)})
    columns: Columns = [("method", titles(runs))]
    for key in keys:
        cells = []
        for row in range(len(runs[0]["methods"])):
            parts = [g for run in runs for g in _groups(run, row, verifier) if g[by] == key]
            nodes = sum(part["nodes"] for part in parts)
            cells.append(f"{sum(part['nodes'] * part[measure] for part in parts) / nodes:.3g}")
        columns.append((_heading(by, key), cells))
    return columns


def measures(runs: Sequence[Json], verifier: int) -> list[str]:
    """Return the names of the measures that a verifier has for groups of nodes."""
    return [name for name in _groups(runs[0], 0, verifier)[0] if name not in ("client", "hops", "nodes")]


def flat_rows(runs: Sequence[Json]) -> list[Json]:
    """Return a flat row for each seed, method, verifier, client and distance."""
    return list(_flat(runs))


def _flat(runs: Sequence[Json]) -> Iterator[Json]:
    for run in runs:
        for title, method in zip(titles(runs), run["methods"], strict=True):
            for evidence in method["evidence"]:
                for group in evidence["groups"]:
                    yield {"seed": run["seed"], "method": title, "verifier": evidence["verifier"], **group}


def _groups(run: Json, row: int, verifier: int) -> Sequence[Any]:
    groups: Sequence[Any] = run["methods"][row]["evidence"][verifier]["groups"]
    return groups


def _heading(by: str, key: int) -> str:
    """Return what a column of groups is called."""
    if by == "client":
        return f"client {key}"
    return ("deleted nodes", "1 hop", "2 hops", "3 hops or more")[key]
