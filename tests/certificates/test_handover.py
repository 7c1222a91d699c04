"""The file of a certificate: what it promises, what it hides, and that nothing else is taken for it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from math import exp, inf
from typing import Any

import numpy as np
import pytest
from drawn import examples
from handovers import INSTANCE, checks, file_of, restated, small_certificate, statuses
from hypothesis import assume, example, given
from hypothesis import strategies as st
from learnings import release_of, requests, small_learning, views_of
from scipy.stats import norm

from rewindnet import topologies
from rewindnet.certificates import (
    CertificateError,
    Claim,
    Constant,
    GossipDP,
    Ledger,
    Release,
    certify,
    derive,
)
from rewindnet.certificates.digits import rounded_up
from rewindnet.certificates.handover.document import Document, parse
from rewindnet.certificates.handover.guessing import in_hundred, most_detected
from rewindnet.certificates.handover.statement import statement


@pytest.fixture
def document() -> Document:
    return file_of(*small_certificate())


# What the numbers mean for a test


def best_test(p: np.ndarray[Any, Any], q: np.ndarray[Any, Any], alarms: float) -> float:
    """By Neyman and Pearson: the outcomes of the largest ratio p/q first, until q is used up."""
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(-np.where(q > 0, p / q, inf))
    detected = 0.0
    for at in order:
        share = 1.0 if q[at] <= alarms else alarms / q[at]
        detected, alarms = detected + share * p[at], alarms - share * q[at]
        if share < 1:
            break
    return float(detected)


@examples(60)
@given(st.floats(0, 6), st.floats(0.001, 0.5))
def test_mu_is_what_the_best_test_of_two_gaussians_detects(mu: float, alarms: float) -> None:
    edges = np.linspace(-9, 15, 20_001)
    p, q = np.diff(norm.cdf(edges, mu)), np.diff(norm.cdf(edges))
    assert most_detected(mu, 1e3, 1e-9, alarms) == pytest.approx(best_test(p, q, alarms), abs=2e-3)


@examples(60)
@given(st.floats(0, 5), st.floats(1e-9, 0.2), st.floats(0.001, 0.5))
def test_epsilon_and_delta_are_what_the_best_test_of_the_worst_pair_detects(
    epsilon: float, delta: float, alarms: float
) -> None:
    """The two laws that are just (ε, δ)-indistinguishable, and whose tests are the best of all such pairs."""
    share = exp(epsilon) / (1 + exp(epsilon)) * (1 - delta)
    p = np.array([delta, share, 1 - delta - share, 0.0])
    assert most_detected(40.0, epsilon, delta, alarms) == pytest.approx(best_test(p, p[::-1], alarms), abs=1e-9)


@examples(200)
@given(st.floats(0, 1))
@example(0.4822)
def test_cases_in_a_hundred_are_never_understated(probability: float) -> None:
    """But for the rounding of the probability itself."""
    assert -1e-15 <= float(in_hundred(probability)) / 100 - probability <= 1.01e-4


@pytest.mark.parametrize(
    ("sigma", "words"),
    [(30.0, "can hardly tell"), (1.0, "unreliably"), (0.3, "may well"), (0.1, "is not kept from telling")],
)
def test_the_promise_is_worded_by_its_strength(sigma: float, words: str) -> None:
    document = file_of(*small_certificate(sigma=sigma))
    assert words in document["statement"]["promise"], document["statement"]["promise"]


@examples(200)
@given(st.floats(1e-9, 1e12), st.integers(2, 6))
@example(0.06320376, 4)
@example(1.004, 3)
def test_a_certified_epsilon_is_never_understated(epsilon: float, digits: int) -> None:
    """But by as much as a solved ε may exceed its target."""
    shown = float(rounded_up(epsilon, digits))
    assert epsilon * (1 - 2e-9) <= shown <= epsilon * (1 + 1.01 * 10.0 ** (1 - digits))
    assert rounded_up(shown, digits) == rounded_up(epsilon, digits)


def test_a_solved_epsilon_stays_what_was_asked_for() -> None:
    assert [rounded_up(value) for value in (0.0, 1.0, 1 + 1e-10, 1.004, 7.705e9, float("inf"))] == [
        *("0", "1", "1", "1.01", "7.71e+09", "inf")
    ]


def test_the_promise_does_not_understate_epsilon() -> None:
    document = file_of(*small_certificate(sigma=1.0))
    document["guarantee"]["epsilon"] = 0.06320376
    assert "(ε = 0.06321, δ" in statement(document)["promise"]


# What is in the file


@examples(60)
@given(requests(), st.sampled_from([0.02, 0.5, 20.0]), st.booleans())
def test_every_certificate_is_computed_again_from_its_file(case: tuple[Any, ...], sigma: float, asleep: bool) -> None:
    training, release, claim = case
    if asleep:
        mixing = training.mixing
        schedule = topologies.SCHEDULES.build("node-sleep", mixing.graph, mixing.weights, 3, (), probability=0.4)
        training = replace(training, mixing=schedule, ledger=None)
        claim = replace(claim, bound="worst-case")
    release = replace(release, sigma=np.where(np.arange(training.mixing.nodes) < 99, sigma, 0.0))
    try:
        certificate = certify(training, release, claim)
    except CertificateError:
        assume(False)
    document = file_of(certificate, training)
    arithmetic, said = checks(document)
    withheld = certificate.data_dependent_noise and certificate.epsilon is not None
    assert (arithmetic.status, said.status) == ("recorded" if withheld else "holds", "holds"), arithmetic
    if certificate.epsilon is None:
        assert document["statement"]["promise"].startswith("Nothing is promised: ")


def values(content: Any) -> Iterator[Any]:
    """Everything in plain data that is not a list or an object."""
    if isinstance(content, dict | list):
        for item in content.values() if isinstance(content, dict) else content:
            yield from values(item)
    else:
        yield content


@examples(40)
@given(requests(), st.sampled_from([0.3, 4.0]))
def test_what_was_measured_is_not_in_the_file(case: tuple[Any, ...], sigma: float) -> None:
    training, release, claim = case
    release = replace(release, sigma=np.full(training.mixing.nodes, sigma * 1.000123))
    certificate = certify(training, release, replace(claim, bound="instance"))
    assume(certificate.data_dependent_noise)
    document = file_of(certificate, training)
    assert document["numbers"] is None
    secrets = {*certificate.sensitivity, *certificate.rounding, *release.sigma.tolist()} - {0.0}
    assert secrets.isdisjoint(value for value in values(document) if isinstance(value, float))
    said = [document["reference"], *document["premises"], *document["assumptions"]]
    assert not any(char.isdigit() for sentence in said for char in sentence)
    if certificate.epsilon is None:
        assert not any(char.isdigit() for char in document["guarantee"]["reason"])
    else:
        assert "(†)" in document["statement"]["limits"]


def test_a_reason_that_was_measured_has_no_numbers() -> None:
    measured = Ledger((0,), np.full((10, 1, 1), 0.0123))
    for bound, digits in (("worst-case", True), ("instance", False)):
        training = small_learning(ledger=measured)
        certificate = certify(training, release_of(np.zeros(4)), Claim("joint", 1e-5, bound))
        assert "by up to 0." in str(certificate.reason)
        document = file_of(certificate, training)
        assert any(char.isdigit() for char in document["guarantee"]["reason"]) == digits
        assert document["statement"]["promise"] == f"Nothing is promised: {document['guarantee']['reason']}."


def test_estimated_constants_stay_and_are_named() -> None:
    training = small_learning(constants=derive("logistic", Constant(1.2345, "estimated"), l2=0.01))
    document = file_of(certify(training, release_of(np.full(4, 3.0)), Claim("joint", 1e-5)), training)
    assert document["withheld"] == "estimated"
    assert document["learning"]["constants"]["G"] == {"value": None, "provenance": "estimated"}
    assert "1.2345" not in json.dumps(document)
    assert "only estimated, is wrong (*)" in document["statement"]["limits"]
    assert statuses(document) == ["recorded", "holds"]


def test_the_forget_set_is_there_as_a_commitment() -> None:
    for commitment in ("cd" * 32, ""):
        training = small_learning(forget_commitment=commitment)
        document = file_of(certify(training, release_of(np.full(4, 3.0)), Claim("joint", 1e-5)), training)
        assert document["request"]["forget_commitment"] == (commitment or None)


def test_noise_from_a_seed_is_a_simulation_and_other_noise_is_not() -> None:
    seeded, secret = (file_of(*small_certificate(noise_source=source)) for source in ("seed", "os"))
    assert seeded["statement"]["limits"].startswith("SIMULATION ONLY: the noise was drawn from a seed")
    assert seeded["statement"]["promise"].startswith("In a simulation, and only for")
    assert secret["statement"]["limits"].startswith("It does not cover: what participants recorded")
    assert "simulation" not in json.dumps(secret["statement"]).lower()


@pytest.mark.parametrize("view", ["node:3", "joint", "average", "transcript", "transcript:all"])
def test_only_the_network_that_the_arithmetic_needs_is_in_the_file(view: str) -> None:
    document = file_of(*small_certificate(view, placement="rewind"))
    needed = view in ("node:3", "transcript")
    assert bool(document["network"]["matrices"]) == needed
    assert len(document["network"]["rounds"]) == needed


def test_a_network_that_is_too_large_for_the_file_is_left_out_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewindnet.certificates.handover.network._MOST_WEIGHTS", 3)
    document = file_of(*small_certificate("transcript", placement="rewind"))
    assert document["network"] is None
    (arithmetic, _) = checks(document)
    assert arithmetic.status == "unchecked"
    assert "the mixing matrix of round" in arithmetic.sentence


# Forgeries


def lower_epsilon(document: Document) -> None:
    document["guarantee"]["epsilon"] *= 0.99


def lower_both(document: Document) -> None:
    mu, epsilon = (0.1, 0.3408)
    document["guarantee"].update(mu=mu, epsilon=epsilon)


def raise_sigma(document: Document) -> None:
    document["numbers"]["sigma"] = [sigma * 1.01 for sigma in document["numbers"]["sigma"]]


def lower_sensitivity(document: Document) -> None:
    document["numbers"]["sensitivity"][0] *= 0.9


def say_os(document: Document) -> None:
    document["noise"]["source"] = "os"


def say_no_noise(document: Document) -> None:
    document["noise"]["added"] = False


def lower_delta(document: Document) -> None:
    document["guarantee"]["delta"] = 1e-6


def delete_less(document: Document) -> None:
    document["request"]["deleted"][0]["samples"] = 4


def soften(document: Document) -> None:
    document["statement"]["limits"] = "It covers everything."


def promise_more(document: Document) -> None:
    document["statement"]["promise"] = document["statement"]["promise"].replace("at most", "fewer than")


def another_mechanism(document: Document) -> None:
    document["noise"]["mechanism"] = document["numbers"]["mechanism"]["kind"] = "uncertified"


@pytest.mark.parametrize(
    "forge",
    [
        lower_epsilon,
        lower_both,
        raise_sigma,
        lower_sensitivity,
        say_os,
        say_no_noise,
        lower_delta,
        delete_less,
        soften,
        promise_more,
        another_mechanism,
    ],
)
def test_what_is_forged_is_found(document: Document, forge: Any) -> None:
    assert "FAILS" not in statuses(document)
    forge(document)
    assert "FAILS" in statuses(document)


@pytest.mark.parametrize(
    "forge", [lower_epsilon, lower_both, raise_sigma, lower_sensitivity, say_no_noise, lower_delta]
)
def test_numbers_are_found_forged_also_under_sentences_that_fit(document: Document, forge: Any) -> None:
    forge(document)
    assert statuses(restated(document))[0] == "FAILS"


@pytest.mark.parametrize(
    "change",
    [
        {"data_dependent_noise": False},
        {"data_dependent_noise": False, "conditional": False},
        {"conditional": False},
        {"epsilon": 0.5},
        {"mu": 0.1},
    ],
)
def test_a_reservation_cannot_be_left_out(change: dict[str, Any]) -> None:
    document = parse(INSTANCE)
    document["guarantee"].update(change)
    assert "FAILS" in statuses(restated(document))


def delete_nothing(document: Document) -> None:
    document["request"]["deleted"] = []


def audit_no_noise(document: Document) -> None:
    document["checked"]["noise"] = "no noise"


def change_no_model(document: Document) -> None:
    document["guarantee"].update(epsilon=0.0, mu=0.0, conditional=False)
    document["numbers"]["sensitivity"] = [0.0] * len(document["numbers"]["sensitivity"])


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (delete_nothing, "a deletion of no sample"),
        (audit_no_noise, "said in two ways"),
        (change_no_model, "are said to have changed no model"),
    ],
)
def test_a_promise_that_contradicts_its_request_is_found(document: Document, forge: Any, says: str) -> None:
    forge(document)
    (found,) = (finding for finding in checks(restated(document)) if finding.what == "statement")
    assert (found.status, says in found.sentence) == ("FAILS", True), found


def test_the_promise_names_the_noise_of_the_models_that_are_learned_again(document: Document) -> None:
    assert "learned again without that data, with noise of the same level" in document["statement"]["promise"]


def test_declared_constants_cannot_be_passed_over() -> None:
    training = small_learning(constants=derive("logistic", Constant(1.0, "declared"), l2=0.01))
    document = file_of(certify(training, release_of(np.full(4, 3.0)), Claim("joint", 1e-5)), training)
    assert document["guarantee"]["conditional"]
    assert "FAILS" not in statuses(document)
    document["guarantee"]["conditional"] = False
    assert "FAILS" in statuses(restated(document))


@examples(60)
@given(requests(), st.data())
def test_no_view_can_be_claimed_that_is_not_covered(case: tuple[Any, ...], data: st.DataObject) -> None:
    """What passes for another view is, by the true certificate of that view, at least as strong as claimed."""
    training, release, claim = case
    release, claim = replace(release, sigma=np.full(training.mixing.nodes, 0.7)), replace(claim, bound="worst-case")
    certificate = certify(training, release, claim)
    assume(certificate.epsilon is not None)
    document = file_of(certificate, training)
    wider = data.draw(views_of(training.mixing.nodes))
    document["guarantee"]["view"] = wider
    if "FAILS" in statuses(restated(document)) or "unchecked" in statuses(restated(document)):
        return
    true = certify(training, release, replace(claim, view=wider))
    assert true.epsilon is not None
    assert certificate.epsilon is not None
    assert true.epsilon <= certificate.epsilon * (1 + 2e-6)


def test_messages_before_the_noise_cannot_be_claimed_but_where_nothing_differs() -> None:
    """Node 3 of the path is out of reach in two rounds of descent from a checkpoint after one round of learning."""
    release = release_of(np.full(4, 3.0), checkpoint_round=1, descent_rounds=1)
    training = small_learning(rounds=2)
    document = file_of(certify(training, release, Claim("joint", 1e-5)), training)
    document["guarantee"]["view"] = "transcript:all"
    assert statuses(restated(document))[0] == "FAILS"
    for node, covered in ((3, True), (2, False)):
        true = certify(training, release, Claim(f"transcript:{node}", 1e-5))
        assert (true.epsilon == 0) == covered
        document["guarantee"].update(view=f"transcript:{node}", mu=0.0 if covered else 1.0, epsilon=0.0)
        assert (statuses(restated(document))[0] == "holds") == covered


def test_who_participates_is_in_the_file_where_the_arithmetic_needs_it() -> None:
    training = small_learning(constants=derive("logistic", Constant(1.0, "enforced"), l2=0.0))
    mixing = training.mixing
    asleep = topologies.SCHEDULES.build("node-sleep", mixing.graph, mixing.weights, 3, (), probability=0.4)
    training = replace(training, mixing=asleep)
    mechanism = GossipDP.of(training, clip=0.5, sigma=2.0)
    release = Release("gossip-dp", 0, 0, "rewind", np.full(4, 2.0), mechanism=mechanism)
    document = file_of(certify(training, release, Claim("node:3", 1e-5)), training)
    assert statuses(document) == ["holds", "holds"]
    assert document["network"]["participating"]
    document["network"]["participating"] = []
    assert statuses(document)[0] == "FAILS"


def test_many_clients_are_told_by_their_number() -> None:
    training = small_learning(deleted=np.array([5, 1, 2, 3]))
    document = file_of(certify(training, release_of(np.full(4, 9.0)), Claim("joint", 1e-5)), training)
    assert "when 4 clients deleted 11 samples, or" in document["statement"]["promise"]


def test_messages_without_noise_cannot_be_claimed_where_numbers_are_withheld() -> None:
    document = parse(INSTANCE)
    document["guarantee"]["view"] = "transcript:all"
    assert statuses(restated(document))[0] == "FAILS"
