"""The verifier accepts what a run wrote, and catches whatever is changed afterwards."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from runs import SharedRuns, rehash, run_through
from safetensors.numpy import load_file, save_file

from rewindnet.certificates import Claim, Constant, Release, audit, certify, derive
from rewindnet.certificates.audits.montecarlo import lower_bound
from rewindnet.certificates.findings import Finding
from rewindnet.experiments.folder.format import digest
from rewindnet.experiments.folder.reader import FolderError, read_folder
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "name": "verified",
    "seed": 4,
    "data": {"source": "synthetic", "samples": 200, "dimensions": 4, "classes": 3},
    "partition": {"clients": 6},
    "topology": "ring",
    "learning": {"rounds": 12, "local_steps": 2},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "bound": "instance"},
        {"method": "r2d", "rewind": 0.5, "view": "transcript:all", "placement": "rewind", "allocation": "optimal"},
        {"method": "r2d", "rewind": 0.25, "view": "average"},
        {"method": "r2d", "sigma": 0.2, "rewind": 0.25, "view": "joint", "gossip_rounds": 2},
        {"method": "r2d", "rewind": 0.5, "sigma": 0.1, "view": "transcript:all"},
        {"method": "r2d", "epsilon": 3.0, "sigma": 0.5, "bound": "instance"},
        {"method": "warm-start", "bound": "instance"},
        {"method": "retrain"},
        {"method": "do-nothing"},
    ],
}


@pytest.fixture(scope="module")
def made(run_once: SharedRuns) -> Path:
    finished = run_once(SCENARIO)
    assert all(found.holds for _, found in finished.certified)
    return finished.path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def failures(folder: Path) -> list[Finding]:
    return [finding for finding in verify_folder(folder) if not finding.holds]


def test_a_run_as_it_was_written_holds(folder: Path) -> None:
    findings = verify_folder(folder)
    assert [finding for finding in findings if not finding.holds] == []
    assert len(findings) == 12 + 8 * len(SCENARIO["unlearning"])
    noise = [finding for finding in findings if finding.what.endswith("noise")]
    assert sum("drawn again" in finding.sentence for finding in noise) == 7
    sampled = [finding for finding in findings if finding.what.endswith("Monte-Carlo audit")]
    assert sum("of 2,000 draws, drawn again" in finding.sentence for finding in sampled) == 7
    assert sum(finding.sentence == "nothing was sampled" for finding in sampled) == 2


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a file, and its hash on record."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    rehash(path)


CERTIFICATES = "methods/{}/certificate.json"


def change_certificate(which: str, key: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / CERTIFICATES.format(which), lambda c: c.update({key: value}))


def start_later(folder: Path) -> None:
    edit(folder / CERTIFICATES.format("0-r2d"), lambda c: c.update(checkpoint_round=3, rewound_rounds=9))


def halve_sigma(folder: Path) -> None:
    for which in ("0-r2d", "1-r2d"):
        edit(folder / CERTIFICATES.format(which), lambda c: c.update(sigma=[s / 2 for s in c["sigma"]]))


def shrink_ledger(folder: Path) -> None:
    edit(
        folder / "learning.json",
        lambda record: record["requests"][0]["ledger"].update(
            disturbance=(np.array(record["requests"][0]["ledger"]["disturbance"]) * 0.9).tolist(),
        ),
    )


def swell_ledger(folder: Path) -> None:
    edit(
        folder / "learning.json",
        lambda record: record["requests"][0]["ledger"].update(
            disturbance=(np.array(record["requests"][0]["ledger"]["disturbance"]) * 1e3).tolist()
        ),
    )


def constant(name: str, **change: Any) -> Callable[[Path], None]:
    return lambda folder: edit(
        folder / "learning.json", lambda record: record["requests"][0]["constants"][name].update(change)
    )


def weaken_edge(folder: Path) -> None:
    edit(folder / "topology.json", lambda record: record["weights"][0].__setitem__(2, 0.9))


def forget_an_edge(folder: Path) -> None:
    edit(folder / "topology.json", lambda record: record["edges"].pop())


def forget_less(folder: Path) -> None:
    edit(folder / "learning.json", lambda record: record["requests"][0]["forget"]["2"].pop())


def deny_divergence(folder: Path) -> None:
    edit(folder / "methods/0-r2d/audit.json", lambda a: a.update(divergence=[d / 2 for d in a["divergence"]]))


def sample(which: str, **changes: Any) -> Callable[[Path], None]:
    place = f"methods/{which}/audit.json"
    return lambda folder: edit(folder / place, lambda a: a["monte_carlo"].update(changes))


def invent_counts(folder: Path) -> None:
    """With the bound that follows from them."""
    counts = {"true_positives": (900, 900), "false_positives": (899, 899)}
    bound = lower_bound((900, 900), (899, 899), 1800, 0.999, 1e-5)
    sample("1-r2d", epsilon_lower_bound=bound, **counts)(folder)
    edit(folder / "summary.json", lambda s: s["rows"][1].update(epsilon_lower_bound=bound))


def deny_samples(folder: Path) -> None:
    edit(folder / "methods/1-r2d/audit.json", lambda a: a.update(monte_carlo=None))
    edit(folder / "summary.json", lambda s: s["rows"][1].update(epsilon_lower_bound=None))


def fewer_draws(folder: Path) -> None:
    scenario = yaml.safe_load((folder / "scenario.yaml").read_text())
    scenario["audit"]["draws"] = 500
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario))


def release_without_noise(folder: Path) -> None:
    save_file(load_file(folder / "methods/0-r2d/centre.safetensors"), folder / "methods/0-r2d/released.safetensors")


def release_without_noise_and_hide_it(folder: Path) -> None:
    release_without_noise(folder)
    edit(
        folder / "record.json",
        lambda r: r["weights_sha256"].update(
            {"methods/0-r2d/released": r["weights_sha256"]["methods/0-r2d/centre"]},
        ),
    )


def recertify(folder: Path) -> None:
    """What a forger would do: derive every certificate, audit and row again from the records as they now are."""
    run = read_folder(folder)
    _, learning = run.network
    for index, (claimed, found) in enumerate(run.certified):
        release = Release(
            claimed.method,
            claimed.release.checkpoint_round,
            claimed.release.descent_rounds,
            claimed.release.placement,  # type: ignore[arg-type]
            np.array(claimed.release.sigma),
            claimed.release.gossip_rounds,
            claimed.release.averaged,
            claimed.release.noise_source,  # type: ignore[arg-type]
        )
        claim = Claim(
            claimed.view,
            claimed.delta,
            claimed.claim.bound,
            claimed.claim.allocation,
            None,
            claimed.claim.claimed_epsilon,
        )  # type: ignore[arg-type]
        again = certify(learning, release, claim)
        lower = np.minimum(found.divergence, again.sensitivity)
        audited = audit(again, learning.mixing, lower)
        place = folder / run.methods[index].place
        (place / "certificate.json").write_text(json.dumps(again.to_record()))
        (place / "audit.json").write_text(json.dumps(audited.to_record()))
        edit(
            folder / "summary.json",
            lambda s, i=index, c=again, a=audited: s["rows"][i].update(
                epsilon_certified=c.epsilon,
                epsilon_empirical=a.epsilon_empirical,
                holds=a.holds,
                sensitivity=max(c.sensitivity),
                divergence=max(a.divergence),
            ),
        )


def forge(change: Callable[[Path], None]) -> Callable[[Path], None]:
    def forged(folder: Path) -> None:
        change(folder)
        recertify(folder)

    return forged


def smaller_radius(folder: Path) -> None:
    again = derive("logistic", Constant(0.2, "proven"), l2=1e-4).to_record()
    edit(folder / "learning.json", lambda record: record["requests"][0].update(constants=again))


def more_samples(folder: Path) -> None:
    edit(
        folder / "learning.json",
        lambda record: record["requests"][0].update(samples=[3 * n for n in record["requests"][0]["samples"]]),
    )


def finer_arithmetic(folder: Path) -> None:
    edit(folder / "learning.json", lambda record: record["requests"][0]["arithmetic"].update(unit_roundoff=1e-30))


def exact_arithmetic(folder: Path) -> None:
    edit(folder / "learning.json", lambda record: record["requests"][0].update(arithmetic=None))


def lose_weights(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    edit(
        folder / "learning.json",
        lambda r: r["requests"][0]["ledger"].update(
            disturbance=(np.array(r["requests"][0]["ledger"]["disturbance"]) * 0.1).tolist()
        ),
    )


def say_os(folder: Path) -> None:
    scenario = yaml.safe_load((folder / "scenario.yaml").read_text())
    scenario["unlearning"][0]["noise_source"] = "os"
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    edit(folder / CERTIFICATES.format("0-r2d"), lambda c: c.update(noise_source="os"))


def rewind_further(folder: Path) -> None:
    scenario = yaml.safe_load((folder / "scenario.yaml").read_text())
    scenario["unlearning"][0]["rewind"] = 0.75
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    edit(
        folder / CERTIFICATES.format("0-r2d"),
        lambda c: c.update(checkpoint_round=3, rewound_rounds=9, descent_rounds=9),
    )


def more_noise_than_there_was(folder: Path) -> None:
    edit(folder / CERTIFICATES.format("1-r2d"), lambda c: c.update(sigma=[100 * s for s in c["sigma"]]))


def better_row(folder: Path) -> None:
    edit(folder / "summary.json", lambda s: s["rows"][0]["accuracy"]["test"].update(mean=0.99))


def calmer_row(folder: Path) -> None:
    edit(folder / "summary.json", lambda content: content["rows"][0].update(noise_to_norm=0.01))


def smaller_epsilon_in_the_table(folder: Path) -> None:
    edit(folder / "summary.json", lambda s: s["rows"][0].update(epsilon_certified=0.5))


def ask_for_more(folder: Path) -> None:
    scenario = yaml.safe_load((folder / "scenario.yaml").read_text())
    scenario["unlearning"][5]["epsilon"] = 0.5
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario))


@pytest.mark.parametrize(
    ("tamper", "found_by", "says"),
    [
        (change_certificate("0-r2d", "epsilon", 0.5), "0 r2d, certificate", "epsilon is recorded as 0.5"),
        (change_certificate("8-do-nothing", "epsilon", 1.0), "8 do-nothing, certificate", "epsilon"),
        (change_certificate("0-r2d", "view", "joint"), "0 r2d, certificate", "view was asked to be node"),
        (start_later, "0 r2d, certificate", "asked to restore"),
        (change_certificate("0-r2d", "delta", 1e-3), "0 r2d, certificate", "delta"),
        (change_certificate("6-warm-start", "mu", 0.0), "6 warm-start, certificate", "mu is recorded"),
        (change_certificate("0-r2d", "mixing_sha256", "0" * 64), "0 r2d, certificate", "mixing_sha256"),
        (change_certificate("0-r2d", "conditional", False), "0 r2d, certificate", "conditional"),
        (change_certificate("0-r2d", "data_dependent_noise", False), "0 r2d, certificate", "data_dependent_noise"),
        (change_certificate("0-r2d", "premises", []), "0 r2d, certificate", "premises"),
        (change_certificate("0-r2d", "reference", ""), "0 r2d, certificate", "reference"),
        (change_certificate("0-r2d", "assumptions", []), "0 r2d, certificate", "assumptions"),
        (change_certificate("0-r2d", "surplus", 1), "0 r2d, certificate", "surplus"),
        (halve_sigma, "0 r2d, certificate", "epsilon is recorded as 1 and follows as"),
        (halve_sigma, "0 r2d, noise", "are not centre + noise"),
        (shrink_ledger, "0 r2d, certificate", "epsilon is recorded as 1 and follows as"),
        (swell_ledger, "learning", "times what the constants allow"),
        (constant("G", value=0.1), "learning", "the constant G is 0.1"),
        (constant("L", value=0.1), "learning", "the constant L is 0.1"),
        (constant("radius", value=0.1), "learning", "the constant G"),
        (constant("radius", provenance="estimated"), "learning", "(estimated)"),
        (weaken_edge, "network", "summing to 1"),
        (forget_an_edge, "network", "without an edge"),
        (forget_less, "learning", "not the one that was certified"),
        (deny_divergence, "0 r2d, audit", "and measures"),
        (sample("1-r2d", epsilon_lower_bound=0.01), "1 r2d, Monte-Carlo audit", "recorded as 0.01 and follows as"),
        (sample("1-r2d", counted=9), "1 r2d, Monte-Carlo audit", "of 2000 draws 1800 are counted, not 9"),
        (sample("1-r2d", true_positives=[1801, 0]), "1 r2d, Monte-Carlo audit", "are no counts of two tests"),
        (sample("1-r2d", thresholds=[0.1, 0.2]), "1 r2d, Monte-Carlo audit", "thresholds are recorded as (0.1, 0.2)"),
        (sample("1-r2d", surplus=1), "1 r2d, Monte-Carlo audit", "record of the Monte-Carlo audit is damaged"),
        (invent_counts, "1 r2d, Monte-Carlo audit", "true_positives are recorded as (900, 900) and are"),
        (deny_samples, "1 r2d, Monte-Carlo audit", "nothing was sampled, though there is noise"),
        (fewer_draws, "1 r2d, Monte-Carlo audit", "2000 draws at confidence 0.999 are not what the scenario asked"),
        (release_without_noise, "stored weights", "sha256 differs"),
        (release_without_noise_and_hide_it, "0 r2d, noise", "are not centre + noise"),
        (forge(smaller_radius), "learning", "the feature norm is 1, not 0.2"),
        (forge(more_samples), "0 r2d, certificate", "gradients were counted"),
        (forge(finer_arithmetic), "learning", "rounding is not charged as that of float64"),
        (forge(exact_arithmetic), "learning", "rounding is not charged as that of float64"),
        (forge(lose_weights), "stored weights", "is missing"),
        (forge(say_os), "stored weights", "other arrays than such a run makes"),
        (forge(rewind_further), "0 r2d, certificate", "were counted"),
        (forge(more_noise_than_there_was), "1 r2d, noise", "are not centre + noise"),
        (better_row, "table", "row 0 says accuracy.test.mean = 0.99; it is 0.7"),
        (calmer_row, "table", "noise_to_norm"),
        (smaller_epsilon_in_the_table, "table", "row 0 says epsilon_certified = 0.5"),
        (ask_for_more, "5 r2d, certificate", "epsilon 0.5 was asked for"),
    ],
)
def test_what_is_changed_afterwards_is_caught(
    folder: Path, tamper: Callable[[Path], None], found_by: str, says: str
) -> None:
    tamper(folder)
    found = {finding.what: finding.sentence for finding in failures(folder)}
    assert found_by in found, found
    assert says in found[found_by]


def store(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change an array, with the hashes that it would have."""
    path = folder / f"{name}.safetensors"
    theta = change(load_file(path)["theta"])
    save_file({"theta": theta}, path)

    def hashed(record: Any) -> None:
        record["weights_sha256"][name] = hashlib.sha256(theta.tobytes()).hexdigest()
        record["sha256"] = digest(record["weights_sha256"])

    edit(folder / "record.json", hashed)


