"""Compare many unlearned networks with many retrained ones by their margins: the command `rewindnet klom`."""

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
from rewindnet.experiments.folder.files import check_writable, write_json
from rewindnet.experiments.folder.reader import FolderError, RunFolder
from rewindnet.experiments.folder.whole import read_whole
from rewindnet.experiments.runs.evaluation import Samples
from rewindnet.experiments.runs.run_setup import RunSetup, build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.inputs import changed_input, recorded_inputs
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

#: The largest number of networks on each side; draws have addresses for this many, beyond those of the releases.
MOST_DRAWS = 100_000

Vector = NDArray[np.float64]


def klom_study(path: Path, draws: int, points: int, only: int | None) -> None:
    """Compute KLoM for a run, write klom.json into its folder, and print a table.

    Args:
        path: the run folder.
        draws: the number of networks on each side.
        points: the largest number of samples of each set.
        only: the number of one release; None takes all releases.

    Raises:
        UserError: if the folder or an option is not valid; nothing has been drawn then.
    """
    folder = read_whole(path)
    indices = range(len(folder.methods)) if only is None else [only]
    if only is not None and not 0 <= only < len(folder.methods):
        raise ScenarioError(f"--only is the number of a release, 0 to {len(folder.methods) - 1}, not {only}")
    if not 2 <= draws <= MOST_DRAWS:
        raise ScenarioError(f"--draws is a number of networks, 2 to {MOST_DRAWS:,}, not {draws}")
    if points < 1:
        raise ScenarioError(f"--points is a number of samples, at least 1, not {points}")
    study = KlomStudy(folder, draws, points)
    check_writable(folder.path / "klom.json")
    console = terminal()
    with console.status("drawing", spinner=console.spinner) as status:
        rows = []
        for index in indices:
            status.update(f"drawing {draws} networks on each side for {folder.summary[index]['method']}")
            rows.append(study.row(index))
    write_json(folder.path / "klom.json", {"draws": draws, "rows": rows})
    _print_table(rows, draws, console)


