"""The reference pages of the site are made from the code, and leave nothing out."""

import re

import pytest
import typer
from reference_pages.choices import PLACES, choice_pages
from reference_pages.commands import commands_page, escaped, every_command
from reference_pages.python import PARTS, python_page
from reference_pages.scenario import graph_scenario_page, scenario_page

import rewindnet
from rewindnet.experiments.cli import app
from rewindnet.experiments.scenario.registries import LISTS, registry
from rewindnet.experiments.scenario.scenario import Scenario


def headings(page: str, level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.*)$", page, flags=re.MULTILINE)


def test_every_choice_has_its_place_its_summary_and_its_settings() -> None:
    pages = choice_pages()
    assert list(pages) == list(LISTS)
    assert sorted(PLACES) == sorted(LISTS)
    for what, page in pages.items():
        choices = registry(LISTS[what])
        assert headings(page, 2) == list(choices)
        for name in choices:
            about = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
            assert escaped(choices.summary(name)) in about
            assert re.findall(r"^\| `(\w+)`", about, flags=re.MULTILINE) == list(choices.settings(name))


def test_every_command_has_its_options() -> None:
    page = commands_page()
    commands = list(every_command(typer.main.get_command(app), "rewindnet"))
    assert headings(page, 2) == [*(path for path, _ in commands), "Exit codes"]
    assert "rewindnet certificate export" in dict(commands)
    for path, command in commands:
        about = page.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.opts[0] in about, (path, parameter.name)


def test_every_section_of_a_scenario_has_its_keys() -> None:
    page = scenario_page()
    assert {"data", "learning", "unlearning", "deletion"} <= set(headings(page, 2)) <= set(Scenario.model_fields)
    about = page.partition("\n## learning\n")[2].partition("\n##")[0]
    assert "| `step_size` | number | `1.0` | of a local step, η. |" in about
    assert "topology.schedule" in headings(page, 3)
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line for line in lines if line.endswith("|  |")] == []


def test_every_section_of_a_scenario_of_a_graph_network_has_its_keys() -> None:
    page = graph_scenario_page()
    assert set(headings(page, 2)) == {"data", "model", "learning", "deletion", "unlearning", "verifiers"}
    assert "| `epochs` | whole number | `200` | the number of epochs. |" in page
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line for line in lines if line.endswith("|  |")] == []


def test_every_public_name_is_documented() -> None:
    assert sorted(name for names in PARTS.values() for name in names) == sorted(rewindnet.__all__)
    assert python_page().count("\n::: rewindnet.") == len(rewindnet.__all__)


@pytest.mark.parametrize(
    ("text", "expected"), [("a|b <c> *d*", r"a\|b &lt;c&gt; \*d\*"), ("`<x>|y` [z]", r"`<x>\|y` \[z\]")]
)
def test_text_is_no_markup(text: str, expected: str) -> None:
    assert escaped(text) == expected
