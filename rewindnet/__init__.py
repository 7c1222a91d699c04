"""Certified unlearning in peer-to-peer and federated networks.

    import rewindnet

    scenario = rewindnet.load("scenario.yaml", topology="ring", **{"deletion.client": 7})
    result = rewindnet.run(scenario)
    result.table()

Names are imported when they are first used: certificates and topologies need numpy, scipy and networkx; scenarios need
the extra `sim`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rewindnet.errors import Notice, UserError
from rewindnet.extras import missing_extras_named
from rewindnet.version import __version__ as __version__

if TYPE_CHECKING:
    from rewindnet.certificates import Certificate, Claim, Release, TrainingRun, calibrate, certify
    from rewindnet.experiments.api import load, plan, run, sweep, verify
    from rewindnet.experiments.explain.api import explain
    from rewindnet.experiments.explain.results import GraphEvidence
    from rewindnet.experiments.handover.export import export_certificate
    from rewindnet.experiments.handover.verify import verify_certificate
    from rewindnet.experiments.results import Result
    from rewindnet.experiments.scenario.scenario import Scenario
    from rewindnet.experiments.studies.results import load_study
    from rewindnet.topologies import build
    from rewindnet.topologies import mix as mixing_matrix

_MODULES = {
    "rewindnet.certificates": ("Certificate", "Claim", "Release", "TrainingRun", "calibrate", "certify"),
    "rewindnet.experiments.api": ("load", "plan", "run", "sweep", "verify"),
    "rewindnet.experiments.explain.api": ("explain",),
    "rewindnet.experiments.explain.results": ("GraphEvidence",),
    "rewindnet.experiments.handover.export": ("export_certificate",),
    "rewindnet.experiments.handover.verify": ("verify_certificate",),
    "rewindnet.experiments.results": ("Result",),
    "rewindnet.experiments.scenario.scenario": ("Scenario",),
    "rewindnet.experiments.studies.results": ("load_study",),
    "rewindnet.topologies": ("build", "mixing_matrix"),
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Certificate",
    "Claim",
    "GraphEvidence",
    "Notice",
    "Release",
    "Result",
    "Scenario",
    "TrainingRun",
    "UserError",
    "build",
    "calibrate",
    "certify",
    "explain",
    "export_certificate",
    "load",
    "load_study",
    "mixing_matrix",
    "plan",
    "run",
    "sweep",
    "verify",
    "verify_certificate",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'rewindnet' has no attribute {name!r}")
    with missing_extras_named():
        value = getattr(import_module(_LAZY[name]), "mix" if name == "mixing_matrix" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
