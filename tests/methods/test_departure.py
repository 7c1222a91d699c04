"""Clients that leave the network: what the others' models have lost with them."""

import hashlib
import json
import shutil
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from networks import Network, further, learn_and_retrain
from runs import refused_here, rehash, run_through
from safetensors.numpy import load_file, save_file

from rewindnet import topologies
from rewindnet.certificates import (
    CertificateError,
    Claim,
    Constant,
    Ledger,
    Release,
    TrainingRun,
    calibrate,
    certify,
    derive,
    propagate,
    scaled_noise,
)
from rewindnet.certificates.sensitivity.departure import mixing_drift, weight_change
from rewindnet.clients.methods.baselines import DoNothing, Retrain
from rewindnet.clients.steps.learning import Descend
from rewindnet.experiments.folder.format import digest
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import divergence

ORDERS = ["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"]


def case(family="path", nodes=5, client=2, order="adapt-then-combine", **changes):
    return replace(
        Network(
            family, nodes, "metropolis-hastings", order, "logistic", 0.05, 0.9, 2, 8, client, "all",
            tuple(range(3, 3 + nodes)), "float64", 5, departure="leave",
        ),
        **changes,
    )  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("family", "client"), [("path", 2), ("star", 0), ("star", 3), ("complete", 1)])
def test_the_drift_is_what_is_heard_less_what_would_be(family, client, order):
    drawn = case(family, client=client, order=order)
    simulation, learned, _, learning = learn_and_retrain(drawn)
    before, after, block = learning.mixing_before, learning.mixing, simulation.network.worker.full
    assert learning.ledger.nodes == ()
    # Everyone whose weights have changed: in a path both neighbours, whose own share has grown too.
    expected = {node for t in range(8) for node in np.flatnonzero(abs(before.matrix(t) - after.matrix(t)).sum(axis=1))}
    assert set(learning.ledger.affected_nodes) == expected - {client}
    for t in range(drawn.rounds):
        sent = learned.at(t)
        if order == "adapt-then-combine":
            sent = block.descend(sent.clone(), t)
        gap = (before.matrix(t).toarray() - after.matrix(t).toarray()) @ sent.numpy()
        np.testing.assert_allclose(
            learning.ledger.mixing_drift[t],
            np.linalg.norm(gap, axis=1)[list(learning.ledger.affected_nodes)],
            rtol=1e-9,
            atol=1e-15,
        )


def test_leaving_is_learning_on_what_remains_from_the_start():
    """The oracle by itself: a path that falls in two is two paths, each of which learns alone."""
    _, _, oracle, learning = learn_and_retrain(case())
    whole = oracle.at(8).numpy()
    assert np.array_equal(whole[2], np.zeros_like(whole[2]))
    for part in ((0, 1), (3, 4)):
        W = topologies.mix("metropolis-hastings", nx.path_graph(2)).toarray()
        alone = case()
        simulation = alone.simulation()
        block = simulation.network.worker.full
        theta = oracle.at(0)
        for t in range(8):
            stepped = block.descend(theta.clone(), t)
            theta = stepped.clone()
            theta[list(part)] = stepped.new_tensor(W) @ stepped[list(part)]
        np.testing.assert_allclose(whole[list(part)], theta[list(part)].numpy(), rtol=1e-12, atol=1e-14)
    assert learning.departed == (2,)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("schedule", ["static", "node-sleep", "asynchronous node"])
def test_in_a_ball_the_worst_case_covers_what_was_measured(order, schedule):
    for seed in range(4):
        drawn = case("star", client=0, order=order, radius=0.5, schedule=schedule, seed=seed)
        simulation, learned, oracle, learning = learn_and_retrain(drawn)
        worst, measured = mixing_drift(learning, "worst-case"), mixing_drift(learning, "instance")
        for t in range(8):
            assert np.all(measured(t) <= worst(t) * (1 + 1e-12))
        assert max(measured(t).max() for t in range(8)) > 0
        quiet = Descend(order, range(4, 8))
        unlearned = further(simulation, learned.checkpoint_names[4], quiet, 4)
        e = propagate(learning, disturbed=4, undisturbed=4, bound="worst-case").total
        assert np.all(divergence(unlearned, oracle.at(8))[1:] <= e[1:])
        assert e[0] == 0


def test_the_worst_drift_is_reached():
    """Messages on opposite sides of the ball: R·Σ|W − W'| is not too much."""
    learning = leaving(nx.path_graph(2), (1,), radius=2.0)
    x = np.array([[-2.0], [2.0]])
    gap = (learning.mixing_before.matrix(0) - learning.mixing.matrix(0)).toarray() @ x
    assert mixing_drift(learning, "worst-case")(0).tolist() == [float(abs(gap[0, 0])), 0.0]


