"""Plan, run and verify with graphs and tables of others, as a user would: `python -m own_files FILE…`.

A table is given as FILE:LABEL, with its column of labels; all other files are graphs. What a file needs to be used at
all, such as the largest part of a graph in parts, is asked for as the sentence of a refusal says.
"""

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import yaml
from typer.testing import CliRunner

from rewindnet.experiments.cli import app

#: What a line about a changed input begins with.
NOTE = "rewindnet: note: "
#: Settings that keep a run small, whatever the file.
SMALL: dict[str, Any] = {
    "name": "own",
    "learning": {"rounds": 3},
    "deletion": {"samples": 1},
    "unlearning": [{"method": "r2d", "rewind": 0.5}],
    "audit": {"draws": 0},
    "measures": {"membership": False},
}


@dataclass(frozen=True)
class Tried:
    """What came of a file: the exit codes of plan, run and verify as far as they went, and the last words."""

    file: str
    codes: tuple[int, ...]
    said: str
    noted: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether the file was planned, run and verified."""
        return self.codes == (0, 0, 0)

    @property
    def broken(self) -> bool:
        """Whether something else happened than that, or a refusal in a sentence by the first command."""
        return not self.whole and self.codes != (2,)


def scenario_of(given: str, **data: Any) -> dict[str, Any]:
    """The scenario of a file: of a graph with synthetic data at its nodes, or of a table on a ring."""
    name, label = _parts(given)
    if label:
        kind = "parquet" if name.endswith(".parquet") else "csv"
        table = {"source": kind, "path": name, "label": label, **data}
        return {**SMALL, "data": table, "partition": {"clients": 4}, "topology": "ring"}
    graph = {"kind": "file", "path": name, **data}
    return {**SMALL, "data": {"source": "synthetic", "samples": 4000, "dimensions": 2}, "topology": graph}


def tried(given: str, folder: Path, **settings: Any) -> Tried:
    """Plan, run and verify with a file, until one of them does not end well.

    Args:
        given: the file, and the column of labels of a table after a colon.
        folder: an empty folder to work in.
        settings: of the topology or the data, beside the path.
    """
    scenario, out = folder / "s.yaml", folder / "out"
    scenario.write_text(yaml.safe_dump(scenario_of(given, **settings)), "utf-8")
    commands = (["plan", str(scenario), "--out", str(folder / "plan")], ["run", str(scenario), "--out", str(out)])
    codes, said, noted = list[int](), "", list[str]()
    for command in (*commands, ["verify", str(out)]):
        done = CliRunner().invoke(app, command, env={"COLUMNS": "400"})
        noted += [line.removeprefix(NOTE) for line in done.stderr.splitlines() if line.startswith(NOTE)]
        raised = done.exception is not None and not isinstance(done.exception, SystemExit)
        codes.append(-1 if raised else done.exit_code)
        said = repr(done.exception) if raised else done.stderr.strip() or done.stdout.strip()
        if codes[-1]:
            break
    return Tried(_parts(given)[0], tuple(codes), said.rpartition("\n")[2], tuple(dict.fromkeys(noted)))


def every(files: Sequence[str], base: Path) -> Iterator[Tried]:
    """Try files one after the other; a graph in parts, or in one direction, again as its refusal says."""
    for at, given in enumerate(files):
        settings: dict[str, Any] = {}
        for again in range(3):
            folder = base / f"{at}-{again}"
            folder.mkdir()
            result = tried(given, folder, **settings)
            cure = _cure(result)
            if not cure or cure.keys() <= settings.keys():
                break
            settings |= cure
        yield result


def _cure(result: Tried) -> dict[str, Any]:
    """The setting that a refusal names; categories are those of the file, as its owner would know them."""
    if result.codes == (2,) and "largest-part" in result.said:
        return {"kind": "largest-part"}
    columns = re.findall(r"'([^']+)' \(like ", result.said) if "data.categories" in result.said else []
    if result.codes != (2,) or not columns:
        return {}
    table = pandas.read_csv(result.file, dtype=str, keep_default_na=False)
    return {"categories": {column: sorted(set(table[column])) for column in columns}}


def _parts(given: str) -> tuple[str, str]:
    """The file and the column of labels of what was given."""
    if Path(given).exists():
        return given, ""
    name, _, label = given.rpartition(":")
    return name, label


def main(files: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as base:
        results = []
        for result in every(files, Path(base)):
            results.append(result)
            state = "verified" if result.whole else "BROKEN" if result.broken else "refused"
            print(f"{state:8} {result.file} {result.codes} {'' if result.whole else result.said}")
            print("".join(f"         {note}\n" for note in result.noted), end="", flush=True)
    counts = [sum(getattr(one, name) for one in results) for name in ("whole", "broken")]
    print(f"{len(results)} files: {counts[0]} verified, {len(results) - sum(counts)} refused, {counts[1]} broken")


if __name__ == "__main__":
    main(sys.argv[1:])