class KlomStudy:
    """Draws networks for the releases of a run.

    An unlearned network is the release under other noise: the recorded models before the noise, plus noise from another
    address, after the rounds that follow. A retrained network is made in the same way from the network that was
    retrained without the forget set, in the same round, as certificates compare them. All other randomness, such as
    batches and failing links, is that of the run.

    Args:
        folder: the run.
        draws: S, the number of networks on each side.
        points: the largest number of samples of each set.

    Raises:
        UserError: if the scenario cannot be built again, or a file that it reads has changed.
    """

    def __init__(self, folder: RunFolder, draws: int, points: int) -> None:
        self._folder, self._draws, self._points = folder, draws, points
        self._setup: RunSetup = build_run(resolve(folder.scenario, ["backend.kind=in-process"]))
        changed = changed_input(recorded_inputs(folder.record), self._setup.network.inputs)
        if changed:
            raise FolderError(f"the run in {folder.path} read other data ({changed}); run its scenario again")
        nodes = range(self._setup.network.mixing.nodes)
        wire = InProcess(len(nodes), self._setup.scenario.backend.precision)
        self._simulation: Simulation = self._setup.simulation(WorkerNetwork(self._setup.worker(list(nodes)), wire))

    def row(self, index: int) -> dict[str, Any]:
        """Compute KLoM of one release over the samples of each set.

        Args:
            index: the number of the release.

        Returns:
            For each set and model the mean, the median, the 95th percentile, and the mean between two sets of
            retrained networks (`chance`); with a reason instead if the release adds no noise.

        Raises:
            FolderError: if the run has stored no weights.
        """
        certificate = self._folder.certified[index][0]
        release, request = certificate.release, index // len(self._setup.methods)
        described = {"index": index, "request": request, "method": certificate.method, "view": str(certificate.view)}
        if release.mechanism.one_vector and not release.sigma.any():
            return {**described, "sets": None, "reason": "it adds no noise, so there is one network on either side"}
        states = self._store_states(index, release, request)
        present = np.flatnonzero(self._setup.network.training_run.present)
        deleting = [node for node in self._setup.network.arrivals[request].forget if node in present][:1]
        chosen = self._chosen(request)
        margins_of = [self._margins(index, side, name, deleting, chosen) for side, name in enumerate(states)]
        sets: dict[str, Any] = {}
        for name, samples in chosen.items():
            unlearned, retrained, again = (of[name] for of in margins_of)
            models = ["client"] * len(deleting) + ["average_model"]
            sets[name] = {"points": len(samples[0])}
            for at, model in enumerate(models):
                value = klom(unlearned[:, at], retrained[:, at])
                chance = klom(again[:, at], retrained[:, at])
                sets[name][model] = {**_summary(value), "chance": float(chance.mean())}
        return {**described, "sets": sets, "reason": None}

    def _store_states(self, index: int, release: Release, request: int) -> Sequence[str]:
        """Store the models before the noise on the network.

        Returns:
            The names of the states: of unlearning once, and of retraining twice.
        """
        suffix = self._folder.suffix_of(index)
        centre = self._weights(f"{self._folder.methods[index].place}/centre")
        retrained = self._weights(f"checkpoints/retrained{suffix}-{release.noise_round:06d}")
        network = self._simulation.network
        network.store("unlearned", centre)
        network.store("retrained", retrained)
        oracle = Trajectory(network, {release.noise_round: "retrained"}, Cost())
        network.store("oracle", self._simulation.oracle_state(release, oracle, request))
        return "unlearned", "oracle", "oracle"

    def _weights(self, place: str) -> Tensor:
        """Read stored models [N, d].

        Raises:
            FolderError: if the run has stored no weights.
        """
        array = self._folder.weights(place)
        if array is None:
            raise FolderError(
                f"{self._folder.path} holds no {place}; run the scenario with record.weights=true and noise_source seed"
            )
        parameters = self._setup.network.model.parameters
        if array.shape[1] != parameters:
            raise FolderError(f"{place} of {self._folder.path} has other models than the scenario, of {parameters}")
        return torch.from_numpy(array)

    def _chosen(self, request: int) -> dict[str, Samples]:
        """Draw the samples whose margins are compared: at most `points` of each set."""
        chosen = {}
        for at, (name, (design, targets)) in enumerate(self._setup.evaluations[request].sets.items()):
            generator = rng_at(self._setup.scenario.seed, Stream.EVALUATION, round=1 + request, node=3 + at)
            count = min(self._points, len(design))
            rows = torch.from_numpy(np.sort(generator.choice(len(design), count, replace=False))).to(design.device)
            chosen[name] = design[rows], targets[rows]
        return chosen

    def _margins(
        self, index: int, side: int, state: str, deleting: Sequence[int], chosen: Mapping[str, Samples]
    ) -> dict[str, Vector]:
        """Compute margins for each set of samples.

        Args:
            index: the number of the release.
            side: 0 for unlearning, 1 and 2 for the two sets of retrained networks.
            state: the name of the models before the noise.
            deleting: the deleting client, if it is still in the network.
            chosen: the samples of each set.

        Returns:
            [S, models, n] for each set; the models are that of the deleting client and the average.
        """
        method = self._setup.methods[index % len(self._setup.methods)]
        release, request = self._folder.certified[index][0].release, index // len(self._setup.methods)
        present = np.flatnonzero(self._setup.network.training_run.present)
        collected: dict[str, list[Vector]] = {name: [] for name in chosen}
        for draw in range(self._draws):
            # A number of its own for each release, side and draw, beyond the numbers of the releases of the run.
            number = (3 * index + side + 1) * MOST_DRAWS + draw
            theta = self._simulation.resample_noise(method, release, state, number, request)
            models = torch.cat([theta[list(deleting)], theta[present].mean(dim=0, keepdim=True)])
            for name, (design, targets) in chosen.items():
                of = margins(self._setup.network.model, models.to(design), design, targets)
                collected[name].append(of.double().cpu().numpy())
        return {name: np.stack(of) for name, of in collected.items()}


def _summary(value: Vector) -> dict[str, float]:
    """Compute the mean, the median and the 95th percentile."""
    return {
        "mean": float(value.mean()),
        "median": float(np.median(value)),
        "percentile_95": float(np.percentile(value, 95)),
    }


def _print_table(rows: Sequence[Mapping[str, Any]], draws: int, console: Console) -> None:
    """Print the table and its legend."""
    table = Table(title=f"KLoM, {draws} networks on each side", title_justify="left", header_style="bold")
    for heading in ("release", "view", "samples", "model"):
        table.add_column(heading, no_wrap=True)
    for heading in ("mean", "median", "95 %", "chance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        release = f"{row['index']} {row['method']}"
        if row["sets"] is None:
            table.add_row(release, row["view"], "—", "—", "—", "—", "—", "—")
        for name, models in (row["sets"] or {}).items():
            for model in ("client", "average_model"):
                if model in models:
                    values = (models[model][what] for what in ("mean", "median", "percentile_95", "chance"))
                    table.add_row(
                        release, row["view"], name, model.replace("_", " "), *(f"{value:.3g}" for value in values)
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