def leaving(graph, left, **changes):
    rule = "metropolis-hastings"
    deleted = np.zeros(len(graph), dtype=np.int64)
    deleted[list(left)] = 10
    learning = TrainingRun(
        mixing=topologies.Static(graph, topologies.mix_without(rule, graph, left), 0, left),
        rounds=6,
        step_size=0.5,
        local_steps=1,
        order="adapt-then-combine",
        constants=derive("logistic", Constant(1.0, "proven"), l2=0.0),
        samples=np.full(len(graph), 10),
        deleted=deleted,
        departed=left,
        mixing_before=topologies.Static(graph, topologies.mix(rule, graph)),
    )
    return replace(learning, **changes)


def test_without_a_ball_there_is_no_worst_case():
    learning = leaving(nx.star_graph(3), (1,))
    words = r"needs a bound on the models: set learning\.radius.*, or use the bound instance"
    with pytest.raises(CertificateError, match=words):
        propagate(learning, disturbed=3, undisturbed=0)
    with pytest.raises(CertificateError, match="needs the ledger of measured"):
        propagate(learning, disturbed=3, undisturbed=0, bound="instance")
    silent = replace(learning, ledger=Ledger((), np.zeros((6, 1, 0)), (2, 3), np.ones((6, 2))))
    with pytest.raises(CertificateError, match="no drift of node 0, whose weights the departure has changed"):
        propagate(silent, disturbed=3, undisturbed=0, bound="instance")
    # Retraining asks for no drift at all.
    assert not propagate(learning, disturbed=0, undisturbed=6).total.any()


def test_the_drift_is_grown_and_mixed_like_a_disturbance():
    """By hand, on a path of three whose end leaves: convex, so that nothing grows."""
    learning = leaving(nx.path_graph(3), (2,))
    measured = np.arange(1.0, 7.0)[:, None] * [[2.0, 0.5]]
    learning = replace(learning, ledger=Ledger((), np.zeros((6, 1, 0)), (1, 0), measured))
    W, e = learning.mixing.matrix(0).toarray(), np.zeros(3)
    for t in range(4):
        e = W @ e + [measured[t, 1], measured[t, 0], 0]
    e = W @ W @ e
    np.testing.assert_allclose(propagate(learning, disturbed=4, undisturbed=2, bound="instance").total, e, rtol=1e-12)
    assert weight_change(learning, 0)[2] == 0


def test_a_ball_bounds_every_sensitivity():
    graph = nx.star_graph(4)
    deleted = np.array([0, 10, 0, 0, 0])
    learning = replace(
        leaving(graph, (1,), radius=0.25), departed=(), mixing_before=None, deleted=deleted, rounds=400,
        mixing=topologies.Static(graph, topologies.mix("metropolis-hastings", graph)),
    )  # fmt: skip
    wide = propagate(replace(learning, radius=None), disturbed=400, undisturbed=0).total
    e = propagate(learning, disturbed=400, undisturbed=0).total
    assert np.all(wide > 0.5)
    np.testing.assert_allclose(e, 0.5, rtol=1e-12)


@pytest.mark.parametrize("view", ["node:1", "transcript:1"])
def test_who_has_left_has_no_view(view):
    learning, claim = leaving(nx.star_graph(3), (1,), radius=1.0), Claim(view, 1e-5)
    release = Release("r2d", 3, 3, "rewind", np.zeros(4))
    for ask in (
        lambda: certify(learning, release, claim),
        lambda: calibrate(learning, release, claim, 1.0),
        lambda: scaled_noise(learning, release, claim, 1.0),
        lambda: Retrain(view=view).check(learning),
        lambda: DoNothing(view=view).check(learning),
    ):
        with pytest.raises(CertificateError, match=f"the view {view} shows nothing: node 1 has left"):
            ask()


def test_nobody_averages_with_who_has_left():
    learning = leaving(nx.star_graph(3), (1,), radius=1.0)
    release = Release("r2d", 3, 3, "output", np.ones(4), averaged=True)
    for ask in (certify, lambda *what: scaled_noise(*what, 1.0)):
        with pytest.raises(CertificateError, match="with departure leave use joint"):
            ask(learning, release, Claim("average", 1e-5))


