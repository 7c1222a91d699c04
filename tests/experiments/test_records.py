"""Records survive being written, and what cannot be is refused in a sentence."""

import json
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from learnings import DELTA, learnings, ledger, release_of, small_learning
from scipy.sparse import csr_array

from rewindnet.certificates import (
    Certificate,
    CertificateError,
    Claim,
    Constant,
    certify,
    derive,
    propagate,
    scaled_noise,
)
from rewindnet.certificates.training_record import training_of_record, training_record


@examples(60)
@given(learnings())
def test_learning_survives_its_record(learning):
    again = training_of_record(json.loads(json.dumps(training_record(learning), allow_nan=False)), learning.mixing)
    for bound in ("worst-case", "instance"):
        found = propagate(again, disturbed=again.rounds, undisturbed=2, bound=bound)
        expected = propagate(learning, disturbed=learning.rounds, undisturbed=2, bound=bound)
        assert found.total.tolist() == expected.total.tolist()
        assert found.rounding.tolist() == expected.rounding.tolist()
    assert training_record(again) == training_record(learning)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"placement": "middle"}, "unknown placement 'middle'; it is one of: output, rewind"),
        ({"sigma": np.ones(3)}, "sigma must have one entry for each of 4 nodes"),
        ({"sigma": np.array([1, nan, 1, 1])}, "sigma must be finite and non-negative at every node"),
        ({"sigma": np.array([1, -1, 1, 1])}, "sigma must be finite and non-negative at every node"),
        ({"averaged": True, "placement": "rewind"}, "a released average carries one noise vector"),
        ({"averaged": True, "sigma": np.array([1.0, 2, 1, 1])}, "a released average carries one noise vector"),
        ({"gossip_rounds": -1}, "gossip_rounds is a number of rounds, not -1"),
        ({"averaged": True, "gossip_rounds": 1}, "with placement output and no gossip rounds after it"),
        ({"checkpoint_round": 11}, "learning has 10 rounds; 11 rounds with the forget set and 5 without it do not fit"),
        ({"checkpoint_round": -1}, "checkpoint_round is a number of rounds, not -1"),
        ({"descent_rounds": -1}, "descent_rounds is a number of rounds, not -1"),
    ],
)
def test_a_release_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(CertificateError, match=sentence):
        certify(small_learning(), replace(release_of(np.ones(4)), **changes), Claim("node", DELTA))


@pytest.mark.parametrize(
    "view", ["", "nodes", "node:", "node:-1", "node:x", "node:1.0", "transcript:", "transcripts", "all", "joint:1"]
)
def test_a_view_that_does_not_exist_is_refused(view):
    with pytest.raises(
        CertificateError,
        match=r"unknown view .*it is one of: node, node:v, joint, average, transcript, transcript:v, transcript:all",
    ):
        Claim(view, DELTA)


