"""The same run over every transport: the same bits, records, traffic; what a transport cannot do is a sentence."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import parity
import pytest
import torch
from conformance import CASES, NODES, go_through, worker
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from networks import Network, as_planned
from parity import FLOWER, IN_PROCESS, MPIEXEC, RAY, left, mpi, same, side_by_side, with_mpi
from safetensors.numpy import load_file

from rewindnet.certificates import Release
from rewindnet.clients.worker import ClientWorker
from rewindnet.experiments.cli import app
from rewindnet.simulator.errors import BrokenTransportError
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.flower.client import make_app
from rewindnet.simulator.transports.flower.network import FlowerNetwork
from rewindnet.simulator.transports.flower.runtimes import in_process
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.mpi import mpiexec
from rewindnet.simulator.transports.wire import InProcess

ALL = {"one": IN_PROCESS, "mpi-1": mpi(1), "mpi-2": mpi(2), "mpi-4": mpi(4), "flower": FLOWER}
FEW = {name: ALL[name] for name in ("one", "mpi-2", "flower")}

DATA = {"source": "synthetic", "samples": 240, "dimensions": 4, "classes": 3}
CONTROLS = ["retrain", "do-nothing"]
SCENARIOS: dict[str, dict[str, Any]] = {
    "ring": {
        "measures": {"membership": True},
        "partition": {"clients": 5},
        "topology": "ring",
        "learning": {"rounds": 8, "local_steps": 2},
        "deletion": {"samples": 3},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "bound": "instance"},
            {"method": "r2d", "rewind": 0.5, "placement": "rewind", "gossip_rounds": 2, "view": "transcript:all"},
            {"method": "warm-start", "rounds": 3, "view": "joint"},
            *CONTROLS,
        ],
    },
    "recovered": {
        "partition": {"clients": 5},
        "topology": {"kind": "star", "mixing": {"kind": "lazy-metropolis-hastings"}},
        "learning": {"rounds": 8, "step_size": 0.5, "checkpoints": {"recover": 1e-6}},
        "deletion": {"samples": 3},
        "unlearning": [{"method": "r2d", "rewind": 0.25}, *CONTROLS],
    },
    "halved": {
        "partition": {"clients": 5},
        "topology": "ring",
        "learning": {"rounds": 8, "step_size": 0.5, "checkpoints": {"half_precision": 0.01}},
        "deletion": {"samples": 3},
        "unlearning": [{"method": "r2d", "rewind": 0.25}, *CONTROLS],
    },
    "requests": {
        "partition": {"clients": 5},
        "topology": {"kind": "ring", "schedule": {"kind": "link-failures", "probability": 0.3}},
        "learning": {"rounds": 8, "sampling": {"kind": "poisson", "batch": 12}},
        "deletion": {
            "requests": [
                {"client": 1, "samples": 4, "round": 5},
                {"client": 3, "samples": 2, "round": 5},
                {"client": 1, "samples": "all"},
            ]
        },
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "bound": "instance"},
            {"method": "r2d", "rewind": 0.25, "placement": "rewind", "view": "transcript", "allocation": "optimal"},
            *CONTROLS,
        ],
    },
    "from-releases": {
        "partition": {"clients": 5},
        "topology": {"kind": "ring", "schedule": {"kind": "link-failures", "probability": 0.3}},
        "learning": {
            "rounds": 8,
            "sampling": {"kind": "poisson", "batch": 12},
            "after_request": "continue-from-release",
        },
        "deletion": {"requests": [{"client": 1, "samples": 4, "round": 5}, {"client": 1, "samples": "all"}]},
        "unlearning": [
            {"method": "r2d", "rewind": 0.25, "view": "joint"},
            {"method": "r2d", "rewind": 0.25, "placement": "rewind", "view": "transcript:all", "allocation": "optimal"},
            *CONTROLS,
        ],
    },
    "star": {
        "model": "sigmoid",
        "partition": {"kind": "dirichlet", "clients": 6, "alpha": 0.5},
        "topology": "star",
        "learning": {"rounds": 7, "order": "combine-then-adapt", "step_size": 0.5},
        "deletion": {"client": 2, "samples": "all"},
        "unlearning": [
            {"method": "r2d", "rewind": 0.6, "allocation": "optimal", "view": "joint"},
            {"method": "r2d", "rewind": 0.6, "view": "average"},
            *CONTROLS,
        ],
        "network": {"kind": "heterogeneous", "stragglers": 0.3},
        "backend": {"dtype": "float32"},
    },
    "random-regular": {
        "partition": {"clients": 8},
        "topology": {"kind": "random-regular", "degree": 3},
        "learning": {"rounds": 10, "order": "consensus-plus-gradient", "local_steps": 3, "step_size": 0.3},
        "deletion": {"client": 7, "samples": 0.5},
        "unlearning": [
            {"method": "r2d", "rewind": 0.4, "view": "average", "bound": "instance"},
            {"method": "r2d", "rewind": 0.4, "sigma": 0.2},
            {"method": "r2d", "rewind": 1.0, "sigma": 0.2, "placement": "rewind", "view": "average"},
            {"method": "warm-start", "bound": "instance", "allocation": "optimal"},
            *CONTROLS,
        ],
    },
    "erdos-renyi": {
        "partition": {"kind": "dirichlet", "clients": 12, "alpha": 1.0},
        "topology": {"kind": "erdos-renyi", "p": 0.3},
        "learning": {"rounds": 12, "local_steps": 2},
        "deletion": {"client": 3, "samples": 1},
        "unlearning": [{"method": "r2d", "rewind": 0.25, "gossip_rounds": 3, "allocation": "optimal"}, *CONTROLS],
        "backend": {"dtype": "float32"},
    },
    "healing": {
        "partition": {"clients": 5},
        "topology": "ring",
        "learning": {"rounds": 6, "client_clip": 0.06},
        "deletion": {"samples": "all"},
        "unlearning": [
            {
                "method": "r2d",
                "rewind": 0.5,
                "placement": "rewind",
                "view": "transcript:all",
                "settle_first": 3,
                "settle_acceleration": "chebyshev",
                "settle_radius": 0.7,
                "descent_clip": False,
                "descent_step_size": 0.5,
                "descent_momentum": 0.5,
            },
            {"method": "retrain-healed", "rewind": 0.5, "settle_first": 3, "descent_clip": False},
            *CONTROLS,
        ],
    },
    "complete": {
        "partition": {"clients": 4},
        "topology": {"kind": "complete", "mixing": "uniform"},
        "learning": {"rounds": 9, "order": "combine-then-adapt"},
        "deletion": {"client": 1, "samples": {"class": 2}},
        "unlearning": [
            {"method": "r2d", "rewind": 0.0, "epsilon": 3.0},
            {"method": "r2d", "rewind": 1.0, "epsilon": 3.0, "view": "transcript:all"},
            *CONTROLS,
        ],
    },
    "barabasi-albert": {
        "model": {"kind": "sigmoid", "l2": 0.01},
        "partition": {"kind": "dirichlet", "clients": 10, "alpha": 0.4, "min_partition_size": 1},
        "topology": "barabasi-albert",
        "learning": {"rounds": 11, "local_steps": 2, "step_size": 0.7},
        "deletion": {"client": 9, "samples": "all"},
        "unlearning": [
            {
                "method": "r2d",
                "rewind": 0.5,
                "placement": "rewind",
                "view": "transcript:all",
                "allocation": "optimal",
                "bound": "instance",
                "gossip_rounds": 1,
            },
            {"method": "warm-start", "rounds": 15, "placement": "rewind", "sigma": 0.4, "view": "node:0"},
            *CONTROLS,
        ],
    },
    "depth-follows": {
        "partition": {"clients": 6},
        "topology": {"kind": "watts-strogatz", "k": 2},
        "learning": {"rounds": 20},
        "deletion": {"samples": 1},
        "unlearning": [
            {"method": "r2d", "epsilon": 2.0, "sigma": 1.0, "bound": "instance"},
            {"method": "r2d", "rewind": 0.3, "sigma": 1.0, "bound": "published"},
            *CONTROLS,
        ],
    },
    "long-messages": {
        "data": {"source": "synthetic", "samples": 60, "dimensions": 17_000},
        "partition": {"clients": 4},
        "topology": {"kind": "path", "mixing": "lazy-metropolis-hastings"},
        "learning": {"rounds": 4, "order": "consensus-plus-gradient"},
        "deletion": {"samples": 2},
        "unlearning": [{"method": "r2d", "rewind": 0.5}, *CONTROLS],
    },
    "failing-links": {
        "partition": {"clients": 9},
        "topology": {"kind": "torus", "schedule": {"kind": "link-failures", "probability": 0.4}},
        "learning": {"rounds": 12},
        "deletion": {"samples": 3},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "view": "transcript:4", "placement": "rewind", "allocation": "optimal"},
            {"method": "r2d", "rewind": 0.5, "gossip_rounds": 3, "bound": "instance"},
            *CONTROLS,
        ],
    },
    "matchings": {
        "partition": {"clients": 8},
        "topology": {"kind": "hypercube", "schedule": "matchings"},
        "learning": {"rounds": 12, "order": "combine-then-adapt"},
        "deletion": {"samples": 3},
        "unlearning": [{"method": "r2d", "rewind": 0.25, "view": "average"}, *CONTROLS],
    },
    "sleepers": {
        "partition": {"kind": "dirichlet", "clients": 7, "alpha": 0.6, "min_partition_size": 2},
        "topology": {"kind": "ring", "schedule": {"kind": "node-sleep", "probability": 0.4}},
        "learning": {
            "rounds": 10,
            "local_steps": 2,
            "order": "consensus-plus-gradient",
            "radius": 0.7,
            "sampling": {"kind": "poisson", "batch": 6},
        },
        "deletion": {"client": 2, "samples": 0.5},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "bound": "instance", "gossip_rounds": 2},
            {"method": "r2d", "rewind": 0.5, "placement": "rewind", "view": "transcript:1"},
            *CONTROLS,
        ],
        "backend": {"dtype": "float32"},
    },
    "asynchronous": {
        "partition": {"clients": 6},
        "topology": {"kind": "star", "schedule": {"kind": "asynchronous", "activates": "node"}},
        "learning": {"rounds": 30, "order": "combine-then-adapt"},
        "deletion": {"samples": 3},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "allocation": "optimal", "view": "joint"},
            {"method": "warm-start", "rounds": 9, "bound": "instance"},
            *CONTROLS,
        ],
    },
    "walk": {
        "partition": {"clients": 7},
        "topology": {"kind": "path", "mixing": "lazy-metropolis-hastings"},
        "learning": {"kind": "walk", "rule": "uniform", "restart": 0.2, "rounds": 40, "local_steps": 2},
        "deletion": {"client": 1, "samples": "all"},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "bound": "instance"},
            {"method": "r2d", "rewind": 0.5, "placement": "rewind", "view": "transcript:all", "gossip_rounds": 3},
            *CONTROLS,
        ],
    },
    "newton": {
        "model": {"kind": "logistic", "l2": 0.1},
        "partition": {"kind": "dirichlet", "clients": 5, "alpha": 0.7, "min_partition_size": 3},
        "topology": {"kind": "erdos-renyi", "p": 0.4},
        "learning": {"rounds": 60, "order": "consensus-plus-gradient", "step_size": 0.4},
        "deletion": {"client": 2, "samples": 0.5},
        "unlearning": [
            {"method": "newton"},
            {"method": "newton", "curvature": "fisher", "sigma": 0.3, "view": "node", "clean": 3},
            {"method": "newton", "curvature": "diagonal", "iterations": 6, "epsilon": 2.0},
            {"method": "newton", "reach": "uniform", "noise": "claimed"},
            {"method": "newton", "reach": "uniform", "curvature": "diagonal", "shared_noise": True, "sigma": 0.3},
            *CONTROLS,
        ],
        "backend": {"dtype": "float32"},
    },
    "departure": {
        "partition": {"clients": 6},
        "topology": {"kind": "star", "schedule": {"kind": "link-failures", "probability": 0.3}},
        "learning": {"rounds": 10, "local_steps": 2},
        "deletion": {"client": 0, "samples": "all", "departure": "leave"},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "bound": "instance", "placement": "rewind", "view": "transcript:all"},
            {"method": "r2d", "rewind": 0.5, "bound": "instance", "gossip_rounds": 2, "allocation": "optimal"},
            *CONTROLS,
        ],
    },
    "departure-from-a-ball": {
        "data": {"source": "synthetic", "samples": 60, "dimensions": 17_000},
        "partition": {"clients": 5},
        "topology": "path",
        "learning": {
            "rounds": 6,
            "order": "combine-then-adapt",
            "radius": 0.3,
            "sampling": {"kind": "keyed", "batches": 2},
        },
        "deletion": {"client": 2, "samples": "all", "departure": "leave"},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5},
            {"method": "r2d", "rewind": 0.5, "bound": "instance", "placement": "rewind", "view": "joint"},
            *CONTROLS,
        ],
        "backend": {"dtype": "float32"},
    },
    "keyed": {
        "model": "sigmoid",
        "partition": {"clients": 5},
        "topology": {"kind": "ring", "schedule": "asynchronous"},
        "learning": {"rounds": 20, "local_steps": 2, "sampling": {"kind": "keyed", "batches": 3}},
        "deletion": {"client": 4, "samples": 5},
        "unlearning": [{"method": "r2d", "rewind": 0.5, "bound": "instance"}, {"method": "warm-start"}, *CONTROLS],
    },
    "noisy-rounds": {
        "partition": {"kind": "dirichlet", "clients": 5, "alpha": 0.6, "min_partition_size": 2},
        "topology": {"kind": "ring", "schedule": {"kind": "node-sleep", "probability": 0.3}},
        "learning": {
            "rounds": 6,
            "order": "consensus-plus-gradient",
            "radius": 0.8,
            "sampling": {"kind": "poisson", "batch": 8},
        },
        "deletion": {"samples": 3},
        "unlearning": [
            {"method": "noisy-finetune", "rounds": 3, "start_radius": 0.5, "gradient_radius": 0.2},
            {"method": "noisy-finetune", "clipping": "model", "bound": "published", "view": "joint"},
            {"method": "langevin", "rounds": 3, "bound": "instance"},
            {"method": "langevin", "rounds": 2, "sigma": 0.3, "view": "transcript"},
            *CONTROLS,
        ],
        "backend": {"dtype": "float32"},
    },
    "federated": {
        "partition": {"clients": 5},
        "topology": {"kind": "ring", "schedule": {"kind": "link-failures", "probability": 0.3}},
        "learning": {"rounds": 8, "local_steps": 2, "sampling": {"kind": "poisson", "batch": 12}},
        "deletion": {
            "requests": [
                {"client": 1, "samples": 4, "round": 5},
                {"client": 3, "samples": 2, "round": 5},
                {"client": 1, "samples": "all"},
            ]
        },
        "unlearning": [
            {"method": "federaser", "ratio": 1.0},
            {"method": "gradient-ascent", "ascent_steps": 3, "rounds": 2},
            *CONTROLS,
        ],
        "backend": {"dtype": "float32"},
    },
    "a-server": {
        "partition": {"clients": 4},
        "topology": {"kind": "complete", "mixing": "uniform"},
        "learning": {"rounds": 9, "local_steps": 3, "radius": 0.6},
        "deletion": {"client": 2, "samples": "all", "departure": "leave"},
        "unlearning": [{"method": "federaser", "interval": 4}, *CONTROLS],
    },
    "sums": {
        "partition": {"kind": "dirichlet", "clients": 5, "alpha": 0.5},
        "topology": "path",
        "learning": {"rounds": 2},
        "deletion": {"client": 2, "samples": 4},
        "unlearning": ["ridge"],
    },
    "private": {
        "partition": {"clients": 6},
        "topology": {"kind": "ring", "schedule": {"kind": "node-sleep", "probability": 0.3}},
        "learning": {"rounds": 9, "radius": 0.6},
        "deletion": {"client": 2, "samples": 4},
        "unlearning": [
            {"method": "gossip-dp", "sigma": 0.2, "clip": 0.3, "view": "transcript:all"},
            {"method": "gossip-dp", "view": "joint"},
            {"method": "noise-only", "gossip_rounds": 2, "bound": "instance"},
            *CONTROLS,
        ],
        "backend": {"dtype": "float32"},
    },
    "token": {
        "partition": {"kind": "dirichlet", "clients": 6, "alpha": 0.5},
        "topology": "ring",
        "learning": {"rounds": 6, "sampling": {"kind": "poisson", "batch": 9}},
        "deletion": {"client": 2, "samples": 0.5},
        "unlearning": [
            {"method": "rr-du", "hops": 12, "noise": "certified", "bound": "instance", "view": "transcript:all"},
            {"method": "rr-du", "hops": 12, "alignment": "lightweight", "batch": 5, "routing": "neighbours"},
            {"method": "rr-du", "hops": 12, "optimizer": "adam", "trust_radius": 0.4, "start": "random"},
            {"method": "walk-dp", "hops": 15, "view": "transcript:0", "clip": 0.5},
            *CONTROLS,
        ],
        "backend": {"dtype": "float32"},
    },
    "adam": {
        "partition": {"clients": 6},
        "topology": {"kind": "ring", "schedule": {"kind": "node-sleep", "probability": 0.3}},
        "learning": {
            "rounds": 8,
            "local_steps": 2,
            "step_size": 0.1,
            "optimizer": {"kind": "adamw", "weight_decay": 0.1},
            "step_sizes": {"kind": "cosine", "warm_up": 2},
            "gradient_clip": 0.2,
        },
        "deletion": {"client": 2, "samples": 4},
        "unlearning": [
            {"method": "r2d", "rewind": 0.5, "sigma": 0.01, "gossip_rounds": 1},
            {"method": "r2d", "rewind": 0.5, "sigma": 0.01, "placement": "rewind", "view": "transcript:all"},
            {"method": "warm-start", "rounds": 3, "sigma": 0.01},
            {"method": "r2d", "rewind": 0.5, "sigma": 0.01, "view": "average"},
            *CONTROLS,
        ],
        "backend": {"dtype": "float32"},
    },
    "momentum": {
        "partition": {"clients": 5},
        "topology": "ring",
        "learning": {
            "rounds": 8,
            "order": "consensus-plus-gradient",
            "step_size": 0.1,
            "optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
            "sampling": {"kind": "poisson", "batch": 12},
        },
        "deletion": {
            "requests": [{"client": 1, "samples": 4, "round": 5}, {"client": 1, "samples": "all"}],
        },
        "unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.01}, *CONTROLS],
    },
    "graphs": {
        "partition": {"clients": 5},
        "topology": {
            "kind": "complete",
            "schedule": {
                "kind": "graphs",
                "graphs": [[[0, 1], [2, 3]], [[1, 2], [3, 4]], []],
                "rounds": 2,
                "rule": "max-degree",
            },
        },
        "learning": {"rounds": 12, "sampling": {"kind": "poisson", "batch": 9}},
        "deletion": {"samples": 3},
        "unlearning": [{"method": "r2d", "rewind": 0.5, "view": "transcript:4", "placement": "rewind"}, *CONTROLS],
    },
}


@with_mpi
@pytest.mark.parametrize(
    "name",
    [n if n == "star" else pytest.param(n, marks=pytest.mark.slow) for n in SCENARIOS],
)
@pytest.mark.transports
def test_transports_leave_the_same(name: str, tmp_path: Path) -> None:
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS[name]}, tmp_path)
    found = side_by_side(file, tmp_path, FEW)
    assert {place.split("/")[0] for place in found["one"]["weights_sha256"]} == {"checkpoints", "methods"}
    for transport in found:
        same(found[transport], found["one"])


@with_mpi
@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_any_number_of_ranks_leaves_the_same(name: str, tmp_path: Path) -> None:
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS[name]}, tmp_path)
    found = side_by_side(file, tmp_path, {name: ALL[name] for name in ("one", "mpi-1", "mpi-4")})
    for transport in found:
        same(found[transport], found["one"])


@pytest.mark.slow
def test_flower_over_ray_leaves_the_same(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    # Files are named from the current folder, which other processes must find too.
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "own.npz", x=rng.standard_normal((120, 3)), y=rng.integers(0, 2, 120), client=np.arange(120) % 4
    )
    scenario = {**SCENARIOS["ring"], "data": {"source": "npz", "path": "own.npz"}, "partition": "natural"}
    file = parity.write({"name": "same", **scenario}, tmp_path)
    found = side_by_side(file, tmp_path, {"one": IN_PROCESS, "ray": RAY})
    same(found["ray"], found["one"])


@pytest.mark.slow
@pytest.mark.deployment
def test_a_deployment_leaves_the_same(tmp_path: Path) -> None:
    scenario = {
        "name": "same",
        "data": DATA,
        "partition": {"kind": "dirichlet", "clients": 3, "alpha": 0.5},
        "topology": "path",
        "learning": {"rounds": 3},
        "deletion": {"samples": 2},
        "unlearning": [{"method": "r2d", "rewind": 0.5, "placement": "rewind", "view": "joint"}, "do-nothing"],
    }
    file = parity.write(scenario, tmp_path)
    parity.through(file, tmp_path / "one", *IN_PROCESS)
    parity.through(file, tmp_path / "deployment", *parity.DEPLOYED, seconds=400)
    same(left(tmp_path / "deployment"), left(tmp_path / "one"))


@with_mpi
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_fast_is_close_to_exact_on_every_transport(dtype: str, tmp_path: Path) -> None:
    scenario = {"name": "same", "data": DATA, **SCENARIOS["erdos-renyi"], "backend": {"dtype": dtype}}
    file = parity.write(scenario, tmp_path)
    fast = {f"fast-{name}": (*settings, "backend.precision=fast") for name, settings in FEW.items()}
    side_by_side(file, tmp_path, {"exact": IN_PROCESS, **fast})
    tolerance = {"float64": 1e-11, "float32": 1e-4}[dtype]
    places = sorted((tmp_path / "exact" / "checkpoints").iterdir())
    assert len(places) >= 3
    for place in places:
        exact = load_file(place)["theta"]
        for name in fast:
            found = load_file(tmp_path / name / "checkpoints" / place.name)["theta"]
            np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance)


def started_by_hand(ranks: int) -> tuple[str, ...]:
    return str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpi4py", *parity.COMMAND[1:]


@with_mpi
@pytest.mark.slow
def test_a_run_that_mpiexec_starts_leaves_the_same_and_speaks_once(tmp_path: Path) -> None:
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS["ring"]}, tmp_path)
    said = parity.through(file, tmp_path / "by-hand", "backend.kind=mpi", before=started_by_hand(3))
    assert said.count("run folder:") == 1
    assert said.count("do-nothing") >= 1
    parity.through(file, tmp_path / "one", *IN_PROCESS)
    same(left(tmp_path / "by-hand"), left(tmp_path / "one"))


@with_mpi
@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("backend.kind=mpi", "backend.ranks=2"), "mpiexec started 3 processes, but backend.ranks is 2"),
        (("backend.kind=mpi", "partition.clients=2", "topology=path"), "there are only 2 nodes"),
        (("backend.kind=mpi", "deletion.client=9"), "deletion.client 9 does not exist"),
    ],
)
def test_bad_input_to_a_run_that_mpiexec_starts(tmp_path: Path, settings: tuple[str, ...], sentence: str) -> None:
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS["ring"]}, tmp_path)
    run = parity.start(file, tmp_path / "out", *settings, before=started_by_hand(3))
    code, _, complained = parity.ended(run, 60)
    assert code == 2
    assert f"rewindnet: {sentence}" in complained or sentence in complained
    assert "Traceback" not in complained
    assert not (tmp_path / "out").exists()


@with_mpi
@pytest.mark.slow
def test_a_run_that_mpiexec_starts_ends_where_there_is_one_already(tmp_path: Path) -> None:
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS["ring"]}, tmp_path)
    parity.through(file, tmp_path / "out", *IN_PROCESS)
    before = left(tmp_path / "out")
    run = parity.start(file, tmp_path / "out", "backend.kind=mpi", before=started_by_hand(3))
    code, _, complained = parity.ended(run, 60)
    assert (code, "already holds a run" in complained) == (2, True)
    same(left(tmp_path / "out"), before)


@with_mpi
@pytest.mark.slow
def test_mpiexec_in_front_of_another_transport_does_not_run_it_twice(tmp_path: Path) -> None:
    """Only the process that has looked at the folder may write it."""
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS["ring"]}, tmp_path)
    out = tmp_path / "out"
    parity.through(file, out, *IN_PROCESS)
    (out / "left.txt").write_text("from before")
    began = parity.read(out / "record.json")
    run = parity.start(file, out, *IN_PROCESS, before=started_by_hand(2))
    code, _, complained = parity.ended(run, 60)
    assert code == 2, complained
    assert (out / "left.txt").is_file(), "another rank has overwritten the run"
    assert parity.read(out / "record.json") == began


@contextmanager
def refused(capsys: pytest.CaptureFixture[str], *words: str, before: str = "") -> Iterator[None]:
    """Exit code 2 and one sentence; nothing is printed but what stands before it."""
    with pytest.raises(SystemExit) as end:
        yield
    said = capsys.readouterr()
    assert end.value.code == 2
    assert said.out == before
    (line,) = said.err.splitlines()
    assert line.startswith("rewindnet: ")
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("backend.kind=mpi", "backend.ranks=0"), ("backend.ranks", "not 0")),
        (("backend.kind=mpi", "backend.ranks=-1"), ("backend.ranks", "not -1")),
        (("backend.kind=mpi", "backend.ranks=1.5"), ("backend.ranks", "1.5")),
        (("backend.kind=mpi", "backend.ranks=6"), ("backend.ranks is 6", "5 nodes")),
        (
            ("backend.kind=flower", "backend.runtime=cloud"),
            ("backend.runtime", "'in-process', 'ray' or 'deployment'", "'cloud'"),
        ),
        (("backend.kind=flower", "backend.ranks=2"), ("unknown key 'ranks'", "transport flower", "runtime")),
        (("backend.kind=pigeon",), ("unknown transport 'pigeon'", "in-process, mpi, flower")),
        (("backend.kind=in-process", "backend.runtime=ray"), ("unknown key 'runtime'",)),
    ],
)
def test_a_transport_that_cannot_be_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: tuple[str, ...], words: tuple[str, ...]
) -> None:
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS["ring"]}, tmp_path)
    with refused(capsys, *words):
        app(["run", str(file), *settings, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_sweep_refuses_a_transport_before_its_first_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS["ring"], "backend": {"kind": "mpi"}}, tmp_path)
    with refused(capsys, "backend.ranks", before="checking 2 runs\n"):
        app(["sweep", str(file), "backend.ranks=1,0", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_no_mpiexec_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mpiexec, "sys", SimpleNamespace(executable=str(tmp_path / "bin" / "python")))
    monkeypatch.setenv("PATH", str(tmp_path))
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS["ring"]}, tmp_path)
    with refused(capsys, "there is no mpiexec", "pip install"):
        app(["run", str(file), *mpi(2), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("launcher", [("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")])
def test_another_number_of_ranks_than_were_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, launcher: tuple[str, str]
) -> None:
    for name, value in zip(launcher, ("0", "3"), strict=True):
        monkeypatch.setenv(name, value)
    file = parity.write({"name": "same", "data": DATA, **SCENARIOS["ring"]}, tmp_path)
    with refused(capsys, "mpiexec started 3 processes, but backend.ranks is 2"):
        app(["run", str(file), *mpi(2), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_messages_go_wherever_a_matrix_says_in_one_process() -> None:
    network = WorkerNetwork(worker(range(NODES)), InProcess(NODES, "exact"))
    for case in CASES:
        go_through(network, case)


def test_messages_go_wherever_a_matrix_says_over_flower() -> None:
    def server(grid: Grid, context: Context) -> None:
        network = FlowerNetwork(grid, NODES)
        for case in CASES:
            go_through(network, case)

    crews = cache(lambda node: worker((node,)))
    in_process(server, make_app(lambda context: crews(int(context.node_config["partition-id"]))), NODES)


@with_mpi
@pytest.mark.parametrize("ranks", [2, *(pytest.param(ranks, marks=pytest.mark.slow) for ranks in (1, 3, 5))])
def test_messages_go_wherever_a_matrix_says_over_mpi(ranks: int) -> None:
    root = Path(__file__).parents[2]
    support = root / "tests/support"
    paths = {"PYTHONPATH": os.pathsep.join([str(root), str(support)])}
    done = subprocess.run(
        [str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpi4py", str(support / "conformance.py")],
        env={**os.environ, **paths},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all is well"


RING = Network(
    "ring",
    4,
    "metropolis-hastings",
    "adapt-then-combine",
    "logistic",
    1e-2,
    1.0,
    2,
    6,
    1,
    "half",
    (7,) * 4,
    "float64",
    3,
    "exact",
)


def whole_crew(simulation: Simulation) -> ClientWorker:
    assert isinstance(simulation.network, WorkerNetwork)
    return simulation.network.worker


class Faulty(ClientWorker):
    """A client that calls `trouble` before and after whatever it does."""

    def __init__(self, whole: ClientWorker, node: int, trouble: Callable[[], None]) -> None:
        dtype = whole.full.blank().dtype
        super().__init__(whole.full.only([node], dtype), {})
        self.blocks = tuple(block.only([node], dtype) for block in whole.blocks)
        self._deleting, self._trouble = whole._deleting, trouble

    def begin(self, *given: Any) -> None:
        self._around(super().begin, *given)

    def apply(self, *given: Any) -> None:
        self._around(super().apply, *given)

    def message(self, *given: Any) -> Any:
        return self._around(super().message, *given)

    def combine(self, *given: Any) -> None:
        self._around(super().combine, *given)

    def keep(self, *given: Any) -> None:
        self._around(super().keep, *given)

    def disturbances(self) -> Any:
        return self._around(super().disturbances)

    def _around(self, do: Callable[..., Any], *given: Any) -> Any:
        self._trouble()
        result = do(*given)
        self._trouble()
        return result


def all_there_is(simulation: Simulation) -> list[torch.Tensor]:
    """Learn, retrain, and carry out three releases; every state that comes of it, and the traffic."""
    learned, (learning,) = simulation.learn({0, 3, 6})
    assert learning.ledger is not None
    oracle = simulation.retrain(8, {6, 8})
    found = [learned.at(3), learned.at(6), oracle.at(6), oracle.at(8)]
    found = [*(state.clone() for state in found), torch.from_numpy(learning.ledger.disturbance)]
    releases = [
        Release("r2d", 3, 3, "output", np.full(4, 0.3), gossip_rounds=2),
        Release("r2d", 3, 3, "output", np.full(4, 0.3), averaged=True),
        Release("warm-start", 6, 2, "rewind", np.full(4, 0.3)),
    ]
    for index, release in enumerate(releases):
        outcome, counterpart = (
            simulation.execute(*as_planned(release), learned, index),
            simulation.oracle_state(release, oracle),
        )
        found += [state.clone() for state in (outcome.centre, outcome.noised, outcome.released, counterpart)]
    return [*found, *(torch.from_numpy(carried.toarray()) for _, carried in sorted(simulation.traffic.items()))]


def over_flower(
    trouble: Callable[[], None], around: Callable[[ClientApp], Any] = lambda app: app
) -> list[torch.Tensor]:
    """The same over Flower, with clients in trouble."""
    simulation, found = RING.simulation(), []
    whole = whole_crew(simulation)
    crews = cache(lambda node: Faulty(whole, node, trouble))

    def server(grid: Grid, context: Context) -> None:
        found.extend(all_there_is(replace(simulation, network=FlowerNetwork(grid, RING.nodes))))

    client = make_app(lambda context: crews(int(context.node_config["partition-id"])))
    in_process(server, around(client), RING.nodes)
    return found


class FailAt:
    """Raises at some of the times that it is called."""

    def __init__(self, *times: int) -> None:
        self.calls, self._times = 0, times

    def __call__(self) -> None:
        self.calls += 1
        if self.calls in self._times:
            raise ArithmeticError("the client cannot count")


def agree(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(found) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.fixture(scope="module")
def undisturbed() -> list[torch.Tensor]:
    return all_there_is(RING.simulation())


@pytest.fixture(scope="module")
def calls(undisturbed: list[torch.Tensor]) -> int:
    """How often clients may be in trouble."""
    never = FailAt()
    agree(over_flower(never), undisturbed)
    return never.calls


@pytest.mark.parametrize("stride", [97, pytest.param(5, marks=pytest.mark.slow)])
def test_a_client_that_raises_once_tries_again(undisturbed: list[torch.Tensor], calls: int, stride: int) -> None:
    wrong = []
    for call in range(1, calls + 1, stride):
        try:
            agree(over_flower(FailAt(call)), undisturbed)
        except (AssertionError, BrokenTransportError) as problem:
            wrong.append((call, str(problem)))
    assert not wrong, "\n".join(f"{at}: {what}" for at, what in wrong)


def test_an_answer_that_is_lost_is_given_again(undisturbed: list[torch.Tensor]) -> None:
    for lost in (1, 2, 5, 6, 7, 30, 31, 77):
        trouble = FailAt(lost)

        def losing(client: ClientApp, trouble: FailAt = trouble) -> Any:
            def call(message: Message, context: Context) -> Message:
                answer = client(message, context)
                trouble()
                return answer

            return call

        agree(over_flower(FailAt(), losing), undisturbed)
        assert trouble.calls > lost


def test_no_two_answers_have_a_part_in_common(undisturbed: list[torch.Tensor]) -> None:
    """A SuperLink keeps equal parts once; flwr 1.41 then fails a client whose part it has from another message."""
    seen, twice = set[str](), list[str]()

    def watched(client: ClientApp) -> Any:
        def call(message: Message, context: Context) -> Message:
            sent = get_all_nested_objects(message)
            answer = client(message, context)
            seen.update(sent)
            parts = get_all_nested_objects(answer)
            twice.extend(f"{part.__class__.__name__} {name}" for name, part in parts.items() if name in seen)
            seen.update(parts)
            return answer

        return call

    agree(over_flower(FailAt(), watched), undisturbed)
    assert len(seen) > 100
    assert twice == []


def test_a_client_that_always_raises_is_given_up() -> None:
    trouble = FailAt(*range(100, 200))
    with pytest.raises(BrokenTransportError, match=r"answered with an error: .*the client cannot count"):
        over_flower(trouble)
    assert 100 < trouble.calls < 200


def test_a_client_that_has_lost_its_state_says_so() -> None:
    seen = Counter[int]()

    def forgetful(client: ClientApp) -> Any:
        def call(message: Message, context: Context) -> Message:
            node = int(context.node_config["partition-id"])
            seen[node] += 1
            if node == 2 and seen[node] == 9:
                context.state = RecordDict()
            return client(message, context)

        return call

    with pytest.raises(BrokenTransportError, match="has lost its state: it is asked for trip 9 and remembers 0"):
        over_flower(FailAt(), forgetful)
