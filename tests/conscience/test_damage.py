"""Whatever becomes of a file of a run folder: the same result, or a sentence; never a traceback or another result."""

from pathlib import Path

import damage
import pytest

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.mark.parametrize("stride", [61, pytest.param(1, marks=pytest.mark.slow)])
def test_a_damaged_unfinished_run_gives_the_same_result_or_a_sentence(tmp_path: Path, stride: int) -> None:
    counts, wrong = damage.resumed(tmp_path, stride)
    assert wrong == []
    assert counts["survived"] > counts["sentences"]
    assert sum(counts.values()) * stride > 200


@pytest.mark.parametrize("stride", [151, pytest.param(1, marks=pytest.mark.slow)])
def test_a_damaged_finished_run_is_read_without_a_traceback(tmp_path: Path, stride: int) -> None:
    counts, wrong = damage.read(tmp_path, stride)
    assert wrong == []
    assert counts["sentences"] > 0
