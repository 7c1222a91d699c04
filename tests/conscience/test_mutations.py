"""The second conscience: small wrongs in the code, over every method, each of which must be noticed.

`make mutations` prints who notices which. The list is in `tests/support/mutations/lists/`.
"""

import re
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock
from mutations.copies import copy_repository
from mutations.detectors import BadMutationError, detectors_of, failing_control, notice
from mutations.lists import MUTATIONS
from mutations.mutation import ROOT, Mutation, StaleMutationError
from mutations.scenarios import SCENARIOS

from rewindnet.clients.methods import METHODS

#: How many mutations every method has at least.
FEWEST = 3
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the list of files comes from git")


def test_every_mutation_fits_the_code() -> None:
    """The text that a mutation replaces is there exactly once, and what results is Python."""
    stale = []
    for mutation in MUTATIONS:
        try:
            assert mutation.mutated(ROOT) != (ROOT / mutation.file).read_text(encoding="utf-8"), mutation.name
        except StaleMutationError as problem:
            stale.append(str(problem))
    assert not stale, "\n".join(stale)


def test_every_mutation_has_a_name_of_its_own() -> None:
    names = Counter(mutation.name for mutation in MUTATIONS)
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_mutations(method: str) -> None:
    """A new method brings mutations along."""
    own = [mutation.name for mutation in MUTATIONS if method in mutation.methods]
    assert len(own) >= FEWEST, f"{method} has {own}; add mutations of it to tests/support/mutations/lists"


def test_every_mutation_names_what_there_is() -> None:
    for mutation in MUTATIONS:
        used = {
            entry if isinstance(entry, str) else entry["method"] for entry in SCENARIOS[mutation.scenario]["unlearning"]
        }
        assert mutation.methods, mutation.name
        assert set(mutation.methods) <= set(METHODS), mutation.name
        assert used & set(mutation.methods), f"the scenario of {mutation.name!r} has none of its methods"
        for test in mutation.tests:
            file, _, name = test.partition("::")
            source = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert not name or f"def {name.partition('[')[0]}(" in source, f"{mutation.name!r} names {test}"


def test_every_method_is_run() -> None:
    used = {
        entry if isinstance(entry, str) else entry["method"]
        for scenario in SCENARIOS.values()
        for entry in scenario["unlearning"]
    }
    assert used == set(METHODS)


# The harness itself


def a_mutation(**changes: str) -> Mutation:
    return Mutation(
        **{
            "name": "a wrong",
            "methods": ("r2d",),
            "file": "clients/wrong.py",
            "old": "1 + 1",
            "new": "1 + 2",
            "scenario": "descents",
            **changes,
        }  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("mutation", "said"),
    [
        (a_mutation(old="3 + 3"), "its text is in clients/wrong.py 0 times; the text is\n3 + 3"),
        (a_mutation(old="2 + 2"), "0 times, but it is in certificates/elsewhere.py"),
        (a_mutation(old="twice"), "its text is in clients/wrong.py 2 times"),
        (a_mutation(file="clients/gone.py"), "there is no file clients/gone.py"),
        (a_mutation(new="1 +"), "what it makes of clients/wrong.py is no Python"),
    ],
)
def test_a_stale_mutation_is_an_error_that_says_what_to_do(mutation: Mutation, said: str, tmp_path: Path) -> None:
    for name, text in (("clients/wrong.py", "twice = 1 + 1  # twice\n"), ("certificates/elsewhere.py", "2 + 2\n")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    with pytest.raises(
        StaleMutationError, match="must be brought up to date in tests/support/mutations/lists"
    ) as error:
        mutation.mutated(tmp_path)
    assert said in str(error.value)
    assert a_mutation().mutated(tmp_path) == "twice = 1 + 2  # twice\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A copy of the repository, made once for all workers."""
    common = tmp_path_factory.getbasetemp()
    place = (common if worker_id == "master" else common.parent) / "repository"
    with FileLock(f"{place}.lock"):
        if not place.with_suffix(".made").exists():
            copy_repository(place)
            place.with_suffix(".made").touch()
    return place


@needs_git
@pytest.mark.slow
@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("return undefined_name", "NameError"),
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
    ],
)
def test_code_that_breaks_is_not_a_wrong_that_is_noticed(new: str, said: str, base: Path) -> None:
    broken = a_mutation(file="clients/methods/r2d.py", old="return rounds - depth", new=new)
    with pytest.raises(BadMutationError, match=re.escape(said)):
        notice(broken, base)


@needs_git
@pytest.mark.slow
def test_a_module_that_cannot_be_imported_is_not_a_wrong_that_is_noticed(base: Path) -> None:
    broken = a_mutation(file="clients/methods/r2d.py", old="rewinds = True", new="rewinds = undefined_name")
    with pytest.raises(BadMutationError, match="import broke"):
        notice(broken, base)


@needs_git
@pytest.mark.slow
def test_a_change_that_is_none_is_not_noticed(base: Path) -> None:
    same = a_mutation(file="clients/methods/r2d.py", old="return rounds - depth", new="return rounds + 0 - depth")
    assert notice(same, base).by == "nothing"


# The mutations


@needs_git
@pytest.mark.slow
@pytest.mark.parametrize("scenario", detectors_of(MUTATIONS)[0])
def test_a_run_of_the_code_as_it_is_passes(scenario: str, base: Path) -> None:
    assert failing_control(base, [scenario]) == []


@needs_git
@pytest.mark.slow
@pytest.mark.parametrize("file", detectors_of(MUTATIONS)[1])
def test_the_tests_of_the_code_as_it_is_pass(file: str, base: Path) -> None:
    assert failing_control(base, (), detectors_of(MUTATIONS)[1][file]) == []


@needs_git
@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_is_noticed(mutation: Mutation, base: Path) -> None:
    found = notice(mutation, base)
    assert found.by != "nothing", f"nothing notices {mutation.name!r}, of {mutation.file}: {found.said}"
