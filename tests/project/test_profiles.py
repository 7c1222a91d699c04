"""The profiles of drawn cases do what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CASES = """
from drawn import examples
from hypothesis import given, strategies as st

count = 0

@examples(30)
@given(st.integers())
def test_some(number):
    global count
    count += 1
    print("drawn", number)

@given(st.integers())
def test_default(number):
    print("default", number)
"""


#: What hosts of continuous integration set, by which hypothesis knows them.
HOSTED = {"CI": "true", "GITHUB_ACTIONS": "true"}


def drawn(folder: Path, profile: str | None, hosted: bool = False) -> list[str]:
    """The lines that the cases print in a run of their own, on a host of continuous integration or elsewhere."""
    (folder / "conftest.py").write_text(
        f"import sys; sys.path.insert(0, {str(TESTS / 'support')!r})\n" + (TESTS / "conftest.py").read_text()
    )
    (folder / "test_cases.py").write_text(CASES)
    chosen = [] if profile is None else [f"--hypothesis-profile={profile}"]
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "test_cases.py", *chosen]
    outside = {name: value for name, value in os.environ.items() if name not in HOSTED}
    environment = outside | (HOSTED if hosted else {})
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return [line.lstrip(".") for line in done.stdout.splitlines() if line.lstrip(".").startswith(("drawn", "default"))]


@pytest.mark.parametrize(("profile", "some", "default"), [("ci", 30, 120), (None, 30, 120), ("nightly", 500, 2000)])
def test_a_profile_scales_every_test(tmp_path: Path, profile: str | None, some: int, default: int) -> None:
    lines = drawn(tmp_path, profile)
    assert len([line for line in lines if line.startswith("drawn")]) == some
    assert len([line for line in lines if line.startswith("default")]) == default


@pytest.mark.parametrize("hosted", [False, True])
def test_two_runs_of_ci_draw_the_same_and_two_of_dev_do_not(tmp_path: Path, hosted: bool) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    for profile, alike in (("ci", True), ("dev", False)):
        assert (drawn(tmp_path / "one", profile, hosted) == drawn(tmp_path / "other", profile, hosted)) == alike


def test_every_test_that_says_how_many_cases_it_draws_says_so_by_examples() -> None:
    files = [file for file in TESTS.rglob("*.py") if file.name not in ("drawn.py", "conftest.py", Path(__file__).name)]
    assert len(files) > 80
    assert [file.name for file in files if "max_examples" in file.read_text(encoding="utf-8")] == []
