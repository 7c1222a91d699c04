"""What empirical methods make of one client's network on generated data, by the measures of their papers.

`python tests/support/forgetting.py dual` prints how far from retraining each method is with shared and with separate
optimizers, at the best step size on the forget set (Zhong, Luo and Liu 2025, Table 1); `dual shared-sgd dual-as` with
these alone.
`python tests/support/forgetting.py manifold 100` prints what manif-smc makes of a network on the unit sphere from which
so many samples are deleted.
`python tests/support/forgetting.py stealthy 6` prints what requests with templates in them do to the recipe `stealthy`,
with everything but retraining, for so many seeds (Ren et al. 2025).
`python tests/support/forgetting.py siu 3` prints what SIU, its parts and its baselines leave of a person and of others
in a small vision-language model of one client, for so many seeds (Li et al. 2024).
`python tests/support/forgetting.py lune 3` prints what lune forgets and keeps in the recipe `lune`, beside finetuning
all parameters on the same wrong answers and ascent (arXiv 2512.07375).
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from rewindnet.clients.data import load as load_data
from rewindnet.clients.data.prompts import coded_templates, wrapped
from rewindnet.clients.methods import METHODS
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.metrics.concepts import concept_measures
from rewindnet.clients.metrics.membership import posterior
from rewindnet.clients.steps.epochs import Samples, forgotten, mean_gradient, order_generator, samples_of
from rewindnet.clients.steps.lune import LuneRounds
from rewindnet.clients.steps.manif_smc import ManifoldEpochs
from rewindnet.clients.training.optimizers.adam import Adam
from rewindnet.clients.worker import ClientWorker
from rewindnet.experiments.runs.run_setup import RunSetup, build_run
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.simulator.outcome import Outcome, Trajectory
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
        return self.outcome(method, **settings).released

    def outcome(self, method: str, **settings: Any) -> Outcome:
        """What a method makes of them, and what it costs."""
        made = METHODS[method](**settings).seeded(self.setup.scenario.seed)
        plan = made.plan(self.simulation.requests[0])
        return self.simulation.execute(made, plan, self.trajectory, 0)

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


SCOPED = {"kind": "scope-aware", "eta": 5.0}
#: Whether the request carries the attack, the method, and what is changed of the settings of the recipe's npo.
ARMS: Mapping[str, tuple[bool, str, dict[str, Any]]] = {
    "no attack": (False, "npo", {}),
    "no attack, scope-aware": (False, "npo", {"objective": SCOPED}),
    "attack": (True, "npo", {}),
    "attack, scope-aware": (True, "npo", {"objective": SCOPED}),
    "attack, loss filter": (True, "npo", {"loss_filter": 0.5}),
    "attack, learning on": (True, "npo", {"continued_rounds": 2}),
    "GD, no attack": (False, "neggrad", {}),
    "GD, attack": (True, "neggrad", {}),
    "GD, attack, scope-aware": (True, "neggrad", {"objective": SCOPED}),
    "IDK, no attack": (False, "idk", {}),
    "IDK, attack": (True, "idk", {}),
    "IDK, attack, scope-aware": (True, "idk", {"objective": SCOPED}),
}
#: What npo and idk have by default, and neggrad has beside them.
SHARED = {"forget_batch": 4, "optimizers": "dual-aa"}


def stealthy(seed: int, arms: Collection[str] = tuple(ARMS)) -> dict[str, NDArray[np.float64]]:
    """For each arm, and for the learned models: accuracy on forgotten, plain and templated prompts, mean over nodes."""
    recipe = load(RECIPES / "stealthy.yaml").plain()
    found = {}
    for attacked in (False, True):
        deletion = {**recipe["deletion"], "attack": recipe["deletion"]["attack"] if attacked else None}
        learned = learn(seed, {**recipe, "deletion": deletion}, retrain=False)
        found["learned" + ", attack" * attacked] = answered(learned, learned.original)
        for name, (has_attack, method, changes) in ARMS.items():
            if has_attack == attacked and name in arms:
                told = {key: recipe["unlearning"][0][key] for key in ("step_size", "epochs", "batch")}
                found[name] = answered(learned, learned.unlearned(method, **SHARED, **told, **changes))
    return found


def answered(learned: Learned, theta: Tensor) -> NDArray[np.float64]:
    """Accuracy on forgotten, plain and templated prompts, mean over nodes."""
    samples, model = learned.setup.evaluations[0], learned.setup.network.model
    sets = (samples.sets["forget"], samples.sets["test"], samples.in_templates["test"])
    return np.array([accuracy(model, theta, *of).mean() for of in sets])


#: Forms of a question that no client has asked in.
UNSEEN = ("tell me {q}", "please explain {q}", "can you tell me {q}", "explain {q} , please")
#: The steps of full finetuning on what lune teaches, and those of ascent, to choose from; epochs of ascent.
FULL, ASCENTS, EPOCHS_OF_ASCENT = (1e-4, 3e-4), (1e-4, 3e-4), 10
#: What is measured of lune, of the first client's model.
FIGURES = ("USR", "GUR", "GUR of capitals", "APR", "MIA")


def adapted(learned: Learned, theta: Tensor) -> NDArray[np.float64]:
    """The figures of LUNE's paper of the first model, in percent.

    USR, forgotten prompts that are not answered any longer; GUR, retained prompts that all peers know and that are
    answered still, and those of them that ask for capitals, which no author's facts are near to; APR, forgotten prompts
    in unseen templates that are not answered; MIA, forgotten prompts that the threshold of the loss takes for members
    that best tells what the client retains from facts about authors whom nobody knows.
    """
    network, sets = learned.setup.network, learned.setup.evaluations[0].sets
    (gone, truth), (x, y), model, words = sets["forget"], sets["test"], network.model, network.class_names or ()
    forms = coded_templates(UNSEEN, words)
    asked = [wrapped(gone.numpy(), forms, np.full(len(gone), form)) for form in range(len(forms))]
    capitals = (x == words.index("capital")).any(dim=1)
    own = samples_of(worker_of(learned).blocks[1], 0)

    def right(of: Tensor, labels: Tensor) -> float:
        return 100 * float(accuracy(model, theta[:1], of, labels)[0])

    def losses(of: Tensor, labels: Tensor) -> NDArray[np.float64]:
        return model.losses(theta[:1], of[None], labels[None])[0].double().numpy()

    return np.array(
        [
            100 - right(gone, truth),
            right(x, y),
            right(x[capitals], y[capitals]),
            100 - right(torch.from_numpy(np.concatenate(asked)), truth.repeat(len(forms))),
            100 * float((losses(gone, truth) <= threshold(losses(*own), losses(*unknown(learned)))).mean()),
        ]
    )


def unknown(learned: Learned) -> tuple[Tensor, Tensor]:
    """Prompts and answers about authors whom nobody in the network knows."""
    network = learned.setup.network
    other = load_data("facts", seed=network.scenario.seed + 1000, peers=1, own=0, authors=30, countries=0)
    known = {tuple(row[row > 0].tolist()) for row in network.features.x}
    new = [at for at, row in enumerate(other.test_x) if tuple(row[row > 0].tolist()) not in known]
    return torch.from_numpy(other.test_x[new]), torch.from_numpy(other.test_y[new])


def threshold(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The loss up to which a sample is best taken for a member, by the mean of both rates of success."""
    levels = np.concatenate([members, others])
    rates = [(members <= level).mean() - (others <= level).mean() for level in levels]
    return float(levels[int(np.argmax(rates))])


