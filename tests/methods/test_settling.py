"""Gossip between the noise and the descent: accelerated, and with a projection after it."""

from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from networks import SMALL, as_planned
from runs import SharedRuns, rehash
from scipy.sparse import csr_array

from rewindnet.certificates import CertificateError, Release, Spectrum, noise_left
from rewindnet.certificates.healing import Healing, settle_weights
from rewindnet.certificates.planning import forecast
from rewindnet.certificates.planning.forecast import noise_while_settling
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.verify.records import RecordedNetwork
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import Outcome
from rewindnet.simulator.simulation import Simulation

RING = replace(SMALL, nodes=12, sizes=(4,) * 12, family="ring")
CHEBYSHEV: dict[str, Any] = {"placement": "rewind", "view": "transcript:all", "settle_acceleration": "chebyshev"}


@cache
def simulated() -> tuple[Simulation, Any, Any]:
    simulation = RING.simulation()
    learned, learnings = simulation.learn([3])
    return simulation, learned, learnings[-1]


def executed(healing: Healing, descent: int = 0) -> Outcome:
    simulation, learned, _ = simulated()
    release = Release("r2d", 3, descent, "rewind", np.full(12, 0.3), healing=healing)
    return simulation.execute(*as_planned(release), learned, 0)


def matrix() -> np.ndarray[Any, Any]:
    return np.asarray(simulated()[2].mixing.matrix(0).toarray())


def polynomial(rho: float, rounds: int) -> np.ndarray[Any, Any]:
    """T_k(W/ρ)/T_k(1/ρ), by the eigenvalues of W."""
    values, vectors = np.linalg.eigh(matrix())
    chebyshev = np.polynomial.chebyshev.Chebyshev.basis(rounds)
    return np.asarray(vectors * (chebyshev(values / rho) / chebyshev(1 / rho)) @ vectors.T)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_accelerated_gossip_is_the_chebyshev_polynomial_of_the_matrix(rounds: int) -> None:
    outcome = executed(Healing(rounds, spectrum=0.9))
    expected = polynomial(0.9, rounds) @ outcome.noised.numpy()
    np.testing.assert_allclose(outcome.released.numpy(), expected, rtol=1e-10, atol=1e-12)
    assert (outcome.cost.rounds, outcome.cost.messages) == (rounds, 24 * rounds)
    assert (outcome.cost.gradients, outcome.released.shape) == (0, outcome.noised.shape)


def test_it_keeps_the_average_and_leaves_less_noise_than_twice_the_rounds_would() -> None:
    learning = simulated()[2]
    plan = R2D(rewind=0.5, settle_first=12, **CHEBYSHEV).plan(learning)
    gap = 1 - np.sort(np.abs(np.linalg.eigvalsh(matrix())))[-2]
    spectrum = plan.release.healing.spectrum
    assert spectrum is not None
    assert gap - 0.1 * gap <= 1 - spectrum <= gap * (1 + 1e-8)
    mixed = polynomial(spectrum, 12)
    np.testing.assert_allclose(mixed.sum(axis=0), 1)
    plain = np.linalg.matrix_power(matrix(), 24)
    assert np.abs(mixed - 1 / 12).max() < np.abs(plain - 1 / 12).max()


def test_the_forecast_of_the_noise_that_is_left_follows_it() -> None:
    learning = simulated()[2]
    sigma = np.linspace(0.1, 1.2, 12)
    release = Release("r2d", 3, 0, "rewind", sigma, healing=Healing(5, spectrum=0.9))
    left = noise_left(learning, release, Spectrum(np.zeros(1), np.ones(1)))
    np.testing.assert_allclose(left, np.sqrt(polynomial(0.9, 5) ** 2 @ sigma**2), rtol=1e-10)


def test_clients_project_after_the_gossip_and_before_the_descent() -> None:
    free, held = executed(Healing(3)), executed(Healing(3, radius=0.2))
    norms = free.released.norm(dim=1, keepdim=True)
    assert bool((norms > 0.2).any())
    assert torch.allclose(held.released, free.released * (0.2 / norms).clamp(max=1.0))
    assert float(executed(Healing(3, radius=0.2), descent=3).released.norm(dim=1).max()) > 0.2


@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"])
def test_momentum_adds_a_share_of_what_the_round_before_has_changed(order: str) -> None:
    network = replace(SMALL, order=order)
    simulation = network.simulation()
    learned, (*_, learning) = simulation.learn([3])
    release = Release("r2d", 3, 3, "rewind", np.full(5, 0.1), healing=Healing(1, step_size=0.2, momentum=0.6))
    outcome = simulation.execute(*as_planned(release), learned, 0)
    block = simulation.network.worker.blocks[1]  # type: ignore[attr-defined]
    W = torch.from_numpy(learning.mixing.matrix(0).toarray())

    def descended(theta: torch.Tensor) -> torch.Tensor:
        start = W @ theta if order == "combine-then-adapt" else theta
        step = -0.2 * block.gradient(start, block.minibatches(0)[0])
        return W @ (theta + step) if order == "adapt-then-combine" else W @ theta + step

    before = theta = W @ outcome.noised
    for _ in range(3):
        before, theta = theta, descended(theta) + 0.6 * (theta - before)
    assert torch.allclose(outcome.released, theta, rtol=1e-10, atol=1e-12)


