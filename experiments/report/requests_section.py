"""The section of a page in which another client is chosen, and what forgetting it would take is shown."""

from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from numpy.typing import NDArray

from rewindnet.clients.methods import rewinds
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.html import paragraphs, rendered, section
from rewindnet.experiments.report.requests import NotPlannedError, coverage, planned_requests
from rewindnet.experiments.report.table import Row, what
from rewindnet.topologies.graphs.edges import edge_array

#: The largest number of links that are drawn; of more, so many are drawn, evenly chosen.
_LINKS = 6_000
#: The side of the square in which nodes are drawn.
_SIDE = 1_000
_HEADING = "If another client asked"


def requests_section(run: RunFolder, places: NDArray[np.float64]) -> str:
    """Return the section, with all of its figures as JSON.

    Args:
        run: the run.
        places: [N, 2], the positions of the nodes.
    """
    try:
        planned = planned_requests(run)
    except NotPlannedError as problem:
        return section("requests", _HEADING, paragraphs([f"Other requests are not planned here: {problem}."]))
    graph, training = run.network
    links = edge_array(graph)
    drawn = links[np.unique(np.linspace(0, max(0, len(links) - 1), min(len(links), _LINKS)).astype(np.int64))]
    content = {
        **planned,
        "asked": int(training.deleted.argmax()),
        "chosen": _chosen(run, planned),
        "norm": next((row["noise_to_norm"] / row["sigma"] for row in run.summary if row.get("noise_to_norm")), None),
        "places": _on_paper(places).tolist(),
        "links": drawn.tolist(),
        "releases": [_release(run, row, planned) for row in run.summary],
    }
    sentences = [
        f"Each client would delete {planned['assumed']}. Figures are planned for the worst case, whatever the data: "
        "nothing was learned again for them, and the run itself answered one request only.",
        "Numbers are rounded up to four digits; a slider at 100 % is retraining.",
        *coverage(planned, len(graph)),
        *([f"{len(drawn):,} of {len(links):,} links are drawn."] if len(drawn) < len(links) else []),
        *(["* if the estimated or declared constants hold."] if planned["conditional"] else []),
    ]
    data = htmlsafe_json_dumps(content, separators=(",", ":"), allow_nan=False)
    return section("requests", _HEADING, rendered("requests.html", planned=planned, content=data, sentences=sentences))


def _chosen(run: RunFolder, planned: dict[str, Any]) -> dict[str, int]:
    """Return what is shown first: the depth, view, placement and allocation of the first release that rewinds."""
    row = next((row for row in run.summary if rewinds(row["method"])), run.summary[0])
    views = [entry["view"] for entry in planned["views"]]
    asked = {
        "view": (views, row["view"]),
        "placement": (planned["placements"], row["placement"]),
        "allocation": (planned["allocations"], row["allocation"]),
    }
    depth = np.abs(np.array(planned["depths"]) - (row["rewind"] or 0) * planned["rounds"]).argmin()
    return {
        "depth": int(depth),
        **{name: choices.index(value) if value in choices else 0 for name, (choices, value) in asked.items()},
    }


def _release(run: RunFolder, row: Row, planned: dict[str, Any]) -> dict[str, Any]:
    """Return how accurate a release of the run is, on average and at the planned clients."""
    metrics = run.methods[run.summary.index(dict(row))].metrics
    measured = dict(zip(metrics["nodes"], metrics["accuracy"]["test"]["nodes"], strict=True))
    return {
        "label": f"{row['index']} {what(row)}",
        "sigma": row["sigma"],
        "exact": row["method"] == Retrain.name,
        "mean": row["accuracy"]["test"]["mean"],
        "accuracy": {
            client["node"]: measured[client["node"]] for client in planned["clients"] if client["node"] in measured
        },
    }


def _on_paper(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return positions as whole numbers in a square, with y downwards."""
    low, high = places.min(axis=0), places.max(axis=0)
    scaled = (places - (low + high) / 2) / (max(float((high - low).max()), 1e-12)) + 0.5
    scaled[:, 1] = 1 - scaled[:, 1]
    return np.asarray((scaled * _SIDE).round().astype(np.int64))
