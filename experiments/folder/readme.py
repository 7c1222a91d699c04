"""Write the README of a run folder: what each file is, what must not be shared, and what verifying checks."""

from rewindnet.experiments.folder.contents import KINDS, Kind
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


def readme(scenario: Scenario) -> str:
    """Return the README of the run folder of a scenario, as Markdown."""
    secret = scenario.noise_is_secret
    rows = [_row(kind, secret) for kind in KINDS if _is_written(kind, scenario)]
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


def _row(kind: Kind, secret: bool) -> str:
    """Return the row of a kind of file."""
    kept = kind.secret == "always" or (kind.secret == "simulation" and not secret)
    return f"| `{kind.pattern}` | {kind.holds} | {f'no: {kind.why}' if kept else 'yes'} |"
