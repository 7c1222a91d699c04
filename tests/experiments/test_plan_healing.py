"""What a plan says of the rounds after the noise: those at the end, and those before the descent."""

from typing import Any

import pytest

from rewindnet.certificates import certify
from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.rows import rows_of
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.yaml_files import resolve

DECLARED: dict[str, Any] = {
    "name": "healing",
    "data": {"source": "declared", "shape": [3, 2], "classes": 4},
    "partition": {"kind": "declared", "samples": [9] * 8},
    "topology": {"kind": "ring"},
    "learning": {"rounds": 10},
    "deletion": {"client": 3, "samples": "all"},
}


def network_of(*rows: dict[str, Any], **changes: Any) -> NetworkSetup:
    methods = [{"method": "r2d", "rewind": 0.2, **row} for row in rows]
    return build_planned_network(resolve({**DECLARED, "unlearning": methods, **changes}))


@pytest.mark.parametrize(
    ("row", "said", "larger"),
    [
        ({"view": "joint"}, "no ε of this view depends on them", False),
        ({"view": "transcript:all", "placement": "rewind"}, "no ε of this view depends on them", False),
        ({"view": "transcript:0", "placement": "rewind"}, "a single peer then receives from more nodes", True),
        ({"view": "node", "placement": "output"}, "a single model then has a part", True),
    ],
)
def test_a_plan_says_what_gossip_at_the_end_does_to_epsilon(row: dict[str, Any], said: str, larger: bool) -> None:
    network = network_of({**row, "gossip_rounds": 3})
    (note,) = rows_of(network)[1]
    assert "adds 3 gossip rounds" in note
    assert said in note
    epsilons = []
    for rounds in (0, 3):
        plan = R2D(rewind=0.2, sigma=40.0, gossip_rounds=rounds, **row).plan(network.training_run)
        epsilons.append(certify(network.training_run, plan.release, plan.claim).epsilon)
    assert (epsilons[1] > epsilons[0] * (1 + 1e-9)) == larger, epsilons
