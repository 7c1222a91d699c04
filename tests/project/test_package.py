"""The package as it is distributed: what it holds, and that it lives with a user's own packages of the same names."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from rewindnet.simulator.transports.mpi.ranks import ranks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDERS = ("topologies", "certificates", "clients", "simulator", "experiments")
TINY = """
data: {source: synthetic, samples: 100, dimensions: 3}
partition: {clients: 4}
topology: ring
learning: {rounds: 5}
deletion: {samples: 2}
unlearning: [r2d]
backend: {precision: exact}
"""
#: A program beside packages of its own that are named like folders of this project.
PROGRAM = """
import importlib
NAMES = ("topologies", "certificates", "clients", "simulator", "experiments", "tests")
for name in NAMES:
    assert importlib.import_module(f"{name}.own").VALUE == name
if __name__ == "__main__":
    import rewindnet
    assert "site-packages" in rewindnet.__file__, rewindnet.__file__
    kinds = ({}, {"kind": "mpi", "ranks": 2}, {"kind": "flower", "runtime": "in-process"})
    found = [rewindnet.run(rewindnet.load("tiny.yaml", backend={"precision": "exact", **kind})) for kind in kinds]
    assert all(result.holds and rewindnet.verify(result).holds for result in found)
    assert len({result.record["sha256"] for result in found}) == 1
    for name in NAMES:
        assert importlib.import_module(f"{name}.own").VALUE == name
    print(found[0].record["sha256"])
"""


def run(*command: object, cwd: Path, **environment: str) -> str:
    """The standard output of a command that must end well."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, what: str, into: Path) -> Path:
    """A distribution, built by the project's own back end."""
    into.mkdir(exist_ok=True)
    script = "import sys; from setuptools import build_meta; getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2])"
    run(sys.executable, "-c", script, what, into, cwd=source)
    (made,) = into.iterdir()
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, without what lies around in it."""
    copy = tmp_path_factory.mktemp("source") / "project"
    copy.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("rewindnet", "tests", *FOLDERS):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel, and sees the libraries of this one."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    interpreter = home / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", interpreter),
        *("install", "--quiet", "--no-deps", "--no-index", wheel),
        cwd=home,
    )
    (packages,) = home.glob("lib/python*/site-packages")
    # Added to the path as a folder, it brings its modules along, but not what is installed there for editing.
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "libraries.pth").write_text("".join(f"{path}\n" for path in sorted(libraries)), encoding="utf-8")
    return interpreter


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_one_package_with_all_of_its_modules_and_data(wheel: Path) -> None:
    found = contents(wheel)
    assert {name.split("/")[0].split("-")[0] for name in found} == {"rewindnet"}
    expected = {
        f"rewindnet/{file.relative_to(ROOT)}"
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*")
        if (file.suffix in (".py", ".yaml", ".html", ".js") or file.parent.name == "vendor")
        and file.is_file()
        and "__pycache__" not in file.parts
    }
    assert "rewindnet/experiments/report/vendor/LICENSES.txt" in expected
    assert expected <= found
    assert {"rewindnet/__init__.py", "rewindnet/__main__.py", "rewindnet/py.typed"} <= found


def test_the_source_distribution_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    made = build(source, "sdist", tmp_path / "sdist")
    with tarfile.open(made) as archive:
        assert not [member.name for member in archive if member.issym() or member.islnk()]
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert {path.name for path in unpacked.iterdir() if path.is_dir()} == {"rewindnet", "rewindnet.egg-info"}
    assert contents(build(unpacked, "wheel", tmp_path / "wheel")) == contents(wheel)


def test_flower_builds_an_app_of_the_project(source: Path, tmp_path: Path) -> None:
    app = tmp_path / "project"
    shutil.copytree(source, app, symlinks=True)
    printed = run(Path(sys.executable).parent / "flwr", "build", cwd=app, FLWR_TELEMETRY_ENABLED="0")
    assert "Successfully built" in printed
    (bundle,) = app.glob("*.fab")
    # A part of the package in the bundle would hide the whole one that is installed.
    assert {name for name in contents(bundle) if not name.startswith(".info/")} == {"pyproject.toml"}


def test_what_is_installed_by_itself_certifies_and_says_what_else_it_takes(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    interpreter = home / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", interpreter),
        *("install", "--quiet", "--no-deps", "--no-index", wheel),
        cwd=home,
    )
    done = subprocess.run([home / "bin" / "rewindnet", "--help"], capture_output=True, text=True, env={})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "rewindnet: this needs typer, which is not installed; install it with: pip install 'rewindnet[sim]'\n"
    )


@pytest.mark.parametrize("marked", [True, False], ids=["packages", "namespaces"])
def test_packages_of_the_same_names_live_side_by_side(python: Path, tmp_path: Path, marked: bool) -> None:
    assert ranks() is None
    for name in (*FOLDERS, "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.py").write_text(f"VALUE = {name!r}\n", encoding="utf-8")
        if marked:
            (tmp_path / name / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    # The environment's own commands, and mpiexec and its library, which lie beside this interpreter.
    path = os.pathsep.join([str(python.parent), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {"PATH": path, "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib")}
    sha256 = run(python, "program.py", cwd=tmp_path, **environment).strip()
    for kind in ("in-process", "mpi", "flower"):
        more = ["backend.ranks=2"] if kind == "mpi" else ["backend.runtime=in-process"] if kind == "flower" else []
        command = [python.parent / "rewindnet", "run", "tiny.yaml", f"backend.kind={kind}", *more, "--out", kind]
        assert f"weights: sha256 {sha256}" in run(*command, cwd=tmp_path, **environment)
    again = [python, "-m", "rewindnet", "run", "tiny.yaml", "--out", "module"]
    assert f"weights: sha256 {sha256}" in run(*again, cwd=tmp_path, **environment)


def test_recipes_run_by_name_in_an_empty_folder(python: Path, tmp_path: Path) -> None:
    command = [python, "-m", "rewindnet"]
    listed = run(*command, "list", "recipes", cwd=tmp_path)
    assert {"demo", "writers"} <= {line.split()[0] for line in listed.splitlines() if line.strip()}
    assert "hardest" in run(*command, "plan", "demo", cwd=tmp_path, COLUMNS="200").lower()
    settings = ("learning.rounds=3", "measures.membership=false", "--out", "out")
    assert "weights: sha256" in run(*command, "run", "demo", *settings, cwd=tmp_path)
    assert "0 fail" in run(*command, "verify", "out", cwd=tmp_path)
    refused = subprocess.run([*command, "run", "writers"], cwd=tmp_path, capture_output=True, text=True, env={})
    assert (refused.returncode, refused.stdout, len(refused.stderr.splitlines())) == (2, "", 1)
    assert "no such file: ../shared/data/" in refused.stderr
    assert "; set data.root, or the environment variable REWINDNET_DATA" in refused.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "runs"}
