"""What may notice a mutation, in the order of cost: a run, its verification, the fast tests that it names."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import yaml

from mutations import jobs
from mutations.copies import mutated_copy
from mutations.mutation import Mutation
from mutations.scenarios import SCENARIOS

By = Literal["run", "verify", "tests", "nothing"]

#: How a test says that something is wrong, as opposed to code that broke: an assertion, or a refusal in a sentence.
_SAID = re.compile(r"assert\b|AssertionError|Failed: |\brewindnet\.[\w.]+Error\b")

#: The end of what pytest says where the last line that was executed is one of a test, which got what it cannot use.
_IN_TEST = re.compile(r"\ntests/\S+\.py:\d+: \w+\s*$")


class BadMutationError(Exception):
    """A mutation after which the code does not work at all, so that noticing it proves nothing."""


@dataclass(frozen=True)
class Notice:
    """Who noticed a mutation.

    Attributes:
        by: the first detector that noticed it, or `nothing`.
        said: what it said.
    """

    by: By
    said: str


def notice(mutation: Mutation, base: Path) -> Notice:
    """Return who notices a mutation.

    Args:
        mutation: the mutation.
        base: a copy of the repository, from `copies.copy_repository`.

    Raises:
        StaleMutationError: if the mutation does not fit the code.
        BadMutationError: if the code cannot be imported, or breaks otherwise than by a finding.
    """
    with mutated_copy(base, mutation) as place:
        try:
            found = run_and_verify(place, mutation.scenario, mutation.module)
            if found.by == "nothing" and mutation.tests:
                found = run_tests(place, mutation.tests)
        except (BadMutationError, jobs.BrokenJobError) as problem:
            raise BadMutationError(f"after the mutation {mutation.name!r} the code breaks: {problem}") from None
    return found


def run_and_verify(place: Path, scenario: str, module: str = "rewindnet") -> Notice:
    """Run a scenario and verify its folder with the code of a copy.

    Args:
        place: the copy.
        scenario: its name in `mutations.scenarios`.
        module: the module that is mutated.

    Raises:
        BadMutationError: if the code breaks.
        BrokenJobError: if the process does.
    """
    file, folder = place.parent / f"{scenario}.yaml", place.parent / f"run-{scenario}"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(SCENARIOS[scenario]))), encoding="utf-8")
    told = jobs.result_of(jobs.run_and_verify, place, str(file), str(folder), module)
    stage, code, said = told["stage"], told["code"], told["said"]
    if code == 0:
        return Notice("nothing", said[-2000:])
    found = {"run": "is violated", "verify": "FAILS"}
    if code != 2 and not (code == 1 and found[stage] in said):
        raise BadMutationError(f"{stage} broke: {said[-2000:]}")
    wrong = [line for line in said.splitlines() if found.get(stage, "") in line]
    return Notice(stage, (wrong or [said])[0][:300])


def run_tests(place: Path, tests: Sequence[str]) -> Notice:
    """Run fast tests of a copy, up to the first that fails.

    Args:
        place: the copy.
        tests: files or single tests, from `tests/`.

    Raises:
        BadMutationError: if a test breaks, cannot be collected, or does not exist.
        BrokenJobError: if the process does.
    """
    record = place.parent / "tests.xml"
    code = jobs.result_of(jobs.run_tests, place, str(record), [f"tests/{test}" for test in tests])["code"]
    if code == 0:
        return Notice("nothing", f"all of {', '.join(tests)} pass")
    if code != 1 or not record.exists():
        log = (place.parent / "log.txt").read_text(errors="replace")
        raise BadMutationError(f"the tests ended with code {code}: {log[-2000:]}")
    case, found = next(
        (case, found)
        for case in ElementTree.parse(record).iter("testcase")
        for found in case
        if found.tag in ("failure", "error")
    )
    text, where = found.text or "", f"{case.attrib.get('classname')}::{case.attrib.get('name')}"
    message = (found.attrib.get("message") or text or "?").splitlines()[0]
    if not (_SAID.search(message) or ("sub-exception" in message and _SAID.search(text)) or _IN_TEST.search(text)):
        raise BadMutationError(f"{where} broke: {message}\n{text[-2000:]}")
    return Notice("tests", f"{where}: {message}"[:300])


def failing_control(base: Path, scenarios: Sequence[str] = (), tests: Sequence[str] = ()) -> list[str]:
    """Return what is noticed of code without a mutation: nothing, or the detectors prove nothing.

    Args:
        base: a copy of the repository, from `copies.copy_repository`.
        scenarios: names of scenarios.
        tests: files or single tests, from `tests/`.
    """
    with mutated_copy(base, None) as place:
        found = [run_and_verify(place, scenario) for scenario in scenarios]
        found += [run_tests(place, tests)] if tests else []
    return [notice.said for notice in found if notice.by != "nothing"]


def detectors_of(mutations: Sequence[Mutation]) -> tuple[list[str], dict[str, list[str]]]:
    """Return what some mutations name: the scenarios, and the tests by file, a file as a whole if named so."""
    named = sorted({test for mutation in mutations for test in mutation.tests})
    by_file: dict[str, list[str]] = {}
    for test in named:
        by_file.setdefault(test.partition("::")[0], []).append(test)
    whole = {file: [file] if file in tests else tests for file, tests in by_file.items()}
    return sorted({mutation.scenario for mutation in mutations}), whole
