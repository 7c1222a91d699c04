"""The clock against the recursion written out node by node, and against closed forms."""

from time import process_time

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from rewindnet.simulator.cost.clock import Clock
from rewindnet.simulator.cost.network_model import NetworkModel, build_network_model
from rewindnet.topologies import TopologyError, build, mix

SIZE, WORK = 1_000_000, 60
LATENCY, BANDWIDTH, GRADIENT = 0.02, 4e6, 1e-3
CROSSING = LATENCY + SIZE / BANDWIDTH
PACE = WORK * GRADIENT


def network(nodes, slowness=None, latency=LATENCY):
    """Links that are all the same."""
    return NetworkModel(latency, BANDWIDTH, np.ones(nodes) if slowness is None else slowness, GRADIENT)


def by_hand(links, rounds):
    """The recursion as its docstring has it, node by node and edge by edge."""
    own = dict(zip(links.places.tolist(), zip(links.latency, links.bandwidth, strict=True), strict=True))
    now, N = [0.0] * links.nodes, links.nodes
    for present, size, before, after in rounds:
        sent = [now[j] + links.slowness[j] * links.gradient_seconds * before[j] for j in range(N)]
        now = []
        for i in range(N):
            heard = sent[i]
            for j in range(N):
                if present[i, j] and i != j:
                    latency, bandwidth = own.get(i * N + j, (links.nominal_latency, links.nominal_bandwidth))
                    heard = max(heard, sent[j] + latency + size / bandwidth)
            now.append(heard + links.slowness[i] * links.gradient_seconds * after[i])
    return now


@st.composite
def courses(draw):
    """Links of any kind and a few rounds on any directed pattern: empty rows, missing diagonals, repeated matrices."""
    nodes = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    places = np.flatnonzero(rng.random(nodes**2) < draw(st.sampled_from([0, 0.5, 1])))
    values = (rng.random(places.size), rng.random(places.size) + 0.1)
    links = NetworkModel(0.4, 3.0, rng.random(nodes) + 0.1, 0.05, places, *values)
    patterns = [rng.random((nodes, nodes)) < draw(st.sampled_from([0.1, 0.4, 1])) for _ in range(2)]
    return links, [
        (draw(st.sampled_from(patterns)), draw(st.integers(0, 3)), *rng.integers(0, 9, (2, nodes)))
        for _ in range(draw(st.integers(1, 6)))
    ]


@given(course=courses())
@examples(200)
def test_the_clock_follows_the_recursion(course):
    links, rounds = course
    clock, matrices = Clock(links), {}
    for present, size, before, after in rounds:
        W = matrices.setdefault(id(present), sparse.csr_array(present.astype(np.float64)))
        clock.advance(W, size, before, after)
    np.testing.assert_allclose(clock.now, by_hand(links, rounds), rtol=1e-12, atol=1e-15)
    assert clock.elapsed == clock.now.max()


@given(course=courses(), more=st.floats(0, 2))
@examples(60)
def test_more_latency_or_less_bandwidth_is_never_earlier(course, more):
    links, rounds = course
    common = {"gradient_seconds": links.gradient_seconds, "places": links.places}
    later = NetworkModel(
        0.4 + more, 3.0, links.slowness, latency=links.latency + more, bandwidth=links.bandwidth, **common
    )
    thinner = NetworkModel(
        0.4, 3.0 / (1 + more), links.slowness, latency=links.latency, bandwidth=links.bandwidth / (1 + more), **common
    )
    clock, worse = Clock(links), [Clock(later), Clock(thinner)]
    for present, size, before, after in rounds:
        W = sparse.csr_array(present.astype(np.float64))
        for one in (clock, *worse):
            one.advance(W, size, before, after)
        assert all(np.all(one.now >= clock.now) for one in worse)


@pytest.mark.parametrize("kind", ["ring", "complete", "star", "hypercube"])
@pytest.mark.parametrize("adapts_first", [True, False])
def test_alike_nodes_keep_in_step(kind, adapts_first):
    graph = build(kind, 16, 0)
    clock, W = Clock(network(16)), mix("metropolis-hastings", graph)
    work = np.full(16, WORK)
    for rounds in range(1, 8):
        clock.advance(W, SIZE, *((work, None) if adapts_first else (None, work)))
        np.testing.assert_allclose(clock.now, rounds * (PACE + CROSSING), rtol=1e-12)


def test_a_server_is_one_message_away_in_any_topology():
    clock = Clock(
        build_network_model("heterogeneous", build("path", 2, 0), 0, latency=LATENCY, bandwidth=BANDWIDTH, spread=0.0)
    )
    clock.advance(sparse.csr_array(np.full((2, 2), 0.5)), SIZE)
    relayed = Clock(network(50))
    relayed.advance(sparse.csr_array(np.full((50, 50), 1 / 50)), SIZE)
    assert clock.elapsed == relayed.elapsed == CROSSING


