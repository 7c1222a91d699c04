"""The profiles of drawn cases do what they say."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
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


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """The lines that the cases print in a run of their own: `drawn(profile, hosted, run)`, each made once."""

    @cache
    def lines(profile: str | None, hosted: bool, run: int = 0) -> list[str]:
        folder = tmp_path_factory.mktemp("cases")
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
        found = (line.lstrip(".") for line in done.stdout.splitlines())
        return [line for line in found if line.startswith(("drawn", "default"))]

    return lines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "hosted", "some", "default"),
    [("ci", False, 30, 120), (None, True, 30, 120), ("nightly", True, 500, 2000)],
)
def test_a_profile_scales_every_test(
    drawn: Callable[..., list[str]], profile: str | None, hosted: bool, some: int, default: int
) -> None:
    lines = drawn(profile, hosted)
    assert len([line for line in lines if line.startswith("drawn")]) == some
    assert len([line for line in lines if line.startswith("default")]) == default


@pytest.mark.slow
def test_two_runs_of_ci_draw_the_same_on_a_host_of_continuous_integration_and_elsewhere(
    drawn: Callable[..., list[str]],
) -> None:
    assert drawn("ci", False) == drawn("ci", True)


@pytest.mark.slow
def test_two_runs_of_dev_draw_other_cases(drawn: Callable[..., list[str]]) -> None:
    """Also on a host of continuous integration, where hypothesis would derandomise a profile that says nothing."""
    assert drawn(None, True) != drawn(None, True, 1)


def test_every_test_that_says_how_many_cases_it_draws_says_so_by_examples() -> None:
    files = [file for file in TESTS.rglob("*.py") if file.name not in ("drawn.py", "conftest.py", Path(__file__).name)]
    assert len(files) > 80
    assert [file.name for file in files if "max_examples" in file.read_text(encoding="utf-8")] == []
