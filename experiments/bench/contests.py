"""The contests of `rewindnet bench`."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewindnet.clients.methods.baselines import DoNothing
from rewindnet.experiments.bench.contest import Contest, Entry
from rewindnet.experiments.bench.deep_contests import DEEP_CONTESTS

_ONE_THREAD = ("backend.kind=in-process", "backend.threads=1")
#: Other simulators of learning in networks, which take part where they are installed.
_OTHERS = ("gossipy", "pfl")
_FAST, _EXACT = (*_ONE_THREAD, "backend.precision=fast"), (*_ONE_THREAD, "backend.precision=exact")


def _learning(
    nodes: int, dimensions: int, classes: int, samples: int, steps: int, **learning: object
) -> dict[str, Any]:
    """Describe a scenario on a regular graph; its model has classes · (dimensions + 1) parameters.

    Args:
        nodes: N.
        dimensions: the number of dimensions of a sample.
        classes: the number of classes.
        samples: the number of samples of each client.
        steps: the number of local steps in a round.
        learning: further settings of learning.
    """
    return {
        "data": {
            "source": "synthetic",
            "samples": nodes * samples * 5 // 4,
            "dimensions": dimensions,
            "classes": classes,
        },
        "partition": {"clients": nodes},
        "topology": {"kind": "random-regular", "degree": min(8, nodes - 2)},
        "learning": {"local_steps": steps, "step_size": 0.1, **learning},
        "deletion": {"samples": 1},
        "unlearning": [DoNothing.name],
    }


def _against_references(
    title: str, scenario: Mapping[str, Any], rounds: int, dtype: str, *, others: Sequence[str] = ()
) -> Contest:
    """Compare the simulator, with either precision, with the references, all in one floating-point type.

    Args:
        title: the title of the table.
        scenario: the scenario.
        rounds: the number of timed rounds.
        dtype: the floating-point type.
        others: other simulators, by the names of their modules and references.
    """
    wanted = f"backend.dtype={dtype}"
    peers = {name: Entry((*_FAST, wanted), name, needs=name) for name in others}
    return Contest(
        f"{title}, {dtype}",
        scenario,
        rounds,
        {
            "loop over clients": Entry((*_FAST, wanted), "loop"),
            "rewindnet, fast": Entry((*_FAST, wanted)),
            "rewindnet, exact": Entry((*_EXACT, wanted)),
            "batched by hand": Entry((*_FAST, wanted), "together"),
            "products alone": Entry((*_FAST, wanted), "products"),
            **peers,
        },
    )


def _full_batch(dtype: str) -> Contest:
    return _against_references(
        "100 nodes, 7,850 parameters, 256 samples a node, one step on all of them",
        _learning(100, 784, 10, 256, 1),
        6,
        dtype,
        others=_OTHERS,
    )


def _minibatch(dtype: str) -> Contest:
    return _against_references(
        "100 nodes, 7,850 parameters, 256 samples a node, eight steps on 32 of them",
        _learning(100, 784, 10, 256, 8, sampling={"kind": "poisson", "batch": 32}),
        6,
        dtype,
        others=_OTHERS,
    )


def _mixing(nodes: int, dtype: str) -> Contest:
    return _against_references(
        f"{nodes:,} nodes, 650 parameters, 2 samples a node: mixing, mostly",
        _learning(nodes, 64, 10, 4, 1),
        4,
        dtype,
    )


def _flower(nodes: int) -> Contest:
    """Compare Flower clients in process with Flower clients over Ray."""
    return Contest(
        f"Flower clients: {nodes} nodes, 7,850 parameters, 32 samples a node, one local step",
        _learning(nodes, 784, 10, 32, 1),
        8,
        {
            "without Flower": Entry(_EXACT),
            "in process": Entry(("backend.kind=flower", "backend.runtime=in-process")),
            "over Ray": Entry(("backend.kind=flower", "backend.runtime=ray")),
        },
        one_process=False,
    )


def _scaling(title: str, settings: Mapping[str, tuple[str, ...]]) -> Contest:
    return Contest(
        title,
        _learning(1000, 64, 10, 32, 1),
        3,
        {name: Entry((*_FAST, *overrides)) for name, overrides in settings.items()},
    )


def _sized(nodes: int) -> tuple[str, ...]:
    return (f"partition.clients={nodes}", f"data.samples={nodes * 40}")


CONTESTS: Mapping[str, Contest] = {
    "full-batch": _full_batch("float64"),
    "full-batch-f32": _full_batch("float32"),
    "minibatch": _minibatch("float64"),
    "minibatch-f32": _minibatch("float32"),
    "mixing-1000": _mixing(1_000, "float64"),
    "mixing-10000": _mixing(10_000, "float64"),
    "mixing-10000-f32": _mixing(10_000, "float32"),
    **DEEP_CONTESTS,
    "nodes": _scaling(
        "650 parameters, 32 samples a node, degree 8, by the number of nodes",
        {f"{nodes:,} nodes": _sized(nodes) for nodes in (1_000, 100, 10_000)},
    ),
    "parameters": _scaling(
        "1,000 nodes, 32 samples a node, degree 8, by the number of parameters",
        {f"{10 * (size + 1):,} parameters": (f"data.dimensions={size}",) for size in (64, 256, 784)},
    ),
    "degree": _scaling(
        "1,000 nodes, 650 parameters, 32 samples a node, by the degree",
        {f"degree {degree}": (f"topology.degree={degree}",) for degree in (8, 2, 64, 256)},
    ),
    "mpi": Contest(
        "100 nodes, 51,250 parameters, 64 samples a node, eight local steps",
        _learning(100, 1024, 50, 64, 8),
        10,
        {
            "one process, one thread": Entry(_ONE_THREAD),
            "MPI, 1 rank of one thread": Entry(("backend.kind=mpi", "backend.ranks=1", "backend.threads=1")),
            "MPI, 2 ranks of one thread": Entry(("backend.kind=mpi", "backend.ranks=2", "backend.threads=1")),
            "one process, two threads": Entry(("backend.kind=in-process", "backend.threads=2")),
        },
        one_process=False,
    ),
    "flower-10": _flower(10),
    "flower-100": _flower(100),
}
