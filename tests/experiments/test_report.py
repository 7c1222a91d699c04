"""The report is a whole page that needs nothing else, and bad folders are refused with a sentence."""

import errno
import json
import re
import shutil
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from runs import SharedRuns, rehash, run_through

from rewindnet.certificates.view import View
from rewindnet.experiments.folder.files import write
from rewindnet.experiments.folder.format import state
from rewindnet.experiments.folder.reader import FolderError, read_folder
from rewindnet.experiments.report import html
from rewindnet.experiments.report.charts.audit import audit_charts
from rewindnet.experiments.report.charts.network import subject
from rewindnet.experiments.report.columns import COLUMNS, certified, what
from rewindnet.experiments.report.html import SCRIPTS
from rewindnet.experiments.report.labels import plain
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.report.table import legend
from rewindnet.experiments.report.words import outcome, verdict
from rewindnet.experiments.verify.verify import verify_folder

REPORT = Path(html.__file__).parent
_VOID = {"meta", "br", "hr", "img", "link", "input"}
_SECTIONS = [
    *("verdict", "promise", "scenario", "table", "claims", "network", "requests", "pareto", "depth", "cost", "audits"),
    *("curves", "certificates", "rows", "provenance"),
]
_SCENARIO = {
    "measures": {"membership": True},
    "name": "tiny",
    "seed": 3,
    "partition": {"clients": 8},
    "topology": {"kind": "ring"},
    "learning": {"rounds": 4},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "bound": "instance"},
        {"method": "r2d", "view": "transcript:all", "placement": "rewind", "allocation": "optimal"},
        {"method": "warm-start"},
        {"method": "retrain"},
        {"method": "do-nothing"},
    ],
}


class _Page(HTMLParser):
    """Every tag that opens closes; collects ids, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.references.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def finished(run_once: SharedRuns) -> Path:
    return run_once(_SCENARIO).path


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A run of its own for every test that damages one."""
    return Path(shutil.copytree(finished, tmp_path / "tiny", ignore=shutil.ignore_patterns("report.html")))


@pytest.fixture(scope="module")
def text(finished: Path) -> str:
    path = write_report(finished)
    assert path == finished / "report.html"
    assert not list(finished.glob("*.part"))
    return path.read_text(encoding="utf-8")


def _edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    rehash(file)


def test_the_page_has_every_section_in_order(text: str) -> None:
    page = _Page(text)
    assert [name for name in page.ids if name in _SECTIONS] == _SECTIONS
    assert "8 clients hold 1,438 samples of digits" in page.text
    assert "client 2 deleted 5 of its" in page.text
    assert "All certificates hold" in page.text
    assert "This is a simulation: noise was drawn from the seed" in page.text
    assert "releases is unchecked" not in page.text
    assert "In a simulation, and only for an observer who does not have its seed: an observer of any one" in page.text
    absent = {heading for heading, _ in COLUMNS if heading not in page.text}
    of_prompts = {"in templates %", "gap by hop %"}
    of_concepts = {"name gone %", "others %", "facts %", "multi-hop %", "perplexity", "diversity %", "C-Dis"}
    assert absent == {"arrived %", "backdoor %", "AUC", "retrained alike %", "evaluations"} | of_prompts | of_concepts


def test_the_table_shows_epsilon_before_what_needs_scrolling(text: str) -> None:
    (heads,) = re.findall(r'<section id="table">.*?<thead>(.*?)</thead>', text, re.DOTALL)
    found = re.findall(r"<th[^>]*>(.*?)</th>", heads)
    assert found[:6] == ["#", "method", "view", "ε certified", "ε claimed", "ε empirical"]
    assert sorted(found[1:]) == sorted(heading for heading, _ in COLUMNS if f">{heading}</th>" in heads)


@pytest.mark.parametrize(("rewind", "said"), [(0.1, "10 %"), (0.29, "29 %"), (0.005, "0.5 %"), (1.0, "100 %")])
def test_a_depth_is_told_from_another(rewind: float, said: str) -> None:
    assert what({"method": "r2d", "rewind": rewind, "variant": ""}) == f"r2d {said}"


