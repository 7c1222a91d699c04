"""Edits of run folders: each changes one thing, and has the rest follow from it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from forging import Forger

from rewindnet.certificates import audit, forget_commitment
from rewindnet.certificates.audits.noise.statistics import p_value
from rewindnet.certificates.audits.noise.verdict import judged
from rewindnet.clients.data.deletion import forget_salt
from rewindnet.experiments.scenario.network_setup import build_network
from rewindnet.experiments.scenario.topology_setup import build_topology
from rewindnet.experiments.scenario.yaml_files import resolve

Forge = Callable[[Forger], object]


def committed(request: Mapping[str, Any], forget: Mapping[Any, Sequence[int]]) -> str:
    """The commitment to another forget set, with the salt of the request."""
    return forget_commitment(
        bytes.fromhex(request["forget_salt"]), {int(node): chosen for node, chosen in forget.items()}
    )


# Edits of the network


def other_topology(**changes: Any) -> Forge:
    """Another topology in topology.json, and all that follows from it."""

    def forge(forger: Forger) -> None:
        scenario = resolve({**forger.run.scenario, "topology": changes})
        record = build_topology(scenario, 5).to_record()
        (forger.path / "topology.json").write_text(json.dumps(record))
        if record["schedule"]["kind"] == "static":
            forger.follow_messages()
        forger.follow(planned=True)

    return forge


def of_topology(**changes: Any) -> Forge:
    return lambda forger: (forger.json("topology", lambda topology: topology.update(changes)), forger.follow())


def complete_by_the_scenario_too(forger: Forger) -> None:
    forger.scenario(lambda scenario: scenario["topology"].update(kind="complete"))
    other_topology(kind="complete")(forger)


def one_more_edge(forger: Forger) -> None:
    forger.json("topology", lambda topology: topology.update(edges=sorted([*topology["edges"], [0, 2]])))
    forger.follow()


# Edits of what was learned from


def of_learning(change: Callable[[dict[str, Any]], Any], request: int = -1) -> Forge:
    """Another record of a request, and all that follows from it."""

    def forge(forger: Forger) -> None:
        forger.json("learning", lambda learning: change(learning["requests"][request]))
        forger.follow(planned=True)

    return forge


def more_samples(forger: Forger) -> None:
    """8.5 times as many samples of every client, of which each is worth less: the noise that is needed is less."""

    def change(request: dict[str, Any]) -> None:
        request["samples"] = [int(8.5 * n) for n in request["samples"]]
        request["ledger"]["disturbance"] = (np.array(request["ledger"]["disturbance"]) / 8.5).tolist()

    of_learning(change)(forger)


def other_samples_forgotten(forger: Forger) -> None:
    def change(request: dict[str, Any]) -> None:
        request["forget"]["2"] = [0, 1, 2, 3, 4]
        request["forget_commitment"] = committed(request, {2: [0, 1, 2, 3, 4]})

    of_learning(change)(forger)


def smaller_disturbances(forger: Forger) -> None:
    def change(request: dict[str, Any]) -> None:
        request["ledger"]["disturbance"] = (0.9 * np.array(request["ledger"]["disturbance"])).tolist()

    of_learning(change)(forger)


def smaller_steps(forger: Forger) -> None:
    """Steps of which the scenario, too, says that they were smaller."""
    forger.scenario(lambda scenario: scenario["learning"].update(step_size=0.9))
    of_learning(lambda request: request.update(step_size=0.9))(forger)


def smaller_request(forger: Forger) -> None:
    """Fewer samples, drawn as the scenario would have drawn them."""
    forger.scenario(lambda scenario: scenario["deletion"].update(samples=1))
    (arrival,) = build_network(resolve(forger.run.scenario)).arrivals
    chosen = arrival.forget[2].tolist()

    def change(request: dict[str, Any]) -> None:
        request.update(forget={"2": chosen}, forget_commitment=committed(request, {2: chosen}), deleted=[0, 0, 1, 0, 0])

    of_learning(change)(forger)


def another_seed(forger: Forger) -> None:
    forger.scenario(lambda scenario: scenario.update(seed=5))
    for name in ("record", "topology"):
        forger.json(name, lambda content: content.update(seed=5))

    def salted(learning: dict[str, Any]) -> None:
        for number, request in enumerate(learning["requests"]):
            request["forget_salt"] = forget_salt(5, number).hex()
            request["forget_commitment"] = committed(request, request["forget"])

    forger.json("learning", salted)
    forger.follow(planned=True)


# Edits of stored models


def noise_of(index: int, share: float) -> Forge:
    """Less noise than was certified: in the noised models, and in what the gossip made of them."""
    return lambda forger: (forger.noised(index, share * forger.noise(index)), forger.follow())


def no_noise_anywhere(forger: Forger) -> None:
    for index in (0, 1):
        forger.noised(index, 0.0 * forger.noise(index))
    forger.follow()


def the_unforgotten_model(nudge: float = 0.0) -> Forge:
    """The learned models as the result of the descent, with all of the noise."""

    def forge(forger: Forger) -> None:
        learned = forger.array("checkpoints/learned-000012")
        centre = learned + nudge * np.sin(np.arange(learned.size)).reshape(learned.shape)
        forger.noised(1, forger.noise(1), centre)
        forger.follow()

    return forge


def the_unforgotten_model_with_another_centre(forger: Forger) -> None:
    """The learned models as released; the models before the noise are those without it, so that the noise agrees."""
    noise, learned = forger.noise(1), forger.array("checkpoints/learned-000012")
    forger.noised(1, noise, learned - noise)
    forger.put(f"{forger.place(1)}/released", learned)
    forger.follow()


def retraining_is_what_was_released(forger: Forger) -> None:
    """As if retraining had given the models that were released, so that nothing diverges."""
    centre = forger.array(f"{forger.place(1)}/centre")
    forger.put("checkpoints/retrained-000012", centre)
    for name in ("centre", "released"):
        forger.put(f"{forger.place(3)}/{name}", centre)
    forger.lines(lambda line: measure(line, centre) if (line["phase"], line["round"]) == ("retrain", 12) else None)
    forger.follow()


def retraining_is_another(forger: Forger) -> None:
    """Retrained models that no other record knows of."""
    forger.put("checkpoints/retrained-000012", forger.array(f"{forger.place(1)}/centre"))
    forger.follow()


def measure(line: dict[str, Any], theta: Any) -> None:
    line["consensus_distance"] = float(np.linalg.norm(theta - theta.mean(axis=0), axis=1).mean())


def another_start(forger: Forger) -> None:
    forger.put("checkpoints/learned-000000", forger.array("checkpoints/learned-000000") + 1e-3)
    forger.follow()


def single_precision(forger: Forger) -> None:
    forger.put(f"{forger.place(3)}/released", forger.array(f"{forger.place(3)}/released").astype(np.float32))
    forger.follow()


def another_array(forger: Forger) -> None:
    forger.put("checkpoints/learned-000003", forger.array("checkpoints/learned-000012"))
    forger.rehash()


# Edits of certificates, audits and metrics


def of_record(index: int, name: str, change: Callable[[dict[str, Any]], Any], certificates: bool = False) -> Forge:
    """An edit of a certificate, an audit or the metrics, and the table that follows from it."""

    def forge(forger: Forger) -> None:
        forger.json(f"{forger.place(index)}/{name}", change)
        if certificates:
            forger.follow()
        else:
            forger.table()

    return forge


def more_noise_than_there_was(forger: Forger) -> None:
    release = forger.run.certified[1][0].release
    sigma = (2 * np.array(release.sigma)).tolist()
    of_record(1, "certificate", lambda certificate: certificate.update(sigma=sigma), certificates=True)(forger)


def half_the_divergence(forger: Forger) -> None:
    """An audit that follows from divergences that are not those of the models."""
    certificate, recorded = forger.run.certified[1]
    mixing = forger.run.training_run_of(1).mixing
    divergence = 0.5 * np.array(recorded.divergence)
    again = audit(
        certificate, mixing, divergence, recorded.monte_carlo, np.array(recorded.shifts), recorded.noise_audit
    )
    (forger.path / forger.place(1) / "audit.json").write_text(json.dumps(again.to_record()))
    forger.table()


def smaller_statistic(forger: Forger) -> None:
    """A statistic of noise that was added in the rounds, nearer to what is expected, with all that follows from it."""
    recorded = forger.run.certified[2][1]
    noise = recorded.noise_audit
    test = next(test for test in noise.tests if test.name == "all norms")
    statistic = float(np.sqrt(test.degrees))
    p = float(p_value(test.law, test.degrees, statistic, test.allowance))
    tests = tuple(replace(one, statistic=statistic, p_value=p) if one is test else one for one in noise.tests)
    again = replace(recorded, noise_audit=judged(tests, noise.expected, noise.measured, noise.level))
    (forger.path / forger.place(2) / "audit.json").write_text(json.dumps(again.to_record()))
    forger.table()


def of_table(change: Callable[[list[dict[str, Any]]], Any]) -> Forge:
    return lambda forger: (forger.json("summary", lambda summary: change(summary["rows"])), forger.rehash())


def at_line(phase: str, round: int, /, **changes: Any) -> Forge:
    """An edit of one line of metrics.jsonl."""
    return lambda forger: forger.lines(
        lambda line: line.update(changes) if (line["phase"], line["round"]) == (phase, round) else None
    )


def without_rounds(forger: Forger) -> None:
    forger.lines(lambda line: line.clear() if (line["phase"], line["round"]) == ("learn", 12) else None)


def of_traffic(part: str, change: Callable[[dict[str, Any]], Any]) -> Forge:
    return lambda forger: forger.json("traffic", lambda traffic: change(traffic["parts"][part]))


def another_route(part: dict[str, Any]) -> None:
    """As many messages, but one went elsewhere."""
    part["messages"][0] += 1
    part["messages"][1] -= 1


def smaller_messages(forger: Forger) -> None:
    forger.json("traffic", lambda traffic: traffic.update(message_bytes=4))
    forger.follow()


def no_success(membership: dict[str, Any]) -> None:
    """Attacks that find no member."""
    for statistics in membership["attacks"].values():
        statistics["auc"].update(nodes=[0.5], average_model=0.5)


def released_without_gossip(forger: Forger) -> None:
    forger.put(f"{forger.place(0)}/released", forger.array(f"{forger.place(0)}/noised"))
    forger.follow()


def other_result_of(index: int) -> Forge:
    """Released models that no method made."""

    def forge(forger: Forger) -> None:
        forger.put(f"{forger.place(index)}/released", 0.5 * forger.array(f"{forger.place(index)}/released"))
        forger.follow()

    return forge


def first_forgets_another(learning: dict[str, Any]) -> None:
    """Both requests delete another sample of client 0 than the first one named."""
    for request in learning["requests"]:
        held = request["forget"]["0"]
        request["forget"]["0"] = sorted([*held[1:], min(set(range(16)) - set(held))])
        forget = {int(node): positions for node, positions in request["forget"].items()}
        request["forget_commitment"] = committed(request, forget)


def fewer_failures_by_the_scenario_too(forger: Forger) -> None:
    forger.scenario(lambda scenario: scenario["topology"]["schedule"].update(probability=0.1))
    other_topology(kind="ring", schedule={"kind": "link-failures", "probability": 0.1})(forger)


def other_composition(forger: Forger) -> None:
    forger.json("summary", lambda summary: summary["together"][0].update(epsilon=0.1))


def one_request_less(forger: Forger) -> None:
    forger.json("learning", lambda learning: learning["requests"].pop())
