"""A forger of run folders, who is competent: what follows from an edit is derived again, by the library itself.

Hashes, certificates, audits, metrics and the table are made to agree with each other; what cannot be made to agree is
left as it was.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from runs import rehash
from safetensors.numpy import load_file, save_file

from rewindnet.certificates import Audit, Certificate, TrainingRun, audit, certify, monte_carlo
from rewindnet.certificates.audits.montecarlo import MOST_DRAWS
from rewindnet.certificates.audits.noise.traces import NoiseTraces, no_traces
from rewindnet.certificates.audits.noise.verdict import LEVEL, audit_vectors
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.training.noise import draw
from rewindnet.experiments.folder.format import digest
from rewindnet.experiments.folder.reader import RunFolder, goes_on_from_releases, read_folder
from rewindnet.experiments.runs.composition import compose_releases
from rewindnet.experiments.runs.evaluation import Evaluation, build_evaluation
from rewindnet.experiments.runs.measures import ratios_to_norm, table_row
from rewindnet.experiments.scenario.network_setup import NetworkSetup, build_network
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.plans import method_of
from rewindnet.experiments.verify.records import noise_address_of
from rewindnet.simulator.transports.sums import edges
from rewindnet.topologies import Stream

ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}


class Forger:
    """Edits a copy of a run folder.

    Args:
        path: the folder, which is changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run(self) -> RunFolder:
        """The folder as it now is."""
        return read_folder(self.path)

    def place(self, index: int) -> str:
        """The folder of a release."""
        return self.run.methods[index].place

    def json(self, name: str, change: Callable[[Any], Any]) -> None:
        """Edit a JSON file."""
        file = self.path / f"{name}.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    def scenario(self, change: Callable[[Any], Any]) -> None:
        """Edit the scenario."""
        content = yaml.safe_load((self.path / "scenario.yaml").read_text())
        change(content)
        (self.path / "scenario.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def lines(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Edit every line of metrics.jsonl; one that becomes empty is left out."""
        lines = list(self.run.metrics_lines())
        for line in lines:
            change(line)
        (self.path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines if line))

    def array(self, name: str) -> Any:
        """A stored array [N, d]."""
        return load_file(self.path / f"{name}.safetensors")["theta"]

    def put(self, name: str, theta: Any) -> None:
        """Replace a stored array, and its hash."""
        save_file({"theta": np.ascontiguousarray(theta)}, self.path / f"{name}.safetensors")
        hashed = hashlib.sha256(np.ascontiguousarray(theta).tobytes()).hexdigest()
        self.json("record", lambda record: record["weights_sha256"].update({name: hashed}))

    def noise(self, index: int) -> Any:
        """The noise that a release added to its models, [N, d]."""
        release = self.run.certified[index][0].release
        name = "released" if release.mechanism.releases_noised_models(release) else "noised"
        return self.array(f"{self.place(index)}/{name}") - self.array(f"{self.place(index)}/centre")

    def rehash(self) -> None:
        """Make the hashes of record.json those of the files."""
        self.json("record", lambda record: record.update(sha256=digest(record["weights_sha256"])))
        rehash(self.path)

    def follow(self, planned: bool = False) -> None:
        """Derive certificates, audits, metrics, the table and hashes again from what the other records now say.

        Args:
            planned: have the methods plan their releases again, too, and the stored models carry the noise of the plan.
        """
        if planned:
            self._plan()
        run, setup = self.run, self._setup()
        traces: list[NoiseTraces] = []
        for index, method in enumerate(run.methods):
            training, before = run.training_run_of(index), run.certified[index][0]
            certificate = certify(training, before.release, before.claim)
            audited = self._audit(run, certificate, training, index, traces)
            (self.path / method.place / "certificate.json").write_text(json.dumps(certificate.to_record()))
            (self.path / method.place / "audit.json").write_text(json.dumps(audited.to_record()))
            self._measure(run, setup, index)
        self._shares()
        self.table()

    def _plan(self) -> None:
        """Have every release be the one that its method plans by the records."""
        for index, method in enumerate(self.run.methods):
            # Where learning goes on from releases, plans depend on those before.
            run = self.run
            training, before = run.training_run_of(index), run.certified[index][0].release
            plan = method_of(run, index).plan(training)
            if before.adds_one_vector and before.sigma.any():
                self.noised(index, plan.release.sigma[:, None] * self._drawn(run, index))
            certificate = certify(training, plan.release, plan.claim)
            (self.path / method.place / "certificate.json").write_text(json.dumps(certificate.to_record()))

    def _drawn(self, run: RunFolder, index: int) -> Any:
        """Standard noise at the address that the records now give a release, [N, d]."""
        centre, shared = self.array(f"{self.place(index)}/centre"), run.certified[index][0].release.shares_noise
        address = noise_address_of(run, index)
        return np.stack([draw(centre.shape[1], address, 0 if shared else node) for node in range(len(centre))])

    def noised(self, index: int, noise: Any, centre: Any = None) -> None:
        """Have a release be its models before the noise, or others [N, d], with this noise [N, d]."""
        run, place = self.run, self.place(index)
        release, training = run.certified[index][0].release, run.training_run_of(index)
        theta = noise + (self.array(f"{place}/centre") if centre is None else centre)
        if centre is not None:
            self.put(f"{place}/centre", centre)
        if not release.mechanism.releases_noised_models(release):
            self.put(f"{place}/noised", theta)
        start = release.checkpoint_round + release.descent_rounds
        for t in range(start, start + release.gossip_rounds):
            theta = training.mixing.matrix(t) @ theta
        self.put(f"{place}/released", theta)
        later = index + len(run.scenario["unlearning"])
        if goes_on_from_releases(run.scenario) and later < len(run.methods):
            self.put(run.learned_array(later, training.rounds), theta)

    def table(self) -> None:
        """Make the table and the hashes again from the certificates, audits and metrics."""
        run, rows = self.run, []
        many = len(run.scenario["unlearning"])
        for index, (method, (certificate, audited)) in enumerate(zip(run.methods, run.certified, strict=True)):
            deleting = [int(node) for node in run.learning["requests"][index // many]["forget"]]
            row = table_row(index, method_of(run, index).variant, certificate, audited, method.metrics, deleting)
            rows.append({"request": index // many, **row})
        together = []
        if len(run.learning["requests"]) > 1 and not goes_on_from_releases(run.scenario):
            certificates = [certificate for certificate, _ in run.certified]
            together = compose_releases([certificates[at::many] for at in range(many)])
        (self.path / "summary.json").write_text(json.dumps({"rows": rows, "together": together}))
        self.rehash()

    def _setup(self) -> NetworkSetup | None:
        """The network of the scenario, if it still fits its data."""
        try:
            return build_network(resolve(self.run.scenario))
        except Exception:
            return None

    def _arrays(self, run: RunFolder, index: int, training: TrainingRun, round: int) -> tuple[Any, Any, Any, Any]:
        """The models before and after the noise, as released, and retrained, after so many rounds."""
        place, suffix = run.methods[index].place, run.suffix_of(index)
        centre, released, noised = (self._stored(f"{place}/{name}") for name in ("centre", "released", "noised"))
        retrained = self._stored(f"checkpoints/retrained{suffix}-{round:06d}")
        return centre, released if noised is None else noised, released, retrained

    def _stored(self, name: str) -> Any:
        """A stored array, whatever its shape; None if there is none."""
        return self.array(name) if (self.path / f"{name}.safetensors").is_file() else None

    def _audit(
        self, run: RunFolder, certificate: Certificate, training: TrainingRun, index: int, traces: list[NoiseTraces]
    ) -> Audit:
        """The audit of a release by the arrays; what it says of the noise is left where that would be a violation."""
        release, found = certificate.release, Audit.from_record(run.methods[index].audit)
        centre, noised, _, retrained = self._arrays(run, index, training, release.noise_round)
        if centre is None or retrained is None:
            return audit(
                certificate,
                training.mixing,
                np.array(found.divergence),
                found.monte_carlo,
                np.array(found.shifts),
                found.noise_audit,
            )
        address, parameters, settings = noise_address_of(run, index), centre.shape[1], run.scenario["audit"]

        def drawn(node: int, first: int, rows: int) -> Any:
            block = replace(address, release=index * MOST_DRAWS + first)
            flat = draw(rows * parameters, block, node, Stream.AUDIT)
            return flat.reshape(rows, parameters)

        sampled = monte_carlo(
            certificate, training.mixing, centre, retrained, drawn, settings["draws"], settings["confidence"]
        )
        noise, additions = found.noise_audit, release.mechanism.additions(training, release)
        if len(additions) and release.adds_one_vector:
            roundoff, level = ROUNDOFF[run.scenario["backend"]["dtype"]], LEVEL / len(run.methods)
            honest, trace = audit_vectors(
                additions, centre, noised, roundoff, level, retrained, release.shares_noise, traces
            )
            traces.append(trace)
            noise = honest if honest.status == "holds" else noise
        else:
            traces.append(no_traces(parameters))
        divergence = np.linalg.norm(centre - retrained, axis=1)
        shifts = np.minimum(found.shifts, certificate.shifts) if certificate.shifts else np.array(found.shifts)
        return audit(certificate, training.mixing, divergence, sampled, shifts, noise)

    def _measure(self, run: RunFolder, setup: NetworkSetup | None, index: int) -> None:
        """Measure the released models, and have the shares of the cost follow from the cost."""
        training, metrics = run.training_run_of(index), run.methods[index].metrics
        _, _, released, retrained = self._arrays(run, index, training, training.rounds)
        request = index // len(run.scenario["unlearning"])
        if released is not None and retrained is not None:
            present = np.flatnonzero(training.present)
            released, retrained = released[present], retrained[present]
            mean = released.mean(axis=0)
            metrics["consensus_distance"] = float(np.linalg.norm(released - mean, axis=1).mean())
            distance, norms = np.linalg.norm(released - retrained, axis=1), np.linalg.norm(retrained, axis=1)
            metrics["distance_to_retrained"] = distance.tolist()
            metrics |= ratios_to_norm(run.certified[index][0].release, present, norms, distance, released.shape[1])
            if setup is not None and str(released.dtype) == run.scenario["backend"]["dtype"]:
                evaluation = build_evaluation(setup, request)
                _accuracies(metrics["accuracy"], setup, evaluation, released)
                learned = torch.from_numpy(self.array(run.learned_array(index, training.rounds))[present])
                learned = learned.to(evaluation.sets["test"][0].device)
                metrics["accuracy_at_request"] = accuracy(setup.model, learned, *evaluation.sets["test"]).tolist()
        cost, release = metrics["cost"], run.certified[index][0].release
        if release.mechanism.plain_descent:
            descent = range(release.checkpoint_round, release.checkpoint_round + release.descent_rounds)
            cost["gradients"] = sum(int(training.gradients(t, True).sum()) for t in descent)
            cost["evaluations"] = cost["gradients"]
        cost["bytes"] = cost["messages"] * json.loads((self.path / "traffic.json").read_text())["message_bytes"]
        (self.path / run.methods[index].place / "metrics.json").write_text(json.dumps(metrics))

    def _shares(self) -> None:
        """Have the share of every cost follow from the cost of retraining."""
        run, many = self.run, len(self.run.scenario["unlearning"])
        named = [method["method"] for method in run.scenario["unlearning"]]
        for index, method in enumerate(run.methods):
            cost, shares = method.metrics["cost"], method.metrics["cost_share"]
            retraining = run.methods[index // many * many + named.index("retrain")].metrics["cost"]
            for name in {"gradients", "rounds", "messages", "bytes", "simulated_seconds", "evaluations"} & set(shares):
                shares[name] = cost[name] / retraining[name] if retraining[name] else 0.0
            (self.path / method.place / "metrics.json").write_text(json.dumps(method.metrics))

    def follow_messages(self) -> None:
        """Have the messages of every round, edge and cost follow from topology.json, for a graph that never changes."""
        training = self.run.network[1]
        one_round = edges(training.mixing.matrix(0))
        many = int(one_round.sum())
        self.lines(lambda line: line.update(messages=many) if line["messages"] else None)
        entries = one_round.tocoo()
        rounds = {"learned": training.rounds, "retrained": training.rounds}

        def carried(traffic: dict[str, Any]) -> None:
            for name, part in traffic["parts"].items():
                times = rounds.get(name, max(part["messages"], default=0))
                part.update(
                    {"from": entries.col.tolist(), "to": entries.row.tolist(), "messages": [times] * many}
                    if times
                    else {}
                )

        self.json("traffic", carried)
        for index, method in enumerate(self.run.methods):
            rounds_taken = method.metrics["cost"]["rounds"]
            self.json(f"{self.place(index)}/metrics", lambda m, r=rounds_taken: m["cost"].update(messages=r * many))


def _accuracies(recorded: Mapping[str, Any], setup: NetworkSetup, evaluation: Evaluation, released: Any) -> None:
    """Measure the accuracy of every model, and of their average."""
    theta = torch.from_numpy(released).to(next(iter(evaluation.sets.values()))[0].device)
    for name, (design, targets) in evaluation.sets.items():
        recorded[name]["nodes"] = accuracy(setup.model, theta, design, targets).tolist()
        mean = theta.mean(dim=0, keepdim=True)
        recorded[name]["average_model"] = float(accuracy(setup.model, mean, design, targets)[0])
        recorded[name]["samples"] = len(targets)