@pytest.mark.parametrize(
    ("array", "what", "sentence"),
    [
        ("checkpoints/learned-000006", "1 r2d, released models", "the centre is not the checkpoint that the method"),
        ("methods/3-r2d/released", "3 r2d, released models", "not the noised ones after the gossip rounds"),
        ("checkpoints/retrained-000012", "7 retrain, released models", "a descent from the start is not what"),
    ],
)
def test_models_that_do_not_follow_from_each_other_are_caught(
    folder: Path, array: str, what: str, sentence: str
) -> None:
    store(folder, array, lambda theta: theta * 1.001)
    found = {finding.what: finding.sentence for finding in failures(folder)}
    assert sentence in found[what]
    assert "stored weights" not in found


def test_another_number_of_deleted_samples_is_caught(folder: Path) -> None:
    scenario = yaml.safe_load((folder / "scenario.yaml").read_text())
    scenario["deletion"]["samples"] = 4
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    rehash(folder)
    (found,) = failures(folder)
    assert found.what == "learning"
    assert "samples were to be deleted, not these 5" in found.sentence


def test_the_clip_of_a_huberised_loss_is_that_of_the_scenario(tmp_path: Path) -> None:
    folder, method = tmp_path / "run", {"method": "r2d", "rewind": 0.5}
    model = {"kind": "huber-logistic", "clip": 0.4}
    run_through(json.loads(json.dumps(SCENARIO)) | {"model": model, "unlearning": [method]}, folder)
    assert failures(folder) == []
    smaller = derive("huber-logistic", Constant(1.0, "proven"), l2=1e-4, clip=0.1).to_record()
    edit(folder / "learning.json", lambda record: record["requests"][0].update(constants=smaller))
    recertify(folder)
    (found,) = failures(folder)
    assert "those of the settings {'l2': 0.0001, 'clip': 0.1}, not of {'l2': 0.0001, 'clip': 0.4}" in found.sentence


