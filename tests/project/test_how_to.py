"""Every how-to page works as it stands: its files are written, its commands run, its output is what it says."""

import os
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs/how-to").glob("*.md"), ROOT / "docs/tutorial.md"])
_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


def run(command: str, folder: Path) -> str:
    """What a command that must end well prints; `rewindnet` and `python` are those of this environment."""
    here = Path(sys.executable).parent
    rewindnet = f'rewindnet() {{ "{sys.executable}" -m rewindnet "$@"; }}\n'
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(here), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib"),
        "OMP_NUM_THREADS": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        ["bash", "-c", rewindnet + command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def check_console(block: str, folder: Path) -> None:
    """Run the lines that begin with `$`; the lines below each must be what it prints, where … stands for anything."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        printed = run(command, folder)
        if expected.strip():
            pattern = re.sub(r"([\[*?])", r"[\1]", expected.strip()).replace("…", "*")
            assert fnmatchcase(printed.strip(), pattern), f"{command}\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_works(page: Path, tmp_path: Path) -> None:
    text, folder = page.read_text(encoding="utf-8"), tmp_path / "example"
    folder.mkdir()
    commands = 0
    for language, title, content in _FENCE.findall(text):
        if title:
            (folder / title).write_text(content, encoding="utf-8")
        elif language == "console":
            check_console(content, folder)
            commands += content.count("$ ")
    assert commands >= 1


def test_pages_that_compare_transports_tell_the_truth(tmp_path: Path) -> None:
    """The sha256 of all weights is the same on every transport, as two of the pages say."""
    text = (ROOT / "docs/how-to/cluster.md").read_text(encoding="utf-8")
    (scenario,) = (content for _, title, content in _FENCE.findall(text) if title == "ring.yaml")
    (tmp_path / "ring.yaml").write_text(scenario, encoding="utf-8")
    kinds = ("in-process", "flower", "mpi backend.ranks=2")
    printed = [
        run(f"rewindnet run ring.yaml backend.kind={kind} --out {at}", tmp_path) for at, kind in enumerate(kinds)
    ]
    assert len({re.search(r"sha256 (\w{64})", each)[1] for each in printed}) == 1  # type: ignore[index]
