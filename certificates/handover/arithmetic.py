"""Derive μ and ε of a certificate's file again, from the numbers that it holds."""

from math import isclose

import numpy as np

from rewindnet.certificates.accounting.gaussian import epsilon_of
from rewindnet.certificates.accounting.sampler import sampler_floor
from rewindnet.certificates.digits import rounded_up
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.findings import OnRecord, Unchecked
from rewindnet.certificates.handover.document import WITHHELD, Document
from rewindnet.certificates.handover.network import MissingRoundError, StoredNetwork
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.view import View

#: The relative accuracy to which numbers are compared: other machines compute logarithms with other last digits.
_TOLERANCE = 1e-6


def check_arithmetic(document: Document) -> str:
    """Check that μ and ε follow from the numbers in the file.

    Args:
        document: a certificate's file.

    Returns:
        A sentence about what was checked.

    Raises:
        CertificateError: if they do not follow.
    """
    guarantee, noise = document["guarantee"], document["noise"]
    view = View.of(guarantee["view"]).within(document["models"]["nodes"])
    if guarantee["epsilon"] is None:
        return "nothing is promised, so there is no ε to derive"
    if noise["mechanism"] not in Mechanism.kinds():
        return Unchecked(f"the mechanism {noise['mechanism']} is not known here, so ε could not be derived")
    if document["numbers"] is None:
        return _check_without_numbers(document, view)
    mechanism = Mechanism.from_record(document["numbers"]["mechanism"])
    release = _release(document, mechanism)
    bounds = DivergenceBounds(*(np.array(document["numbers"][name]) for name in ("sensitivity", "rounding", "shifts")))
    _check_release(document, view, release, bounds)
    network = StoredNetwork(document["models"]["nodes"], document["network"])
    try:
        mu = mechanism.mu(view, bounds, release, network)
        epsilon = mechanism.epsilon(view, bounds, release, network, guarantee["delta"])
    except MissingRoundError as problem:
        return Unchecked(f"ε could not be derived: {problem}")
    _compare("mu", guarantee["mu"], mu)
    _compare("epsilon", guarantee["epsilon"], epsilon)
    return (
        f"μ = {mu:.6g} and ε = {rounded_up(epsilon, 6)} at δ = {guarantee['delta']:g} follow from sensitivity and noise"
    )


def _release(document: Document, mechanism: Mechanism) -> Release:
    """Return the release of the file."""
    noise, rounds = document["noise"], document["rounds"]
    return Release(
        method=document["guarantee"]["method"],
        checkpoint_round=rounds["checkpoint_round"],
        descent_rounds=rounds["descent_rounds"],
        placement=noise["placement"],
        sigma=np.array(document["numbers"]["sigma"], dtype=np.float64),
        gossip_rounds=rounds["gossip_rounds"],
        averaged=rounds["averaged"],
        noise_source=noise["source"],
        mechanism=mechanism,
    )


def _check_release(document: Document, view: View, release: Release, bounds: DivergenceBounds) -> None:
    """Refuse a view that shows what carries no noise, noise that is not said to be there, and a δ below the floor."""
    if release.mechanism.shows_without_noise(view, release, bounds):
        raise CertificateError(f"the view {view} shows messages or models that carry no noise, so it has no ε")
    vectors = release.mechanism.noise_vectors(release)
    if document["noise"]["added"] != bool(vectors):
        raise CertificateError("whether noise was added is said otherwise than its level says")
    floor = sampler_floor(release.noise_source, vectors * document["models"]["parameters"])
    if document["guarantee"]["delta"] < floor:
        raise CertificateError(f"δ is below {floor:.2g}, which the source of this noise cannot give")


def _check_without_numbers(document: Document, view: View) -> str:
    """Check that ε follows from μ, where the numbers behind μ are withheld."""
    guarantee, noise, rounds = document["guarantee"], document["noise"], document["rounds"]
    if document["withheld"] == "nothing":
        raise CertificateError("an ε is promised, and the numbers for it are said not to be needed")
    kind = Mechanism.kinds()[noise["mechanism"]]
    unhidden = view.shows_messages and view.node is None and noise["placement"] == "output" and rounds["descent_rounds"]
    if kind.plain_descent and unhidden:
        raise CertificateError(f"the view {view} shows messages that carry no noise, so it has no ε")
    upper = epsilon_of(guarantee["mu"], guarantee["delta"])
    if not kind.has_profile or guarantee["epsilon"] > upper:
        _compare("epsilon", guarantee["epsilon"], upper)
    because = f"the numbers behind μ are withheld: {WITHHELD[document['withheld']]}"
    if kind.has_profile:
        return Unchecked(f"ε is at most what μ = {guarantee['mu']:.6g} gives, and may be less; {because}")
    return OnRecord(f"ε = {rounded_up(upper, 6)} follows from μ = {guarantee['mu']:.6g}; {because}")


def _compare(name: str, stated: float, derived: float) -> None:
    """Refuse a number that is not the derived one.

    Raises:
        CertificateError: with both numbers.
    """
    if not isclose(stated, derived, rel_tol=_TOLERANCE, abs_tol=1e-300):
        raise CertificateError(f"{name} is stated as {stated:.6g} and follows as {derived:.6g}")