def test_a_damaged_or_unfinished_folder_is_refused(folder: Path) -> None:
    edit(folder / "record.json", lambda record: record.update(state="incomplete"))
    with pytest.raises(FolderError, match="is incomplete"):
        verify_folder(folder)
    with pytest.raises(FolderError, match="there is no folder"):
        verify_folder(folder / "nowhere")


def test_without_weights_certificates_are_still_derived_again(tmp_path: Path) -> None:
    scenario = json.loads(json.dumps(SCENARIO)) | {"record": {"weights": False}}
    run_through(scenario, tmp_path / "run")
    findings = verify_folder(tmp_path / "run")
    assert all(finding.holds for finding in findings)
    assert any("weights were not kept" in finding.sentence for finding in findings)
    invent_counts(tmp_path / "run")
    assert failures(tmp_path / "run") == []
    sample("1-r2d", false_positives=[0, 0])(tmp_path / "run")
    assert [finding.what for finding in failures(tmp_path / "run")] == ["1 r2d, Monte-Carlo audit"]


def test_secret_noise_leaves_no_un_noised_model_behind(tmp_path: Path) -> None:
    scenario = json.loads(json.dumps(SCENARIO))
    scenario["unlearning"] = [{"method": "r2d", "rewind": 0.5, "noise_source": "os"}, {"method": "do-nothing"}]
    run_through(scenario, tmp_path / "run")
    kept = sorted(str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*.safetensors"))
    assert kept == ["methods/0-r2d/released.safetensors"]
    findings = verify_folder(tmp_path / "run")
    assert all(finding.holds for finding in findings)
    assert any("the noise is a secret, so nothing was drawn again" in finding.sentence for finding in findings)
    assert json.loads((tmp_path / "run/methods/0-r2d/audit.json").read_text())["monte_carlo"]["draws"] == 2000
    certificate = json.loads((tmp_path / "run/methods/0-r2d/certificate.json").read_text())
    assert not any("Simulation only" in sentence for sentence in certificate["assumptions"])
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert all(set(line) == {"phase", "round", "messages"} for line in lines)


def test_gossip_that_moves_nothing_is_no_reason_for_doubt(tmp_path: Path) -> None:
    """Clients that agree to the bit already do so after settling, too."""
    scenario = json.loads(json.dumps(SCENARIO)) | {
        "partition": {"clients": 4},
        "topology": {"kind": "complete", "mixing": "uniform"},
        "unlearning": [{"method": "r2d", "rewind": 1.0, "gossip_rounds": 2}],
    }
    run_through(scenario, tmp_path / "run")
    assert [finding for finding in verify_folder(tmp_path / "run") if not finding.holds] == []


#: Of client 2's samples one is deleted, and with this seed no minibatch of the last four rounds has drawn it.
UNREAD: dict[str, Any] = {
    "seed": 3,
    "data": {"source": "synthetic", "samples": 500, "dimensions": 9, "classes": 4},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 40, "sampling": {"kind": "poisson", "batch": 8}},
    "deletion": {"client": 2, "samples": 1},
    "unlearning": [{"method": "r2d", "rewind": 0.1, "epsilon": 1.0}],
    "measures": {"membership": False},
}


