"""What may be claimed: sensitivity on the graph, the Gaussian mechanism, views, certificates and audits.

Frozen records in, frozen records out, in numpy alone: a training run made elsewhere can be certified from its
constants and mixing matrices. Whatever is not understood is refused with an error that names it, never guessed.
"""

from certificates.audit import Audit, audit, violation
from certificates.certify import calibrate, certify, claimed_epsilon, least_depth, scaled_noise
from certificates.constants import REGIMES, Constant, Constants, Regime, derive, settings_of
from certificates.errors import CertificateError
from certificates.gaussian import (
    check_delta,
    check_epsilon,
    delta_of,
    epsilon_of,
    mu_of,
    textbook_epsilon,
    textbook_sigma,
)
from certificates.records import (
    ORDERS,
    VIEWS,
    Arithmetic,
    Certificate,
    Claim,
    Learning,
    Ledger,
    Mixing,
    Order,
    Release,
    forget_digest,
    parse_view,
)
from certificates.sensitivity import (
    Sensitivity,
    local_growth,
    propagate,
    strongest_regime,
    worst_case_disturbance,
)
from certificates.views import mu_of_view, settled

__all__ = [
    "ORDERS",
    "REGIMES",
    "VIEWS",
    "Arithmetic",
    "Audit",
    "Certificate",
    "CertificateError",
    "Claim",
    "Constant",
    "Constants",
    "Learning",
    "Ledger",
    "Mixing",
    "Order",
    "Regime",
    "Release",
    "Sensitivity",
    "audit",
    "calibrate",
    "certify",
    "check_delta",
    "check_epsilon",
    "claimed_epsilon",
    "delta_of",
    "derive",
    "epsilon_of",
    "forget_digest",
    "least_depth",
    "local_growth",
    "mu_of",
    "mu_of_view",
    "parse_view",
    "propagate",
    "scaled_noise",
    "settings_of",
    "settled",
    "strongest_regime",
    "textbook_epsilon",
    "textbook_sigma",
    "violation",
    "worst_case_disturbance",
]
