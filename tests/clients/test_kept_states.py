"""Kept states: in memory up to a limit, on disk beyond, bit for bit the same."""

import os
from math import inf

import pytest
import torch

from rewindnet.clients import kept_states
from rewindnet.clients.kept_states import KeptStates, memory_for_states


def bits(state):
    return state.contiguous().flatten().view(torch.uint8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_states_beyond_the_limit_are_on_disk_and_keep_every_bit(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_states.tempfile, "tempdir", str(tmp_path))
    states = [torch.randn(7, 13).to(dtype) for _ in range(4)]
    states[3][0, 0], states[3][1, 1] = torch.nan, -0.0
    kept = KeptStates(2 * states[0].nbytes)
    for name, state in zip("abcd", states, strict=True):
        kept[name] = state
    assert [kept.on_disk(name) for name in "abcd"] == [False, False, True, True]
    assert list(kept) == list("abcd")
    for name, state in zip("abcd", states, strict=True):
        assert kept[name].dtype == dtype
        assert torch.equal(bits(kept[name]), bits(state))
    # Files have no names, so that nothing is left of them, whatever becomes of the process.
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_does_not_change_with_the_model_that_goes_on():
    theta, kept = torch.zeros(3, 2), KeptStates(24)
    kept["memory"], kept["disk"] = theta, theta
    theta += 1
    assert [kept.on_disk(name) for name in kept] == [False, True]
    assert not kept["memory"].any()
    assert not kept["disk"].any()


def test_a_state_that_goes_makes_room_in_memory():
    kept, state = KeptStates(100), torch.zeros(2, 10)
    kept["a"] = state
    kept["b"] = state
    del kept["a"]
    kept["c"] = state
    assert (kept.on_disk("b"), kept.on_disk("c"), len(kept)) == (True, False, 2)
    # A name that is taken anew is kept by the same rule.
    kept["b"] = torch.ones(1)
    assert not kept.on_disk("b")
    with pytest.raises(KeyError):
        kept["a"]


def test_without_a_limit_nothing_is_written(monkeypatch):
    monkeypatch.setattr(kept_states, "_mapped", None)
    kept = KeptStates()
    for name in range(9):
        kept[str(name)] = torch.zeros(1000)
    assert not any(kept.on_disk(name) for name in kept)


def test_the_limit_is_a_quarter_of_what_there_is(monkeypatch, tmp_path):
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_for_states() <= physical / 4
    assert memory_for_states(0.5) == memory_for_states() / 2
    group = tmp_path / "memory.max"
    assert kept_states._group_limit(group) == inf
    group.write_text("max\n")
    assert kept_states._group_limit(group) == inf
    group.write_text("4096\n")
    assert kept_states._group_limit(group) == 4096
