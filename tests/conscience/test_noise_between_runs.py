"""Two runs of one seed draw independent noise, unless they compute the same: their releases cannot be subtracted."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from runs import run_through
from test_noise_mutations import NOISY, SCENARIO

from rewindnet.certificates import forget_digest
from rewindnet.clients.steps import learning, noisy
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.verify import verify_folder

#: The same models would be released under the same noise, were it drawn from the seed alone.
BASE: dict[str, Any] = {**SCENARIO, "unlearning": [*NOISY, {"method": "r2d", "sigma": 1.0}]}
#: The release whose noise has the same size whatever is deleted.
FIXED = len(NOISY)
OTHER_REQUESTS: dict[str, dict[str, Any]] = {
    "another client": {"deletion": {"client": 3, "samples": 5}},
    "other samples of the same client": {"deletion": {"client": 2, "samples": {"indices": [0, 1, 2, 3, 4]}}},
}
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "another step size": {"learning": {**SCENARIO["learning"], "step_size": 0.31}},
    "another method beside": {"unlearning": [*BASE["unlearning"], {"method": "warm-start"}]},
    "another precision": {"backend": {"precision": "exact"}},
}
SAME: dict[str, Any] = {
    "name": "renamed",
    "audit": {"draws": 0, "confidence": 0.9},
    "network": {"latency": 0.5},
    "backend": {"kind": "flower", "runtime": "in-process"},
}
CHANGES = {"nothing": {}, **OTHER_REQUESTS, **OTHER_SETTINGS, "what changes no model": SAME}


class Drawn:
    """A run, and the vectors that were drawn for it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.vectors: list[NDArray[np.float64]] = []
        self.addresses: set[NoiseAddress] = set()
        for module, name in ((learning, "draw"), (noisy, "draw_in_round")):
            monkeypatch.setattr(module, name, self._recorded(getattr(module, name)))
        self.run: RunFolder = run_through(json.loads(json.dumps({**BASE, **changes})), folder)

    def _recorded(self, draw: Any) -> Any:
        def recorded(size: int, address: NoiseAddress, *rest: int) -> NDArray[np.float64]:
            self.addresses.add(address)
            self.vectors.append(draw(size, address, *rest))
            return self.vectors[-1]

        return recorded

    def models(self, index: int, name: str) -> NDArray[np.float64]:
        stored = self.run.weights(f"{self.run.methods[index].place}/{name}")
        assert stored is not None
        return np.asarray(stored, dtype=np.float64)


Made = Callable[[str], Drawn]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    @cache
    def make(change: str) -> Drawn:
        with pytest.MonkeyPatch.context() as monkeypatch:
            return Drawn(tmp_path_factory.mktemp("runs") / "run", monkeypatch, **CHANGES[change])

    return make


@pytest.mark.parametrize("change", [*OTHER_REQUESTS, *OTHER_SETTINGS])
def test_runs_that_differ_share_no_noise(change: str, made: Made) -> None:
    base, other = made("nothing"), made(change)
    drawn = {vector.tobytes() for vector in base.vectors}
    assert len(drawn) == len(base.vectors) > 150
    assert len(drawn & {vector.tobytes() for vector in other.vectors}) == 0
    # Of independent Gaussian vectors [d], the cosines are N(0, 1/d).
    pairs = zip(base.vectors, other.vectors, strict=False)
    cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairs if len(a) == len(b)]
    d = len(base.vectors[0])
    assert np.abs(cosines).max() < 7 / np.sqrt(d)
    assert abs(np.mean(cosines)) < 7 / np.sqrt(d * len(cosines))


@pytest.mark.parametrize("change", OTHER_REQUESTS)
def test_subtracting_two_releases_does_not_take_the_noise_away(change: str, made: Made) -> None:
    base, other = made("nothing"), made(change)
    seen = base.models(FIXED, "released") - other.models(FIXED, "released")
    sought = base.models(FIXED, "centre") - other.models(FIXED, "centre")
    left = (seen - sought).flatten()
    # The noise of both runs is left: N(0, 2σ²) in every entry, with a mean square of σ over nodes of 1.
    assert np.mean(left**2) == pytest.approx(2, rel=7 * np.sqrt(2 / len(left)))
    assert 0 < float(np.abs(sought).max()) < 0.1


def test_what_changes_no_model_changes_no_noise(made: Made) -> None:
    """So a run that is repeated on another transport, or is measured otherwise, is no second release."""
    base, again = made("nothing"), made("what changes no model")
    assert {vector.tobytes() for vector in again.vectors} == {vector.tobytes() for vector in base.vectors}
    assert [finding.sentence for finding in verify_folder(again.run.path) if not finding.holds] == []


def test_noise_of_learning_does_not_depend_on_the_forget_set(made: Made) -> None:
    base = made("nothing")
    ((_, forget),) = base.run.learning["requests"][0]["forget"].items()
    assert len(base.addresses) == len(NOISY) + 1
    for address in base.addresses:
        before = BASE["unlearning"][address.release]["method"] in ("gossip-dp", "walk-dp")
        assert address.forget == ("" if before else forget_digest({2: forget}))
