"""Write one self-contained HTML page about a run, from its folder alone."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rewindnet.certificates import Audit, Certificate, CertificateError
from rewindnet.experiments.folder.files import check_writable, write
from rewindnet.experiments.folder.reader import FolderError, RunFolder
from rewindnet.experiments.folder.whole import read_whole
from rewindnet.experiments.report import table, words
from rewindnet.experiments.report.compare_picture import claims
from rewindnet.experiments.report.network import is_even, network, subject
from rewindnet.experiments.report.pictures import audits, curves, depth
from rewindnet.experiments.scenario.inputs import recorded_inputs


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder.

    Returns:
        The path of the page.

    Raises:
        FolderError: if there is no complete run in the folder, a file of it is damaged, or the page cannot be written.
    """
    run = read_whole(folder)
    path = folder / "report.html"
    check_writable(path)
    try:
        sections = _sections(run)
    except (LookupError, TypeError, CertificateError) as problem:
        raise FolderError(f"{folder} is damaged: a record of it lacks what the report needs ({problem})") from problem
    write(path, page(f"{run.record['name']}: unlearning report", sections))
    return path


def _sections(run: RunFolder) -> Sequence[str]:
    """Make every section of the page, as HTML, in its order."""
    return (
        _title(run),
        _verdict(run),
        _scenario(run),
        _table(run),
        _claims(run),
        _network(run),
        _depth(run),
        _audits(run),
        _curves(run),
        _certificates(run),
        _provenance(run),
    )


def page(title: str, sections: Sequence[str]) -> str:
    """Insert the sections into the page's skeleton, which escapes what is not marked as HTML."""
    pages = Environment(
        loader=PackageLoader("rewindnet.experiments.report", ""), autoescape=True, undefined=StrictUndefined
    )
    template = pages.get_template("report.html")
    return template.render(title=title, sections=[Markup(section) for section in sections])


def _title(run: RunFolder) -> str:
    name, version = escape(str(run.record["name"])), escape(str(run.record["versions"]["rewindnet"]))
    started, seed = escape(str(run.record["started"])[:10]), escape(str(run.record["seed"]))
    by = f"Unlearning report by rewindnet {version}; run of {started}, seed {seed}"
    return f'<h1>{name}</h1><p class="subtitle">{by}</p>'


def _verdict(run: RunFolder) -> str:
    violated = "" if all(found.holds for _, found in run.certified) else " violated"
    return f'<div class="verdict{violated}" id="verdict">{_paragraphs(words.verdict(run))}</div>'


def _scenario(run: RunFolder) -> str:
    actions = "".join(
        f"<li><strong>{index} {escape(certificate.method)}</strong> {escape(words.account(certificate))}.</li>"
        for index, (certificate, _) in enumerate(run.certified)
    )
    description = _paragraphs([words.setting(run), words.request(run)])
    return _section(
        "scenario", "What happened", f"{description}<p>Each method answered in its way:</p><ul>{actions}</ul>"
    )


def _table(run: RunFolder) -> str:
    columns = table.columns_of(run.summary)
    heads = "".join(f"<th{_text_class(at)}>{escape(heading)}</th>" for at, (heading, _) in enumerate(columns))
    rows = "".join(_row(row, columns) for row in run.summary)
    lines = [
        *table.legend(run.summary),
        *table.views_named(run.summary, run.names),
        *table.composition_sentences(run.compositions),
    ]
    legend = "".join(f"<p>{escape(line)}</p>" for line in lines)
    drawn = f'<table class="results"><thead><tr><th>#</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return _section("table", "Results", f'<div class="wide">{drawn}</div><div class="note">{legend}</div>')


def _row(row: dict[str, Any], columns: Sequence[table.Column]) -> str:
    cells = "".join(f"<td{_text_class(at)}>{escape(show(row))}</td>" for at, (_, show) in enumerate(columns))
    number = escape(str(row["index"]))
    state = "" if row["holds"] else ' class="violated"'
    return f'<tr{state}><td><a href="#certificate-{number}">{number}</a></td>{cells}</tr>'


def _text_class(column: int) -> str:
    """Return the CSS class of a column: words are aligned to the left, numbers to the right."""
    if column == 0:
        return ' class="text name"'
    return ' class="text wrap"' if column < 4 else ""


def _claims(run: RunFolder) -> str:
    caption = [
        "Circles: the ε that a method's own formula claims for its noise. Squares: the certified ε. Crosses: the "
        "empirical ε of this pair of runs. A square to the right of its circle means that the claim is too small; a "
        "cross to the right of its square means that the certificate is violated.",
        "Beyond the line stands what has no finite ε: no certificate, or two runs that can be told apart for sure.",
        "†: per-instance, computed from measurements of this data and this request.",
    ]
    return _section("claims", "Claimed, certified and empirical ε", _figure([claims(run.summary)], caption))


def _network(run: RunFolder) -> str:
    chosen = subject(run)
    if chosen is None:
        return _section("network", "How far the deletion reached", "<p>No method has any sensitivity to show.</p>")
    index, certificate = chosen
    e = np.array(certificate.sensitivity)
    caption = [
        "Each dot is a client, each line a link. The ringed client deleted; the colour is a node's sensitivity, the "
        f"most by which its model may differ from the retrained one, under method {index} ({certificate.method}).",
        f"The influence has mixed: every node carries about the same, {e.max():.3g}."
        if is_even(e)
        else f"Sensitivity falls from {e.max():.3g} at the most exposed node to {e[e > 0].min():.3g} at the least.",
    ]
    if not e.all():
        hollow = int(np.sum(e == 0))
        caption.append(
            f"The influence cannot have reached the {f'{hollow} hollow nodes' if hollow > 1 else 'hollow node'}."
        )
    return _section("network", "How far the deletion reached", _figure([network(run)], caption))