def test_claims_are_refused_with_what_is_allowed():
    with pytest.raises(CertificateError, match="view 'node:4' names a node that does not exist; nodes are 0 to 3"):
        certify(small_learning(), release_of(np.ones(4)), Claim("node:4", DELTA))
    with pytest.raises(CertificateError, match="unknown bound 'best'; it is one of: published, worst-case, instance"):
        Claim("node", DELTA, bound="best")
    with pytest.raises(CertificateError, match="unknown allocation 'fair'; it is one of: uniform, optimal"):
        Claim("node", DELTA, allocation="fair")
    for delta in (0.0, 1.0, nan):
        with pytest.raises(CertificateError, match="delta must lie strictly between 0 and 1"):
            certify(small_learning(), release_of(np.ones(4)), Claim("node", delta))
    with pytest.raises(CertificateError, match="does not prove the regime 'weakly-convex'"):
        certify(small_learning(), release_of(np.ones(4)), Claim("node", DELTA, regime="weakly-convex"))
    with pytest.raises(CertificateError, match="an instance bound needs the ledger"):
        certify(small_learning(), release_of(np.ones(4)), Claim("node", DELTA, bound="instance"))
    for sigma in (-1.0, nan, inf):
        with pytest.raises(CertificateError, match="sigma must be a non-negative number"):
            scaled_noise(small_learning(), release_of(np.ones(4)), Claim("node", DELTA), sigma)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"order": "combine"}, "unknown order 'combine'; it is one of: adapt-then-combine, "),
        ({"rounds": 0}, "learning takes at least one round of at least one local step"),
        ({"local_steps": 0}, "learning takes at least one round of at least one local step"),
        ({"step_size": 0.0}, "step_size must be a positive number, not 0.0"),
        ({"step_size": nan}, "step_size must be a positive number, not nan"),
        ({"samples": np.ones(4)}, "samples and deleted are whole numbers, one for each node"),
        ({"deleted": np.full(4, 0.5)}, "samples and deleted are whole numbers, one for each node"),
        ({"samples": np.ones(3, dtype=int)}, "samples and deleted must have one entry for each of 4 nodes"),
        ({"deleted": np.array([0, 21, 0, 0])}, "node 1 has 20 samples, so 21 of them cannot be deleted"),
        ({"deleted": np.array([0, 0, -1, 0])}, "node 2 has 20 samples, so -1 of them cannot be deleted"),
    ],
)
def test_learning_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(CertificateError, match=sentence):
        small_learning(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nodes": (1,)}, "the ledger's disturbances are not those of the nodes whose samples are deleted"),
        ({"disturbance": np.ones((9, 1, 1))}, r"the shape \(9, 1, 1\), not \[rounds, local steps, nodes\]"),
        ({"disturbance": np.full((10, 1, 1), nan)}, "a disturbance that is not a non-negative number"),
        ({"disturbance": -np.ones((10, 1, 1))}, "a disturbance that is not a non-negative number"),
        ({"nodes": (0, 0), "disturbance": np.ones((10, 1, 2))}, "the ledger names a node twice"),
    ],
)
def test_a_ledger_that_cannot_be_is_refused(changes, sentence):
    def certified():
        kept = replace(ledger(np.random.default_rng(0), 10, 1, [0], 1.0), **changes)
        return propagate(small_learning(ledger=kept), disturbed=5, undisturbed=5, bound="instance")

    with pytest.raises(CertificateError, match=sentence):
        certified()


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("rounds"),
        lambda record: record.pop("ledger"),
        lambda record: record.update(step_size="fast"),
        lambda record: record.update(samples=["many"] * 4),
        lambda record: record.update(constants=None),
        lambda record: record["ledger"].pop("disturbance"),
    ],
)
def test_a_damaged_record_of_learning_is_refused(damage):
    learning = small_learning(ledger=ledger(np.random.default_rng(0), 10, 1, [0], 1.0))
    record = training_record(learning)
    damage(record)
    with pytest.raises(CertificateError, match=r"the record of (learning|the constants) is damaged"):
        training_of_record(record, learning.mixing)


class Weights:
    """A network whose matrix nobody has checked."""

    nodes = 4

    def __init__(self, W):
        self.W = csr_array(np.array(W, dtype=float))

    def participating(self, round):
        return None

    def matrix(self, round):
        return self.W


@pytest.mark.parametrize(
    ("W", "sentence"),
    [
        (np.zeros((4, 4)), "is 1 away from summing to 1"),
        (np.eye(4) * 0.01, "is 0.99 away from summing to 1"),
        ([[1, 0, 0, 0], [-1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "a weight that is negative or no number"),
        (np.full((4, 4), nan), "a weight that is negative or no number"),
        (np.eye(3), r"the shape \(3, 3\), not \(4, 4\)"),
    ],
)
def test_a_matrix_that_does_not_mix_is_refused(W, sentence):
    with pytest.raises(CertificateError, match=sentence):
        certify(small_learning(mixing=Weights(W)), release_of(np.ones(4)), Claim("node", DELTA))


@pytest.mark.parametrize("changes", [{"G": -1.0}, {"L": nan}, {"radius": 0.0}, {"l2": -0.5}, {"strong_convexity": 9.0}])
def test_constants_that_no_objective_has_are_refused(changes):
    constants = derive("logistic", Constant(1.0, "proven"), l2=0.1)
    with pytest.raises(CertificateError, match="no objective has the constants"):
        replace(constants, **{name: Constant(value, "proven") for name, value in changes.items()})


def test_a_damaged_certificate_is_refused():
    record = certify(small_learning(), release_of(np.ones(4)), Claim("node", DELTA)).to_record()
    with pytest.raises(CertificateError, match=r"damaged; a field is missing: 'sigma'$"):
        Certificate.from_record({name: value for name, value in record.items() if name != "sigma"})
    with pytest.raises(CertificateError, match=r"damaged; no certificate has the fields extra$"):
        Certificate.from_record({**record, "extra": 1})
