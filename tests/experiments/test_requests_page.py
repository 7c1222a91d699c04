"""On the page of a run any client can be chosen: its noise, ε and light cone are those of the certificates."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from browser import BROWSER, drive
from runs import SharedRuns, rehash

from rewindnet.certificates import Claim, Release, calibrate, certify
from rewindnet.certificates.view import View
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.report.charts.network import drawn_graph
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.report.requests import NotPlannedError, _counts, _selected, _up, coverage, planned_requests
from rewindnet.experiments.report.requests_section import requests_section

SCENARIO: dict[str, Any] = {
    "name": "chosen",
    "data": {"source": "synthetic", "samples": 140, "dimensions": 3},
    "partition": {"clients": 7},
    "topology": {"kind": "path"},
    "learning": {"rounds": 4},
    "deletion": {"client": 2, "samples": 3},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "epsilon": 2.0}, "retrain", "do-nothing"],
    "audit": {"draws": 0},
}
HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">'\"&"


@pytest.fixture(scope="module")
def run(run_once: SharedRuns) -> Any:
    return run_once(SCENARIO)


@pytest.fixture(scope="module")
def planned(run: Any) -> dict[str, Any]:
    return planned_requests(run)


def test_noise_epsilon_and_light_cones_are_those_of_the_certificates(run: Any, planned: dict[str, Any]) -> None:
    graph, training = run.network
    assert [client["node"] for client in planned["clients"]] == list(range(7))
    assert (planned["epsilon"], planned["depths"]) == (2.0, [0, 1, 2, 3, 4])
    sigma = run.summary[0]["sigma"]
    compared = 0
    for client, level, p, v in ((0, 2, 0, 1), (3, 3, 1, 4), (6, 1, 0, 2), (5, 2, 1, 0)):
        entry, depth = planned["clients"][client], planned["depths"][level]
        learned = replace(training, deleted=np.where(np.arange(7) == client, entry["deleted"], 0))
        placement, view = planned["placements"][p], View.of(planned["views"][v]["view"])
        for a, allocation in enumerate(planned["allocations"]):
            claim = Claim(view, planned["delta"], allocation=allocation)
            release = Release("planned", 4 - depth, depth, placement, np.zeros(7))
            noise = calibrate(learned, release, claim, 2.0)
            needed = float(np.sqrt(np.mean(noise**2)))
            shown = entry["sigma"][p][level][v][a]
            assert needed <= shown * (1 + 1e-9) <= 1.002 * needed
            certified = certify(learned, replace(release, sigma=noise * sigma / needed), claim).epsilon
            assert certified is not None
            assert certified <= entry["epsilon"][p][level][v][a] * (1 + 1e-6) <= 1.01 * certified
            compared += 1
    assert compared == 8
    for client in planned["clients"]:
        hops = nx.single_source_shortest_path_length(graph, client["node"])
        assert client["reached"] == [max(1, hops[node]) if hops[node] <= 4 else -1 for node in range(7)]


def test_the_page_holds_what_was_planned(run: Any, planned: dict[str, Any]) -> None:
    text = requests_section(run)
    data = re.search(r'id="requests-data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    content = json.loads(data[1])
    assert {key: content[key] for key in planned} == json.loads(json.dumps(planned))
    assert (content["asked"], content["chosen"]) == (2, {"depth": 2, "view": 1, "placement": 0, "allocation": 0})
    for row, release in zip(run.summary, content["releases"], strict=True):
        assert (release["sigma"], release["mean"]) == (row["sigma"], row["accuracy"]["test"]["mean"])
        nodes = run.methods[row["index"]].metrics["accuracy"]["test"]["nodes"]
        assert release["accuracy"] == {str(node): value for node, value in enumerate(nodes)}
    graph = drawn_graph(run, np.random.default_rng(0).normal(size=(7, 2)))
    places = np.array(graph["places"])
    assert (places.min(), places.max(), graph["side"]) == (0, 1000, 1000)
    assert graph["links"] == [[node, node + 1] for node in range(6)]
    assert "Every client can be chosen." in text


def test_of_many_clients_some_are_planned_and_the_page_says_so() -> None:
    graph = nx.star_graph(999)
    mixing = type("M", (), {"nodes": 1000, "matrix": lambda self, t: nx.to_scipy_sparse_array(graph, dtype=float)})()
    fields = {"mixing": mixing, "rounds": 4, "deleted": np.where(np.arange(1000) == 5, 3, 0)}
    depths, clients = _selected(graph, type("T", (), fields)(), np.full(1000, 3))  # type: ignore[arg-type]
    assert depths == (0, 1, 2, 3, 4)
    assert {0, 5} <= set(clients.tolist())
    assert len(clients) == 160
    (some, views) = coverage({"clients": clients, "views": [1, 2, 3]}, 1000)
    assert some.startswith("To keep this page small and quick, 160 of 1,000 clients can be chosen: the one that asked")
    assert views.startswith("Views of single peers are left out")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"departed": (2,)}, "every departure leaves another network"),
        ({"batches": object()}, "which minibatches are drawn"),
    ],
)
def test_requests_that_cannot_be_planned_say_why(run: Any, change: Mapping[str, Any], why: str) -> None:
    graph, training = run.network
    changed = type("T", (), {**vars(training), **change})()
    other = type("R", (), {**vars(run), "learning": run.learning, "network": (graph, changed)})()
    with pytest.raises(NotPlannedError, match=why):
        planned_requests(other)
    assert "Other requests are not planned here: " in requests_section(other)


@pytest.mark.parametrize("samples", ["poisoned", {"class": 1}, {"indices": [0, 4, 9]}])
def test_what_other_clients_do_not_have_counts_by_its_number(run: Any, samples: Any) -> None:
    deletion = {**run.scenario["deletion"], "samples": samples}
    named = type("R", (), {**vars(run), "scenario": {**run.scenario, "deletion": deletion}})()
    counts, said = _counts(named, run.network[1])
    assert counts.tolist() == np.minimum(3, run.network[1].samples).tolist()
    assert said == "as many samples as were deleted here, 3"


@pytest.mark.parametrize(("value", "up"), [(0.0, 0.0), (1.0, 1.0), (1.00001, 1.001), (99999.0, 100000.0)])
def test_numbers_are_rounded_up(value: float, up: float) -> None:
    assert _up(value) == up


def check_charts(page: Path, shown: dict[str, Any]) -> None:
    """Every chart is drawn, has a name, and says the numbers of its JSON, mark by mark, as arrow keys are pressed."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r'<script type="application/json" id="(chart-[a-z0-9-]+)-data">(.*?)</script>', text)
    data = {name: json.loads(content) for name, content in blocks}
    assert set(data) | {"requests-network", "requests-depths-chart"} == set(shown)
    assert all(chart["shown"] and chart["focused"] == 0 and chart["named"] > 10 for chart in shown.values())

    def numbers(name: str) -> list[float]:
        said = (said.rpartition(": ")[2].removesuffix(" of retraining") for said in shown[name]["told"])
        return [float(one.removesuffix(" %")) / (100 if one.endswith(" %") else 1) for one in said if one != "none"]

    def close(found: list[float], expected: list[float], digits: float = 1e-3) -> None:
        assert sorted(found) == pytest.approx(sorted(expected), rel=digits, abs=6e-4)

    costs = [share for row in data["chart-cost"]["rows"] for share in row["shares"] if share is not None]
    close(numbers("chart-cost"), costs)
    close(numbers("chart-network"), data["chart-network"]["sensitivity"])
    close(numbers("chart-pareto"), [mark["accuracy"] for mark in data["chart-pareto"]["marks"]])
    close(numbers("chart-depth"), [y for line in data["chart-depth"]["series"] for _, y in line["points"] if y])
    close(numbers("chart-audit0"), data["chart-audit0"]["bound"])
    curves = [y for line in data["chart-consensus"]["lines"] for _, y in line["points"] if y]
    close(numbers("chart-consensus"), curves)
    certified = [row["values"] for row in data["chart-claims"]["rows"]]
    said = [
        float(one.split(": ")[1])
        for one in shown["chart-claims"]["told"]
        if "ε certified: " in one and "none" not in one
    ]
    assert said == pytest.approx(
        [row["epsilon_certified"] for row in certified if row["epsilon_certified"] is not None]
    )


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_choices_change_the_numbers_in_a_browser_and_names_are_only_names(run_once: SharedRuns, tmp_path: Path) -> None:
    run = run_once(SCENARIO)
    topology = json.loads((run.path / "topology.json").read_text())
    names = [f"{HOSTILE}{node}" for node in range(7)]
    (run.path / "topology.json").write_text(json.dumps(topology | {"names": names}))
    record = json.loads((run.path / "record.json").read_text())
    (run.path / "record.json").write_text(json.dumps(record | {"name": HOSTILE, "command": [HOSTILE]}))
    summary = json.loads((run.path / "summary.json").read_text())
    summary["rows"][2] |= {"reason": HOSTILE, "variant": HOSTILE}
    (run.path / "summary.json").write_text(json.dumps(summary))
    rehash(run.path / "topology.json")
    page = write_report(run.path)
    found = drive(
        page,
        """
        const set = (name, value) => {
          at("requests-" + name).value = value;
          at("requests-" + name).dispatchEvent(new Event("input", {bubbles: true}));
        };
        const terms = () => [...at("requests-facts").querySelectorAll("dt")];
        const shown = () => Object.fromEntries(terms().map(dt => [dt.textContent, dt.nextElementSibling.textContent]));
        const count = name => at("requests-network").querySelectorAll(`[data-group=${name}]`).length;
        const look = () => ({
            said: at("requests-said").textContent, facts: shown(), share: at("requests-share").textContent,
            client: at("requests-client").value, groups: ["before", "later", "never"].map(count)});
        found.steps = [look()];
        set("client", 6); found.steps.push(look());
        set("depth", 3); found.steps.push(look());
        set("view", 4); set("placement", 1); set("allocation", 1); found.steps.push(look());
        const map = at("requests-network").querySelector("svg");
        const dot = map.querySelector(".nodes circle").getBoundingClientRect();
        const place = {clientX: dot.x + dot.width / 2, clientY: dot.y + dot.height / 2, pointerType: "mouse"};
        map.dispatchEvent(new PointerEvent("pointermove", place));
        map.dispatchEvent(new Event("click")); found.steps.push(look());
        set("depth", 4); found.steps.push(look());
        found.charts = Object.fromEntries([...document.querySelectorAll(".chart")].map(chart => {
          const told = [], next = () => {
            chart.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
            return chart.querySelector("[role=status]").textContent;
          };
          for (let said = next(); said && said !== told[0] && told.length < 200; said = next()) told.push(said);
          const shown = chart.querySelectorAll("svg").length;
          return [chart.id, {told, shown, focused: chart.tabIndex, named: chart.ariaLabel.length}];
        }));
        found.fetched = performance.getEntriesByType("resource").length;
        found.title = document.title;
        document.querySelector('a[href="#certificate-1"]').click();
        await new Promise(done => setTimeout(done, 200));
        found.open = [...document.querySelectorAll("details")].map(one => one.open);
        found.images = document.images.length;
        found.surplus = document.documentElement.scrollWidth - innerWidth;
        const inputs = [...document.querySelectorAll("#requests-tools select, #requests-tools input, #rows input")];
        found.labels = inputs.every(one => one.labels.length > 0);
        const rows = () => [...at("rows-table").tBodies[0].rows].map(row => row.cells[0].textContent);
        found.rows = [rows()];
        at("rows-table").tHead.querySelector("button").click(); at("rows-table").tHead.querySelector("button").click();
        found.rows.push(rows());
        at("rows-filter").value = "RETRAIN"; at("rows-filter").dispatchEvent(new Event("input"));
        found.rows.push(rows());
        found.count = at("rows-count").textContent;
        const blobs = []; URL.createObjectURL = blob => { blobs.push(blob); return "#"; };
        at("rows-save").click(); found.csv = await blobs[0].text();
        """,
        tmp_path,
    )
    planned = planned_requests(read_folder(run.path))
    where = [(2, 2, 1, 0, 0), (6, 2, 1, 0, 0), (6, 3, 1, 0, 0), (6, 3, 4, 1, 1), (0, 3, 4, 1, 1), (0, 4, 4, 1, 1)]
    for step, (client, level, v, p, a) in zip(found["steps"], where, strict=True):
        entry = planned["clients"][client]
        sigma, epsilon = (entry[name][p][level][v][a] for name in ("sigma", "epsilon"))
        facts = list(step["facts"].items())
        assert facts[0] == ("noise σ for ε = 2 at δ = 1e-5", f"{sigma:.3g}")
        assert facts[1][0].startswith("ε with the noise of method 0")
        assert float(facts[1][1]) == pytest.approx(float(f"{epsilon:.3g}"))
        assert (step["share"], step["client"]) == (f"{25 * level} % ({level} of 4 rounds)", str(client))
        before = sum(0 < first <= 4 - level for first in entry["reached"])
        later = sum(first > 4 - level for first in entry["reached"])
        assert step["groups"] == [before, later, 7 - before - later]
        assert names[client] in step["said"] or client == 2
        assert planned["views"][v]["observer"] in step["said"]
    assert len({json.dumps(step["facts"]) for step in found["steps"]}) == 6
    check_charts(page, found["charts"])
    assert found["fetched"] == 0
    assert (found["title"], found["images"], found["labels"]) == (f"{HOSTILE}: unlearning report", 0, True)
    assert found["surplus"] <= 0
    assert found["open"] == [False, True, False]
    assert len(found["rows"][0]) == 3
    assert found["rows"][1] == found["rows"][0][::-1]
    assert found["rows"][2] == ["1 retrain"]
    assert found["count"] == "1 of 3 rows"
    assert found["csv"].count("\n") == 2
    assert found["csv"].startswith("release,")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no browser")
