"""The page about a study: which client is hardest on which graph and why, all rows, and nothing from elsewhere."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from runs import TOLD
from typer.testing import CliRunner

import rewindnet
from rewindnet.experiments.cli import app
from rewindnet.experiments.report.html import SCRIPTS
from rewindnet.experiments.studies.against import depth_chart, setting_charts
from rewindnet.experiments.studies.charts import hardness_chart
from rewindnet.experiments.studies.hardness import graph_sentences, hardest, hardness, reason_sentences
from rewindnet.experiments.studies.page import write_study_report
from rewindnet.experiments.studies.picture import against_settings
from rewindnet.experiments.studies.study_folder import StudyRun, write_study
from rewindnet.experiments.studies.tidy import Row

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def row(graph: str, client: int, sigma: float, epsilon: float = 1.0, **more: Any) -> Row:
    return {
        "topology": graph,
        "client": client,
        "release": "r2d 50 %",
        "view": f"node:{client}",
        "sigma": sigma,
        "epsilon_certified": epsilon,
        "data_dependent_noise": False,
        "conditional": True,
        **more,
    }


STAR = [
    row("star", client, sigma, client_links=links, client_own_weight=weight, client_mean_hops=hops, client_samples=9)
    for client, sigma, links, weight, hops in ((0, 0.1, 3, 0.25, 1.0), (1, 0.4, 1, 0.75, 5 / 3), (2, 0.3, 1, 0.7, 1.6))
]
COMPLETE = [
    row("complete", client, 0.1, client_links=3, client_own_weight=0.25, client_mean_hops=1.0, client_samples=9)
    for client in (0, 1)
]


def test_the_hardest_client_takes_the_most_noise_where_every_epsilon_is_the_same() -> None:
    (found,) = hardness([*STAR, *COMPLETE])
    assert (found.release, found.measure, found.meaning) == ("r2d 50 %, node", "sigma", "noise σ for ε = 1")
    assert found.ranked("star") == ["1", "2", "0"]
    assert hardest(found) == ("star", "1")
    star, complete = graph_sentences(found)
    assert star == (
        "star: client 1, noise σ for ε = 1: 0.4*, 4 times that of client 0 (0.1*): client 1 has 1 link, a mean "
        "distance of 1.7 to the others, 75 % of its own model in each averaging; client 0 has 3 links, a mean "
        "distance of 1 to the others, 25 % of its own model in each averaging."
    )
    assert complete == "complete: all 2 clients alike, noise σ for ε = 1: 0.1*."
    first, *others = reason_sentences(found)
    assert first.startswith(
        "Clients with a larger weight of their own model in each averaging are harder to forget (rank c"
    )
    assert any(sentence.startswith("Clients with fewer links are harder to forget (rank corr") for sentence in others)
    assert "(rank correlation with the noise σ for ε = 1: −0." in "".join(others)
    assert others[-1].startswith("These properties go together themselves")
    assert not any("samples" in sentence for sentence in [first, *others])


def test_clients_that_are_alike_are_named_together_or_not_at_all() -> None:
    leaves = [row("star", client, sigma) for client, sigma in ((0, 0.1), (1, 0.4), (2, 0.4 * 0.999))]
    (found,) = hardness([*leaves, *COMPLETE])
    assert (found.hardest_of("star"), found.hardest_of("complete")) == (["1", "2"], [])
    assert graph_sentences(found)[0].startswith(
        "star: clients 1 and 2, alike, noise σ for ε = 1: 0.4*, 4 times that of"
    )
    dots = hardness_chart(found, "hardness").data["dots"]
    assert [dot["client"] for dot in dots if dot["hardest"]] == ["1", "2"]
    (alone,) = hardness([row("ring", 5, 0.1)])
    assert alone.hardest_of("ring") == ["5"]


def test_what_clients_in_the_same_place_differ_by_is_said_to_be_their_data() -> None:
    place = {"client_links": 2, "client_mean_hops": 1.5, "client_own_weight": 0.3, "data_dependent_noise": True}
    sentence = reason_sentences(hardness([row("ring", 0, 0.1, **place), row("ring", 1, 0.13, **place)])[0])[-1]
    assert (
        "on one graph, are up to 1.3 times apart: that is their data, which this noise was computed from." in sentence
    )
    apart = [row("ring", 0, 0.1, **place), row("ring", 1, 0.13, **{**place, "client_links": 3})]
    assert not any("times apart" in sentence for sentence in reason_sentences(hardness(apart)[0]))


def test_the_hardest_client_has_the_largest_epsilon_where_those_differ() -> None:
    (found,) = hardness([row("ring", 0, 0.1, 2.0), row("ring", 1, 0.1, 3.0)])
    assert (found.measure, hardest(found)) == ("epsilon_certified", ("ring", "1"))
    assert "None of its links" in reason_sentences(found)[0]


def test_a_measure_has_the_marks_of_its_certificates_and_is_not_rounded_down() -> None:
    given = [row("ring", client, 0.1, 1.004 + client, data_dependent_noise=True) for client in (0, 1)]
    (found,) = hardness(given)
    assert found.marks == "†"
    assert found.text(found.values["ring", "0"]) == "1.01†"
    (found,) = hardness([one | {"doubtful_constants": True} for one in given])
    assert found.marks == "†*"
    (found,) = hardness([row("ring", client, 0.1 + client, 1.004) for client in (0, 1)])
    assert (found.meaning, found.marks) == ("noise σ for ε = 1.01", "*")


def test_means_whose_intervals_overlap_are_not_told_apart() -> None:
    noisy = [row("ring", client, sigma) for client in (0, 1) for sigma in (0.1 + client / 10, 0.5)]
    assert "; their intervals overlap" in graph_sentences(hardness(noisy)[0])[0]
    clear = [row("ring", client, client + sigma) for client in (1, 2) for sigma in (0.1, 0.1001)]
    assert "overlap" not in graph_sentences(hardness(clear)[0])[0]


def test_what_certifies_nothing_is_not_ranked() -> None:
    assert hardness([{**STAR[0], "sigma": 0.0}, {**STAR[0], "epsilon_certified": None}]) == []


# Settings


def made(graph: str, value: Any, sigma: float, accuracy: float, method: str = "r2d") -> Row:
    given = {"method": method, "bound": "worst-case", "placement": "rewind", "accuracy_test_mean": accuracy}
    return row(graph, 0, sigma, **given, **{"topology.schedule.probability": value})


def test_a_setting_with_several_numbers_as_values_has_charts() -> None:
    rows = [
        made(graph, probability, sigma, accuracy)
        for graph, scale in (("ring", 2.0), ("complete", 1.0))
        for probability, sigma, accuracy in ((0, 1.0 * scale, 0.9), (0.3, 2.0 * scale, 0.8), (0.6, 4.0 * scale, 0.7))
    ]
    rows.append({**made("ring", 0.3, 0.0, 0.95, "retrain"), "epsilon_certified": 0.0})
    keys = ["topology", "topology.schedule.probability", "seed"]
    ((key, (noise, accuracy)),) = setting_charts(rows, keys)
    assert key == "topology.schedule.probability"
    assert noise.data["value"] == "noise σ for ε = 1"
    assert [line["points"] for line in noise.data["series"]] == [
        [[0, 2.0], [0.3, 4.0], [0.6, 8.0]],
        [[0, 1.0], [0.3, 2.0], [0.6, 4.0]],
    ]
    assert [line["points"] for line in accuracy.data["series"]] == [[[0, 0.9], [0.3, 0.8], [0.6, 0.7]]] * 2
    assert (accuracy.data["level"], accuracy.data["across"]) == (0.95, {"label": key, "percent": False})
    assert [chart.name for chart in (noise, accuracy)] == [
        f"{what}-by-topology-schedule-probability" for what in ("privacy", "accuracy")
    ]
    assert {picture.name for picture in against_settings(rows, keys)} == {noise.name, accuracy.name}


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("seed", (0, 1, 2)),
        ("deletion.client", (0, 1, 2)),
        ("unlearning.0.rewind", (0.1, 0.2, 0.3)),
        ("learning.nesterov", (True, False, 2)),
        ("topology.kind", ("ring", "star", "path")),
        ("model.l2", (0.1, 0.2, 0.1)),
    ],
)
def test_other_settings_have_none(key: str, values: tuple[Any, ...]) -> None:
    assert setting_charts([{**made("ring", 0, 1.0, 0.9), key: value} for value in values], [key]) == []


def test_of_many_lines_each_graph_has_charts_of_its_own() -> None:
    rows = [
        {**made(graph, p, 1.0 + p, 0.9), "release": f"r2d {share} %"}
        for graph in ("ring", "complete")
        for share in range(5)
        for p in (0, 0.3, 0.6)
    ]
    ((_, charts),) = setting_charts(rows, ["topology.schedule.probability"])
    assert [chart.name for chart in charts] == [
        f"{what}-by-topology-schedule-probability-{graph}"
        for graph in ("ring", "complete")
        for what in ("privacy", "accuracy")
    ]
    assert all(len(chart.data["series"]) == 5 for chart in charts)


def test_releases_of_one_run_with_another_epsilon_are_another_line() -> None:
    rows = [
        {**made("ring", 0, sigma, 0.9), "run": run, "rewind_share": share, "epsilon_certified": epsilon}
        for run in "ab"
        for share, epsilon, sigma in ((0.1, 1.0, 3.0), (0.5, 0.9999, 2.0), (0.1, 8.0, 1.0), (0.5, 8.0, 0.5))
    ]
    chart = depth_chart(rows)
    assert chart is not None
    assert [(line["label"].rpartition(", ")[2], len(line["marks"])) for line in chart.data["series"]] == [
        ("ε = 1", 4),
        ("ε = 8", 4),
    ]
    alone = depth_chart([row for row in rows if row["epsilon_certified"] < 2])
    assert alone is not None
    assert len(alone.data["series"]) == 1


# The page


@pytest.fixture
def folder(run_once: Callable[[Mapping[str, Any]], Any], tmp_path: Path) -> Path:
    """A study of four runs, which are one run with another σ, and whose values are text that a page must not run."""
    run, study, runs = run_once(TOLD), tmp_path / "told-sweep", []
    for at, kind in enumerate(("ring", HOSTILE)):
        for seed in (0, 1):
            place = study / f"{at}-{seed}"
            shutil.copytree(run.path, place, ignore=shutil.ignore_patterns("*.safetensors"))
            summary = json.loads((place / "summary.json").read_text())
            summary["rows"][0] |= {"sigma": 0.2 + at + seed / 100, "reason": HOSTILE}
            (place / "summary.json").write_text(json.dumps(summary))
            record = json.loads((place / "record.json").read_text())
            (place / "record.json").write_text(json.dumps(record | {"seed": seed, "command": [HOSTILE]}))
            runs.append(StudyRun(place, {"topology": kind, HOSTILE: at, "seed": seed}))
    write_study(study, HOSTILE, ["topology", HOSTILE, "seed"], runs)
    return study


class Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_has_its_numbers_and_nothing_from_elsewhere(folder: Path) -> None:
    said = CliRunner().invoke(app, ["report", str(folder)])
    assert said.exit_code == 0, said.stderr
    text = (folder / "report.html").read_text()
    assert len(text) < 5 << 20
    tags = Tags(text).found
    assert [tag for tag, _ in tags if tag in ("img", "link", "iframe", "object")] == []
    scripts = [attributes.get("type") for tag, attributes in tags if tag == "script"]
    charts = sum("data-chart" in attributes for _, attributes in tags)
    assert charts == 5
    assert {kind: scripts.count(kind) for kind in scripts} == {
        None: len(SCRIPTS),
        "application/json": charts + 1,
        "text/plain": 1,
    }
    for _, attributes in tags:
        assert not {name for name in attributes if name.startswith("on") or name == "src"}
        assert not re.match(r"\w+:", attributes.get("href") or "")
    assert "url(http" not in text
    assert "@import" not in text
    for words in (
        "certificate in 12 releases of 4 runs; 8 of them have a certified ε.",
        "2 seeds",
        "What was run",
        "† 4 of 8 certified ε",
    ):
        assert words in text
    data = re.search(
        r'<script type="application/json" id="rows-data" data-file="results.csv">(.*?)</script>', text, re.DOTALL
    )
    assert data is not None
    table, rows = json.loads(data[1]), rewindnet.load_study(folder).rows()
    assert [dict(zip(table["columns"], line, strict=True)) for line in table["rows"]] == [
        {name: row[name] for name in table["columns"]} for row in rows
    ]
    assert "1.205 ± 0.064†<" in text


def test_a_single_client_on_one_graph_is_not_said_to_be_the_hardest(folder: Path) -> None:
    words = "Which client is hardest to forget"
    assert words in write_study_report(folder).read_text()
    runs = [StudyRun(folder / f"0-{seed}", {"seed": seed}) for seed in (0, 1)]
    write_study(folder, "seeds", ["seed"], runs)
    text = write_study_report(folder).read_text()
    assert "2 seeds" in text
    assert words not in text
    assert "Hardest client of each graph" not in text


def test_a_violated_certificate_heads_the_page(folder: Path) -> None:
    summary = json.loads((folder / "0-0" / "summary.json").read_text())
    summary["rows"][0]["holds"] = False
    (folder / "0-0" / "summary.json").write_text(json.dumps(summary))
    text = write_study_report(folder).read_text()
    assert '<div class="verdict violated" id="verdict"><p>1 of 12 releases violate their certificate.</p>' in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no browser")
def test_a_browser_shows_all_rows_and_runs_nothing_else(folder: Path, tmp_path: Path) -> None:
    page = write_study_report(folder)
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'browser'}"]
    shown = subprocess.run(
        ["chromium", *words, "--dump-dom", "--enable-logging=stderr", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "12 of 12 rows" in shown.stdout
    assert shown.stdout.count('aria-sort="none"') > 10
    body = shown.stdout.partition('id="rows-table"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
    assert body.count("<tr>") == 12
    assert "CONSOLE" not in shown.stderr