def test_weights_without_a_spectrum_are_those_of_plain_gossip() -> None:
    assert list(islice(settle_weights(None), 4)) == [1, 1, 1, 1]
    assert list(islice(settle_weights(0.0), 4)) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (replace(SMALL, schedule="link-failures"), "takes the same links in every round"),
        (replace(SMALL, schedule="walk uniform"), "takes the same links in every round"),
    ],
)
def test_networks_on_which_gossip_cannot_be_accelerated_are_refused(network: Any, sentence: str) -> None:
    with pytest.raises(MethodError, match=sentence):
        R2D(rewind=0.5, settle_first=3, **CHEBYSHEV).plan(network.simulation().requests[-1])


def test_a_matrix_that_is_not_symmetric_is_refused() -> None:
    weights = csr_array(np.roll(np.eye(12), 1, axis=1) / 2 + np.eye(12) / 2)
    learning = replace(simulated()[2], mixing=RecordedNetwork(weights))
    with pytest.raises(MethodError, match="takes a symmetric mixing matrix"):
        R2D(rewind=0.5, settle_first=3, **CHEBYSHEV).plan(learning)


def test_a_network_that_never_agrees_is_refused() -> None:
    apart = csr_array(np.kron(np.eye(2), np.full((6, 6), 1 / 6)))
    learning = replace(simulated()[2], mixing=RecordedNetwork(apart))
    with pytest.raises(MethodError, match="this one falls into parts"):
        R2D(rewind=0.5, settle_first=3, **CHEBYSHEV).plan(learning)


@pytest.mark.parametrize("bad", [{"settle_acceleration": "chebyshev"}, {"settle_radius": 1.0}])
def test_how_no_rounds_go_need_not_be_said(bad: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match="there are none"):
        R2D(placement="rewind", **bad)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"settle_first": 2, "spectrum": 1.0}, r"in \[0, 1\), not 1.0"),
        ({"settle_first": 2, "radius": 0.0}, "a ball of a positive radius, not 0.0"),
        ({"spectrum": 0.5}, "no gossip rounds before the descent"),
        ({"momentum": 1.0}, r"lies in \[0, 1\), not 1.0"),
    ],
)
def test_what_cannot_have_been_done_is_refused(bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CertificateError, match=sentence):
        Healing(**bad)


AUTO: dict[str, Any] = {"rewind": 0.5, "placement": "rewind", "settle_first": "auto", "allocation": "optimal"}


@pytest.mark.parametrize("view", ["transcript:all", "transcript"])
def test_the_number_of_rounds_follows_from_the_noise_and_the_matrix(view: str) -> None:
    learning = replace(simulated()[2], rounds=40)
    release = R2D(view=view, **AUTO).plan(learning).release
    sigma = R2D(view=view, **{**AUTO, "settle_first": 0}).plan(learning).release.sigma
    left = [np.sqrt((np.linalg.matrix_power(matrix(), k) ** 2 @ sigma**2).max()) for k in range(21)]
    enough = next(k for k in range(21) if left[k] <= 1.2 * left[20])
    assert release.healing.settle_first == enough
    assert 0 < enough < 20
    quicker = R2D(view=view, settle_acceleration="chebyshev", **AUTO).plan(learning).release.healing
    assert 0 < quicker.settle_first < enough
    assert quicker.spectrum is not None


def test_the_noise_of_many_nodes_is_estimated_within_some_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    release = Release("r2d", 3, 0, "rewind", np.linspace(0.1, 1.2, 12))
    exact = noise_while_settling(simulated()[2], release, 6)
    monkeypatch.setattr(forecast, "_MOST_PRODUCTS", 0)
    np.testing.assert_allclose(noise_while_settling(simulated()[2], release, 6), exact, rtol=0.15)


def test_one_node_alone_has_nothing_to_settle() -> None:
    alone = replace(SMALL, nodes=1, sizes=(9,), family="complete", client=0, deleted="half").simulation().requests[-1]
    assert R2D(rewind=0.5, placement="rewind", settle_first="auto").plan(alone).release.healing == Healing()


@pytest.mark.parametrize("bad", [{"rewind": None, "epsilon": 1.0, "sigma": 1.0}, {"bound": "instance"}])
def test_what_depends_on_the_data_or_on_an_open_depth_is_not_chosen(bad: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match="settle_first: auto follows from the noise of a worst case"):
        R2D(**{**AUTO, **bad})


SCENARIO = {
    "data": {"source": "synthetic", "samples": 60, "dimensions": 3, "classes": 2},
    "partition": {"clients": 6},
    "topology": "ring",
    "learning": {"rounds": 4},
    "deletion": {"samples": "all"},
    "unlearning": [
        {"method": "r2d", "rewind": 0.0, "settle_first": 4, "settle_radius": 0.5, **CHEBYSHEV},
        {"method": "r2d", **AUTO, "view": "joint"},
    ],
}


def test_verify_replays_it(run_once: SharedRuns) -> None:
    folder = run_once(SCENARIO)
    assert [finding for finding in verify_folder(folder.path) if finding.status == "FAILS"] == []
    assert folder.methods[1].certificate["healing"]["settle_first"] == 2
    file = folder.path / "methods/0-r2d/certificate.json"
    for wrong, right in (('"radius": 0.5', '"radius": 0.4'), ('"spectrum": 0.67', '"spectrum": 0.6')):
        text = file.read_text("utf-8")
        assert wrong in text, text
        file.write_text(text.replace(wrong, right), "utf-8")
        rehash(file)
        sentences = [finding.sentence for finding in verify_folder(folder.path) if finding.status == "FAILS"]
        assert any("not the noised ones after the gossip rounds" in sentence for sentence in sentences), sentences
        assert any(
            "would be planned with healing" in sentence or "was asked to be" in sentence for sentence in sentences
        )
        file.write_text(text, "utf-8")
