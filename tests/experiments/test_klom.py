"""KLoM against numbers made by hand, scipy, closed forms, and the runs whose noise it draws again."""

import json
from math import erf, log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import SharedRuns, run_through
from safetensors.numpy import load_file
from scipy.stats import entropy

from rewindnet.certificates.constants import DERIVATIONS
from rewindnet.clients.metrics.klom import klom, margins
from rewindnet.clients.models import MODELS
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.studies.klom_study import KlomStudy
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "name": "drawn",
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 8},
    "model": "sigmoid",
    "deletion": {"client": 2, "samples": 15},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "sigma": 0.01},
        {
            "method": "r2d",
            "rewind": 0.5,
            "sigma": 0.1,
            "view": "transcript:all",
            "placement": "rewind",
            "gossip_rounds": 1,
        },
        {"method": "r2d", "rewind": 0.5, "sigma": 0.1, "view": "average"},
        {"method": "do-nothing"},
    ],
}


@pytest.fixture(scope="module")
def done(run_once: SharedRuns) -> RunFolder:
    return run_once(SCENARIO)


def test_two_bins_by_hand() -> None:
    found = klom(np.array([[0.0], [0.1], [0.2], [1.0]]), np.array([[0.3], [0.6], [0.7], [0.9]]), bins=2)
    assert found == pytest.approx([0.75 * log(0.75 / 0.25) + 0.25 * log(0.25 / 0.75)])


def test_what_never_meets_is_as_far_as_can_be() -> None:
    found = klom(np.array([[0.0, 3.0], [0.0, 3.0]]), np.array([[5.0, 3.0], [5.0, 3.0]]))
    assert found == pytest.approx([log((1 + 1e-5) / 1e-5), 0.0])


def test_margins_beyond_a_hundred_are_a_hundred() -> None:
    near, far = np.array([[0.0], [100.0]]), np.array([[0.0], [1e9]])
    assert klom(near, far, bins=4) == pytest.approx([0.0])


@pytest.mark.parametrize("seed", range(5))
def test_every_point_is_that_of_scipy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    one = generator.standard_normal((40, 6)) * generator.uniform(0.1, 3, 6)
    other = generator.standard_normal((60, 6)) + generator.uniform(-1, 1, 6)
    for at, found in enumerate(klom(one, other, bins=7)):
        both = np.concatenate([one[:, at], other[:, at]])
        p, q = (np.histogram(of[:, at], bins=7, range=(both.min(), both.max()))[0] for of in (one, other))
        q = np.where(p > 0, np.maximum(q / 60, 1e-5), q / 60)
        assert found == pytest.approx(entropy(p, q))


def test_it_finds_the_divergence_of_two_gaussians() -> None:
    generator, mu = np.random.default_rng(0), np.array([0.0, 0.5, 1.0])
    one, other = generator.standard_normal((200_000, 3)) + mu, generator.standard_normal((200_000, 3))
    # Binning can only lose: a little less than μ²/2.
    found = klom(one, other)
    assert found == pytest.approx(mu**2 / 2, rel=0.05, abs=2e-3)
    edges = np.linspace(min(one[:, 1].min(), other[:, 1].min()), max(one[:, 1].max(), other[:, 1].max()), 21)
    p, q = (np.diff([0.5 * (1 + erf((edge - shift) / sqrt(2))) for edge in edges]) for shift in (0.5, 0.0))
    assert found[1] == pytest.approx(entropy(p, q), rel=0.02)


def test_chance_alone_is_about_what_is_said() -> None:
    generator = np.random.default_rng(1)
    found = klom(generator.uniform(size=(2000, 300)), generator.uniform(size=(1000, 300)), bins=5)
    assert found.mean() == pytest.approx(4 / 2 * (1 / 2000 + 1 / 1000), rel=0.1)


@pytest.mark.parametrize(("one", "other", "bins"), [((3, 2), (3, 3), 20), ((3,), (3,), 20), ((0, 2), (3, 2), 20)])
def test_margins_of_other_points_are_refused(one: tuple[int, ...], other: tuple[int, ...], bins: int) -> None:
    with pytest.raises(ValueError, match="for the same n points"):
        klom(np.zeros(one), np.zeros(other), bins)


def test_one_bin_tells_nothing_apart() -> None:
    with pytest.raises(ValueError, match="at least 2 bins, not 1"):
        klom(np.zeros((2, 1)), np.zeros((2, 1)), 1)