def _depth(run: RunFolder) -> str:
    drawn = depth(run)
    if not drawn:
        return _section("depth", "What rewinding buys", "<p>No rewinding method of this run carries noise.</p>")
    caption = [
        "The further a method rewinds, the less is left of the deletion, and the smaller the ε that the same amount "
        "of noise certifies. The dot is what was run; the dotted line is its ε.",
        "Everything but the depth is as in the run. At 100 % the method is retraining and ε is 0, which a logarithmic "
        "axis cannot show.",
    ]
    return _section("depth", "What rewinding buys", _figure([drawn], caption))


def _audits(run: RunFolder) -> str:
    panels = audits(run)
    caption = [
        "The step line is each node's sensitivity (what the certificate allows), the dots are the divergence measured "
        "by actually retraining. No dot may lie above the line; one that does is a red cross. "
        "A dot on the lower edge did not diverge at all.",
    ]
    drawn = _figure(panels, caption, "panels") if panels else "<p>No method has a sensitivity to audit.</p>"
    return _section("audits", "Measured against promised", drawn)


def _curves(run: RunFolder) -> str:
    caption = [
        "Unlearning begins at the round that a method goes back to. Noise added to a checkpoint shows at once and then "
        "heals; noise added to the result comes after the descent, and shows here only if gossip rounds follow."
    ]
    drawn = curves(run)
    if not drawn:
        return _section("curves", "How learning went", "<p>Not recorded: the noise of this run is a secret.</p>")
    return _section("curves", "How learning went", _figure(drawn, caption, "pair"))


def _certificates(run: RunFolder) -> str:
    each = "".join(
        _certificate(index, certificate, found, run) for index, (certificate, found) in enumerate(run.certified)
    )
    return _section("certificates", "Certificates", each)


def _certificate(index: int, certificate: Certificate, found: Audit, run: RunFolder) -> str:
    metrics, names = run.methods[index].metrics, run.names
    epsilon = "no ε" if certificate.epsilon is None else f"ε = {certificate.epsilon:.3g}"
    short = f"{epsilon}, view {certificate.view.titled(names)}" + ("" if found.holds else ", VIOLATED")
    share, cost, release = metrics["cost_share"], metrics["cost"], certificate.release
    facts = [
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
    assumed = "".join(f"<li>{escape(sentence)}</li>" for sentence in certificate.assumptions)
    premises = "".join(f"<li>{escape(sentence)}</li>" for sentence in certificate.premises)
    premised = f"<h3>It holds only if</h3><ul>{premises}</ul>" if premises else ""
    return (
        f'<details id="certificate-{index}"{"" if found.holds else " class=violated open"}>'
        f'<summary>{index} {escape(certificate.method)}<span class="short">{escape(short)}</span></summary>'
        f'<div class="inside">{_paragraphs([words.outcome(certificate, found, names)])}{_facts(facts)}'
        f"<h3>It is compared with</h3><p>{escape(certificate.reference)}</p>{premised}"
        f"<h3>It assumes</h3><ul>{assumed}</ul></div></details>"
    )


def _claimed(certificate: Certificate) -> str:
    by = f": {certificate.claim.claimed_by}" if certificate.claim.claimed_by else ""
    return table.epsilon(certificate.claim.claimed_epsilon) + by


def _provenance(run: RunFolder) -> str:
    record = run.record
    took = ", ".join(f"{phase} {seconds:g} s" for phase, seconds in record["seconds"].items())
    facts = [
        ("command", " ".join(map(str, record["command"]))),
        ("seed", str(record["seed"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())),
        ("transport", _settings(run.scenario["backend"])),
        *((f"{key}, sha256", f"{file.sha256} of {file.path}") for key, file in recorded_inputs(record).items()),
        ("weights, sha256", record["sha256"]),
        ("platform", ", ".join(f"{name} {value}" for name, value in record["platform"].items())),
        ("started, gone on, finished", ", ".join([record["started"], *record["resumed"], record["finished"]])),
        ("time", took),
        (
            "mixing schedule, sha256",
            ", ".join(sorted({certificate.training.mixing_sha256 for certificate, _ in run.certified})),
        ),
    ]
    return f'<footer id="provenance"><h2>Provenance</h2>{_facts(facts)}</footer>'


def _settings(section: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in section.items() if value is not None)


def _section(name: str, heading: str, content: str) -> str:
    return f'<section id="{name}"><h2>{escape(heading)}</h2>{content}</section>'


def _figure(drawings: Sequence[str], caption: Sequence[str], layout: str = "single") -> str:
    return f'<figure class="{layout}">{"".join(drawings)}<figcaption>{_paragraphs(caption)}</figcaption></figure>'


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts) + "</dl>"


def _range(values: Sequence[float]) -> str:
    if not values:
        return "not known"
    low, high = min(values), max(values)
    return f"{high:.4g} at every node" if high - low <= 1e-4 * high else f"{low:.4g} to {high:.4g} over nodes"
