"""The network with the sensitivity of each node to the deletion."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Certificate
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report.charts.chart import Chart, digits
from rewindnet.experiments.report.labels import short
from rewindnet.topologies.graphs.edges import edge_array

#: The largest number of links that are drawn; of more, so many are drawn, evenly chosen.
_LINKS = 6_000
#: The side of the square in which nodes are drawn.
_SIDE = 1_000
#: The relative difference below which sensitivities are shown as equal.
EVEN = 0.02


def subject(run: RunFolder) -> tuple[int, Certificate] | None:
    """Select the release whose sensitivity is drawn: the first with different values at nodes, else the first with any.

    Returns:
        Its number and its certificate; None if no release has a sensitivity.
    """
    positive = [(at, certificate) for at, (certificate, _) in enumerate(run.certified) if any(certificate.sensitivity)]
    uneven = [chosen for chosen in positive if not is_even(np.array(chosen[1].sensitivity))]
    return next(iter(uneven or positive), None)


def is_even(sensitivity: NDArray[np.float64]) -> bool:
    """Return whether all nodes have about the same sensitivity."""
    return bool(sensitivity.min() > (1 - EVEN) * sensitivity.max())


def network_chart(run: RunFolder) -> Chart | None:
    """List the sensitivity and the name of every node, and the deleting clients; None if there is no sensitivity."""
    chosen = subject(run)
    if chosen is None:
        return None
    graph, learning = run.network
    names = None if run.names is None else [short(str(name)) for name in run.names]
    data = {
        "sensitivity": [digits(value) for value in chosen[1].sensitivity],
        "names": names,
        "deleting": np.flatnonzero(learning.deleted).tolist(),
        "release": f"{chosen[0]} {chosen[1].method}",
        "even": EVEN,
    }
    return Chart("network", "network", f"The network of {len(graph)} nodes, coloured by sensitivity", data)


def drawn_graph(run: RunFolder, places: NDArray[np.float64]) -> dict[str, Any]:
    """Return where nodes are drawn, in whole numbers, and between which of them there are links.

    Args:
        run: the run.
        places: [N, 2], the positions of the nodes.
    """
    links = edge_array(run.network[0])
    drawn = links[np.unique(np.linspace(0, max(0, len(links) - 1), min(len(links), _LINKS)).astype(np.int64))]
    return {"places": _on_paper(places).tolist(), "links": drawn.tolist(), "all_links": len(links), "side": _SIDE}


def _on_paper(places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return positions as whole numbers in a square, with y downwards."""
    low, high = places.min(axis=0), places.max(axis=0)
    scaled = (places - (low + high) / 2) / (max(float((high - low).max()), 1e-12)) + 0.5
    scaled[:, 1] = 1 - scaled[:, 1]
    return np.asarray((scaled * _SIDE).round().astype(np.int64))