def test_the_verdict_leads_with_what_holds_whatever_was_deleted(finished: Path) -> None:
    run = read_folder(finished)
    able = [row for row in run.summary if row["epsilon_certified"] is not None and row["sigma"]]
    worst, instance = (
        max((row for row in able if row["conditional"] == conditional), key=lambda row: row["accuracy"]["test"]["mean"])
        for conditional in (False, True)
    )
    assert instance["data_dependent_noise"]
    proven, diagnostic, retraining = verdict(run)[1].split(". ")
    assert proven.startswith(f"At ε ≤ 1, whatever was deleted, the most accurate is method {worst['index']} (")
    assert diagnostic.startswith(f"For this data and this request alone (†), it is method {instance['index']} (")
    assert retraining.startswith("Retraining reaches")
    without = [row for row in run.summary if row["conditional"] or not row["sigma"]]
    assert verdict(replace(run, summary=without))[1].startswith(
        "No method but retraining reaches ε = 1 unconditionally. For this data and this request alone (†), the most "
    )


def test_the_verdict_names_what_a_deletion_does_not_change(finished: Path) -> None:
    """A row without sensitivity has ε = 0 by itself, and must not pass for out of reach; healed retraining is none."""
    run = read_folder(finished)
    retrained = next(row for row in run.summary if row["method"] == "retrain")
    uncertified = next(row for row in run.summary if row["epsilon_certified"] is None)
    ridge = {**retrained, "index": 7, "method": "ridge", "rewind": 1.0}
    healed = {**retrained, "index": 8, "method": "retrain-healed"}
    best, other = verdict(replace(run, summary=[uncertified, retrained, ridge, healed]))[1].split(" Retraining ")
    assert best == "No method that read the deleted data reaches ε = 1."
    assert other.partition("and has ε = 0, ")[2].startswith("method 7 (ridge) with ")
    alone = verdict(replace(run, summary=[uncertified, retrained, healed]))
    assert "but retraining" in alone[0] + alone[1]
    assert "and has ε = 0" not in alone[0] + alone[1]


def test_noise_larger_than_the_model_is_said_where_it_is(finished: Path, text: str) -> None:
    run, large = read_folder(finished), []
    for index, (row, method) in enumerate(zip(run.summary, run.methods, strict=True)):
        retrained = run.weights("checkpoints/retrained-000004")
        released = run.weights(f"{method.place}/released")
        assert retrained is not None
        assert released is not None
        norm = np.linalg.norm(retrained, axis=1)
        moved = float(np.median(np.linalg.norm(released - retrained, axis=1) / norm))
        assert row["distance_to_norm"] == pytest.approx(moved, abs=1e-12)
        noise = np.array(method.certificate["sigma"]) * np.sqrt(released.shape[1])
        assert row["noise_to_norm"] == pytest.approx(float(np.median(noise / norm)), abs=1e-12)
        if moved >= 1 and row["sigma"]:
            large.append(index)
    assert large
    assert len(large) < len(run.summary)
    sentence = next(line for line in legend(run.summary) if line.startswith("Noise larger than the model"))
    assert sentence.count("times ‖θ‖") == len(large)
    assert sentence in _Page(text).text
    calm = [{**row, "sigma": row["sigma"] / 1e3, "distance_to_norm": 0.2} for row in run.summary]
    assert not any("Noise larger" in line for line in legend(calm))


def test_a_certified_epsilon_is_not_rounded_down(finished: Path) -> None:
    row = read_folder(finished).summary[1] | {"epsilon_certified": 1.004, "epsilon_empirical": 1.004}
    shown = {heading: content(row) for heading, content in COLUMNS}
    assert (shown["ε certified"], shown["ε empirical"]) == ("1.01", "1")


def test_an_epsilon_that_promises_nothing_is_named(finished: Path) -> None:
    rows = read_folder(finished).summary
    assert not any("promises nothing" in line for line in legend(rows))
    rows[1] = rows[1] | {"epsilon_certified": 7.705e9}
    (said,) = (line for line in legend(rows) if "promises nothing" in line)
    assert said == (
        f"ε above 10 promises nothing that matters: {what(rows[1])}, transcript:all (7.71e+09). As far as ε says, a "
        "test that is wrong about 5 of 100 models that were learned again may recognise 100 of 100 that were unlearned."
    )


