"""The box of each certificate on the page about a run."""

from collections.abc import Sequence
from html import escape

from rewindnet.certificates import Audit, Certificate
from rewindnet.certificates.digits import rounded_up
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.report import words
from rewindnet.experiments.report.columns import epsilon
from rewindnet.experiments.report.html import facts, paragraphs
from rewindnet.experiments.report.promise import promise


def certificate_box(index: int, certificate: Certificate, found: Audit, run: RunFolder) -> str:
    """Return a certificate as a box that opens: what it promises, its numbers, and what it rests on."""
    names = run.names
    epsilon = "no ε" if certificate.epsilon is None else f"ε = {rounded_up(certificate.epsilon)}"
    short = f"{epsilon}, view {certificate.view.titled(names)}" + ("" if found.holds else ", VIOLATED")
    assumed = "".join(f"<li>{escape(sentence)}</li>" for sentence in certificate.assumptions)
    premises = "".join(f"<li>{escape(sentence)}</li>" for sentence in certificate.premises)
    premised = f"<h3>It holds only if</h3><ul>{premises}</ul>" if premises else ""
    plainly = f"<h3>In plain words</h3>{paragraphs(promise(run, index))}" if found.holds else ""
    return (
        f'<details id="certificate-{index}"{"" if found.holds else " class=violated open"}>'
        f'<summary>{index} {escape(certificate.method)}<span class="short">{escape(short)}</span></summary>'
        f'<div class="inside">{paragraphs([words.outcome(certificate, found, names)])}{plainly}'
        f"{facts(_facts(index, certificate, found, run))}"
        f"<h3>It is compared with</h3><p>{escape(certificate.reference)}</p>{premised}"
        f"<h3>It assumes</h3><ul>{assumed}</ul></div></details>"
    )


def _facts(index: int, certificate: Certificate, found: Audit, run: RunFolder) -> list[tuple[str, str]]:
    """List what a certificate says in numbers."""
    metrics, names = run.methods[index].metrics, run.names
    share, cost, release = metrics["cost_share"], metrics["cost"], certificate.release
    return [
        ("ε claimed by its own formula", _claimed(certificate)),
        ("δ", f"{certificate.delta:g}"),
        ("view", f"{certificate.view.titled(names)}: {certificate.view.observer_among(names)}"),
        ("bound, regime", f"{certificate.claim.bound}, {certificate.claim.regime}"),
        ("noise", f"{release.placement}, {certificate.claim.allocation}: {_range(release.sigma.tolist())}"),
        ("sensitivity", _range(certificate.sensitivity)),
        ("measured divergence", _range(found.divergence)),
        ("samples of the noise", words.sampled(found)),
        ("noise that was added", words.noise_found(found)),
        *words.constants(certificate),
        ("cost", words.cost(cost, share)),
        ("mixing schedule, sha256", certificate.training.mixing_sha256),
        ("commitment to the forget set", certificate.training.forget_commitment),
    ]


def _claimed(certificate: Certificate) -> str:
    by = f": {certificate.claim.claimed_by}" if certificate.claim.claimed_by else ""
    return epsilon(certificate.claim.claimed_epsilon) + by


def _range(values: Sequence[float]) -> str:
    if not values:
        return "not known"
    low, high = min(values), max(values)
    return f"{high:.4g} at every node" if high - low <= 1e-4 * high else f"{low:.4g} to {high:.4g} over nodes"
