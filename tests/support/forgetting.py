"""What empirical methods make of one client's network on generated data, by the measures of their papers.

`python tests/support/forgetting.py dual` prints how far from retraining each method is with shared and with separate
optimizers, at the best step size on the forget set (Zhong, Luo and Liu 2025, Table 1).
`python tests/support/forgetting.py stealthy 6` prints what requests with templates in them do to the recipe `stealthy`,
with everything but retraining, for so many seeds (Ren et al. 2025).
`python tests/support/forgetting.py siu 3` prints what SIU, its parts and its baselines leave of a person and of others
in a small vision-language model of one client, for so many seeds (Li et al. 2024).
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from rewindnet.clients.methods import METHODS
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.metrics.concepts import concept_measures
from rewindnet.clients.metrics.membership import posterior
from rewindnet.experiments.runs.run_setup import RunSetup, build_run
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess

RECIPES = Path(__file__).parents[2] / "experiments" / "recipes"
#: A mixture of ten Gaussians of which about 80 % can be told, in a network that remembers all of it.
MIXTURE: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 3750, "dimensions": 32, "classes": 10, "separation": 2.6},
    "partition": {"clients": 1},
    "topology": {"kind": "complete", "mixing": "uniform"},
    "model": {"kind": "mlp", "widths": [256, 256]},
    "learning": {
        "rounds": 60,
        "local_steps": 24,
        "step_size": 0.05,
        "sampling": {"kind": "keyed", "batches": 24},
        "step_sizes": {"kind": "cosine"},
        "optimizer": {"kind": "sgd", "momentum": 0.9},
    },
    "deletion": {"client": 0, "samples": 300},
    "unlearning": ["retrain"],
    "measures": {"membership": False},
    "backend": {"dtype": "float32", "precision": "fast"},
}


@dataclass(frozen=True)
class Learned:
    """A network that has learned, with and without the forget set."""

    setup: RunSetup
    simulation: Simulation
    trajectory: Trajectory
    retrained: Tensor

    @property
    def original(self) -> Tensor:
        """The learned models [N, d]."""
        return self.trajectory.at(self.simulation.requests[0].rounds)

    def unlearned(self, method: str, **settings: Any) -> Tensor:
        """What a method makes of them [N, d]."""
        made = METHODS[method](**settings).seeded(self.setup.scenario.seed)
        plan = made.plan(self.simulation.requests[0])
        return self.simulation.execute(made, plan, self.trajectory, 0).released

    def accuracy(self, theta: Tensor, of: str) -> float:
        """The share of a set that the first model is right about, in percent."""
        x, y = self.setup.evaluations[0].sets[of]
        return 100 * float((self.setup.network.model.predict(theta[:1], x)[0] == y).double().mean())

    def measured(self, theta: Tensor) -> NDArray[np.float64]:
        """FA, RA, TA and the share of the forget set that is taken for members by the entropy of the output."""
        sets, model = self.setup.evaluations[0].sets, self.setup.network.model

        def entropy(of: str) -> NDArray[np.float64]:
            odds = posterior(model.scores(theta[:1], sets[of][0]))[0].double()
            return (-(odds * odds.clamp(min=1e-30).log()).sum(dim=1, keepdim=True)).cpu().numpy()

        inside, outside = entropy("retain"), entropy("test")
        attack = LogisticRegression(class_weight="balanced").fit(
            np.concatenate([inside, outside]), np.repeat([1, 0], [len(inside), len(outside)])
        )
        members = 100 * float(attack.predict(entropy("forget")).mean())
        return np.array([*(self.accuracy(theta, of) for of in ("forget", "retain", "test")), members])


def learn(seed: int, scenario: Mapping[str, Any] = MIXTURE, *, retrain: bool = True) -> Learned:
    """Have a network learn, and, if asked to, learn without the forget set.

    Without that, nothing is measured along learning that certificates would take: that is two gradients more a step.
    """
    setup = build_run(resolve({**scenario, "name": "forgetting", "seed": seed}))
    nodes = setup.network.nodes
    network = WorkerNetwork(setup.worker(range(nodes)), InProcess(nodes, "fast"))
    simulation = setup.simulation(network)
    T = simulation.requests[0].rounds
    if not retrain:
        task = simulation._descent("learned", None, 0, range(T), {0, T})
        trajectory = simulation._trajectory([task], simulation.run_task(task))
        return Learned(setup, simulation, trajectory, trajectory.at(T))
    trajectory, _ = simulation.learn([0, T])
    retrained = simulation.retrain(T, {0, T}, 0).at(T)
    return Learned(setup, simulation, trajectory, retrained)


#: Whether the request carries the attack, and what NPO goes down besides.
ARMS: Mapping[str, tuple[bool, dict[str, Any] | None]] = {
    "no attack": (False, None),
    "attack": (True, None),
    "attack, scope-aware": (True, {"kind": "scope-aware", "eta": 5.0}),
}


def stealthy(seed: int, changes: Mapping[str, Any] = MappingProxyType({})) -> dict[str, NDArray[np.float64]]:
    """For each arm, and for the learned models: accuracy on forgotten, plain and templated prompts, mean over nodes."""
    recipe = load(RECIPES / "stealthy.yaml").plain()
    found = {}
    for attacked in (False, True):
        deletion = {**recipe["deletion"], "attack": recipe["deletion"]["attack"] if attacked else None}
        learned = learn(seed, {**recipe, "deletion": deletion, **changes}, retrain=False)
        samples = learned.setup.evaluations[0]
        sets = (samples.sets["forget"], samples.sets["test"], samples.in_templates["test"])

        def measured(theta: Tensor, learned: Learned = learned, sets: Any = sets) -> NDArray[np.float64]:
            return np.array([accuracy(learned.setup.network.model, theta, *of).mean() for of in sets])

        if not attacked:
            found["learned"] = measured(learned.original)
        for name, (has_attack, objective) in ARMS.items():
            if has_attack == attacked:
                settings = {**recipe["unlearning"][0], "objective": objective}
                found[name] = measured(learned.unlearned(settings.pop("method"), **settings))
    return found


#: One client with images of eight people, who deletes those of the first.
PEOPLE: dict[str, Any] = {
    "data": {"source": "concepts", "peers": 1, "people": 8, "images": 160, "copies": 40, "features": "raw"},
    "partition": {"clients": 1},
    "topology": {"kind": "complete", "mixing": "uniform"},
    "model": {"kind": "vlm", "layers": 2, "width": 32},
    "learning": {
        "rounds": 28,
        "local_steps": 24,
        "step_size": 0.003,
        "optimizer": "adamw",
        "sampling": {"kind": "keyed", "batches": 360},
        "step_sizes": {"kind": "cosine"},
    },
    "deletion": {"client": 0, "samples": {"indices": [*range(15 * 160)]}},
    "unlearning": ["retrain"],
    "measures": {"membership": False},
    "backend": {"dtype": "float32", "precision": "fast"},
}
#: SIU, its parts and its baselines, by what `siu` is told.
SIU_ARMS: Mapping[str, dict[str, Any]] = {
    "GA": {"goal": "ascent", "beta": 0.0},
    "GA + KL": {"goal": "ascent", "token_mask": False, "vocab_mask": False},
    "PO": {"goal": "refusal", "beta": 0.0},
    "SIU": {},
    "CE + plain KL": {"token_mask": False, "vocab_mask": False},
    "SIU, no token mask": {"token_mask": False},
    "SIU, no vocabulary mask": {"vocab_mask": False},
    "CE alone": {"beta": 0.0},
    "SIU, β = 1.5": {"beta": 1.5},
    "CE + plain KL, β = 1.5": {"beta": 1.5, "token_mask": False, "vocab_mask": False},
}
#: What is measured of each, in this order.
SIU_MEASURES = (
    *("generality", "diversity", "specificity", "other_facts", "own_facts", "fluency", "c_dis"),
    *("multihop_leak", "efficacy"),
)


def siu(seed: int, steps: Sequence[int] = (12, 30)) -> dict[str, NDArray[np.float64]]:
    """What is measured of the learned model, and of each arm after so many steps: a number for each measure."""
    learned = learn(seed, PEOPLE, retrain=False)
    model, sets = learned.setup.network.model, learned.setup.evaluations[0].concepts
    assert sets is not None
    found = {}
    arms = {f"{name}, {count} steps": {**told, "steps": count} for count in steps for name, told in SIU_ARMS.items()}
    for name, told in {"learned": None, **arms}.items():
        released = learned.original if told is None else learned.unlearned("siu", **told)
        measured = concept_measures(model, released, learned.original, sets)
        found[name] = np.array([measured[measure][0] for measure in SIU_MEASURES])
    return found


#: What each method is told beside its optimizers and step sizes, and the sizes to choose from for SGD and for Adam.
DUAL: dict[str, tuple[dict[str, Any], Sequence[float], Sequence[float]]] = {
    "neggrad": ({}, (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2), (3e-5, 6e-5, 1.2e-4, 2.4e-4, 5e-4)),
    "salun": ({}, (1e-2, 3e-2, 0.1, 0.3), (1e-4, 3e-4, 1e-3, 2e-3)),
    "scrub": (
        {"way": "local", "restart": False, "max_steps": 10, "temperature": 1.0, "gamma": 1.0, "alpha": 0.5}
        | {"weight_decay": 0.0},
        (1e-3, 3e-3, 1e-2, 3e-2),
        (3e-5, 1e-4, 3e-4, 6e-4),
    ),
}
PAIRINGS = ("shared-sgd", "shared-adam", "dual-ss", "dual-as", "dual-aa")


def gaps(
    seeds: Sequence[int], methods: Sequence[str] = tuple(DUAL), pairings: Sequence[str] = PAIRINGS
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """By method and optimizers: the mean distance to retraining of the four measures, their spread, and the size.

    The size of steps on the forget set is the one with the smallest distance, as in the paper.
    """
    found: dict[tuple[str, str, float], list[NDArray[np.float64]]] = {}
    wanted = []
    for seed in seeds:
        learned = learn(seed)
        wanted.append(learned.measured(learned.retrained))
        for method in methods:
            settings, plain, adaptive = DUAL[method]
            for pairing in pairings:
                letters = pairing[-2:] if pairing.startswith("dual") else pairing[7] * 2
                first, last = (letter == "a" for letter in letters)
                for size in adaptive if first else plain:
                    theta = learned.unlearned(
                        method,
                        **settings,
                        epochs=10,
                        optimizers=pairing,
                        clip=7.0,
                        forget_step_size=size,
                        step_size=3e-4 if last else 0.01,
                    )
                    found.setdefault((method, pairing, size), []).append(learned.measured(theta))
    best: dict[tuple[str, str], tuple[float, float, float]] = {}
    for (method, pairing, size), rows in found.items():
        gap = float(np.abs(np.array(rows) - np.array(wanted)).mean())
        spread = float(np.array(rows).std(axis=0).mean())
        if gap < best.get((method, pairing), (np.inf,))[0]:
            best[method, pairing] = gap, spread, size
    print("retraining: FA, RA, TA, MIA", np.mean(wanted, axis=0).round(1))
    return best


def print_dual() -> None:
    """Print the table of gaps over five seeds."""
    found = gaps(range(5))
    print("| method |" + " | ".join(PAIRINGS) + " |")
    for method in DUAL:
        cells = (found[method, pairing] for pairing in PAIRINGS)
        print(f"| {method} | " + " | ".join(f"{gap:.2f} / {spread:.2f} ({size:g})" for gap, spread, size in cells))


def print_stealthy(seeds: int = 6) -> None:
    """Print means over seeds of what is forgotten, of clean use, of use in templates, and the gap with its spread."""
    every = [stealthy(seed) for seed in range(seeds)]
    print("| arm | forget | clean | in templates | gap |")
    for arm in every[0]:
        rows = np.array([found[arm] for found in every])
        gaps_found = rows[:, 1] - rows[:, 2]
        means = " | ".join(f"{mean:.2f}" for mean in rows.mean(axis=0))
        print(f"| {arm} | {means} | {gaps_found.mean():.2f} ± {gaps_found.std():.2f} |")


def print_siu(seeds: int = 3) -> None:
    """Print means over seeds of what is left of the person and of others, with the lowest and the highest seed."""
    every = [siu(seed) for seed in range(seeds)]
    print("| arm | " + " | ".join(SIU_MEASURES) + " |")
    for arm in every[0]:
        rows = np.array([found[arm] for found in every])
        cells = (f"{of.mean():.3g} ({of.min():.3g} to {of.max():.3g})" for of in rows.T)
        print(f"| {arm} | " + " | ".join(cells) + " |")


PRINTED: dict[str, Callable[..., None]] = {"dual": print_dual, "stealthy": print_stealthy, "siu": print_siu}

if __name__ == "__main__":
    PRINTED[sys.argv[1]](*map(int, sys.argv[2:]))