def test_an_estimated_norm_of_features_is_marked_as_what_it_is(tmp_path: Path) -> None:
    rows = [{"method": "r2d", "rewind": 0.5, "bound": bound} for bound in ("instance", "worst-case")]
    features = {"data": {"source": "digits", "features": "raw"}}
    run = run_through(_SCENARIO | features | {"unlearning": rows}, tmp_path / "run")
    assert [certified(row)[-2:] for row in run.summary[:2]] == ["†*", "†*"]
    assert any(line.startswith("* conditional") for line in legend(run.summary))
    assert "(*), if constants hold that are not proven" in " ".join(verdict(run))
    for certificate, found in run.certified[:2]:
        assert "Conditional on its estimated or declared constants" in outcome(certificate, found, None)
    # Summaries of earlier versions did not say it.
    file = tmp_path / "run" / "summary.json"
    summary = json.loads(file.read_text())
    for row in summary["rows"]:
        row.pop("doubtful_constants", None)
    _edit(file, **summary)
    assert [certified(row)[-2:] for row in read_folder(tmp_path / "run").summary[:2]] == ["†*", "†*"]
    assert all(finding.holds for finding in verify_folder(tmp_path / "run"))


def test_the_page_needs_nothing_else(text: str) -> None:
    page = _Page(text)
    assert "<!ENTITY" not in text
    assert text.count("<!DOCTYPE") == 1
    assert page.tags.isdisjoint({"link", "iframe", "object", "img"})
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert scripts == [(REPORT / name).read_text(encoding="utf-8") for name in SCRIPTS]
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    assert f"content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}\"" in text
    assert len(text) < 1 << 20
    bare = re.sub(r'<script(>| type="text/plain").*?</script>', "", text, flags=re.DOTALL)
    assert "://" not in bare
    assert set(re.findall(r"<script([^>]*?)(?: id| data|>)", bare)) == {' type="application/json"'}
    assert all(reference.startswith(("#", "data:")) for reference in page.references)
    assert "@import" not in text
    assert all(inside.startswith("#") for inside in re.findall(r"url\(([^)]*)\)", text))


def test_ids_are_unique_and_every_reference_has_its_target(text: str) -> None:
    page = _Page(text)
    assert len(page.ids) == len(set(page.ids))
    wanted = {reference[1:] for reference in page.references if reference.startswith("#")}
    assert {"certificate-0", "certificate-4"} <= wanted <= set(page.ids)


def test_every_string_is_escaped(folder: Path) -> None:
    nasty = 'a <b>bold</b> & "quoted" $name'
    place = folder / "methods" / "4-do-nothing" / "certificate.json"
    _edit(folder / "record.json", name=nasty, command=[nasty], versions={"rewindnet": nasty})
    _edit(place, reason=nasty, assumptions=[nasty])
    page = _Page(write_report(folder).read_text(encoding="utf-8"))
    assert page.text.count(nasty) >= 6
    assert "b" not in page.tags


def test_there_is_a_panel_for_every_method_that_bounds_something(finished: Path, text: str) -> None:
    bounded = [row["index"] for row in read_folder(finished).summary if row["sensitivity"] > 0]
    assert bounded == [0, 1, 2, 4]
    panels = re.search(r'<section id="audits">.*?</section>', text, re.DOTALL)
    assert panels is not None
    assert panels[0].count('data-chart="audit"') == len(bounded)


def test_the_charts_have_the_numbers_of_the_run(finished: Path, text: str) -> None:
    run = read_folder(finished)
    found = {
        name: json.loads(content)
        for name, content in re.findall(r'<script type="application/json" id="([a-z0-9-]+)">(.*?)</script>', text)
    }
    releases = (found[f"chart-{name}-data"]["rows"] for name in ("claims", "cost"))
    for row, drawn, cost in zip(run.summary, *releases, strict=True):
        assert drawn["values"] == {name: row[name] for name in drawn["values"]}
        assert (drawn["mean"], drawn["lowest"]) == tuple(row["accuracy"]["test"][name] for name in ("mean", "lowest"))
        assert cost["shares"] == [row["cost_share"][name] for name in ("gradients", "bytes", "seconds")]
    for at, (certificate, audit) in enumerate(run.certified):
        panel = found.get(f"chart-audit{at}-data", {"nodes": []})
        for place, node in enumerate(panel["nodes"]):
            assert panel["bound"][place] == pytest.approx(certificate.sensitivity[node], rel=1e-5)
            assert panel["measured"][place] == pytest.approx(audit.divergence[node], rel=1e-5)
    assert [mark["epsilon"] for mark in found["chart-pareto-data"]["marks"]] == [
        row["epsilon_certified"] for row in run.summary if row["epsilon_certified"] is not None
    ]
    number, certificate = subject(run) or (None, run.certified[0][0])
    assert found["chart-network-data"]["sensitivity"] == pytest.approx(certificate.sensitivity, rel=1e-5)
    assert found["chart-network-data"]["release"] == f"{number} r2d"
    assert found["chart-network-data"]["deleting"] == [2]
    measured = [
        [line["round"], line["consensus_distance"]]
        for line in run.metrics_lines()
        if line["phase"] == "1-r2d" and "consensus_distance" in line
    ]
    (line,) = (line for line in found["chart-consensus-data"]["lines"] if line["label"] == "1 r2d")
    assert line["points"] == measured
    assert [chart.name for chart in audit_charts(run)] == ["audit0", "audit1", "audit2", "audit4"]
    assert found["graph-data"]["links"] == [[0, 1], [0, 7], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7]]


