"""Work that is shared among threads."""

import time

import pytest

from rewindnet.clients.training.parallel import each, use_threads


@pytest.fixture(autouse=True)
def _two_threads():
    use_threads(2)
    yield
    use_threads(None)


def test_every_part_is_done_once() -> None:
    done: list[int] = []
    each(done.append, range(100))
    assert sorted(done) == list(range(100))


def test_threads_end_where_one_part_fails() -> None:
    """Also where the waiting thread is interrupted: the process would wait for all that was begun."""
    done: list[int] = []

    def work(part: int) -> None:
        if part == 0:
            raise KeyboardInterrupt
        time.sleep(0.05)
        done.append(part)

    with pytest.raises(KeyboardInterrupt):
        each(work, range(160))
    time.sleep(1.0)
    assert len(done) < 10
