"""Learnings, releases and claims, drawn or small, to certify."""

from dataclasses import replace

import networkx as nx
import numpy as np
from hypothesis import strategies as st

from rewindnet import topologies
from rewindnet.certificates import Arithmetic, Claim, Constant, Ledger, Release, TrainingRun, derive

DELTA = 1e-5

#: The models whose constants can be derived, with settings for them.
SETTINGS: dict[str, dict[str, float]] = {"logistic": {}, "sigmoid": {}, "huber-logistic": {"clip": 0.3}}


def network(seed, nodes, rule="metropolis-hastings"):
    """A connected random graph, its mixing matrix in every round."""
    graph = nx.Graph(nx.random_labeled_tree(nodes, seed=seed))
    graph = nx.compose(graph, nx.gnp_random_graph(nodes, 0.2, seed=seed))
    return topologies.Static(graph, topologies.mix(rule, graph))


def ledger(generator, rounds, local_steps, nodes, worst):
    """Measurements as learning might make them: disturbances below the worst case."""
    return Ledger(tuple(nodes), generator.uniform(0, worst, (rounds, local_steps, len(nodes))))


@st.composite
def learnings(draw, largest=8, measured=True):
    """A small network that learned, and whose nodes 0 and perhaps 1 delete something."""
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    nodes, rounds, local_steps = draw(st.integers(2, largest)), draw(st.integers(1, 8)), draw(st.integers(1, 2))
    mixing = network(seed, nodes)
    samples = generator.integers(1, 50, nodes)
    deleted = np.zeros(nodes, dtype=np.int64)
    for node in range(draw(st.integers(1, 2))):
        deleted[node] = draw(st.integers(1, int(samples[node])))
    model, l2 = draw(st.sampled_from(list(SETTINGS))), draw(st.sampled_from([0.0, 0.05]))
    constants = derive(model, Constant(1.0, "enforced"), l2=l2, **SETTINGS[model])
    step_size = draw(st.floats(0.01, 1.5))
    kept = None
    if measured:
        kept = ledger(generator, rounds, local_steps, np.flatnonzero(deleted).tolist(), step_size * constants.G.value)
    return TrainingRun(
        mixing=mixing,
        rounds=rounds,
        step_size=step_size,
        local_steps=local_steps,
        order=draw(st.sampled_from(["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"])),
        constants=constants,
        samples=samples,
        deleted=deleted,
        ledger=kept,
        arithmetic=draw(
            st.sampled_from([None, Arithmetic(2.0**-53, 6, 3, 18, 0.1), Arithmetic(2.0**-24, 6, 3, 18, 0.0)])
        ),
    )


def views_of(nodes):
    return st.one_of(
        st.sampled_from(["node", "joint", "average", "transcript", "transcript:all"]),
        st.integers(0, nodes - 1).map(lambda node: f"node:{node}"),
        st.integers(0, nodes - 1).map(lambda node: f"transcript:{node}"),
    )


@st.composite
def requests(draw):
    """A learning, a release without noise yet, and a claim that noise can meet."""
    learning = draw(learnings())
    view = draw(views_of(learning.mixing.nodes))
    placement = draw(st.sampled_from(["output", "rewind"]))
    averaged = view == "average" and placement == "output"
    restored = draw(st.integers(0, learning.rounds))
    release = Release(
        method="r2d",
        checkpoint_round=restored,
        descent_rounds=learning.rounds - restored,
        placement=placement,
        sigma=np.zeros(learning.mixing.nodes),
        gossip_rounds=0 if averaged else draw(st.integers(0, 3)),
        averaged=averaged,
    )
    claim = Claim(
        view,
        draw(st.sampled_from([1e-9, DELTA, 0.01])),
        draw(st.sampled_from(["worst-case", "instance"])),
        draw(st.sampled_from(["uniform", "optimal"])),
    )
    return learning, release, claim


def small_learning(**changes):
    """Four nodes on a path; node 0 deletes."""
    graph = nx.path_graph(4)
    learning = TrainingRun(
        mixing=topologies.Static(graph, topologies.mix("metropolis-hastings", graph)),
        rounds=10,
        step_size=0.5,
        local_steps=1,
        order="adapt-then-combine",
        constants=derive("logistic", Constant(1.0, "enforced"), l2=0.01),
        samples=np.array([20, 20, 20, 20]),
        deleted=np.array([5, 0, 0, 0]),
    )
    return replace(learning, **changes)


def ring_learning(rounds, **changes):
    """Five nodes on a ring; node 0 deletes a tenth of its samples."""
    graph = nx.cycle_graph(5)
    learning = TrainingRun(
        mixing=topologies.Static(graph, topologies.mix("metropolis-hastings", graph)),
        rounds=rounds,
        step_size=0.5,
        local_steps=1,
        order="adapt-then-combine",
        constants=derive("logistic", Constant(1.0, "enforced"), l2=0.1),
        samples=np.full(5, 100),
        deleted=np.array([10, 0, 0, 0, 0]),
    )
    return replace(learning, **changes)


def release_of(sigma, **changes):
    return replace(Release("r2d", 5, 5, "output", np.asarray(sigma, dtype=float)), **changes)