def test_on_the_page_of_a_large_network_a_client_is_chosen_as_well(run_once: SharedRuns, tmp_path: Path) -> None:
    large = {
        **SCENARIO,
        "name": "large",
        "data": {"source": "synthetic", "samples": 15_000, "dimensions": 2},
        "partition": {"clients": 3_000},
        "topology": {"kind": "barabasi-albert", "m": 1},
    }
    run = run_once(large)
    planned, page = planned_requests(read_folder(run.path)), write_report(run.path)
    other = max(range(len(planned["clients"])), key=lambda at: len(run.network[0][planned["clients"][at]["node"]]))
    assert page.stat().st_size < 3 << 20
    found = drive(
        page,
        f"""
        const specks = () => {{
          const drawn = [...at("requests-network").querySelectorAll(".specks path")];
          return [drawn.length, drawn.reduce((sum, path) => sum + Number(path.dataset.nodes), 0)];
        }};
        const facts = () => [...at("requests-facts").querySelectorAll("dd")].map(dd => dd.textContent);
        const ring = () => {{
          const circle = at("requests-network").querySelector(".ring circle");
          return [circle.getAttribute("cx"), circle.getAttribute("cy")];
        }};
        const look = () => ({{said: at("requests-said").textContent, facts: facts(), specks: specks(), ring: ring()}});
        found.before = look();
        const started = performance.now();
        at("requests-client").value = {other};
        at("requests-client").dispatchEvent(new Event("input", {{bubbles: true}}));
        found.took = performance.now() - started;
        found.after = look();
        found.options = at("requests-client").options.length;
        """,
        tmp_path,
    )
    entry = planned["clients"][other]
    assert found["options"] == len(planned["clients"])
    assert found["before"]["ring"] != found["after"]["ring"]
    assert found["before"]["facts"] != found["after"]["facts"]
    assert f"client {entry['title']} " in found["after"]["said"]
    groups = {0 if not first > 0 else 1 if first <= 2 else 2 for first in (max(0, each) for each in entry["reached"])}
    assert found["after"]["specks"] == [len(groups), 3_000]
    assert found["took"] < 2_000, "a choice takes seconds"
