"""Runs that several tests look at are made once."""

from pathlib import Path
from typing import Any

import pytest
import runs
from runs import SharedRuns, run_through

TINY: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 60, "dimensions": 2},
    "partition": {"clients": 3},
    "topology": "ring",
    "learning": {"rounds": 2},
    "deletion": {"samples": 1},
    "unlearning": ["do-nothing"],
}


def test_a_run_is_made_once_and_everyone_has_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, ...]] = []

    def counted(scenario: Any, folder: Path, *overrides: str) -> Any:
        made.append(overrides)
        return run_through(scenario, folder, *overrides)

    monkeypatch.setattr(runs, "run_through", counted)
    copies = (tmp_path / str(number) for number in range(9))
    one, other = (SharedRuns(tmp_path / "shared", lambda: next(copies)) for _ in range(2))
    first, second, third = one(TINY), other(TINY), other(TINY, "seed=1")
    assert made == [(), ("seed=1",)]
    assert first.path != second.path
    assert first.record["sha256"] == second.record["sha256"] != third.record["sha256"]
    (first.path / "record.json").unlink()
    assert one(TINY).record == second.record