def worker_of(learned: Learned) -> ClientWorker:
    """The clients of a network that has learned in this process."""
    network = learned.simulation.network
    assert isinstance(network, WorkerNetwork)
    return network.worker


def lune_step(learned: Learned, **settings: Any) -> LuneRounds:
    """The step of lune in a network that has learned."""
    made, request = METHODS["lune"](**settings), learned.simulation.requests[0]
    release = made.plan(request).release
    address = learned.simulation.address_of(release, 0, 0)
    (step,) = made.program(release, request, address, learned.trajectory.checkpoint_names).approach
    assert isinstance(step, LuneRounds)
    return step


def by_adam(
    learned: Learned, step: LuneRounds, samples: Samples, step_size: float, epochs: int, sign: float = 1.0
) -> list[Tensor]:
    """The first model after each epoch of Adam on all parameters, with lune's batches and no retained data."""
    model, theta, found = learned.setup.network.model, learned.original[:1].clone(), []
    optimizer = Adam()
    carried = theta.new_zeros(1, optimizer.state_size(model.parameters))
    for epoch in range(epochs):
        order = order_generator(step, step.seed, step.rounds.start, 0, f"epoch {epoch}")
        for some in samples.batches(step.batch, order):
            optimizer.step(theta, mean_gradient(model, theta, some).mul_(sign), carried, step_size)
        found.append(theta.clone())
    return found


