"""A certificate that is right about another release than the scenario's method would plan is caught."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import SharedRuns

from rewindnet.certificates import Release, audit, certify
from rewindnet.certificates.mechanisms import GaussianOutput, Uncertified
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.verify.records import certificate_of
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO = {
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "model": {"l2": 0.1},
    "learning": {"rounds": 10},
    "deletion": {"samples": 2},
    "unlearning": [
        {"method": "langevin"},
        {"method": "gossip-dp"},
        {"method": "noisy-finetune"},
        {"method": "r2d", "rewind": 0.5},
    ],
    "measures": {"membership": False},
}


@pytest.fixture(scope="module")
def done(run_once: SharedRuns) -> RunFolder:
    return run_once(SCENARIO)


def forged(done: RunFolder, index: int, change: Callable[[Release], Release], place: Path) -> RunFolder:
    """The run with a certificate and an audit that follow from records of another release."""
    for file in done.path.rglob("*"):
        if file.is_file():
            target = place / file.relative_to(done.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    claimed, learning = certificate_of(done.methods[index]), done.training_run_of(index)
    other = certify(learning, change(claimed.release), claimed.claim)
    found = done.certified[index][1]
    shifts = np.zeros(len(other.shifts))
    again = audit(other, learning.mixing, np.array(found.divergence), found.monte_carlo, shifts)
    folder = place / done.methods[index].place
    (folder / "certificate.json").write_text(json.dumps(other.to_record()))
    (folder / "audit.json").write_text(json.dumps(again.to_record()))
    return read_folder(place)


def failed(run: RunFolder) -> dict[str, str]:
    return {finding.what: finding.sentence for finding in verify_folder(run.path) if not finding.holds}


def test_an_honest_run_is_verified(done):
    assert failed(done) == {}


@pytest.mark.parametrize("index", [0, 2])
def test_more_noise_than_is_planned_is_no_better(done, index, tmp_path):
    run = forged(done, index, lambda release: replace(release, sigma=2 * release.sigma), tmp_path)
    method = SCENARIO["unlearning"][index]["method"]
    sentence = failed(run)[f"{index} {method}, certificate"]
    assert "would add noise of σ up to" in sentence or "was asked for" in sentence


def test_another_mechanism_is_no_way_out(done, tmp_path):
    none = Uncertified("nothing is known", "did something")
    run = forged(done, 3, lambda release: replace(release, mechanism=none), tmp_path / "none")
    assert "3 r2d, certificate" in failed(run)

    def once(release: Release) -> Release:
        """One vector of so much noise that the ε that was asked for is reached."""
        return replace(release, mechanism=GaussianOutput(), sigma=10 * release.sigma)

    run = forged(done, 0, once, tmp_path / "once")
    assert "the mechanism of langevin is langevin, not gaussian-output" in " ".join(failed(run).values())
