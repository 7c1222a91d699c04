"""Certificates of unlearning: sensitivity on a graph, noise mechanisms, views, (ε, δ) certificates and audits.

All inputs and outputs are frozen records and numpy arrays. A training run that was made elsewhere can be certified from
its constants and its mixing matrices alone. Input that the accounting does not understand raises a `CertificateError`
that names it.
"""

from rewindnet.certificates.accounting.gaussian import (
    check_delta,
    check_epsilon,
    delta_of,
    epsilon_of,
    mu_of,
    textbook_epsilon,
    textbook_sigma,
)
from rewindnet.certificates.audits.audit import Audit, audit, violation
from rewindnet.certificates.audits.montecarlo import MonteCarlo, monte_carlo
from rewindnet.certificates.audits.noise.record import NoiseAudit
from rewindnet.certificates.calibrate import calibrate, claimed_epsilon, least_depth, least_scale, scaled_noise
from rewindnet.certificates.certificate import Certificate, TrainingFacts
from rewindnet.certificates.certify import certify
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.compose import Composition, compose, compose_certificates, covers
from rewindnet.certificates.constants import REGIMES, Constant, Constants, Regime, derive, settings_of
from rewindnet.certificates.continuation import AfterRequest, go_on
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.forget_sets import forget_commitment, forget_digest
from rewindnet.certificates.measurements import Arithmetic, Ledger
from rewindnet.certificates.mechanisms import GaussianOutput, GossipDP, Langevin, NoisyFinetune, Uncertified
from rewindnet.certificates.network import ORDERS, Batches, Mixing, Order
from rewindnet.certificates.planning.forecast import Spectrum, excess_loss, noise_left, settle_rounds
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.sensitivity.bounds import propagate
from rewindnet.certificates.sensitivity.local_steps import local_growth, strongest_regime, worst_case_disturbance
from rewindnet.certificates.sensitivity.recursion import Sensitivity
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import VIEWS, View
from rewindnet.certificates.views.mu import gossip_product, mu_of_view

__all__ = [
    "ORDERS",
    "REGIMES",
    "VIEWS",
    "AfterRequest",
    "Arithmetic",
    "Audit",
    "Batches",
    "Certificate",
    "CertificateError",
    "Claim",
    "Composition",
    "Constant",
    "Constants",
    "DivergenceBounds",
    "GaussianOutput",
    "GossipDP",
    "Langevin",
    "Ledger",
    "Mechanism",
    "Mixing",
    "MonteCarlo",
    "NoiseAudit",
    "NoisyFinetune",
    "Order",
    "Regime",
    "Release",
    "Sensitivity",
    "Spectrum",
    "TrainingFacts",
    "TrainingRun",
    "Uncertified",
    "View",
    "audit",
    "calibrate",
    "certify",
    "check_delta",
    "check_epsilon",
    "claimed_epsilon",
    "compose",
    "compose_certificates",
    "covers",
    "delta_of",
    "derive",
    "epsilon_of",
    "excess_loss",
    "forget_commitment",
    "forget_digest",
    "go_on",
    "gossip_product",
    "least_depth",
    "least_scale",
    "local_growth",
    "monte_carlo",
    "mu_of",
    "mu_of_view",
    "noise_left",
    "propagate",
    "scaled_noise",
    "settings_of",
    "settle_rounds",
    "strongest_regime",
    "textbook_epsilon",
    "textbook_sigma",
    "violation",
    "worst_case_disturbance",
]