def test_the_libraries_are_those_that_were_examined() -> None:
    sums = dict(reversed(line.split()) for line in (REPORT / "vendor" / "SHA256SUMS").read_text().splitlines())
    assert {f"vendor/{name}" for name in sums} == {name for name in SCRIPTS if name.startswith("vendor/")}
    for name, expected in sums.items():
        assert sha256((REPORT / "vendor" / name).read_bytes()).hexdigest() == expected


def test_every_script_is_on_the_page_and_cannot_end_its_element() -> None:
    there = {f"scripts/{file.name}" for file in (REPORT / "scripts").glob("*.js")}
    assert there == {name for name in SCRIPTS if name.startswith("scripts/")}
    for name in SCRIPTS:
        assert not re.search(r"</script|<!--|\r|eval\(", (REPORT / name).read_text(encoding="utf-8"), re.IGNORECASE)


def test_the_reason_for_no_epsilon_is_given(finished: Path, text: str) -> None:
    page = _Page(text)
    reason = read_folder(finished).methods[4].certificate["reason"]
    assert f"Nothing can be claimed against an observer of any one released model: {reason}." in page.text


def test_every_transcript_has_words_of_its_own() -> None:
    received = "with every message received during the unlearning"
    assert View.of("transcript").observer == f"any one peer, {received}"
    assert View.of("transcript:7").observer == f"node 7, {received}"
    assert View.of("transcript:all").observer == "all peers together, with every message of the unlearning"


def test_the_colours_follow_the_theme(text: str) -> None:
    own = "".join((REPORT / name).read_text() for name in SCRIPTS if name.startswith("scripts/"))
    assert own.count("var(--ink)") > 10
    assert not re.findall(r"#[0-9a-fA-F]{3,6}\b|rgb\(", own)
    declared = set(re.findall(r"(--[a-z0-9-]+):", text))
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", own + text.partition("</head>")[0])) <= declared


def test_a_violation_jumps_to_the_eye(folder: Path) -> None:
    place = folder / "methods" / "0-r2d"
    bound = json.loads((place / "certificate.json").read_text())["sensitivity"]
    measured = [2 * e for e in bound]
    _edit(place / "audit.json", holds=False, divergence=measured, worst_node=2)
    rows = json.loads((folder / "summary.json").read_text())["rows"]
    rows[0]["holds"] = False
    _edit(folder / "summary.json", rows=rows)
    text = write_report(folder).read_text(encoding="utf-8")
    page = _Page(text)
    assert "1 of 5 certificates VIOLATED:" in page.text
    assert f"node 2 diverged by {measured[2]:.6g}, its sensitivity is {bound[2]:.6g}" in page.text
    assert "All certificates hold" not in page.text
    assert "0 r2d: instance, output: VIOLATED" in page.text
    assert '<tr class="violated">' in text


def test_a_run_with_nothing_to_draw_still_has_a_page(tmp_path: Path) -> None:
    scenario = _SCENARIO | {"unlearning": [{"method": "retrain"}], "learning": {"rounds": 1}}
    run_through(scenario, tmp_path / "run")
    page = _Page(write_report(tmp_path / "run").read_text(encoding="utf-8"))
    assert [name for name in page.ids if name in _SECTIONS] == _SECTIONS
    assert "No rewinding method of this run has noise and a finite ε." in page.text


