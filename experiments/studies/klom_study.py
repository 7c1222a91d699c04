"""`rewindnet klom`: many draws of the noise of each release of a run, after unlearning and after retraining."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from rewindnet.certificates import Release
from rewindnet.clients.metrics.klom import klom, margins
from rewindnet.experiments.console import terminal
from rewindnet.experiments.folder.files import write_json
from rewindnet.experiments.folder.reader import FolderError, RunFolder, read_folder
from rewindnet.experiments.runs.evaluation import Samples
from rewindnet.experiments.runs.run_setup import RunSetup, build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

#: Networks drawn on each side, at most: draws have addresses for so many, beyond those of a run's own releases.
MOST_DRAWS = 100_000

Vector = NDArray[np.float64]


def klom_study(path: Path, draws: int, points: int, only: int | None) -> None:
    """Compute KLoM for a run, write klom.json into its folder, and print a table.

    Args:
        path: of the run folder.
        draws: networks on each side.
        points: samples of each kind, at most.
        only: the number of one release; None takes all.

    Raises:
        UserError: before anything is drawn.
    """
    folder = read_folder(path)
    indices = range(len(folder.methods)) if only is None else [only]
    if only is not None and not 0 <= only < len(folder.methods):
        raise ScenarioError(f"--only is the number of a release, 0 to {len(folder.methods) - 1}, not {only}")
    if not 2 <= draws <= MOST_DRAWS:
        raise ScenarioError(f"--draws is a number of networks, 2 to {MOST_DRAWS:,}, not {draws}")
    if points < 1:
        raise ScenarioError(f"--points is a number of samples, at least 1, not {points}")
    study = Study(folder, draws, points)
    console = terminal()
    with console.status("drawing") as status:
        rows = []
        for index in indices:
            status.update(f"drawing {draws} networks on each side for {folder.summary[index]['method']}")
            rows.append(study.row(index))
    write_json(folder.path / "klom.json", {"draws": draws, "rows": rows})
    show(rows, draws, console)


class Study:
    """Draws networks for the releases of a run.

    An unlearned network is what the release would have been under other noise: the recorded state before the noise,
    plus noise from another address, after the rounds that follow. A retrained network is made in the same way from the
    network that never saw the forget set, in the same round, which is what certificates compare with. All other
    randomness, such as batches and failing links, is that of the run.

    Args:
        folder: of the run.
        draws: S, networks on each side.
        points: samples of each kind, at most.
    """

    def __init__(self, folder: RunFolder, draws: int, points: int) -> None:
        self._folder, self._draws, self._points = folder, draws, points
        self._setup: RunSetup = build_run(resolve(folder.scenario, ["backend.kind=in-process"]))
        nodes = range(self._setup.network.mixing.nodes)
        wire = InProcess(len(nodes), self._setup.scenario.backend.precision)
        self._simulation: Simulation = self._setup.simulation(WorkerNetwork(self._setup.worker(list(nodes)), wire))

    def row(self, index: int) -> dict[str, Any]:
        """Compute KLoM of one release over the points of each kind: mean, median, 95th percentile, and that of chance.

        Raises:
            FolderError: if the run has kept no weights.
        """
        certificate = self._folder.certified[index][0]
        release, request = certificate.release, index // len(self._setup.methods)
        begin = {"index": index, "request": request, "method": certificate.method, "view": str(certificate.view)}
        if release.mechanism.one_vector and not release.sigma.any():
            return {**begin, "sets": None, "reason": "it adds no noise, so there is one network on either side"}
        begins = self._begins(index, release, request)
        present = np.flatnonzero(self._setup.network.training_run.present)
        deleting = [node for node in self._setup.network.arrivals[request].forget if node in present][:1]
        chosen = self._chosen(request)
        margins_of = [self._margins(index, world, name, deleting, chosen) for world, name in enumerate(begins)]
        sets: dict[str, Any] = {}
        for name, samples in chosen.items():
            unlearned, retrained, again = (of[name] for of in margins_of)
            models = ["client"] * len(deleting) + ["average_model"]
            sets[name] = {"points": len(samples[0])}
            for at, model in enumerate(models):
                value = klom(unlearned[:, at], retrained[:, at])
                chance = klom(again[:, at], retrained[:, at])
                sets[name][model] = {**_summary(value), "chance": float(chance.mean())}
        return {**begin, "sets": sets, "reason": None}

    def _begins(self, index: int, release: Release, request: int) -> Sequence[str]:
        """Store the states before the noise, and return their names: of unlearning, and twice of retraining."""
        mark = f"-{request}" if len(self._setup.network.training_runs) > 1 else ""
        centre = self._weights(f"{self._folder.methods[index].place}/centre")
        retrained = self._weights(f"checkpoints/retrained{mark}-{release.noise_round:06d}")
        network = self._simulation.network
        network.store("unlearned", centre)
        network.store("retrained", retrained)
        oracle = Trajectory(network, {release.noise_round: "retrained"}, Cost())
        network.store("counterpart", self._simulation.oracle_state(release, oracle, request))
        return "unlearned", "counterpart", "counterpart"

    def _weights(self, place: str) -> Tensor:
        array = self._folder.weights(place)
        if array is None:
            raise FolderError(
                f"{self._folder.path} keeps no {place}; run it with record.weights=true, and noise_source seed"
            )
        return torch.from_numpy(array)

    def _chosen(self, request: int) -> dict[str, Samples]:
        """Choose the samples whose margins are compared."""
        chosen = {}
        for at, (name, (design, targets)) in enumerate(self._setup.evaluations[request].sets.items()):
            generator = rng_at(self._setup.scenario.seed, Stream.EVALUATION, round=1 + request, node=3 + at)
            count = min(self._points, len(design))
            rows = torch.from_numpy(np.sort(generator.choice(len(design), count, replace=False))).to(design.device)
            chosen[name] = design[rows], targets[rows]
        return chosen

    def _margins(
        self, index: int, world: int, begin: str, deleting: Sequence[int], chosen: Mapping[str, Samples]
    ) -> dict[str, Vector]:
        """Compute margins [S, models, n] for each kind of samples, of the deleting client's model and the average."""
        method = self._setup.methods[index % len(self._setup.methods)]
        release, request = self._folder.certified[index][0].release, index // len(self._setup.methods)
        present = np.flatnonzero(self._setup.network.training_run.present)
        collected: dict[str, list[Vector]] = {name: [] for name in chosen}
        for draw in range(self._draws):
            # Beyond the numbers of a run's own releases, and another for each release, world and draw.
            number = (3 * index + world + 1) * MOST_DRAWS + draw
            theta = self._simulation.resample_noise(method, release, begin, number, request)
            models = torch.cat([theta[list(deleting)], theta[present].mean(dim=0, keepdim=True)])
            for name, (design, targets) in chosen.items():
                of = margins(self._setup.network.model, models.to(design), design, targets)
                collected[name].append(of.double().cpu().numpy())
        return {name: np.stack(of) for name, of in collected.items()}


