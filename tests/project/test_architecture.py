"""The rules that hold the folders apart: who may import whom, what is said once, and what a contributor is told.

Modules are read, not imported, so that imports inside of functions and for type checkers count as well.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from rewindnet.clients.methods import METHODS
from rewindnet.experiments.scenario.registries import LISTS, registry
from rewindnet.registry import Registry

ROOT = Path(__file__).parents[2]
#: Each folder, and those that it may import from, beside itself and the modules of `rewindnet` that all share.
MAY_IMPORT = {
    "topologies": (),
    "certificates": (),
    "clients": ("topologies", "certificates"),
    "simulator": ("topologies", "certificates", "clients"),
    "experiments": ("topologies", "certificates", "clients", "simulator"),
}
SHARED = (
    "rewindnet.errors",
    "rewindnet.late",
    "rewindnet.registry",
    "rewindnet.extras",
    "rewindnet.version",
    "rewindnet.reading",
    "rewindnet.arrays",
    "rewindnet.user_code",
    "rewindnet.pickles",
)
#: What the two lowest folders may import that is not part of Python.
LIBRARIES = {"topologies": {"numpy", "scipy", "networkx"}, "certificates": {"numpy", "scipy"}}


@cache
def sources() -> dict[str, Path]:
    """Every module and package of rewindnet, and its file."""
    found = {}
    for file in [
        *(ROOT / "rewindnet").glob("*.py"),
        *(file for room in MAY_IMPORT for file in (ROOT / room).rglob("*.py")),
    ]:
        below = file.relative_to(ROOT).with_suffix("").parts
        parts = [part for part in ("rewindnet", *below) if part != "__init__"]
        found[".".join(parts[1:] if below[0] == "rewindnet" else parts)] = file
    return found


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported_names(file: Path) -> Iterator[tuple[str, str]]:
    """What a file imports, wherever in it: the module, and the name taken from it, if one is."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            yield from ((str(node.module), alias.name) for alias in node.names)


@cache
def import_graph() -> nx.DiGraph:
    """Which module of rewindnet imports which."""
    graph = nx.DiGraph()
    graph.add_nodes_from(sources())
    for module, file in sources().items():
        for base, name in imported_names(file):
            target = f"{base}.{name}" if f"{base}.{name}" in sources() else base
            if target in sources() and target != module:
                graph.add_edge(module, target)
    return graph


def circles(graph: nx.DiGraph) -> list[list[str]]:
    """The sets of nodes of which each can be reached from every other."""
    return [sorted(circle) for circle in nx.strongly_connected_components(graph) if len(circle) > 1]


def room_of(module: str) -> str | None:
    """The folder at the top of the repository that a module is in."""
    second = module.split(".")[1:2]
    return second[0] if second and second[0] in MAY_IMPORT else None


def test_every_module_of_the_package_is_read() -> None:
    assert len(sources()) > 200
    assert {"rewindnet", "rewindnet.registry", "rewindnet.topologies", "rewindnet.clients.steps.base"} <= set(sources())
    assert import_graph().has_edge("rewindnet.clients.steps.base", "rewindnet.certificates")


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(import_graph()) == []


def test_folders_import_downwards_only() -> None:
    upwards = [
        f"{importer} imports {imported}"
        for importer, imported in import_graph().edges
        if (room := room_of(importer)) is not None
        and imported not in SHARED
        and room_of(imported) not in (room, *MAY_IMPORT[room])
    ]
    assert upwards == []


def test_what_all_folders_share_imports_none_of_them() -> None:
    assert [edge for edge in import_graph().edges if edge[0] in SHARED and edge[1] not in SHARED] == []


@pytest.mark.parametrize("room", LIBRARIES)
def test_the_lowest_folders_need_few_libraries(room: str) -> None:
    found = {
        base.partition(".")[0]
        for module, file in sources().items()
        if room_of(module) == room
        for base, _ in imported_names(file)
    }
    assert found - set(sys.stdlib_module_names) - {"rewindnet"} == LIBRARIES[room]


def folder_graph(folder: str, graph: nx.DiGraph) -> nx.DiGraph:
    """Which of the files and folders that are directly in a folder import which."""
    prefix, reduced = f"{folder}.", nx.DiGraph()
    for importer, imported in graph.edges:
        if importer.startswith(prefix) and imported.startswith(prefix):
            one, other = (name.removeprefix(prefix).partition(".")[0] for name in (importer, imported))
            if one != other:
                reduced.add_edge(one, other)
    return reduced


def test_inside_every_folder_files_and_folders_have_an_order() -> None:
    graph = import_graph()
    folders = [module for module, file in sources().items() if file.name == "__init__.py" and module != "rewindnet"]
    assert len(folders) > 30
    assert {folder: found for folder in folders if (found := circles(folder_graph(folder, graph)))} == {}


