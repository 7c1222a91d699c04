"""Convert a plan to data: the content of plan.json and plan.npz."""

import io
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS
from rewindnet.experiments.plan.placement import placement_sentences
from rewindnet.experiments.plan.plan import Answer, Plan
from rewindnet.experiments.plan.words import hardest_sentences, noise_sentences, settle_sentences
from rewindnet.topologies import TopologyError, spectral_gap
from rewindnet.topologies.graphs.edges import edge_array

#: The version of the layout of `plan.json`.
FORMAT = 1
#: The largest number of clients that `plan.json` lists; `plan.npz` lists all of them.
_LISTED = 1_000
#: The largest number of nodes for which the spectral gap is computed.
_GAP = 20_000


def plan_record(plan: Plan) -> dict[str, Any]:
    """Return the content of `plan.json`."""
    training_run, clients = plan.network.training_run, plan.selection.clients
    return {
        "format": FORMAT,
        "name": plan.network.scenario.name,
        "point": dict(plan.point),
        "bound": "worst-case",
        "network": _network(plan),
        "learning": {
            "rounds": training_run.rounds,
            "step_size": training_run.step_size,
            "local_steps": training_run.local_steps,
            "order": training_run.order,
            "constants": training_run.constants.to_record(),
            "conditional": training_run.constants.conditional,
            "message_bytes": plan.network.message_bytes,
        },
        "planned": {
            "clients": len(clients),
            "sentence": plan.selection.sentence,
            "depths": list(plan.depths),
            "depths_output": sorted(plan.selection.descent_rounds),
        },
        "cost": [{"depth": depth, **plan.cost[depth]} for depth in plan.depths],
        "rows": answers_record(plan),
        "asked": _asked(plan),
        "clients": [_client(plan, position) for position in range(min(len(clients), _LISTED))],
        "placement": [{**asdict(forecast), "winner": forecast.winner} for forecast in plan.forecasts],
        "verdicts": [
            *hardest_sentences(plan),
            *noise_sentences(plan),
            *settle_sentences(plan),
            *placement_sentences(plan.forecasts, training_run.rounds, *plan.target),
        ],
        "notes": list(plan.notes),
    }


def _network(plan: Plan) -> dict[str, Any]:
    """Describe the network: its topology, its size, its degrees and its spectral gap."""
    network = plan.network
    degree = np.bincount(edge_array(network.graph).ravel(), minlength=len(network.graph))
    return {
        "topology": network.scenario.topology.kind,
        "nodes": len(network.graph),
        "edges": int(degree.sum()) // 2,
        "degree": {"lowest": int(degree.min()), "mean": float(degree.mean()), "highest": int(degree.max())},
        "spectral_gap": _gap(plan),
    }


def _gap(plan: Plan) -> float | None:
    """Compute the spectral gap; return None if the network is too large or the gap is not defined."""
    if len(plan.network.graph) > _GAP:
        return None
    try:
        return spectral_gap(plan.network.mixing.weights)
    except TopologyError:
        return None


def answers_record(plan: Plan) -> list[dict[str, Any]]:
    """Describe each row and its solution for the requesting, the easiest, the median and the hardest client."""
    return [
        {
            **{name: value for name, value in vars(answer.row).items() if name != "settings"},
            "view": str(answer.row.view),
            **_ends(plan, answer),
            "after_mixing": None if mixed is None else mixed.to_record(),
        }
        for answer, mixed in zip(plan.answers, plan.mixed, strict=True)
    ]


def _ends(plan: Plan, answer: Answer) -> dict[str, Any]:
    """Describe the solution for the requesting client, and for the easiest, the median and the hardest client.

    Clients without a finite requirement are left out of the order.
    """
    order = answer.order
    chosen = {"asked": 0}
    if len(order):
        chosen |= {"easiest": int(order[0]), "median": int(order[len(order) // 2]), "hardest": int(order[-1])}
    return {f"{name}_client": _solved(plan, answer, position) for name, position in chosen.items()}


def _solved(plan: Plan, answer: Answer, position: int) -> dict[str, Any]:
    """Describe the solution of a row for the client at a position."""
    depth = number(answer.depth[position])
    cost = {} if depth is None else plan.cost_for(position)[int(depth)]
    return {
        "client": int(plan.selection.clients[position]),
        **{name: number(getattr(answer, name)[position]) for name in ("depth", "sigma", "epsilon", "needed")},
        **{name: cost.get(name) for name in ("gradients", "bytes")},
    }


def _asked(plan: Plan) -> dict[str, Any]:
    """List σ of the requesting client at the target of the plan, by placement, depth, view and allocation."""
    epsilon, delta = plan.target
    row = plan.answers[0].row
    listed = [price for basis in plan.requirements for price in _prices(plan, basis)]
    client = int(plan.selection.clients[0])
    return {"client": client, "epsilon": epsilon, "delta": delta, "regime": row.regime, "prices": listed}


def _prices(plan: Plan, basis: str) -> list[dict[str, Any]]:
    """List σ of the requesting client at the target of the plan, by one bound."""
    requirements, sigma = plan.requirements[basis], plan.sigma(basis, 0, *plan.target)
    return [
        {
            "basis": basis,
            "placement": p,
            "depth": depth,
            "view": str(view),
            "allocation": a,
            "sigma": number(sigma[i, j, v, w]),
            "needed": number(requirements.needed[i, j, v, w, 0]),
        }
        for i, p in enumerate(PLACEMENTS)
        for j, depth in enumerate(requirements.depths)
        if p == "rewind" or depth in plan.selection.descent_rounds
        for v, view in enumerate(requirements.views)
        for w, a in enumerate(ALLOCATIONS)
    ]


def _client(plan: Plan, position: int) -> dict[str, Any]:
    """Describe the client at a position, and the solution of every row for it."""
    facts, client = plan.facts, int(plan.selection.clients[position])
    mixed = int(facts.mixed[position])
    return {
        "client": client,
        **({"name": plan.network.names[client]} if client in plan.network.names else {}),
        "role": plan.selection.roles.get(client),
        "degree": int(facts.degree[position]),
        "samples": int(facts.samples[position]),
        "deleted": int(facts.deleted[position]),
        "mean_distance": float(facts.distance[position]),
        "farthest": int(facts.farthest[position]),
        "rounds_to_mix": None if mixed < 0 else mixed,
        "rows": [_solved(plan, answer, position) | {"index": answer.row.index} for answer in plan.answers],
    }


def number(value: float) -> float | None:
    """Return a finite number as it is, and None for NaN and infinity, which JSON does not have."""
    return float(value) if np.isfinite(value) else None


def plan_arrays(plan: Plan) -> bytes:
    """Return the content of `plan.npz`.

    It holds the properties and the noise requirements of every client, the names of the axes, and the sensitivities of
    the requesting client.
    """
    content: dict[str, NDArray[Any]] = {f"client_{name}": value for name, value in vars(plan.facts).items()}
    content |= {"clients": plan.selection.clients, "depths": np.array(plan.depths)}
    content |= {"placements": np.array(PLACEMENTS), "allocations": np.array(ALLOCATIONS)}
    for regime, requirements in plan.requirements.items():
        content |= {f"{regime}/{name}": getattr(requirements, name) for name in ("needed", "finest", "least", "spread")}
        content[f"{regime}/views"] = np.array([str(view) for view in requirements.views])
        for (placement, depth), e in requirements.first_client_sensitivities.items():
            content[f"{regime}/sensitivity/{placement}/{depth}"] = e
    buffer = io.BytesIO()
    np.savez(buffer, **content)  # type: ignore[arg-type]
    return buffer.getvalue()