def _summary(value: Vector) -> dict[str, float]:
    return {
        "mean": float(value.mean()),
        "median": float(np.median(value)),
        "percentile_95": float(np.percentile(value, 95)),
    }


def show(rows: Sequence[Mapping[str, Any]], draws: int, console: Console) -> None:
    """Print the table."""
    table = Table(title=f"KLoM, {draws} networks on each side", title_justify="left", header_style="bold")
    for heading in ("release", "view", "samples", "model"):
        table.add_column(heading, no_wrap=True)
    for heading in ("mean", "median", "95 %", "chance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        who = f"{row['index']} {row['method']}"
        if row["sets"] is None:
            table.add_row(who, row["view"], "—", "—", "—", "—", "—", "—")
        for name, found in (row["sets"] or {}).items():
            for model in ("client", "average_model"):
                if model in found:
                    values = (found[model][what] for what in ("mean", "median", "percentile_95", "chance"))
                    table.add_row(
                        who, row["view"], name, model.replace("_", " "), *(f"{value:.3g}" for value in values)
                    )
    console.print(table)
    console.print(
        "KL(unlearned ‖ retrained) of the margins of each sample, in nats, over 20 bins: at most 11.5. Chance: the "
        "mean between two sets of retrained networks.",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
    for row in rows:
        if row["reason"]:
            line = f"— {row['index']} {row['method']}: {row['reason']}."
            console.print(line, style="dim", highlight=False, soft_wrap=True)
