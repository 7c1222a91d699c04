"""The settings that are tuned, and the values of each that are tried."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.topologies.rng import Stream, rng_at

#: A value for each key that is tuned, like `learning.rounds`.
Point = dict[str, Any]
#: The values of each key.
Axes = Mapping[str, tuple[Any, ...]]

#: The shares of learning that are rewound.
_REWINDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
#: So many draws of points that were drawn before end the search.
_MISSES = 1_000
#: Radii of the ball, in units of the largest norm of a model that scores of ±1 take: of 1 / R.
_RADII = (3.0, 10.0, 30.0)


def axes_of(scenario: Scenario, row: int, radius: float, cost: float) -> dict[str, tuple[Any, ...]]:
    """Return the values of each setting that is tuned; the scenario's own is among them, except for the rewind.

    Args:
        scenario: the scenario.
        row: the number of the r2d row.
        radius: R, the largest norm of features.
        cost: the largest cost, as a share of retraining; deeper rewinds are left out.
    """
    learning, model = scenario.learning, scenario.model.settings
    rewind = f"unlearning.{row}.rewind"
    axes: dict[str, tuple[Any, ...]] = {}
    if learning.client_clip is not None:
        axes["learning.client_clip"] = _around(learning.client_clip, (0.25, 0.5, 1, 2, 4))
    if model.get("l2") is not None:
        axes["model.l2"] = _around(model["l2"], (0.1, 1, 10, 100)) if model["l2"] else (0.0, 1e-4, 1e-3, 1e-2)
    if scenario.deletion.departure == "relay":
        balls = [float(f"{multiple / radius:.3g}") for multiple in _RADII]
        axes["learning.radius"] = tuple(dict.fromkeys((learning.radius, None, *balls)))
    if all(request.round is None for request in scenario.deletion.each):
        rounds = (learning.rounds * share for share in (0.25, 0.5, 1, 2))
        axes["learning.rounds"] = tuple(sorted({max(2, round(number)) for number in rounds}))
    axes["learning.step_size"] = _around(learning.step_size, (0.25, 0.5, 1, 2))
    own = scenario.unlearning[row].settings["rewind"]
    shares = {share for share in (*_REWINDS, own) if share is not None and share <= cost}
    axes[rewind] = tuple(sorted(shares)) or (cost,)
    return axes


def own_point(scenario: Scenario, axes: Axes) -> Point:
    """Return the settings that a scenario has itself, by the keys that are tuned.

    Args:
        scenario: the scenario.
        axes: the values of each setting.
    """
    plain = scenario.plain()
    return {key: _value(plain, key) for key in axes}


def _value(plain: Any, key: str) -> Any:
    for part in key.split("."):
        plain = plain[int(part)] if isinstance(plain, list) else plain[part]
    return plain


def drawn(axes: Axes, seed: int) -> Iterator[Point]:
    """Yield points at random, each once; few of them if there are only few.

    Args:
        axes: the values of each setting.
        seed: the seed of the search.
    """
    generator, misses = rng_at(seed, Stream.TUNING), 0
    seen: set[tuple[int, ...]] = set()
    while len(seen) < prod(map(len, axes.values())) and misses < _MISSES:
        at = tuple(int(generator.integers(len(values))) for values in axes.values())
        if at in seen:
            misses += 1
            continue
        seen.add(at)
        yield {key: values[index] for (key, values), index in zip(axes.items(), at, strict=True)}


def _around(own: float, factors: tuple[float, ...]) -> tuple[float, ...]:
    """Return multiples of a value, to three digits; the value itself as it is."""
    return tuple(own if factor == 1 else float(f"{own * factor:.3g}") for factor in factors)
