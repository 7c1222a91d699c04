"""Damage every file of a run folder in every way, and count what the commands make of it: `python -m damage`."""

import json
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.folder import files, recorder
from rewindnet.experiments.runs.launch import run_in
from rewindnet.experiments.scenario.yaml_files import resolve

SCENARIO: dict[str, Any] = {
    "name": "damaged",
    "data": {"source": "synthetic", "samples": 60, "dimensions": 2},
    "partition": {"clients": 3},
    "topology": "ring",
    "learning": {"rounds": 4},
    "deletion": {"samples": 1},
    "unlearning": [{"method": "r2d", "rewind": 0.5}, "do-nothing"],
    "measures": {"membership": False},
    "backend": {"precision": "exact"},
}


#: The command line for a run folder.
Arguments = Callable[[Path], list[str]]


class Killed(BaseException):
    """In place of a kill."""


def truncate(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path, other: Path) -> None:
    content = bytearray(file.read_bytes() or b"\0")
    content[len(content) * 2 // 3] ^= 1
    file.write_bytes(bytes(content))


def zero(file: Path, other: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def nest(file: Path, other: Path) -> None:
    file.write_text('{"a":' + "[" * 100_000)


def reshape(file: Path, other: Path) -> None:
    changed(file, lambda tensor: tensor.reshape(1, -1))


def shorten(file: Path, other: Path) -> None:
    changed(file, lambda tensor: tensor.to(torch.bfloat16))


def widen(file: Path, other: Path) -> None:
    changed(file, lambda tensor: torch.cat([tensor, tensor], dim=-1) if tensor.ndim else tensor.reshape(1))


def narrow(file: Path, other: Path) -> None:
    changed(file, lambda tensor: tensor[..., :1] if tensor.ndim else tensor.reshape(1, 1))


def changed(file: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    if file.suffix == ".safetensors":
        file.write_bytes(save({name: change(tensor).contiguous() for name, tensor in load_file(file).items()}))
    else:
        file.write_bytes(b"[1]")


def remove(file: Path, other: Path) -> None:
    file.unlink()


def swap(file: Path, other: Path) -> None:
    file.write_bytes(other.read_bytes() if other.is_file() else b"")


def folder(file: Path, other: Path) -> None:
    file.unlink()
    file.mkdir()


def link(file: Path, other: Path) -> None:
    file.unlink()
    file.symlink_to("/nowhere/at/all")


WAYS = (truncate, flip, zero, nest, reshape, shorten, widen, narrow, remove, swap, folder, link)


def unfinished(place: Path, seed: int) -> Path:
    """A run that was killed before its table was written."""
    original = recorder.write_json

    def torn(path: Path, content: Any) -> None:
        if path.name == "summary.json":
            raise Killed
        original(path, content)

    recorder.write_json = torn  # type: ignore[assignment]
    try:
        run_in(resolve({**SCENARIO, "seed": seed}), place)
    except Killed:
        return place
    finally:
        recorder.write_json = original
    raise AssertionError


def cases(whole: Path, stride: int) -> Iterator[tuple[str, Callable[[Path, Path], None]]]:
    """Every file that is there, whatever it is, in every way."""
    names = [path.relative_to(whole).as_posix() for path in sorted(whole.rglob("*")) if path.is_file()]
    yield from [(name, way) for name in names for way in WAYS][::stride]


def result(place: Path) -> Any:
    """What tells a run from another: its weights, and the hashes of its files but for those that hold seconds."""
    record = json.loads((place / "record.json").read_text("utf-8"))
    timed = ("metrics.json", "summary.json", "README.md")
    hashes = {name: value for name, value in record["files_sha256"].items() if not name.endswith(timed)}
    return record["sha256"], hashes


def outcome(command: list[str]) -> tuple[int, str]:
    """The exit code of a command, and what it said; a code of −1 for a traceback."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = CliRunner().invoke(app, command)
    raised = done.exception is not None and not isinstance(done.exception, SystemExit)
    return (-1, repr(done.exception)) if raised else (done.exit_code, done.output)


COMMANDS: dict[str, Arguments] = {
    "verify": lambda place: ["verify", str(place)],
    "report": lambda place: ["report", str(place)],
    "compare": lambda place: ["compare", str(place)],
    "klom": lambda place: ["klom", str(place), "--draws", "4", "--points", "5"],
    "export": lambda place: ["certificate", "export", str(place), "r2d", "--out", str(place.parent / "c.json")],
}


def tried(
    whole: Path,
    other: Path,
    stride: int,
    commands: Mapping[str, Arguments],
    refusals: Collection[int],
    differs: Callable[[str, Path, str, bool], bool],
) -> tuple[Counter[str], list[str]]:
    """Damage copies of a run, and give each to every command.

    Args:
        whole: the run folder.
        other: another run, whose files take the place of its own.
        stride: of how many cases one is tried.
        commands: by name.
        refusals: the exit codes that come with a sentence.
        differs: whether what a command accepted is another run: by the name of the command, the copy, the damaged
            file, and whether that is as it was.

    Returns:
        How many cases ended in which way, and a line for each that ended wrong.
    """
    counts, wrong = Counter[str](), []
    for name, way in cases(whole, stride):
        for command, arguments in commands.items():
            place = Path(shutil.copytree(whole, whole.parent / "copy" / "run"))
            before = (place / name).read_bytes()
            way(place / name, other / name)
            same = (place / name).is_file() and (place / name).read_bytes() == before
            code, said = outcome(arguments(place))
            kind = "survived" if code == 0 else "sentences" if code in refusals else "tracebacks"
            if code == 0 and differs(command, place, name, same):
                kind = "silently different"
            if kind in ("tracebacks", "silently different"):
                wrong.append(f"{command}, {name}, {way.__name__}: {kind} {said[-200:]}")
            counts[kind] += 1
            shutil.rmtree(place.parent)
    return counts, wrong


def resumed(base: Path, stride: int) -> tuple[Counter[str], list[str]]:
    """Damage an unfinished run, and go on with it."""
    killed, other, scenario = unfinished(base / "run", 0), unfinished(base / "other", 1), base / "s.yaml"
    scenario.write_text(json.dumps(SCENARIO), "utf-8")
    expected = result(run_in(resolve(SCENARIO), base / "whole").path)
    commands: dict[str, Arguments] = {"resume": lambda place: ["run", str(scenario), "--out", str(place)]}
    return tried(killed, other, stride, commands, (2, 3), lambda _, place, *__: result(place) != expected)


def read(base: Path, stride: int) -> tuple[Counter[str], list[str]]:
    """Damage a finished run, and read it with every command; `verify` must find every change."""
    whole, other = base / "finished", base / "finished-other"
    for seed, place in enumerate((whole, other)):
        run_in(resolve({**SCENARIO, "seed": seed}), place)
    return tried(
        whole, other, stride, COMMANDS, (1, 2, 3), lambda command, _, __, same: command == "verify" and not same
    )


def main(stride: int = 1) -> None:
    files.os.fsync = lambda file: None  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as name:
        for part in (resumed, read):
            counts, wrong = part(Path(name), stride)
            print(f"{part.__name__}: {', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}")
            print("\n".join(wrong))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
