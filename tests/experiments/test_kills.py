"""Runs that are killed before any change of a file end, once resumed over their own transport, as if undisturbed."""

import signal
from pathlib import Path

import kills
import pytest
from parity import MPIEXEC

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here"),
]


@pytest.mark.parametrize(("transport", "number"), [("in-process", 6), ("mpi", 5), ("flower", 3)])
def test_a_killed_run_ends_as_if_undisturbed(tmp_path: Path, transport: str, number: int) -> None:
    if transport == "mpi" and MPIEXEC is None:
        pytest.skip("there is no mpiexec")
    runs = kills.Kills(tmp_path, transport)
    assert len(runs.changes) > 100
    done = list(runs.spread(number))
    assert all(kill.good for kill in done), kills.table(done)


def test_files_that_differ_are_named(tmp_path: Path) -> None:
    runs = kills.Kills(tmp_path, "in-process")
    (tmp_path / "scenario.yaml").write_text((tmp_path / "scenario.yaml").read_text() + "seed: 7\n")
    other = runs.at(len(runs.changes) // 2)
    assert "scenario.yaml" in other.different
