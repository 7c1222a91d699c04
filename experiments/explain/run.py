"""Learn a graph network, unlearn with every method, and have every verifier look at the result, for one seed."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rewindnet.clients.graphs.methods.base import Learned, Unlearned
from rewindnet.clients.graphs.models.base import GraphModel
from rewindnet.clients.graphs.models.training import GraphTraining
from rewindnet.clients.graphs.node_graph import NodeGraph
from rewindnet.clients.graphs.verifiers.case import Case, Evidence, Snapshot, snapshot
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.clients.training.parallel import one_torch_thread
from rewindnet.experiments.explain.scenario import GraphDeletionSettings, GraphMethodSettings, GraphScenario
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.topologies.rng import Stream, rng_at

Json = dict[str, Any]


def learn(scenario: GraphScenario, seed: int) -> tuple[Learned, int]:
    """Learn the model of a scenario from the whole graph.

    Returns:
        What was learned, and how many gradients of full batches that took.

    Raises:
        UserError: if the graph, the model or the deletion makes no sense.
    """
    root = scenario.data.root
    graph: NodeGraph = scenario.data.build(None if root is None else Path(root), seed)
    forget = forgotten(graph, scenario.deletion, seed)
    if scenario.deletion.flipped_labels:
        graph = with_flipped_labels(graph, forget, seed)

    def new_model() -> GraphModel:
        model: GraphModel = scenario.model.build(graph.x.shape[1], graph.classes)
        return model

    training, model = GraphTraining(seed, **scenario.learning.plain()), new_model()
    taken = model.learn(graph, training)
    return Learned(graph, forget, model, training, new_model), taken


def forgotten(graph: NodeGraph, deletion: GraphDeletionSettings, seed: int) -> Tensor:
    """Draw the nodes to delete, bool [n], from the training nodes of the client, or of all.

    Raises:
        ScenarioError: if there is no such client, or it has no other training node.
    """
    client = deletion.client
    if client != "any" and client >= graph.clients:
        raise ScenarioError(f"deletion.client: {graph.name} has the clients 0 to {graph.clients - 1}, not {client}")
    held = graph.train if client == "any" else graph.train & (graph.client == client)
    candidates = torch.nonzero(held).flatten()
    if deletion.nodes >= len(candidates):
        whose = "all clients" if client == "any" else f"client {client}"
        raise ScenarioError(
            f"deletion.nodes: {whose} can delete less than the {len(candidates)} training nodes there are, "
            f"not {deletion.nodes}"
        )
    drawn = rng_at(seed, Stream.FORGET_SET, context="nodes").permutation(len(candidates))[: deletion.nodes]
    forget = torch.zeros_like(graph.train)
    forget[candidates[torch.from_numpy(drawn)]] = True
    return forget


def with_flipped_labels(graph: NodeGraph, nodes: Tensor, seed: int) -> NodeGraph:
    """Return the graph with another label, drawn from all others, at some nodes [n]."""
    rng = rng_at(seed, Stream.FORGET_SET, context="flipped labels")
    shift = torch.from_numpy(rng.integers(1, graph.classes, len(graph.y)))
    return replace(graph, y=torch.where(nodes, (graph.y + shift) % graph.classes, graph.y))


def explain(scenario: GraphScenario, seed: int, tell: Callable[[str], None] = lambda what: None) -> Json:
    """Return what the verifiers find about every method with one seed.

    Args:
        scenario: the scenario.
        seed: of everything random.
        tell: is told what goes on.

    Raises:
        UserError: if a part of the scenario makes no sense.
    """
    # With one thread, sums have one order, and the same seed gives the same bits.
    one_torch_thread()
    tell(f"seed {seed}: learning")
    learned, taken = learn(scenario, seed)
    retraining = GraphMethodSettings.model_validate(Retrain.name)
    reference: Unlearned = retraining.build(learned)
    before = snapshot(learned.model, learned.graph)
    retrained = snapshot(reference.model, learned.graph)
    found = []
    for method in scenario.unlearning:
        tell(f"seed {seed}: {method.name}")
        unlearned: Unlearned = reference if method == retraining else method.build(learned)
        after = snapshot(unlearned.model, unlearned.graph)
        case = Case(learned.forget, before, after, snapshot(unlearned.model, learned.graph), retrained)
        found.append(
            {
                "method": method.name,
                "settings": method.settings,
                "certified": False,
                "gradients": unlearned.gradients / taken,
                "evidence": [_record(each.name, each.build(case), case) for each in scenario.verifiers],
                "snapshots": _published(after),
            }
        )
    return {"seed": seed, **_about(learned), "snapshots": _published(before), "methods": found}


def _record(verifier: str, evidence: Evidence, case: Case) -> Json:
    """Return what one verifier has found, as plain data."""
    return {
        "verifier": verifier,
        "figures": [asdict(figure) for figure in evidence.figures],
        "groups": evidence.by_group(case),
        "notes": list(evidence.notes),
    }


def _published(taken: Snapshot) -> Mapping[str, str]:
    """Return the sha256 that each client publishes of its part of a snapshot."""
    return {str(client): taken.published_by(client) for client in range(taken.graph.clients)}


def _about(learned: Learned) -> Json:
    """Return the facts about the graph and the request."""
    graph = learned.graph
    return {
        "graph": {
            "name": graph.name,
            "nodes": len(graph.y),
            "edges": graph.edges.shape[1] // 2,
            "edges_between_clients": graph.between_clients,
            "clients": graph.clients,
            "training_nodes": int(graph.train.sum()),
        },
        "forgotten": torch.nonzero(learned.forget).flatten().tolist(),
    }
