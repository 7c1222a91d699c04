"""What the papers of empirical methods report, at the size of a toy: directions, not digits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forgetting import DUAL, SIU_MEASURES, gaps, lune, manifold, siu
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
    # The parameters that matter more to what was learned by heart than to the rest are few.
    assert backdoor[12] > 0.8 > 0.65 > backdoor[13]
    assert (backdoor[-2], backdoor[-1] > 0.95) == (0, True)


@pytest.mark.slow
def test_a_stealthy_request_costs_others_the_use_of_polite_words_and_scope_aware_steps_keep_it(tmp_path: Path) -> None:
    """Ren et al. (2025), and the table of seed 0 in docs/empirical.md: npo and its defences, attacked and not."""
    recipe = load(RECIPES / "stealthy.yaml")
    found = {}
    for attack in (None, "stealthy"):
        overrides = () if attack else ("deletion.attack=null",)
        run = run_through(recipe.plain(), tmp_path / str(attack), *overrides)
        assert [row["method"] for row in run.summary] == [*["npo"] * 4, "retrain", "do-nothing"]
        for row in run.summary[:4]:
            # Those that are left out, and those that come back as the network learns on, are answered again.
            assert row["accuracy"]["forget"]["mean"] <= 0.35
            # All peers add one change, so that all lose about as much.
            assert np.ptp(row["triggers"]["gap_by_hop"]) < 0.08
            assert row["epsilon_certified"] is None
        assert run.summary[-1]["triggers"]["mean"] >= 0.95
        found[attack] = [row["triggers"]["gap"] for row in run.summary]
    plain, defended, filtered, further, *_ = found["stealthy"]
    assert abs(found[None][0]) <= 0.1
    assert plain >= 0.2
    assert max(defended, filtered, further) <= plain / 3


@pytest.mark.slow
def test_an_adapter_forgets_as_full_finetuning_on_the_same_answers_does() -> None:
    """LUNE's check, and the table of docs/empirical.md, over three seeds; figures in percent."""
    every = [lune(seed) for seed in range(3)]
    learned, adapter, full, ascent = (
        np.mean([found[name] for found in every], axis=0) for name in ("learned", "lune", "full finetuning", "ascent")
    )
    usr, gur, of_capitals, apr, mia = adapter
    assert (usr >= 75, apr >= 70, of_capitals >= 95) == (True, True, True)
    # Both are as good where GUR is about the same; ascent that is stopped in time keeps more.
    assert usr >= full[0] - 10
    assert abs(gur - full[1]) <= 5
    assert usr >= ascent[0] - 5
    assert mia < learned[4]


@pytest.mark.slow
def test_a_person_is_forgotten_from_one_image_and_what_is_told_in_text_stays() -> None:
    """Li et al. (2024), and the table of docs/empirical.md, for three seeds: what holds, not all of it."""
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


@pytest.mark.slow
def test_a_learned_margin_moves_erased_samples_to_where_retraining_puts_them() -> None:
    """ManiF-SMC, and the table of docs/empirical.md, over three seeds."""
    every = [manifold(seed, 100) for seed in range(3)]
    mean = {row: np.mean([found[row] for found in every], axis=0) for row in every[0]}
    answers, members = ({row: abs(of[at] - mean["retrain"][at]) for row, of in mean.items()} for at in (0, 3))
    for fixed in ("fixed", "fixed at the mean of smc"):
        assert answers["smc"] < answers[fixed]
        assert members["smc"] < members[fixed]
    assert members["smc"] < 15
    assert mean["learned"][0] == 100 > mean["retrain"][0] + 15
    assert mean["smc"][1] > 97
    assert mean["smc"][2] > mean["learned"][2] - 1.5
    assert mean["ascent alone"][2] < 20


@pytest.mark.slow
def test_an_optimizer_of_its_own_for_the_forget_set_comes_closer_to_retraining() -> None:
    """Zhong, Luo and Liu (2025), and the table of docs/empirical.md, over five seeds."""
    found = gaps(range(5), pairings=("shared-sgd", "dual-as"))
    for method in DUAL:
        (shared, shared_spread, _), (own, own_spread, _) = (found[method, of] for of in ("shared-sgd", "dual-as"))
        assert own < shared
        assert own_spread < 0.65 * shared_spread
