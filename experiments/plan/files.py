"""What a plan leaves: plan.json, plan.npz and plan.png."""

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS
from rewindnet.experiments.folder.files import write, write_json
from rewindnet.experiments.plan.picture import comparison_picture, plan_picture
from rewindnet.experiments.plan.placement import forecasts, verdict
from rewindnet.experiments.plan.plan import Answer, Plan
from rewindnet.experiments.plan.words import kindest, name_of, verdicts, wanted
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.topologies import TopologyError, spectral_gap
from rewindnet.topologies.graphs.edges import edge_array

#: The layout of `plan.json`.
FORMAT = 1
#: Clients, at most, that `plan.json` lists; `plan.npz` has them all.
_LISTED = 1_000
#: Nodes, at most, for whom the spectral gap is worth its time.
_GAP = 20_000

_NAMES = ("plan.json", "comparison.json")


def check_target(folder: Path, force: bool) -> None:
    """Refuse a folder that holds anything but a plan to be overwritten.

    Raises:
        ScenarioError: if it does, or cannot exist.
    """
    blocked = [parent for parent in (folder, *folder.parents) if parent.exists() and not parent.is_dir()]
    if blocked:
        raise ScenarioError(f"{folder} cannot be made: {blocked[0]} is not a folder; choose another with --out")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in _NAMES):
        raise ScenarioError(f"{folder} exists and is not the folder of a plan; choose another with --out")
    if not force:
        raise ScenarioError(f"{folder} already holds a plan; choose another with --out, or overwrite it with --force")


def write_plan(plan: Plan, folder: Path) -> None:
    """The plan as data and as a picture; plan.json last, by which a folder is known to hold a whole plan."""
    write(folder / "scenario.yaml", plan.prospect.scenario.to_yaml())
    write(folder / "plan.npz", arrays(plan))
    write(folder / "plan.png", plan_picture(plan))
    write_json(folder / "plan.json", record(plan))


def write_comparison(plans: Sequence[Plan], keys: Sequence[str], places: Sequence[str], folder: Path) -> None:
    """Several plans, each in a folder of its own, and what they come to side by side."""
    for plan, place in zip(plans, places, strict=True):
        write_plan(plan, folder / place)
    write(folder / "comparison.png", comparison_picture(plans, keys))
    entries = [
        {"point": dict(plan.point), "folder": place, "name": name_of(plan, keys), "rows": _rows(plan)}
        for plan, place in zip(plans, places, strict=True)
    ]
    write_json(folder / "comparison.json", {"format": FORMAT, "plans": entries, "verdicts": kindest(plans, keys)})


def record(plan: Plan) -> dict[str, Any]:
    """`plan.json`."""
    learning, clients = plan.prospect.learning, plan.selection.clients
    return {
        "format": FORMAT,
        "name": plan.prospect.scenario.name,
        "point": dict(plan.point),
        "bound": "worst-case",
        "network": _network(plan),
        "learning": {
            "rounds": learning.rounds,
            "step_size": learning.step_size,
            "local_steps": learning.local_steps,
            "order": learning.order,
            "constants": learning.constants.to_record(),
            "conditional": learning.constants.conditional,
            "message_bytes": plan.prospect.message_bytes,
        },
        "planned": {
            "clients": len(clients),
            "sentence": plan.selection.sentence,
            "depths": list(plan.depths),
            "depths_output": sorted(plan.selection.descent_rounds),
        },
        "cost": [{"depth": depth, **plan.cost[depth]} for depth in plan.depths],
        "rows": _rows(plan),
        "asked": _asked(plan),
        "clients": [_client(plan, place) for place in range(min(len(clients), _LISTED))],
        "placement": [{**asdict(one), "winner": one.winner} for one in forecasts(plan)],
        "verdicts": [*verdicts(plan), *verdict(plan, forecasts(plan))],
        "notes": list(plan.notes),
    }


