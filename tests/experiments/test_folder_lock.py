"""One writer for each run folder."""

import subprocess
import sys
from pathlib import Path

import pytest
from runs import run_through

from rewindnet.experiments.folder.lock import LOCK, FolderLock
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.runs.launch import run_in
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve

TINY = {
    "data": {"source": "synthetic", "samples": 60, "dimensions": 2},
    "partition": {"clients": 3},
    "topology": "ring",
    "learning": {"rounds": 3},
    "deletion": {"samples": 1},
    "unlearning": ["retrain"],
}
HOLDER = (
    "import sys\n"
    "from pathlib import Path\n"
    "from rewindnet.experiments.folder.lock import FolderLock\n"
    "lock = FolderLock(Path(sys.argv[1]))\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def holder(tmp_path: Path):
    """A process that writes to an unfinished run folder, which is there already."""
    run_through(TINY, tmp_path / "run")
    (tmp_path / "run" / "unfinished").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_that_another_process_writes_to_is_refused(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    with pytest.raises(ScenarioError, match=r"another process is writing to .*run; wait for it, or choose another"):
        FolderLock(tmp_path / "run")
    for force in (True, False):
        with pytest.raises(ScenarioError, match="another process is writing"):
            check_target(tmp_path / "run", resolve(TINY), force)
    with pytest.raises(ScenarioError, match="another process is writing"):
        run_in(resolve(TINY), tmp_path / "run", force=True)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}


def test_the_end_of_a_process_is_the_end_of_its_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()
    done = run_in(resolve(TINY), tmp_path / "run", force=True)
    assert done.record["state"] == "complete"


def test_a_finished_run_leaves_no_lock_and_a_removed_one_guards_nothing(tmp_path: Path) -> None:
    run_through(TINY, tmp_path / "run")
    assert not (tmp_path / "run" / LOCK).exists()
    first = FolderLock(tmp_path / "run")
    first.release(remove=True)
    first.release(remove=True)
    second = FolderLock(tmp_path / "run")
    with pytest.raises(ScenarioError):
        FolderLock(tmp_path / "run")
    second.release()
    FolderLock(tmp_path / "run").release()


def test_a_folder_with_nothing_but_a_lock_is_free(tmp_path: Path) -> None:
    FolderLock(tmp_path / "run").release()
    assert check_target(tmp_path / "run", resolve(TINY), force=False) is False
