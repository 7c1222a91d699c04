"""The secant method for many clients at once, against functions whose zeros are known."""

import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rewindnet.clients.training.secant import root

#: excess(s) = a/(1 + s) − c, which is 0 at s = a/c − 1; its second differences are at most 2a.
Curve = tuple[Tensor, Tensor]


def falling(curve: Curve, s: Tensor) -> Tensor:
    a, c = curve
    return a / (1 + s) - c


def curves(seed: int, b: int) -> Curve:
    generator = torch.Generator().manual_seed(seed)
    a = 0.2 + 0.3 * torch.rand(b, dtype=torch.float64, generator=generator)
    return a, a * (0.2 + 0.7 * torch.rand(b, dtype=torch.float64, generator=generator))


def found(curve: Curve, start: float, accuracy: float, open_: Tensor | None = None) -> tuple[Tensor, Tensor]:
    a, _ = curve
    wanted = torch.ones(len(a), dtype=torch.bool) if open_ is None else open_
    return root(lambda s: falling(curve, s), torch.full_like(a, start), torch.full_like(a, accuracy), a, wanted)


@given(seed=st.integers(0, 2**20), start=st.floats(0, 2), accuracy=st.sampled_from([1e-2, 1e-6, 1e-13]))
@examples(40)
def test_a_zero_is_found_to_the_accuracy(seed: int, start: float, accuracy: float) -> None:
    curve = curves(seed, 5)
    s, evaluations = found(curve, start, accuracy)
    # About the accuracy: the last place need not have been looked at.
    assert bool((falling(curve, s).abs() <= 2 * accuracy).all())
    assert int(evaluations.min()) >= 2
    assert int(evaluations.max()) <= 12


def test_a_client_keeps_its_bits_and_its_count_whatever_the_others_need() -> None:
    curve = curves(3, 6)
    curve[1][0] = curve[0][0] / 1.4  # the start is next to its zero
    together, evaluations = found(curve, 0.4, 1e-12)
    assert len(set(evaluations.tolist())) > 1
    for k in range(6):
        alone, own = found((curve[0][k : k + 1], curve[1][k : k + 1]), 0.4, 1e-12)
        assert torch.equal(alone, together[k : k + 1])
        assert torch.equal(own, evaluations[k : k + 1])


def test_clients_that_do_not_want_it_take_no_evaluation() -> None:
    wanted = torch.tensor([True, False, True])
    _, evaluations = found(curves(4, 3), 0.5, 1e-9, wanted)
    assert evaluations[1] == 0
    assert int(evaluations[wanted].min()) >= 2


def test_where_the_last_step_can_hardly_have_missed_it_is_not_looked_at_again() -> None:
    curve, seen = curves(9, 1), []

    def excess(s: Tensor) -> Tensor:
        seen.append(float(s))
        return falling(curve, s)

    s, evaluations = root(excess, 0.6 * curve[0], 1e-6 * torch.ones_like(curve[0]), curve[0], torch.tensor([True]))
    assert float(s) not in seen
    assert int(evaluations) == len(seen)
    assert abs(float(falling(curve, s))) <= 1e-6 < abs(float(falling(curve, torch.tensor(seen[-1]))))


def test_nothing_is_looked_for_below_zero() -> None:
    seen: list[float] = []

    def excess(s: Tensor) -> Tensor:
        seen.append(float(s))
        return -0.1 - 0.1 * s

    one = torch.tensor([1.0], dtype=torch.float64)
    s, _ = root(excess, 0.5 * one, 1e-9 * one, 0.1 * one, torch.tensor([True]))
    assert float(s) == 0.0
    assert min(seen) >= 0.0


def test_where_nothing_falls_a_step_is_as_long_as_the_slope_allows() -> None:
    """A secant of two places of one height has no zero."""
    one = torch.tensor([1.0], dtype=torch.float64)
    s, _ = root(lambda s: 0.4 - 0.2 * (s - 3).clamp(min=0.0), 0.5 * one, 1e-9 * one, 0.2 * one, torch.tensor([True]))
    assert abs(float(s) - 5.0) < 1e-6