def _network(plan: Plan) -> dict[str, Any]:
    prospect = plan.prospect
    degree = np.bincount(edge_array(prospect.graph).ravel(), minlength=len(prospect.graph))
    return {
        "topology": prospect.scenario.topology.kind,
        "nodes": len(prospect.graph),
        "edges": int(degree.sum()) // 2,
        "degree": {"lowest": int(degree.min()), "mean": float(degree.mean()), "highest": int(degree.max())},
        "spectral_gap": _gap(plan),
    }


def _gap(plan: Plan) -> float | None:
    if len(plan.prospect.graph) > _GAP:
        return None
    try:
        return spectral_gap(plan.prospect.mixing.weights)
    except TopologyError:
        return None


def _rows(plan: Plan) -> list[dict[str, Any]]:
    return [{**vars(answer.row), "view": str(answer.row.view), **_ends(plan, answer)} for answer in plan.answers]


def _ends(plan: Plan, answer: Answer) -> dict[str, Any]:
    """The client that asks, and the kindest, the median and the hardest of those that get a number."""
    found = answer.order
    chosen = {"asked": 0}
    if len(found):
        chosen |= {"kindest": int(found[0]), "median": int(found[len(found) // 2]), "hardest": int(found[-1])}
    return {f"{name}_client": _solved(plan, answer, place) for name, place in chosen.items()}


def _solved(plan: Plan, answer: Answer, place: int) -> dict[str, Any]:
    return {
        "client": int(plan.selection.clients[place]),
        **{name: number(getattr(answer, name)[place]) for name in ("depth", "sigma", "epsilon", "needed")},
    }


def _asked(plan: Plan) -> dict[str, Any]:
    """Every price of the client that asks, at the (ε, δ) of the first row."""
    epsilon, delta = wanted(plan)
    regime = plan.answers[0].row.regime
    found, sigma = plan.prices[regime], plan.sigma(regime, 0, epsilon, delta)
    prices = [
        {"placement": p, "depth": depth, "view": str(view), "allocation": a, "sigma": number(sigma[i, j, v, w])}
        for i, p in enumerate(PLACEMENTS)
        for j, depth in enumerate(found.depths)
        if p == "rewind" or depth in plan.selection.descent_rounds
        for v, view in enumerate(found.views)
        for w, a in enumerate(ALLOCATIONS)
    ]
    client = int(plan.selection.clients[0])
    return {"client": client, "epsilon": epsilon, "delta": delta, "regime": regime, "prices": prices}


def _client(plan: Plan, place: int) -> dict[str, Any]:
    of, client = plan.facts, int(plan.selection.clients[place])
    mixed = int(of.mixed[place])
    return {
        "client": client,
        "role": plan.selection.roles.get(client),
        "degree": int(of.degree[place]),
        "samples": int(of.samples[place]),
        "deleted": int(of.deleted[place]),
        "mean_distance": float(of.distance[place]),
        "farthest": int(of.farthest[place]),
        "rounds_to_mix": None if mixed < 0 else mixed,
        "rows": [_solved(plan, answer, place) | {"index": answer.row.index} for answer in plan.answers],
    }


def number(value: float) -> float | None:
    """A number for JSON; None where there is none."""
    return float(value) if np.isfinite(value) else None


def arrays(plan: Plan) -> bytes:
    """`plan.npz`: everything per client, with the names of the axes, and the sensitivities of the client that asks."""
    content: dict[str, NDArray[Any]] = {f"client_{name}": value for name, value in vars(plan.facts).items()}
    content |= {"clients": plan.selection.clients, "depths": np.array(plan.depths)}
    content |= {"placements": np.array(PLACEMENTS), "allocations": np.array(ALLOCATIONS)}
    for regime, found in plan.prices.items():
        content |= {f"{regime}/{name}": getattr(found, name) for name in ("needed", "finest", "least", "spread")}
        content[f"{regime}/views"] = np.array([str(view) for view in found.views])
        for (placement, depth), e in found.first_client_sensitivities.items():
            content[f"{regime}/sensitivity/{placement}/{depth}"] = e
    buffer = io.BytesIO()
    np.savez(buffer, **content)  # type: ignore[arg-type]
    return buffer.getvalue()
