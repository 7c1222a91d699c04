"""Where the picture of the network places its nodes."""

import numpy as np
import pytest

from rewindnet.experiments.report.charts.layout import layout
from rewindnet.topologies import build


@pytest.mark.parametrize("kind", ["ring", "path", "complete"])
def test_nodes_of_a_circle_lie_on_it_in_their_order(kind: str) -> None:
    places = layout(build(kind, 7, seed=0), kind)
    angles = np.unwrap(np.arctan2(*places.T[::-1]))
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / 7, rtol=1e-6)


def test_the_hub_of_a_star_is_in_its_centre() -> None:
    from_centre = np.linalg.norm(layout(build("star", 7, seed=0), "star"), axis=1)
    np.testing.assert_allclose(from_centre, [0, *[from_centre.max()] * 6], atol=1e-6)


@pytest.mark.parametrize("kind", ["grid", "of somebody else"])
def test_nodes_of_other_families_lie_apart(kind: str) -> None:
    places = layout(build("grid", 9, seed=0, rows=3), kind)
    apart = np.linalg.norm(places[:, None] - places, axis=2) + 9 * np.eye(9)
    assert apart.min() > 0.1


@pytest.mark.slow
def test_a_large_network_has_places_soon_and_its_neighbours_lie_close() -> None:
    graph = build("ring", 2000, seed=0)
    places = layout(graph, "of somebody else")
    assert places.shape == (2000, 2)
    linked = np.linalg.norm(places[[a for a, _ in graph.edges]] - places[[b for _, b in graph.edges]], axis=1)
    anywhere = np.linalg.norm(places - np.roll(places, 700, axis=0), axis=1)
    assert np.median(linked) < np.median(anywhere) / 20
    assert len(np.unique(places.round(4), axis=0)) > 1900
