"""What a scenario computes, apart from where and how: a digest of it, and where the noise of its releases is drawn."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rewindnet.certificates import forget_digest
from rewindnet.clients.methods import METHODS
from rewindnet.clients.methods.healing import NO_HEALING
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.experiments.scenario.inputs import UNDER_ROOT
from rewindnet.user_code import names_code

#: The settings of a backend that the bits of a computation with exact precision depend on.
ARITHMETIC = ("precision", "dtype", "device", "mixed_precision")
#: The keys that may name code in a file.
_CODE = ("model.path", "model.loss", "data.features.path")
#: The sections that change no model: names, what is measured and recorded, and what messages would cost.
_NOT_COMPUTED = ("name", "seed", "network", "audit", "measures", "record")
#: Settings of each section that are left out where they are these: they came later, and change nothing.
_PLAIN: Mapping[str, Mapping[str, Any]] = {
    "data": {"categories": None, "public": None, "held_out": "people"},
    "learning": {
        "optimizer": {"kind": "sgd", "momentum": 0.0, "nesterov": False},
        "step_sizes": {"kind": "constant", "warm_up": 0},
        "gradient_clip": None,
        "augmentation": None,
    },
    "backend": {"mixed_precision": None},
    "deletion": {"attack": None},
    "unlearning": NO_HEALING,
}
_NONE = object()

#: The settings of learning that say where checkpoints come from.
_WHERE_CHECKPOINTS_ARE = ("checkpoints_from", "checkpoints")

#: Settings of learning that change nothing where clients do not clip.
_OF_A_CLIP = ("client_clip", "clip_tolerance")


def computation_digest(scenario: Mapping[str, Any], inputs: Mapping[str, str] | None = None) -> str:
    """Return the sha256 of what a scenario computes.

    Files count by their content, and not by their paths. Left out are the seed, which addresses of noise hold beside
    it; the transport; where models that were learned elsewhere are stored; and what changes no model. So it is the same
    on every transport.

    Args:
        scenario: the resolved scenario, as plain data.
        inputs: the sha256 of each file that the scenario reads, by its key as in `input_files`.
    """
    computed = {key: value for key, value in scenario.items() if key not in _NOT_COMPUTED}
    computed["backend"] = _without_plain("backend", {key: scenario["backend"].get(key) for key in ARITHMETIC})
    # Models that were learned elsewhere, or are computed again, are those that this scenario learns.
    learning = scenario["learning"]
    left_out = (*_WHERE_CHECKPOINTS_ARE, *(_OF_A_CLIP if learning.get("client_clip") is None else ()))
    computed["learning"] = _without_plain("learning", learning, left_out)
    # Models that are recovered or rounded differ in their last digits, and what is charged for that in the noise.
    kept = learning.get("checkpoints") or {}
    inexact = {key: kept[key] for key in ("recover", "half_precision") if kept.get(key) is not None}
    computed["learning"] |= inexact
    computed["unlearning"] = [_without_later(method) for method in scenario["unlearning"]]
    computed["deletion"] = _without_plain("deletion", scenario["deletion"])
    computed["data"] = _without_plain("data", scenario["data"], ("root", "test_limit"))
    contents = {key: sha256 for key, sha256 in (inputs or {}).items() if key.partition(".")[0] in computed}
    found = {key: sha256 for key, sha256 in contents.items() if key.startswith(UNDER_ROOT)}
    named = {key: sha256 for key, sha256 in contents.items() if key not in found}
    if found:
        computed["files"] = found
    return hashlib.sha256(json.dumps(_by_content(computed, named), sort_keys=True).encode()).hexdigest()


def noise_address(
    scenario: Mapping[str, Any], forget: Mapping[int, Iterable[int]], inputs: Mapping[str, str] | None = None
) -> NoiseAddress:
    """Return where the noise of the first release for a request is drawn, from the seed.

    Args:
        scenario: the resolved scenario, as plain data.
        forget: the forget set of the request: for each deleting node, the positions of its samples.
        inputs: the sha256 of each file that the scenario reads, by its key.
    """
    return NoiseAddress(int(scenario["seed"]), computation_digest(scenario, inputs), forget_digest(forget), 0, "seed")


def _without_plain(section: str, settings: Mapping[str, Any], left_out: Collection[str] = ()) -> dict[str, Any]:
    """Return settings of a section without those that change nothing, and without those that are left out."""
    plain = _PLAIN[section]
    return {key: value for key, value in settings.items() if key not in left_out and plain.get(key, _NONE) != value}


def _without_later(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a method without those that change nothing, of all methods or of this one."""
    name = method.get("method")
    later = getattr(METHODS[name], "later_settings", {}) if name in METHODS else {}
    unused = [key for key, value in method.items() if later.get(key, _NONE) == value]
    return _without_plain("unlearning", method, unused)


def _by_content(value: Any, named: Mapping[str, str], key: str = "") -> Any:
    """Copy plain data with the sha256 of files in place of their paths."""
    if isinstance(value, Mapping):
        return {name: _by_content(inner, named, f"{key}.{name}" if key else name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_by_content(inner, named, f"{key}.{at}") for at, inner in enumerate(value)]
    if key not in named:
        return value
    # Of code, one file has several models or losses.
    name = {"name": value.rpartition(":")[2]} if key in _CODE and names_code(value) else {}
    return {"sha256": named[key]} | name
