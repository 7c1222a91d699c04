"""What the papers of empirical methods report, at the size of a toy: directions, not digits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import run_through

from rewindnet.clients.training.optimizers.pair import OptimizerPair, Pairing
from rewindnet.experiments.scenario.yaml_files import load

RECIPES = Path(__file__).parents[2] / "experiments" / "recipes"


def spreads(pairing: Pairing, momentum: float, trials: int = 4000, rounds: int = 60) -> torch.Tensor:
    """The variance of θ over trials after each step on the forget set and each on retained data, [rounds, 2].

    Two quadratics with noisy gradients; the noise of all trials is that of the other optimizers' trials, too.
    """
    generator = torch.Generator().manual_seed(0)
    pair, theta = OptimizerPair(pairing, momentum), torch.zeros(trials, 1, dtype=torch.float64)
    state = torch.zeros(trials, pair.state_size(1), dtype=torch.float64)
    found = torch.zeros(rounds, 2, dtype=torch.float64)
    for round in range(rounds):
        for at, (phase, target) in enumerate((("forget", 1.0), ("retain", -1.0))):
            noise = torch.randn(trials, 1, generator=generator, dtype=torch.float64)
            pair.step(phase, theta, theta - target + noise, state, 0.1)  # type: ignore[arg-type]
            found[round, at] = theta.var()
    return found


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_separate_momentum_varies_less_than_a_shared_one(momentum: float) -> None:
    """Zhong, Luo and Liu (2025), Theorem 3.5, at every step; without momentum there is no difference."""
    shared, dual = (spreads(pairing, momentum) for pairing in ("shared-sgd", "dual-ss"))
    if not momentum:
        torch.testing.assert_close(dual, shared)
        return
    assert bool((dual <= shared * (1 + 1e-9)).all())
    assert bool((dual[1:] < 0.99 * shared[1:]).all())


@pytest.mark.slow
def test_gossip_dilutes_forgetting_and_more_epochs_bring_it_back(tmp_path: Path) -> None:
    """The table of docs/empirical.md."""
    run = run_through(load(RECIPES / "forgetting-ways.yaml").plain(), tmp_path / "run")
    assert [row["method"] for row in run.summary][-2:] == ["retrain", "do-nothing"]
    backdoor = [row["backdoor"]["without_target"]["mean"] for row in run.summary]
    for local, gossip, longer in ((0, 1, 2), (6, 7, 8), (9, 10, 11)):
        assert backdoor[local] < 0.5 < 0.85 < backdoor[gossip]
        assert backdoor[longer] < backdoor[gossip] - 0.15
    assert backdoor[3] > 0.85
    assert max(backdoor[4:6]) < 0.4
    assert (backdoor[-2], backdoor[-1] > 0.95) == (0, True)


@pytest.mark.slow
def test_a_stealthy_request_costs_others_the_use_of_polite_words_and_scope_aware_steps_keep_it(tmp_path: Path) -> None:
    """Ren et al. (2025), and the table of docs/empirical.md: npo and scope-aware npo, with the attack and without."""
    recipe = load(RECIPES / "stealthy.yaml")
    found = {}
    for attack in (None, "stealthy"):
        overrides = () if attack else ("deletion.attack=null",)
        run = run_through(recipe.plain(), tmp_path / str(attack), *overrides)
        assert [row["method"] for row in run.summary[:2]] == ["npo", "npo"]
        for row in run.summary[:2]:
            assert row["accuracy"]["forget"]["mean"] <= 0.15
            assert row["accuracy"]["test"]["mean"] >= 0.95
            # All peers add one change, so that all lose about as much.
            assert np.ptp(row["triggers"]["gap_by_hop"]) < 0.08
        assert all(row["epsilon_certified"] is None for row in run.summary[:2])
        found[attack] = [row["triggers"]["gap"] for row in (*run.summary[:2], run.summary[-1])]
    plain, defended, learned = found["stealthy"]
    assert plain > found[None][0] + 0.08
    assert plain > learned + 0.2
    assert defended < plain / 2
    assert defended < learned + 0.12


@pytest.mark.slow
def test_a_person_is_forgotten_from_one_image_and_what_is_told_in_text_stays() -> None:
    """Li et al. (2024), and the table of docs/empirical.md, for three seeds: what holds, not all of it."""
    from forgetting import SIU_MEASURES, siu

    every = [siu(seed) for seed in range(3)]

    def of(arm: str, measure: str) -> np.ndarray[Any, Any]:
        return np.array([found[arm][SIU_MEASURES.index(measure)] for found in every])

    for steps in (12, 30):
        for beta in ("", ", β = 1.5"):
            assert of(f"SIU{beta}, {steps} steps", "generality").min() >= 0.95
        for measure in ("own_facts", "other_facts"):
            assert (of(f"SIU, {steps} steps", measure) - of("learned", measure)).min() >= -0.1
        assert of(f"SIU, {steps} steps", "fluency").max() <= 1.2
        # The KL holds the probability of the name where no mask leaves it out.
        moved = of(f"SIU, {steps} steps", "c_dis") - of(f"CE + plain KL, {steps} steps", "c_dis")
        assert moved.min() > 0
    assert of("CE + plain KL, β = 1.5, 30 steps", "generality").max() <= 0.2
    assert of("GA, 30 steps", "specificity").max() <= 0.2
    assert of("GA, 30 steps", "diversity").max() <= 0.4
    assert (of("SIU, 30 steps", "specificity") - of("GA, 30 steps", "specificity")).min() >= 0.3