def test_a_run_without_certificates_does_not_say_that_they_hold(tmp_path: Path) -> None:
    scenario = _SCENARIO | {"unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.0}, "retrain"]}
    run_through(scenario, tmp_path / "run")
    text = write_report(tmp_path / "run").read_text(encoding="utf-8")
    page = _Page(text)
    assert "All certificates hold" not in page.text
    assert "Nothing is certified: no method of this run but retraining has a finite ε." in page.text
    assert "The reason in the first row: " in page.text
    assert '<div class="verdict uncertified"' in text


def test_reading_gives_back_what_was_written(finished: Path) -> None:
    read = read_folder(finished)
    assert state(finished) == "complete"
    assert [method.place for method in read.methods][:2] == ["methods/0-r2d", "methods/1-r2d"]
    assert read.scenario["learning"]["rounds"] == 4
    assert {line["phase"] for line in read.metrics_lines()} >= {"learn", "retrain", "0-r2d"}
    graph, learning = read.network
    assert (len(graph), learning.rounds, int(learning.deleted[2])) == (8, 4, 5)
    released = read.weights("methods/3-retrain/released")
    retrained = read.weights("checkpoints/retrained-000004")
    assert released is not None
    assert retrained is not None
    np.testing.assert_array_equal(released, retrained)
    assert read.weights("methods/3-retrain/nothing") is None


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    assert state(tmp_path / "nowhere") is None
    assert state(tmp_path) is None
    with pytest.raises(FolderError, match=r"there is no folder .*nowhere"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(FolderError, match=r"is not a run folder: it holds no record\.json"):
        read_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="file is not a folder"):
        read_folder(tmp_path / "file")


def test_an_incomplete_run_is_refused(folder: Path) -> None:
    _edit(folder / "record.json", state="incomplete")
    assert state(folder) == "incomplete"
    with pytest.raises(FolderError, match="is incomplete; run its scenario again to continue it"):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "report.html").write_text("before")
    monkeypatch.setattr("rewindnet.experiments.folder.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "report.html", "after")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"report.html": "before"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (99, "of format 99; this version reads: 6$"),
        (4, "of format 4; this version reads: 6: read it with rewindnet 0.1, or run its scenario.yaml again$"),
        (5, "of format 5; this version reads: 6: run its scenario.yaml again$"),
        ("4", "of format '4'; this version reads: 6$"),
        (None, "of format None; this version reads: 6$"),
        ([4], r"of format \[4\]; this version reads: 6$"),
    ],
)
def test_another_format_is_refused(folder: Path, given: object, sentence: str) -> None:
    _edit(folder / "record.json", format=given)
    with pytest.raises(FolderError, match=sentence):
        state(folder)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("record.json", "{", r"record\.json is damaged: it is not JSON"),
        ("summary.json", "[]", r"summary\.json is damaged: it is not a JSON object"),
        ("summary.json", '{"rows": [{}]}', r"summary\.json is damaged: it holds no rows"),
        ("summary.json", '{"rows": 3}', r"summary\.json is damaged: it holds no rows"),
        ("scenario.yaml", "a: [", r"scenario\.yaml is damaged: it is not YAML"),
        ("scenario.yaml", "name: x", r"scenario\.yaml is damaged: its section data cannot be read"),
        ("topology.json", "{}", r"topology\.json is damaged: .*'nodes'"),
        ("learning.json", "{}", r"learning\.json is damaged"),
        ("metrics.jsonl", "{}\n{\n", r"line 2 of .*metrics\.jsonl is damaged|lacks what the report needs"),
        ("methods/0-r2d/audit.json", "{}", "0-r2d is damaged: .*audit"),
        ("methods/0-r2d/certificate.json", "{}", "0-r2d is damaged: .*certificate"),
        ("methods/1-r2d/metrics.json", None, r"metrics\.json is missing from .*1-r2d"),
    ],
)
def test_damage_is_named(folder: Path, name: str, content: str | None, sentence: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
        if name != "record.json":
            rehash(folder)
    with pytest.raises(FolderError, match=sentence):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_a_view_that_does_not_exist_is_named(folder: Path) -> None:
    _edit(folder / "methods/0-r2d/certificate.json", view="moon")
    with pytest.raises(FolderError, match="unknown view 'moon'"):
        write_report(folder)


def test_damaged_weights_are_named(folder: Path) -> None:
    (folder / "methods/0-r2d/released.safetensors").write_bytes(b"no weights")
    with pytest.raises(FolderError, match=r"released\.safetensors is damaged"):
        read_folder(folder).weights("methods/0-r2d/released")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.02, "0.02"), (1.0, "1"), (1e-5, "10⁻⁵"), (3e-7, "3·10⁻⁷"), (1e6, "10⁶")]
)
def test_numbers_on_axes_are_plain(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.slow
def test_a_run_with_secret_noise_has_a_report_too(tmp_path):
    scenario = {**_SCENARIO, "unlearning": [{"method": "r2d", "rewind": 0.5, "noise_source": "os"}]}
    run_through(scenario, tmp_path / "run")
    assert "All certificates hold" in write_report(tmp_path / "run").read_text(encoding="utf-8")