@pytest.mark.parametrize("kind", list(DERIVATIONS))
def test_margins_are_log_odds(kind: str) -> None:
    generator = np.random.default_rng(2)
    model = MODELS[kind](4, 3)
    theta = torch.from_numpy(generator.standard_normal((2, model.parameters)))
    design = model.design(torch.from_numpy(generator.standard_normal((7, 4))))
    y = generator.integers(0, 2 if model.outputs == 1 else 3, 7)
    found = margins(model, theta, design, torch.from_numpy(y))
    for b in range(2):
        scores = design.numpy() @ theta[b].numpy().reshape(model.outputs, -1).T
        if model.outputs == 1:
            scores = np.column_stack([np.zeros(7), scores[:, 0]])
        likely = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        own = likely[np.arange(7), y]
        assert found[b].numpy() == pytest.approx(np.log(own / (1 - own)))


@pytest.mark.parametrize("index", range(3))
def test_the_noise_of_the_run_itself_gives_its_release_again(done: RunFolder, index: int) -> None:
    study = KlomStudy(done, 2, 10)
    release = done.certified[index][0].release
    begin = study._store_states(index, release, 0)[0]
    again = study._simulation.resample_noise(study._setup.methods[index], release, begin, index)
    released = load_file(done.path / done.methods[index].place / "released.safetensors")["theta"]
    assert np.array_equal(again.cpu().numpy(), released)


def test_margins_are_distributed_as_the_noise_says(done: RunFolder) -> None:
    study = KlomStudy(done, 400, 10)
    release, chosen = done.certified[0][0].release, study._chosen(0)
    begins = study._store_states(0, release, 0)
    places = ("methods/0-r2d/centre", "checkpoints/retrained-000008")
    for world, place in enumerate(places):
        centre = load_file(done.path / f"{place}.safetensors")["theta"]
        found = study._margins(0, world, begins[world], [2], chosen)["test"]
        design, targets = chosen["test"][0].cpu().numpy(), chosen["test"][1].cpu().numpy()
        for at, (theta, nodes) in enumerate(((centre[2], 1), (centre.mean(axis=0), 4))):
            middle = (design @ theta) * (2 * targets - 1)
            spread = release.sigma[0] * np.linalg.norm(design, axis=1) / sqrt(nodes)
            assert np.all(np.abs(found[:, at].mean(axis=0) - middle) < 5 * spread / sqrt(400))
            assert found[:, at].std(axis=0) == pytest.approx(spread, rel=0.2)


def test_the_row_is_about_the_closed_form(done: RunFolder) -> None:
    study = KlomStudy(done, 400, 10)
    row, chosen = study.row(0), study._chosen(0)
    centre, retrained = (
        load_file(done.path / f"{place}.safetensors")["theta"]
        for place in ("methods/0-r2d/centre", "checkpoints/retrained-000008")
    )
    design = chosen["forget"][0].cpu().numpy()
    mu = design @ (centre - retrained)[2] / (done.certified[0][0].release.sigma[0] * np.linalg.norm(design, axis=1))
    expected = (mu**2 / 2).mean()
    assert expected > 0.5
    found = row["sets"]["forget"]["client"]
    assert found["mean"] == pytest.approx(expected + found["chance"], rel=0.25)
    assert found["chance"] < 0.2


def test_the_command_writes_and_says_what_it_found(done: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        app(["klom", str(done.path), "--draws", "3", "--points", "5"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert "3 do-nothing: it adds no noise" in said
    written = json.loads((done.path / "klom.json").read_text())
    assert [row["index"] for row in written["rows"]] == [0, 1, 2, 3, 4]
    assert written["rows"][0]["sets"]["test"]["points"] == 5
    assert written["rows"][3]["sets"] is None
    assert [finding for finding in verify_folder(done.path) if not finding.holds] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--draws", "1"], "--draws is a number of networks, 2 to 100,000, not 1"),
        (["--points", "0"], "--points is a number of samples, at least 1, not 0"),
        (["--only", "5"], "--only is the number of a release, 0 to 4, not 5"),
    ],
)
def test_bad_input_is_a_sentence(
    done: RunFolder, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as end:
        app(["klom", str(done.path), *options])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"rewindnet: {words}\n"


@pytest.mark.parametrize("change", ["record.weights=false", "unlearning.0.noise_source=os"])
def test_without_weights_nothing_can_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str) -> None:
    run_through({**SCENARIO, "unlearning": SCENARIO["unlearning"][:1]}, tmp_path / "run", change)
    with pytest.raises(SystemExit) as end:
        app(["klom", str(tmp_path / "run"), "--draws", "2"])
    assert end.value.code == 2
    assert "holds no methods/0-r2d/centre" in capsys.readouterr().err
