"""What empirical methods make of one client's network on generated data, by the measures of their papers.

`python tests/support/forgetting.py dual` prints how far from retraining each method is with shared and with separate
optimizers, at the best step size on the forget set (Zhong, Luo and Liu 2025, Table 1); `dual shared-sgd dual-as` with
these alone.
`python tests/support/forgetting.py manifold 100` prints what manif-smc makes of a network on the unit sphere from which
so many samples are deleted.
`python tests/support/forgetting.py stealthy 6` prints what requests with templates in them do to the recipe `stealthy`,
with everything but retraining, for so many seeds (Ren et al. 2025).
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from rewindnet.clients.metrics.membership import posterior
from rewindnet.clients.steps.manif_smc import ManifoldEpochs
from rewindnet.experiments.runs.run_setup import RunSetup, build_run
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess

RECIPES = Path(__file__).parents[2] / "experiments" / "recipes"
#: A mixture of ten Gaussians of which about 80 % can be told, in a network that remembers all of it.
MIXTURE: dict[str, Any] = {
    "data": {
        "source": "synthetic",
        "samples": 3750,
        "dimensions": 32,
        "classes": 10,
        "separation": 2.6,
        "features": "raw",
    },
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
    """Have a network learn, and, if asked to, learn without the forget set."""
    setup = build_run(resolve({**scenario, "name": "forgetting", "seed": seed}))
    nodes = setup.network.nodes
    network = WorkerNetwork(setup.worker(range(nodes)), InProcess(nodes, "fast"))
    simulation = setup.simulation(network)
    T = simulation.requests[0].rounds
    trajectory, _ = simulation.learn([0, T])
    retrained = simulation.retrain(T, {0, T}, 0).at(T) if retrain else trajectory.at(T)
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


#: What each method is told beside its optimizers and step sizes, and the sizes of steps on the forget set to choose
#: from, around the best one of the first seed.
DUAL: dict[str, tuple[dict[str, Any], Mapping[str, Sequence[float]]]] = {
    "neggrad": (
        {},
        {
            "shared-sgd": (1.6e-2, 3.2e-2, 6.4e-2, 0.128),
            "shared-adam": (1e-5, 3e-5, 1e-4),
            "dual-ss": (1.6e-2, 3.2e-2, 6.4e-2),
            "dual-as": (5e-4, 7e-4, 1e-3, 1.5e-3),
            "dual-aa": (2.4e-4, 5e-4, 1e-3),
        },
    ),
    "salun": (
        {},
        {
            "shared-sgd": (3e-4, 1e-3, 3e-3),
            "shared-adam": (3e-5, 1e-4, 3e-4),
            "dual-ss": (3e-3, 1e-2, 2e-2),
            "dual-as": (3e-4, 6e-4, 1e-3),
            "dual-aa": (6e-4, 1e-3, 1.5e-3),
        },
    ),
    "scrub": (
        {"way": "local", "restart": False, "max_steps": 10, "temperature": 1.0, "gamma": 1.0, "alpha": 0.5}
        | {"weight_decay": 0.0},
        {
            "shared-sgd": (1e-2, 1.2e-2, 1.4e-2),
            "shared-adam": (1e-5, 3e-5, 1e-4),
            "dual-ss": (1e-2, 1.4e-2, 2e-2),
            "dual-as": (4e-4, 6e-4, 9e-4),
            "dual-aa": (3e-4, 5e-4, 8e-4),
        },
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
            settings, sizes = DUAL[method]
            for pairing in pairings:
                adaptive = pairing in ("shared-adam", "dual-aa")
                for size in sizes[pairing]:
                    theta = learned.unlearned(
                        method,
                        **settings,
                        epochs=10,
                        optimizers=pairing,
                        clip=7.0,
                        forget_step_size=size,
                        step_size=3e-4 if adaptive else 0.01,
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


def print_dual(*pairings: str) -> None:
    """Print the table of gaps over five seeds, for all optimizers or for some."""
    shown = pairings or PAIRINGS
    found = gaps(range(5), pairings=shown)
    print("| method |" + " | ".join(shown) + " |")
    for method in DUAL:
        cells = (found[method, pairing] for pairing in shown)
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


#: The mixture in a network whose last layer reads points on the unit sphere.
SPHERE: dict[str, Any] = {
    **MIXTURE,
    "model": {"kind": "manifold", "widths": [256]},
    "learning": {**MIXTURE["learning"], "rounds": 40, "step_size": 0.2},
}
#: Steps of Adam on the forget set, and of the control point: with the paper's 5e-4, 35 steps leave these weights about
#: where they are.
SPHERE_STEPS: dict[str, Any] = {"forget_step_size": 2e-3, "step_size": 2e-2}


@contextmanager
def margins_noted() -> Iterator[list[float]]:
    """Note the mean margin of every batch of manif-smc."""
    noted: list[float] = []
    compute = ManifoldEpochs.margins

    def noting(step: ManifoldEpochs, *given: Any) -> Any:
        found = compute(step, *given)
        noted.append(float(found.mean()) if isinstance(found, Tensor) else found)
        return found

    ManifoldEpochs.margins = noting  # type: ignore[method-assign]
    try:
        yield noted
    finally:
        ManifoldEpochs.margins = compute  # type: ignore[method-assign]


def manifold(seed: int, erased: int) -> dict[str, NDArray[np.float64]]:
    """For the learned and the retrained model, ascent alone and manif-smc: FA, RA, TA, members, agreement and margin.

    Agreement is the share of the forget set that gets the class that the retrained model gives it, in percent.
    """
    learned = learn(seed, {**SPHERE, "deletion": {**SPHERE["deletion"], "samples": erased}})
    model, x = learned.setup.network.model, learned.setup.evaluations[0].sets["forget"][0]
    wanted = model.predict(learned.retrained[:1], x)

    def measured(theta: Tensor, margin: float = np.nan) -> NDArray[np.float64]:
        agreement = 100 * float((model.predict(theta[:1], x) == wanted).double().mean())
        return np.array([*learned.measured(theta), agreement, margin])

    ascended = learned.unlearned("neggrad", epochs=5, forget_batch=16, forget_step_size=2e-3, step_size=1e-12)
    found = {
        "learned": measured(learned.original),
        "retrain": measured(learned.retrained),
        "ascent alone": measured(ascended),
    }
    with margins_noted() as noted:
        theta = learned.unlearned("manif-smc", **SPHERE_STEPS)
    mean = float(np.mean(noted))
    found["smc"] = measured(theta, mean)
    for name, alpha in (("fixed", 0.001), ("fixed at the mean of smc", max(mean, 0.0))):
        found[name] = measured(learned.unlearned("manif-smc", **SPHERE_STEPS, margin="fixed", alpha=alpha), alpha)
    return found


def print_manifold(erased: int = 100, seeds: int = 3) -> None:
    """Print what manif-smc makes of a network on the unit sphere, means over seeds."""
    every = [manifold(seed, erased) for seed in range(seeds)]
    print("| row | FA | RA | TA | members | agreement | margin |")
    for name in every[0]:
        mean = np.mean([found[name] for found in every], axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in mean[:-1]) + f" | {mean[-1]:.3f} |", flush=True)


PRINTED: dict[str, Callable[..., None]] = {
    "dual": print_dual,
    "manifold": print_manifold,
    "stealthy": print_stealthy,
}

if __name__ == "__main__":
    PRINTED[sys.argv[1]](*(int(text) if text.isdigit() else text for text in sys.argv[2:]))