def lune(seed: int) -> dict[str, NDArray[np.float64]]:
    """The figures of the recipe `lune` with a seed."""
    recipe = load(RECIPES / "lune.yaml").plain()
    settings = dict(recipe["unlearning"][0])
    del settings["method"]
    return lune_of(learn(seed, recipe, retrain=False), settings)


def lune_of(learned: Learned, settings: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """The figures of the learned model, of lune, of full finetuning on the same wrong answers, and of ascent.

    Of full finetuning, the size and the epoch whose GUR is nearest to that of lune; of ascent, those that forget most
    while GUR is that of lune or more.
    """
    step, worker = lune_step(learned, **settings), worker_of(learned)
    gone = forgotten(worker.full, worker.blocks[1], 0)
    wrong = step.wrong_answers(learned.setup.network.model, gone, 0)
    found = {
        "learned": adapted(learned, learned.original),
        "lune": adapted(learned, learned.unlearned("lune", **settings)),
    }

    def tried(samples: Samples, sizes: Sequence[float], epochs: int, sign: float) -> list[NDArray[np.float64]]:
        made = (by_adam(learned, step, samples, size, epochs, sign) for size in sizes)
        return [found["learned"], *(adapted(learned, theta) for of in made for theta in of)]

    kept = found["lune"][1]
    found["full finetuning"] = min(tried(wrong, FULL, step.epochs, 1.0), key=lambda row: abs(row[1] - kept))
    ascents = tried(gone, ASCENTS, EPOCHS_OF_ASCENT, -1.0)
    found["ascent"] = max((row for row in ascents if row[1] >= kept), key=lambda row: row[0])
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


def print_stealthy(seeds: int = 6, first: int = 0) -> None:
    """Print means over seeds of what is forgotten, of plain and polite use, and the gap with its spread over seeds."""
    every = []
    for seed in range(first, first + seeds):
        every.append(stealthy(seed))
        print(
            f"seed {seed}: gaps", {arm: round(float(row[1] - row[2]), 3) for arm, row in every[-1].items()}, flush=True
        )
    print("| arm | forget | plain | polite | gap |")
    for arm in every[0]:
        rows = 100 * np.array([found[arm] for found in every])
        gaps_found = rows[:, 1] - rows[:, 2]
        means = " | ".join(f"{mean:.1f}" for mean in rows.mean(axis=0))
        print(f"| {arm} | {means} | {gaps_found.mean():.1f} ± {gaps_found.std():.1f} |")


def print_siu(seeds: int = 3) -> None:
    """Print means over seeds of what is left of the person and of others, with the lowest and the highest seed."""
    every = [siu(seed) for seed in range(seeds)]
    print("| arm | " + " | ".join(SIU_MEASURES) + " |")
    for arm in every[0]:
        rows = np.array([found[arm] for found in every])
        cells = (f"{of.mean():.3g} ({of.min():.3g} to {of.max():.3g})" for of in rows.T)
        print(f"| {arm} | " + " | ".join(cells) + " |")


def print_lune(seeds: int = 3, first: int = 0) -> None:
    """Print means over seeds of the figures of lune and of what it is compared with."""
    every = [lune(seed) for seed in range(first, first + seeds)]
    print("| model | " + " | ".join(FIGURES) + " |")
    for name in every[0]:
        rows = np.array([found[name] for found in every])
        cells = zip(rows.mean(axis=0), rows.std(axis=0), strict=True)
        print(f"| {name} | " + " | ".join(f"{mean:.1f} ± {spread:.1f}" for mean, spread in cells) + " |")


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
    "lune": print_lune,
    "siu": print_siu,
}


if __name__ == "__main__":
    PRINTED[sys.argv[1]](*(int(text) if text.isdigit() else text for text in sys.argv[2:]))