def test_only_who_deletes_everything_can_leave():
    with pytest.raises(CertificateError, match="node 1 cannot have left: a node that leaves deletes all"):
        leaving(nx.star_graph(3), (1,), deleted=np.array([0, 9, 0, 0]))
    with pytest.raises(CertificateError, match="mixing matrices of before are needed"):
        leaving(nx.star_graph(3), (1,), mixing_before=None)


def test_one_may_stay_alone():
    drawn = case("complete", nodes=4, client=0, others=(1, 3))
    simulation, learned, oracle, learning = learn_and_retrain(drawn)
    unlearned = further(simulation, learned.checkpoint_names[4], Descend("adapt-then-combine", range(4, 8)), 4)
    e = propagate(learning, disturbed=4, undisturbed=4, bound="instance").total
    assert np.flatnonzero(e).tolist() == [2]
    assert 0 < divergence(unlearned, oracle.at(8))[2] <= e[2]
    assert not unlearned[[0, 1, 3]].any()


SCENARIO = {
    "data": {"source": "synthetic", "samples": 150, "dimensions": 4, "classes": 3},
    "partition": {"clients": 6},
    "topology": "star",
    "learning": {"rounds": 10},
    "deletion": {"client": 0, "samples": "all", "departure": "leave"},
    "unlearning": [
        {"method": "r2d", "bound": "instance"},
        {"method": "r2d", "bound": "instance", "placement": "rewind", "view": "transcript:all", "gossip_rounds": 1},
        {"method": "warm-start", "bound": "instance", "rounds": 3},
        "retrain",
        "do-nothing",
    ],
    "audit": {"draws": 200},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The centre of a star has left; nobody hears anybody any more."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = run_through(SCENARIO, folder)
    assert all(found.holds for _, found in run.certified)
    assert [certificate.epsilon is None for certificate, _ in run.certified] == [False] * 4 + [True]
    return folder


def test_a_run_with_a_departure_is_verified_and_reported(made, tmp_path):
    folder = shutil.copytree(made, tmp_path / "run")
    assert [finding for finding in verify_folder(folder) if not finding.holds] == []
    assert "client 0" in write_report(folder).read_text()


def test_who_has_left_holds_nothing(made):
    arrays = sorted(made.rglob("*.safetensors"))
    gone = [path for path in arrays if not path.name.startswith("learned")]
    assert {path.name.partition("-")[0].partition(".")[0] for path in gone} == {
        "retrained", "centre", "noised", "released",
    }  # fmt: skip
    for path in gone:
        theta = load_file(path)["theta"]
        assert theta.shape[0] == 6
        assert not theta[0].any(), path
        if not path.name.endswith("000000.safetensors"):
            assert theta[1:].any(axis=1).all()


def test_only_those_who_stay_are_measured(made):
    for file in made.rglob("metrics.json"):
        metrics = json.loads(file.read_text())
        assert metrics["nodes"] == [1, 2, 3, 4, 5]
        assert len(metrics["distance_to_retrained"]) == 5
        assert all(len(scores["nodes"]) == 5 for scores in metrics["accuracy"].values())
    released = json.loads((made / "methods" / "3-retrain" / "metrics.json").read_text())
    assert released["distance_to_retrained"] == [0.0] * 5
    theta = load_file(made / "methods" / "0-r2d" / "released.safetensors")["theta"][1:]
    metrics = json.loads((made / "methods" / "0-r2d" / "metrics.json").read_text())
    expected = float(np.linalg.norm(theta - theta.mean(axis=0), axis=1).mean())
    assert metrics["consensus_distance"] == pytest.approx(expected)


def halve_drift(folder):
    change(
        folder,
        "learning.json",
        lambda r: r["requests"][0]["ledger"].update(
            mixing_drift=(np.array(r["requests"][0]["ledger"]["mixing_drift"]) / 2).tolist()
        ),
    )


def hear_less(folder):
    def forget(record):
        ledger = record["requests"][0]["ledger"]
        ledger["affected_nodes"].pop()
        ledger["mixing_drift"] = [row[:-1] for row in ledger["mixing_drift"]]

    change(folder, "learning.json", forget)


def somebody_else_left(folder):
    change(folder, "topology.json", lambda r: r.update(departed=[1]))


def nobody_left(folder):
    change(folder, "topology.json", lambda r: r.update(departed=[]))
    change(folder, "learning.json", lambda r: r["requests"][0].update(departed=[]))


def left_by_halves(folder):
    change(folder, "learning.json", lambda r: r["requests"][0].update(departed=[]))


def remain_otherwise(folder):
    change(folder, "topology.json", lambda r: r["remaining"].__setitem__(1, [1, 1, 0.5]))


def link_what_remains(folder):
    """Rows that sum to 1, by another rule."""

    def link(record):
        kept = [entry for entry in record["remaining"] if entry[0] not in (1, 2)]
        record["remaining"] = [[1, 1, 0.5], [1, 2, 0.5], [2, 1, 0.5], [2, 2, 0.5], *kept]

    change(folder, "topology.json", link)


def change(folder, name, how):
    record = json.loads((folder / name).read_text())
    how(record)
    (folder / name).write_text(json.dumps(record))
    rehash(folder)


@pytest.mark.parametrize(
    "forge",
    [halve_drift, hear_less, somebody_else_left, nobody_left, left_by_halves, remain_otherwise, link_what_remains],
)
def test_a_forged_departure_is_caught(made, tmp_path, forge):
    folder = shutil.copytree(made, tmp_path / "run")
    forge(folder)
    rehash(folder)
    assert [finding for finding in verify_folder(folder) if not finding.holds]


def test_drift_beyond_the_ball_is_caught(tmp_path):
    run_through({**SCENARIO, "unlearning": ["retrain"]}, tmp_path / "run", "learning.radius=0.5")
    assert all(finding.holds for finding in verify_folder(tmp_path / "run"))
    change(
        tmp_path / "run", "learning.json", lambda r: r["requests"][0]["ledger"].update(mixing_drift=[[1e3] * 5] * 10)
    )
    found = [finding.sentence for finding in verify_folder(tmp_path / "run") if not finding.holds]
    assert found == ["a measured drift is more than the radius allows"]


def test_a_checkpoint_outside_the_ball_is_caught(tmp_path):
    folder = tmp_path / "run"
    run_through({**SCENARIO, "unlearning": ["retrain"]}, folder, "learning.radius=0.5")
    path, name = folder / "checkpoints" / "learned-000010.safetensors", "checkpoints/learned-000010"
    theta = load_file(path)["theta"]
    theta[3] *= 0.50001 / np.linalg.norm(theta[3])
    save_file({"theta": theta}, path)

    def as_written(record):
        record["weights_sha256"][name] = hashlib.sha256(theta.tobytes()).hexdigest()
        record["sha256"] = digest(record["weights_sha256"])

    change(folder, "record.json", as_written)
    found = [finding.sentence for finding in verify_folder(folder) if not finding.holds]
    assert found[0] == "checkpoints/learned-000010 has a model of norm 0.50001 outside the ball of 0.5"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["deletion.samples=3"], "a client that leaves deletes all of its samples; give samples: all"),
        (["unlearning.0.bound=worst-case"], "set learning.radius"),
        (["unlearning.0.view=node:0"], "the view node:0 shows nothing: node 0 has left"),
        (["unlearning.0.view=average"], "with departure leave use joint"),
        (["learning.kind=walk"], "without a departed node the walk is another walk; use departure relay"),
        (["topology=complete", "topology.schedule=one-peer-exponential"], "no node can leave, use departure relay"),
        (
            ["model=sigmoid", "learning.radius=0.001"],
            "lies outside the ball of radius 0.001 onto which clients project",
        ),
        (["learning.radius=0"], "learning.radius"),
        (["learning.kind=walk", "learning.order=combine-then-adapt"], "a walk learns in the order adapt-then-combine"),
        (["learning.kind=walk", "deletion.departure=relay", "topology.schedule=matchings"], "topology.schedule=static"),
        (["topology.schedule={kind: node-sleep, probability: 1.0}"], "a node sleeps is at least 0 and below 1"),
        (["topology.schedule={kind: graphs, graphs: [[[0, 1]]]}"], "never connect: all of them together leave 5 parts"),
        (["learning.sampling={kind: poisson, batch: 0}"], "learning.sampling.batch is at least 1, not 0"),
        (["learning.sampling=reshuffle"], "reshuffle cannot be certified"),
        (["partition.clients=2", "topology=path", "deletion.client=0", "unlearning.0.view=node:0"], "node 0 has left"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_nothing_is_written(tmp_path, capsys, settings, words):
    refused_here(SCENARIO, tmp_path, capsys, words, *settings)


def test_published_is_for_who_stays(tmp_path, capsys):
    learning = leaving(nx.star_graph(3), (1,), radius=1.0)
    with pytest.raises(CertificateError, match="clients that stay"):
        propagate(learning, disturbed=3, undisturbed=0, bound="published")
    refused_here(SCENARIO, tmp_path, capsys, "published bound", "unlearning=[{method: r2d, bound: published}]")