def test_a_token_takes_its_time_from_node_to_node():
    clock = Clock(network(5))
    for holder in range(4):
        W = sparse.eye_array(5, format="lil")
        W[holder + 1, holder + 1], W[holder + 1, holder] = 0, 1
        clock.advance(sparse.csr_array(W), SIZE, None, np.where(np.arange(5) == holder + 1, WORK, 0))
    np.testing.assert_allclose(clock.now, np.arange(5) * (CROSSING + PACE), rtol=1e-12)


@pytest.mark.parametrize("slowdown", [2.0, 50.0])
def test_a_straggler_is_felt_h_hops_away_after_h_rounds(slowdown):
    nodes, slow = 9, np.ones(9)
    slow[0] = slowdown
    clock, nominal = Clock(network(nodes, slow, latency=0.0)), Clock(network(nodes, latency=0.0))
    W, work, hop = mix("metropolis-hastings", build("path", nodes, 0)), np.full(nodes, WORK), np.arange(nodes)
    felt = np.full(nodes, nodes)
    for rounds in range(1, nodes):
        clock.advance(W, 0, work)
        nominal.advance(W, 0, work)
        late = clock.now > nominal.now
        assert np.array_equal(late, hop <= rounds)
        felt = np.where(late, np.minimum(felt, rounds), felt)
        # With messages that take no time, the last of them left node 0 as late as could be to get to h in time.
        expected = np.where(late, (rounds - np.maximum(hop, 1) + 1) * slowdown + np.maximum(hop, 1) - 1, rounds)
        np.testing.assert_allclose(clock.now, expected * PACE, rtol=1e-12)
    assert np.array_equal(felt[1:], hop[1:])


def test_work_after_the_messages_does_not_hold_up_this_round():
    slow = np.ones(3)
    slow[0] = 100.0
    W, work = mix("metropolis-hastings", build("path", 3, 0)), np.full(3, WORK)
    first, after = Clock(network(3, slow)), Clock(network(3, slow))
    first.advance(W, SIZE, work, None)
    after.advance(W, SIZE, None, work)
    np.testing.assert_allclose(first.now, [100 * PACE, 100 * PACE + CROSSING, PACE + CROSSING], rtol=1e-12)
    np.testing.assert_allclose(after.now, [100 * PACE + CROSSING, PACE + CROSSING, PACE + CROSSING], rtol=1e-12)


def test_what_is_kept_from_a_round_is_only_used_for_the_same_messages(monkeypatch):
    asked, delays = [], NetworkModel.delays
    monkeypatch.setattr(NetworkModel, "delays", lambda self, W, size: asked.append((W, size)) or delays(self, W, size))
    ring, star = (mix("metropolis-hastings", build(kind, 6, 0)) for kind in ("ring", "star"))
    clock = Clock(network(6))
    for W, size in [(ring, SIZE), (ring, SIZE), (ring, 2 * SIZE), (star, 2 * SIZE), (star, 2 * SIZE)]:
        clock.advance(W, size)
    assert asked == [(ring, SIZE), (ring, 2 * SIZE), (star, 2 * SIZE)]
    assert clock.elapsed == pytest.approx(5 * LATENCY + 8 * SIZE / BANDWIDTH)


def test_time_stands_still_without_rounds():
    clock = Clock(network(3))
    assert clock.elapsed == 0
    clock.advance(sparse.csr_array((3, 3)), SIZE)
    assert clock.now.tolist() == [0, 0, 0]


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(TopologyError, match="links on 3 nodes carry no messages of a 4 × 4 matrix"):
        Clock(network(3)).advance(sparse.csr_array((4, 4)), SIZE)


def circulant(nodes):
    """Everyone hears itself and four neighbours on each side."""
    heard = np.sort((np.arange(nodes)[:, None] + np.arange(-4, 5)) % nodes, axis=1).astype(np.int32)
    return sparse.csr_array((np.full(9 * nodes, 1 / 9), heard.ravel(), 9 * np.arange(nodes + 1)), shape=(nodes, nodes))


def round_of(nodes):
    """A round on links that are all different, ready to be run."""
    W, work = circulant(nodes), np.full(nodes, WORK)
    receivers = np.repeat(np.arange(nodes), 9)
    places = (receivers * nodes + W.indices)[receivers != W.indices]
    own = np.linspace(1, 2, places.size)
    clock = Clock(NetworkModel(1.0, 1.0, np.ones(nodes), GRADIENT, places, own, own))
    return lambda: clock.advance(W, SIZE, work, work)


def cpu_seconds(action):
    began = process_time()
    action()
    return process_time() - began


def test_the_time_of_a_round_grows_with_the_links_and_not_with_pairs_of_nodes():
    """Ten times as many nodes, with as many links each, take about ten times as long; pairs would take 100 times."""
    small, large = round_of(10_000), round_of(100_000)
    taken = [(cpu_seconds(small), cpu_seconds(large)) for _ in range(7)]
    quickest_small, quickest_large = map(min, zip(*taken, strict=True))
    assert quickest_large < 40 * quickest_small