# What is particular to a method


@cache
def strings(file: Path) -> frozenset[str]:
    """The strings in a file's code: no documentation, no comments."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(parsed(file))
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return frozenset(
        node.value
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    )


def may_name(method: str, file: Path) -> bool:
    """Whether a file may have the name of a method in its code: those of the method, and the registry."""
    inside = file.relative_to(ROOT)
    if inside in (
        Path("clients/methods/__init__.py"),
        Path(inspect.getsourcefile(METHODS[method]) or "").resolve().relative_to(ROOT),
    ):
        return True
    own = method.replace("-", "_")
    return inside in (Path(f"clients/steps/{own}.py"), Path(f"certificates/mechanisms/{own}.py"))


@pytest.mark.parametrize("method", METHODS)
def test_the_name_of_a_method_is_in_no_code_but_its_own(method: str) -> None:
    files = [file for module, file in sources().items() if room_of(module) is not None]
    named = [file for file in files if method in strings(file)]
    assert ROOT / "clients/methods/__init__.py" in named
    assert [str(file.relative_to(ROOT)) for file in named if not may_name(method, file)] == []


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_states_its_name_is_registered_by_it(method: str) -> None:
    assert getattr(METHODS[method], "name", method) == method


# The page for contributors


@cache
def contributing() -> str:
    return (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def rows_below(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of the page, without its head."""
    section = contributing().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def resolved(name: str) -> Any:
    """What a dotted name below rewindnet stands for."""
    module, _, attribute = f"rewindnet.{name}".rpartition(".")
    return getattr(import_module(module), attribute)


def additions() -> dict[str, tuple[str, str | None]]:
    """What can be added: what to write for it, and the registry that takes a line, if one does."""
    found: dict[str, tuple[str, str | None]] = {}
    for added, written, where in rows_below("Adding something"):
        assert where.startswith("none: ") or len(quoted(where)) == 1, where
        found[added] = (written, None if where.startswith("none: ") else quoted(where)[0])
    return found


def test_the_page_says_of_every_folder_what_it_may_import() -> None:
    said = {quoted(folder)[0].strip("/"): allowed for folder, _, allowed in rows_below("The folders")}
    assert list(said) == ["experiments", "simulator", "clients", "topologies", "certificates"]
    for room, libraries in LIBRARIES.items():
        assert set(said[room].split(", ")) == libraries
    below = {"the two below": 2, "all below": None}
    for room, allowed in said.items():
        if room not in LIBRARIES:
            folders = list(said)[list(said).index(room) + 1 :]
            assert len(folders) == (below[allowed] or len(folders))
            assert set(folders) == set(MAY_IMPORT[room])


def test_the_registries_that_the_page_names_exist() -> None:
    found = additions()
    assert len(found) >= 15
    named = {name for name in quoted(contributing()) if re.fullmatch(r"[a-z_.]+\.[A-Z_]+", name)}
    assert named >= {where for _, where in found.values() if where}
    assert [name for name in named if not isinstance(resolved(name), Registry)] == []


def test_the_files_and_folders_that_the_page_names_exist() -> None:
    named = [name for name in quoted(contributing()) if re.fullmatch(r"[a-z_]+/[a-z_/.]*", name)]
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_there_is_a_row_for_everything_that_a_scenario_chooses() -> None:
    named = [resolved(where) for _, where in additions().values() if where]
    missing = [kind for kind in LISTS.values() if not any(registry(kind) is one for one in named)]
    assert missing == []


def test_the_classes_that_the_page_names_exist() -> None:
    """A capitalised name in the middle column is a class of rewindnet, except for the `Kind` that is to be written."""
    classes = {
        node.name for file in sources().values() for node in ast.walk(parsed(file)) if isinstance(node, ast.ClassDef)
    }
    code = [text for written, _ in additions().values() for text in quoted(written)]
    said = {word for text in code for word in re.findall(r"\b[A-Z]\w+\b", text)}
    assert {"Method", "Model", "Transport", "Mechanism", "CommunicationStep"} <= said
    assert said - classes - {"Kind"} == set()


def test_the_entries_take_what_the_page_says_that_the_program_supplies() -> None:
    checked = 0
    for written, where in additions().values():
        signature = re.search(r"`\w+\(([^)]*)\*, settings\)", written)
        if signature is None or where is None:
            continue
        wanted = [name.strip() for name in signature[1].split(",") if name.strip()]
        for name, entry in resolved(where).items():
            parameters = inspect.signature(entry).parameters.values()
            supplied = [parameter for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
            assert [parameter.name for parameter in supplied][: len(wanted)] == wanted, f"{where}, {name}"
            # Beyond these, an entry may take what it can do without.
            assert all(parameter.default is not parameter.empty for parameter in supplied[len(wanted) :]), name
            checked += 1
    assert checked > 60
