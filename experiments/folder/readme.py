"""Write the README of a run folder: what each file is, what must not be shared, and what verifying checks."""

from collections.abc import Mapping
from pathlib import Path

from rewindnet.certificates import Audit, Certificate, View, covers
from rewindnet.experiments.folder.contents import KINDS, RELEASED, Kind
from rewindnet.experiments.folder.files import read_json
from rewindnet.experiments.scenario.scenario import Scenario

_SIMULATION = """\
**This is a simulation: nothing in this folder protects the forget set.** The noise is drawn from the seed. Those
who have the seed and the scenario can draw the noise again and subtract it, and a small seed can be guessed. For
models that are to be released, run the scenario with `noise_source: os` in its methods."""

_SECRET = """\
**The noise of this run is secret.** It came from the operating system, is stored nowhere, and cannot be drawn
again. Models without it were not written. Every certificate is about one release alone, so release the models of
one method only."""

_CERTIFICATES = """\
A certificate tells how sensitive every node is to the deletion, and the level of the noise. Where it is marked
`data_dependent_noise`, these depend on the deleted samples and tell something about them; elsewhere they follow
from which clients delete and how many samples, which is taken to be public. A page of `rewindnet report` shows what
the audits found, and is as secret as they are."""

_COMMITMENT = """\
`forget_commitment` in a certificate is the sha256 of a salt of 32 bytes, followed by the forget set as JSON. To
show an auditor what was forgotten, hand over the entries `forget` and `forget_salt` of that request in
`learning.json`; the auditor computes the hash from them. Every request has a salt of its own."""

_SEEDED_SALT = "In this simulation the salt is drawn from the seed, and hides nothing from those who have the seed."

_SECRET_SALT = """\
The salt came from the operating system. Until it is handed over, no guess of the forget set can be confirmed by the
commitment."""

_VERIFY = """\
`rewindnet verify` on this folder derives every certificate again from the records, and repeats the audits, the
noise and the table as far as the stored models allow. It compares every file with its hash in `record.json` and
names those that are missing, changed or surplus; pages and pictures that were added later are neither. Hashes find
damage and mistakes. They do not find a forgery whose author has changed the hashes as well."""


Certified = tuple[Certificate, Audit]


def certified_in(folder: Path, place: str) -> Certified:
    """Read the certificate and the audit of a release that a run has written.

    Args:
        folder: the run folder.
        place: the subfolder of the release.
    """
    certificate, audit = (read_json(folder / place / f"{part}.json") for part in ("certificate", "audit"))
    return Certificate.from_record(certificate), Audit.from_record(audit)


def readme(scenario: Scenario, releases: Mapping[str, Certified] | None = None) -> str:
    """Return the README of the run folder of a scenario, as Markdown.

    Args:
        scenario: the scenario.
        releases: the certificate and the audit of each release, by its subfolder; None while the run is not finished.
            They matter only where the noise is secret.
    """
    secret = scenario.noise_is_secret
    rows = [row for kind in KINDS if _is_written(kind, scenario) for row in _rows(kind, secret, releases)]
    sections = [
        f"# The run `{scenario.name}`",
        "This folder was written by `rewindnet run`. `rewindnet report` makes a page of it.",
        "## What may be shared",
        _SECRET if secret else _SIMULATION,
        "| file | holds | may be shared |\n| --- | --- | --- |\n" + "\n".join(rows),
        _CERTIFICATES,
        "## The commitment to the forget set",
        _COMMITMENT,
        _SECRET_SALT if secret else _SEEDED_SALT,
        "## What is checked",
        _VERIFY,
    ]
    return "\n\n".join(sections) + "\n"


def _is_written(kind: Kind, scenario: Scenario) -> bool:
    """Return whether a run of the scenario may write a kind of file."""
    if not kind.pattern.endswith(".safetensors"):
        return True
    return scenario.record.weights and not (scenario.noise_is_secret and kind.secret == "always")


def _rows(kind: Kind, secret: bool, releases: Mapping[str, Certified] | None) -> list[str]:
    """Return the rows of a kind of file: one, but for released models with secret noise, whose certificates decide."""
    if secret and kind.pattern == RELEASED and releases is not None:
        return [
            _row(kind.pattern.replace("methods/*", place), kind.holds, _who_may_see(*found))
            for place, found in releases.items()
            if found[0].release.noise_source == "os"
        ]
    if secret and kind.pattern == RELEASED:
        return [_row(kind.pattern, kind.holds, "no: the run is not finished")]
    kept = kind.secret == "always" or (kind.secret == "simulation" and not secret)
    return [_row(kind.pattern, kind.holds, f"no: {kind.why}" if kept else "yes")]


def _row(pattern: str, holds: str, shared: str) -> str:
    return f"| `{pattern}` | {holds} | {shared} |"


def _who_may_see(certificate: Certificate, audit: Audit) -> str:
    """Return whether the file of released models, which holds those of all nodes, may be shared by a certificate."""
    release = certificate.release
    if certificate.epsilon is None:
        return "no: nothing is certified of them"
    if not audit.holds:
        return "no: the audit found their certificate violated"
    if not (release.averaged or len(release.sigma) == 1 or covers(certificate, View("joint"))):
        return f"no: the file holds the models of all nodes, and the certificate is for {certificate.view.observer}"
    return "yes, if what the certificate assumes holds" if certificate.conditional else "yes"
