"""Kill a run with SIGKILL at places spread over all its writes, resume it, and compare: `python -m kills`.

A place is one change of a file in the run folder, as `watched/sitecustomize.py` counts them.
"""

import argparse
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parity
from parity import FLOWER, IN_PROCESS, mpi

SCENARIO: dict[str, Any] = {
    "name": "killed",
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 10},
    "deletion": {"samples": 2},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "bound": "instance"},
        {"method": "r2d", "rewind": 0.7, "placement": "rewind", "view": "transcript:all", "gossip_rounds": 1},
        {"method": "warm-start", "rounds": 4},
        {"method": "retrain"},
        {"method": "do-nothing"},
    ],
}
TRANSPORTS = {"in-process": IN_PROCESS, "mpi": mpi(2), "flower": FLOWER}
WATCHED = Path(__file__).with_name("watched")
#: What tells of time, or of how often a run was begun.
TIMED = ("started", "finished", "seconds", "resumed", "command", "files_sha256", "record_sha256")


@dataclass(frozen=True)
class Kill:
    """What became of a run that was killed: `place` is the change before which, as `number change`."""

    place: str
    resumed: bool
    different: tuple[str, ...]
    said: str = ""

    @property
    def good(self) -> bool:
        return self.resumed and not self.different


class Kills:
    """Runs of the scenario over one transport, killed and resumed below a folder."""

    def __init__(self, folder: Path, transport: str) -> None:
        self._folder, self._settings = folder.resolve(), TRANSPORTS[transport]
        self._file = parity.write(SCENARIO, folder)
        self._end(self._start("whole", 0))
        self._expected = everything(self._folder / "whole")
        by_process: dict[str, list[str]] = {}
        for line in self._notes("whole").read_text("utf-8").splitlines():
            process, change = line.split("\t")
            by_process.setdefault(process, []).append(change)
        #: The changes of the process that changes most files: of the one that writes the run folder.
        self.changes = max(by_process.values(), key=len)

    def spread(self, number: int) -> Iterator[Kill]:
        """Kill at so many places, the first and the last change among them."""
        last = len(self.changes) - 1
        for index in range(number):
            yield self.at(1 + round(index * last / max(1, number - 1)))

    def at(self, change: int) -> Kill:
        """Kill the run before one of its changes, with all of its processes, and run it again."""
        name, place = str(change), f"{change} {self.changes[change - 1]}"
        run = self._start(name, change)
        parity.wait_for(lambda: self._notes(name).exists(), run)
        for pid in (run.pid, *parity.family(run.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.communicate()
        record = self._folder / name / "record.json"
        before = parity.read(record)["state"] if record.is_file() else "absent"
        code, said, complained = parity.ended(parity.start(self._file, self._folder / name, *self._settings))
        if before == "complete" and code == 2 and "already holds a run" in complained:
            code = 0
        if code != 0:
            return Kill(place, False, (), complained.strip())
        found = everything(self._folder / name)
        different = tuple(key for key in {**self._expected, **found} if found.get(key) != self._expected.get(key))
        return Kill(place, True, different, said)

    def _notes(self, name: str) -> Path:
        return self._folder / f"{name}.notes"

    def _start(self, name: str, change: int) -> "parity.Run":
        path = os.pathsep.join((str(WATCHED), parity.environment()["PYTHONPATH"]))
        watch = {
            "KILLS_UNDER": f"{self._folder / name}/",
            "KILLS_NOTES": str(self._notes(name)),
            "KILLS_AT": str(change),
            "PYTHONPATH": path,
        }
        return parity.start(self._file, self._folder / name, *self._settings, added=watch)

    @staticmethod
    def _end(run: "parity.Run") -> None:
        code, _, complained = parity.ended(run)
        assert code == 0, complained


def everything(folder: Path) -> dict[str, Any]:
    """All files of a finished run, without what tells of time or of how often the run was begun."""
    return {file.relative_to(folder).as_posix(): _content(file) for file in folder.rglob("*") if file.is_file()}


def _content(file: Path) -> Any:
    if file.suffix != ".json":
        return file.read_bytes()
    content = parity.timeless(parity.read(file))
    return {key: value for key, value in content.items() if file.name != "record.json" or key not in TIMED}


def table(kills: Sequence[Kill]) -> str:
    width = max(len(kill.place) for kill in kills)
    rows = [f"{'place':{width}}  resumed  equal"]
    for kill in kills:
        equal = "yes" if kill.good else ", ".join(kill.different) or kill.said or "no"
        rows.append(f"{kill.place:{width}}  {'yes' if kill.resumed else 'no':7}  {equal}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--transport", choices=TRANSPORTS, default="in-process")
    parser.add_argument("number", nargs="?", type=int, default=20, metavar="N", help="how many kills")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(Path(folder), given.transport)
        done = list(kills.spread(given.number))
    print(table(done))
    print(f"{sum(kill.good for kill in done)} of {len(done)} over {given.transport}, of {len(kills.changes)} changes")


if __name__ == "__main__":
    main()
