"""The verifier draws the way of a token again, and catches another."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from learnings import small_learning
from runs import SharedRuns

from rewindnet.certificates import TrainingRun, certify
from rewindnet.certificates.mechanisms.rr_du import RRDU as RRDUMechanism
from rewindnet.clients.methods.base import MismatchError
from rewindnet.clients.methods.rr_du import RRDU
from rewindnet.clients.methods.walk_dp import WalkDP
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.topologies.routing import Tree

SCENARIO = {
    "name": "tokens",
    "seed": 4,
    "data": {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 6, "radius": 3.0},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [
        {"method": "rr-du", "hops": 9, "noise": "certified", "view": "transcript:all"},
        {"method": "rr-du", "hops": 9, "alignment": "exact", "batch": 4, "routing": "neighbours", "trust_radius": 1.0},
        {"method": "rr-du", "hops": 9, "sigma": 0.4, "start": "random"},
        {"method": "walk-dp", "view": "transcript"},
        {"method": "walk-dp", "sigma": 2.0, "hops": 12, "start": 1},
    ],
}


@pytest.fixture(scope="module")
def made(run_once: SharedRuns) -> Path:
    return run_once(SCENARIO).path


def test_tokens_hold_as_they_were_written(made: Path) -> None:
    findings = verify_folder(made)
    assert [finding for finding in findings if not finding.holds] == []
    assert sum("rr-du, certificate" in finding.what for finding in findings) == 3


def counted(way: RRDUMechanism, learning: TrainingRun) -> dict[str, int]:
    """What the path costs."""
    moves = sum(one != other for one, other in pairwise((way.node, *way.holders)))
    steps = sum(way.works)
    return {
        "rounds": len(way.holders) + max(Tree(way.parents).depths),
        "messages": moves + 3,
        "gradients": steps * 15 + 5 * (steps - len(way.visit_rounds)),
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"seed": 5}, "way of the token"),
        ({"routing": "neighbours"}, "way of the token"),
        ({"clip": 0.7}, "asked to be"),
        ({"optimizer": "adam"}, "asked to be"),
        ({"step_size": 0.1}, "asked to be"),
        ({"alignment": "lightweight"}, "asked to be"),
    ],
)
def test_another_way_or_step_is_found_out_however_well_it_is_certified(changed: dict[str, Any], said: str) -> None:
    known = small_learning()
    asked = RRDU(hops=9, alignment="exact", start="random")
    done = replace(asked, **{"seed": 4, "sigma": 1.0, "epsilon": None, **changed})
    plan = done.plan(known)
    way = plan.release.mechanism
    assert isinstance(way, RRDUMechanism)
    cost = counted(way, known)
    claimed = certify(known, plan.release, plan.claim)
    if said is None:
        asked.seeded(4).check_certificate(claimed, known, cost)
        cost["messages"] += 1
        said = "were counted"
    with pytest.raises(MismatchError, match=said):
        asked.seeded(4).check_certificate(claimed, known, cost)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"seed": 5}, "walk of the token"),
        ({"hops": 8}, "walk of the token"),
        ({"clip": 0.1}, "asked to be"),
    ],
)
def test_another_walk_is_found_out(changed: dict[str, Any], said: str | None) -> None:
    known, asked = small_learning(), WalkDP()
    plan = replace(asked, **{"seed": 4, **changed}).plan(known)
    claimed = certify(known, plan.release, plan.claim)
    if said is None:
        asked.seeded(4).check_certificate(claimed, known, {})
        return
    with pytest.raises(MismatchError, match=said):
        asked.seeded(4).check_certificate(claimed, known, {})
