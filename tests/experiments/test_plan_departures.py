"""Plans of departures: what a plan says of a client that leaves is what the run then certifies."""

import networkx as nx
import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from runs import run_through

from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.plan import make_plan
from rewindnet.experiments.plan.record import plan_record
from rewindnet.experiments.scenario.yaml_files import resolve

ROWS = [
    {"method": "r2d", "rewind": 0.25, "view": "node"},
    {"method": "r2d", "rewind": 0.5, "view": "node:2", "allocation": "optimal", "epsilon": 3.0},
    {"method": "r2d", "rewind": 0.5, "view": "joint", "allocation": "optimal", "delta": 1e-6},
    {"method": "r2d", "rewind": 0.5, "view": "transcript", "placement": "rewind"},
    {"method": "r2d", "rewind": 0.5, "view": "transcript:0", "placement": "rewind", "allocation": "optimal"},
    {"method": "r2d", "rewind": 0.75, "sigma": 0.5, "view": "transcript:all", "placement": "rewind"},
]
LEAVING = {
    "name": "leaving",
    "data": {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3},
    "partition": {"kind": "iid", "clients": 6},
    "topology": {"kind": "barabasi-albert"},
    "learning": {"rounds": 8, "radius": 2.0},
    "deletion": {"client": 3, "samples": "all", "departure": "leave"},
    "unlearning": ROWS,
    "audit": {"draws": 0},
}


def plan_of(described, **options):
    return make_plan(build_planned_network(resolve(described)), {}, **options)


@given(data=st.data())
@examples(4, deadline=None)
def test_a_run_certifies_what_was_planned_for_whoever_leaves(data, tmp_path_factory):
    order = data.draw(st.sampled_from(["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"]))
    kind = data.draw(st.sampled_from(["barabasi-albert", "star", "path", "complete"]))
    schedule = data.draw(st.sampled_from(["static", "link-failures", "node-sleep"]))
    radius, client = data.draw(st.floats(0.3, 5.0)), data.draw(st.sampled_from([1, 3, 4, 5]))
    described = {
        **LEAVING,
        "topology": {"kind": kind, "schedule": schedule},
        "learning": {"rounds": 8, "radius": radius, "order": order},
    }
    plan = plan_of(described)
    asked = {**described, "deletion": {**LEAVING["deletion"], "client": client}}
    at = plan.selection.clients.tolist().index(client)
    certified = run_through(asked, tmp_path_factory.mktemp("leaving") / "run").methods
    for answer, method in zip(plan.answers, certified, strict=False):
        found = method.certificate
        sigma = np.sqrt(np.mean(np.square(found["sigma"])))
        assert answer.sigma[at] == pytest.approx(sigma, rel=1e-9)
        assert answer.epsilon[at] == pytest.approx(found["epsilon"], rel=1e-9)
        cost = plan.cost_for(at)[answer.row.depth]
        for what in ("gradients", "bytes"):
            assert cost[what] == pytest.approx(method.metrics["cost_share"][what])
        assert cost["sent"] == method.metrics["cost"]["bytes"]
    assert found["sigma"][client] == 0


def test_a_view_of_who_left_has_no_answer_and_the_others_have():
    plan = plan_of({**LEAVING, "unlearning": [ROWS[1]]})
    (answer,) = plan.answers
    assert np.flatnonzero(np.isnan(answer.sigma)).tolist() == [plan.selection.clients.tolist().index(2)]
    rows = {entry["client"]: entry["rows"][0] for entry in plan_record(plan)["clients"]}
    assert rows[2]["sigma"] is None
    assert rows[1]["sigma"] > 0


def test_departures_that_divide_the_network_are_said():
    for kind, cut in (("star", {0}), ("path", {1, 2, 3, 4}), ("complete", set())):
        plan = plan_of({**LEAVING, "topology": {"kind": kind}})
        assert set(nx.articulation_points(plan.network.graph)) == cut
        told = [note for note in plan.notes if "falls into parts" in note]
        named = (
            {int(word) for word in told[0].split("the network")[0].replace(",", "").split() if word.isdigit()}
            if told
            else set()
        )
        assert named == cut


def test_each_leaves_a_network_of_its_own():
    """A hub takes more of the messages along than a leaf does."""
    plan = plan_of({**LEAVING, "topology": {"kind": "star"}})
    at = plan.selection.clients.tolist().index
    hub, leaf = plan.cost_for(at(0))[4], plan.cost_for(at(5))[4]
    assert hub["sent"] == 0 < leaf["sent"]
    assert plan.answers[0].sigma[at(0)] != pytest.approx(plan.answers[0].sigma[at(5)])