def test_unlearning_that_had_nothing_to_undo_in_its_rounds_holds(tmp_path: Path) -> None:
    run = run_through(UNREAD, tmp_path / "run")
    learned, centre = (run.weights(name) for name in ("checkpoints/learned-000040", "methods/0-r2d/centre"))
    retrained = run.weights("checkpoints/retrained-000040")
    assert np.array_equal(learned, centre)
    assert not np.array_equal(learned, retrained)
    findings = verify_folder(run.path)
    assert all(finding.holds for finding in findings), [finding for finding in findings if not finding.holds]


# -- honest runs ---------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "seed": 3,
    "data": {"source": "synthetic", "samples": 100, "dimensions": 9, "classes": 4},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 12},
    "deletion": {"client": 2, "samples": 1},
    "measures": {"membership": False},
}


def test_an_average_in_single_precision_may_be_rounded_otherwise_and_no_more(tmp_path: Path) -> None:
    method = {"method": "r2d", "rewind": 0.9, "epsilon": 1.0, "view": "average"}
    path = run_through({**SMALL, "unlearning": [method], "backend": {"dtype": "float32"}}, tmp_path / "run").path
    assert failures(path) == []
    edit(path / "methods/0-r2d/audit.json", lambda a: a.update(divergence=[d * 0.999 for d in a["divergence"]]))
    assert any("the divergence is recorded as" in finding.sentence for finding in failures(path))


def test_clients_that_have_left_have_no_models_in_retraining(tmp_path: Path) -> None:
    scenario = {
        **SMALL,
        "model": {"kind": "sigmoid"},
        "learning": {"rounds": 12, "radius": 3.0},
        "deletion": {"client": 2, "samples": "all", "departure": "leave"},
        "unlearning": [{"method": "r2d", "rewind": 1, "sigma": 1.0, "placement": "rewind", "view": "joint"}],
    }
    path = run_through(scenario, tmp_path / "run").path
    assert failures(path) == []
    for node, says in ((2, "has models of nodes that have left"), (3, "clients begin from different models")):
        forged = Path(shutil.copytree(path, tmp_path / str(node)))
        file = forged / "checkpoints/retrained-000000.safetensors"
        theta = load_file(file)["theta"]
        theta[node] += 0.125
        save_file({"theta": theta}, file)
        assert any(says in finding.sentence for finding in failures(forged))


def test_a_tolerance_of_clipping_says_nothing_where_no_client_clips(tmp_path: Path) -> None:
    learning = {"rounds": 12, "clip_tolerance": 1e-5}
    path = run_through({**SMALL, "learning": learning, "unlearning": ["r2d"]}, tmp_path / "run").path
    assert failures(path) == []
