"""What a plan says of the rounds after the noise: those at the end, and those before the descent."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from rewindnet.certificates import certify
from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.plan import make_plan
from rewindnet.experiments.plan.record import plan_record
from rewindnet.experiments.plan.rows import rows_of
from rewindnet.experiments.plan.table import print_plan
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


ALL: dict[str, Any] = {"placement": "rewind", "view": "transcript:all"}


def test_a_plan_forecasts_what_mixing_leaves_of_the_noise_and_what_gossip_costs() -> None:
    rows = [
        {**ALL},
        {**ALL, "settle_first": 6, "gossip_rounds": 1, "allocation": "optimal"},
        {**ALL, "settle_first": "auto", "settle_acceleration": "chebyshev"},
        {"view": "joint"},
        {**ALL, "rewind": None, "epsilon": 1.0, "sigma": 1e6},
    ]
    plan = make_plan(network_of(*rows), {})
    W = plan.network.mixing.weights.toarray()
    plain, settled, chosen, output, open_depth = plan.mixed
    assert open_depth is None
    assert plain is not None
    assert settled is not None
    assert chosen is not None
    assert output is not None
    # The same σ at every node, and two rounds of descent; as much at every node of a ring.
    left = plan.answers[0].sigma[0] * np.linalg.norm(np.linalg.matrix_power(W, 2)[0])
    assert (plain.noise, plain.highest) == (pytest.approx(left), pytest.approx(left))
    assert plain.even == pytest.approx(plan.answers[0].sigma[0] / np.sqrt(8))
    release = R2D(rewind=0.2, **rows[1]).plan(plan.network.training_run).release
    variance = np.linalg.matrix_power(W, 6 + 2 + 1) ** 2 @ release.sigma**2
    assert settled.noise == pytest.approx(np.sqrt(variance.mean()))
    assert settled.highest == pytest.approx(np.sqrt(variance.max()))
    assert settled.even == pytest.approx(np.linalg.norm(release.sigma) / 8)
    assert (plain.gossip_rounds, settled.gossip_rounds, settled.settle_first) == (0, 7, 6)
    assert output.noise == pytest.approx(plan.answers[3].sigma[0])
    assert 0 < chosen.settle_first <= 5
    console = Console(file=io.StringIO(), width=300)
    print_plan(plan, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"{settled.noise:.3g} (even {settled.even:.3g}) │ 20 % + 7 gossip" in text
    assert f"settle_first: auto (row 2) is {chosen.settle_first} gossip rounds" in text
    record = plan_record(plan)
    assert [row["after_mixing"] and row["after_mixing"]["gossip_rounds"] for row in record["rows"]] == [
        *(0, 7, chosen.settle_first, 0, None),
    ]
    assert "settings" not in record["rows"][0]
