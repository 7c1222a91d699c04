"""The section of a page in which another client is chosen, and what forgetting it would take is shown."""

from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps

from rewindnet.clients.methods import rewinds
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.columns import Row, what
from rewindnet.experiments.report.html import paragraphs, rendered, section
from rewindnet.experiments.report.requests import NotPlannedError, coverage, planned_requests

_HEADING = "If another client asked"


def requests_section(run: RunFolder) -> str:
    """Return the section, with all of its figures as JSON; it draws the graph that is on the page already."""
    try:
        planned = planned_requests(run)
    except NotPlannedError as problem:
        return section("requests", _HEADING, paragraphs([f"Other requests are not planned here: {problem}."]))
    graph, training = run.network
    content = {
        **planned,
        "asked": int(training.deleted.argmax()),
        "chosen": _chosen(run, planned),
        "norm": next((row["noise_to_norm"] / row["sigma"] for row in run.summary if row.get("noise_to_norm")), None),
        "releases": [_release(run, row, planned) for row in run.summary],
    }
    sentences = [
        f"Each client would delete {planned['assumed']}. Figures are planned for the worst case, whatever the data: "
        "nothing was learned again for them, and the run itself answered one request only.",
        "Numbers are rounded up to four digits; a slider at 100 % is retraining.",
        *coverage(planned, len(graph)),
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
