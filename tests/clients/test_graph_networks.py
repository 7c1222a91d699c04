"""Graph networks against plain numpy, networkx and brute force: graphs, models, measures and unlearning."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor

from rewindnet.clients.graphs.data import GRAPHS
from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.measures.membership import confidence_auc, matched_auc
from rewindnet.clients.graphs.measures.neighbourhoods import edges_around
from rewindnet.clients.graphs.measures.rules import rules_of
from rewindnet.clients.graphs.measures.saliency import saliency, share_of
from rewindnet.clients.graphs.methods import GRAPH_METHODS
from rewindnet.clients.graphs.methods.base import Learned
from rewindnet.clients.graphs.methods.gnndelete import layer_outputs
from rewindnet.clients.graphs.models import GRAPH_MODELS
from rewindnet.clients.graphs.models.base import GraphModel, propagate
from rewindnet.clients.graphs.models.gat import attend
from rewindnet.clients.graphs.models.steps import Steps
from rewindnet.clients.graphs.models.training import GraphTraining
from rewindnet.clients.graphs.node_graph import NodeGraph
from rewindnet.clients.graphs.verifiers import VERIFIERS
from rewindnet.clients.graphs.verifiers.case import Case, Evidence, snapshot

TRAINING = GraphTraining(seed=0, epochs=8, step_size=0.05, weight_decay=5e-4)


def small(seed: int = 0) -> NodeGraph:
    return GRAPHS.build("sbm", None, seed, nodes=20, features=12, communities=3, p_in=0.15, p_out=0.03)


def networkx_of(graph: NodeGraph) -> nx.Graph:
    result = nx.Graph()
    result.add_nodes_from(range(len(graph.y)))
    result.add_edges_from(graph.edges.T.tolist())
    return result


def some(graph: NodeGraph, many: int = 5) -> Tensor:
    """The first training nodes of client 0."""
    nodes = torch.zeros_like(graph.train)
    nodes[torch.nonzero(graph.train & (graph.client == 0)).flatten()[:many]] = True
    return nodes


def learned(kind: str, graph: NodeGraph | None = None, **settings: Any) -> Learned:
    graph = small() if graph is None else graph

    def new_model() -> GraphModel:
        return GRAPH_MODELS.build(kind, graph.x.shape[1], graph.classes, **settings)

    model = new_model()
    model.learn(graph, TRAINING)
    return Learned(graph, some(graph), model, TRAINING, new_model)


def weights(model: GraphModel) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


# Graphs


def test_a_block_model_has_the_edges_and_features_that_it_is_asked_for() -> None:
    graph = GRAPHS.build("sbm", None, 3, nodes=100, p_in=0.2, p_out=0.02)
    source, target = graph.edges
    inside = float((graph.client[source] == graph.client[target]).sum()) / 2
    assert inside / (4 * 100 * 99 / 2) == pytest.approx(0.2, abs=0.02)
    assert graph.between_clients / (6 * 100 * 100) == pytest.approx(0.02, abs=0.003)
    own = torch.stack([graph.x[graph.client == c, 10 * c : 10 * c + 10].mean() for c in range(4)])
    assert float(own.mean()) == pytest.approx(0.25, abs=0.03)
    assert int(graph.train.sum()) == 240
    assert torch.equal(graph.edges, GRAPHS.build("sbm", None, 3, nodes=100, p_in=0.2, p_out=0.02).edges)


def test_nodes_keep_their_numbers_when_some_are_deleted() -> None:
    graph = small()
    nodes = some(graph)
    after = graph.without(nodes)
    kept = networkx_of(graph)
    kept.remove_nodes_from(torch.nonzero(nodes).flatten().tolist())
    assert {tuple(sorted(pair)) for pair in after.edges.T.tolist()} == {tuple(sorted(pair)) for pair in kept.edges}
    assert not after.x[nodes].any()
    assert torch.equal(after.x[~nodes], graph.x[~nodes])
    assert not after.train[nodes].any()
    assert len(after.y) == len(graph.y)
    assert graph.train[nodes].all()


def test_hops_are_the_distances_of_networkx() -> None:
    graph = small(1)
    nodes = some(graph, 2)
    found = nx.multi_source_dijkstra_path_length(networkx_of(graph), set(torch.nonzero(nodes).flatten().tolist()))
    assert graph.hops(nodes, 2).tolist() == [min(found.get(node, 3), 3) for node in range(len(graph.y))]
    assert len(set(graph.hops(nodes, 2).tolist())) == 4


def test_edges_around_nodes_are_those_of_their_ego_graphs() -> None:
    graph = small(2)
    nodes = some(graph)
    egos = nx.compose_all([nx.ego_graph(networkx_of(graph), int(n), 2) for n in torch.nonzero(nodes).flatten()])
    found = edges_around(graph, nodes, 2)
    assert found == {(min(pair), max(pair)) for pair in egos.edges}
    assert 0 < len(found) < graph.edges.shape[1] // 2


# Models


def test_propagation_is_the_normalised_adjacency_with_loops() -> None:
    graph = small()
    A = nx.to_numpy_array(networkx_of(graph)) + np.eye(len(graph.y))
    scale = 1 / np.sqrt(A.sum(1))
    np.testing.assert_allclose(
        propagate(graph.x, graph.edges), scale[:, None] * A * scale @ graph.x.numpy(), atol=1e-12
    )


def test_attention_is_that_of_the_paper() -> None:
    graph, rng = small(), np.random.default_rng(0)
    h, a = rng.normal(size=(len(graph.y), 6)), rng.normal(size=(12, 1))
    found = attend(torch.from_numpy(h), graph.edges, torch.from_numpy(a), 2).numpy()
    receiving, sending = a.reshape(2, 2, 3)
    for node, neighbours in networkx_of(graph).adjacency():
        around = [node, *neighbours]
        for head in range(2):
            own = h[:, 3 * head : 3 * head + 3]
            e = own[node] @ receiving[head] + own[around] @ sending[head]
            e = np.exp(np.where(e > 0, e, 0.2 * e))
            np.testing.assert_allclose(found[node, 3 * head : 3 * head + 3], e / e.sum() @ own[around], atol=1e-10)
    assert torch.isfinite(attend(torch.from_numpy(1e4 * h), graph.edges, torch.from_numpy(a), 2)).all()


def test_a_linear_network_is_ridge_regression_on_propagated_features() -> None:
    of = learned("sgc", ridge=0.7)
    graph = of.graph
    A = nx.to_numpy_array(networkx_of(graph)) + np.eye(len(graph.y))
    S = A / np.sqrt(np.outer(A.sum(1), A.sum(1)))
    Z = np.hstack([S @ S @ graph.x.numpy(), np.ones((len(A), 1))])[graph.train]
    Y = np.eye(graph.classes)[graph.y[graph.train]]
    expected = np.linalg.solve(Z.T @ Z + 0.7 * np.eye(Z.shape[1]), Z.T @ Y)
    np.testing.assert_allclose(of.model.weights.detach(), expected, atol=1e-10)
    (slope,) = torch.autograd.grad(of.model.objective(graph, TRAINING), of.model.weights)
    assert float(slope.abs().max()) < 1e-9


@pytest.mark.parametrize("kind", ["gcn", "gat"])
def test_learning_lowers_the_loss_and_repeats_to_the_bit(kind: str) -> None:
    of, again = learned(kind, hidden=8), learned(kind, hidden=8)
    assert torch.equal(weights(of.model), weights(again.model))
    before = of.new_model()
    before.draw_initial(TRAINING)
    assert of.model.objective(of.graph, TRAINING).item() < before.objective(of.graph, TRAINING).item()
    other = of.new_model()
    other.learn(of.graph, replace(TRAINING, draw=1))
    assert not torch.equal(weights(of.model), weights(other))


def test_steps_are_those_of_adam_in_torch() -> None:
    start, target = torch.arange(4, dtype=torch.float64), torch.tensor([3.0, -1.0, 2.0, 0.5])
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    steps = Steps([ours], 0.1, weight_decay=0.01)
    oracle = torch.optim.Adam([theirs], 0.1, weight_decay=0.01)
    for _ in range(5):
        steps.take((ours - target).pow(4).sum())
        oracle.zero_grad()
        (theirs - target).pow(4).sum().backward()
        oracle.step()
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-12, atol=1e-12)
    assert float((ours.detach() - start).abs().min()) > 0.1


# Measures


def test_saliency_is_the_slope_of_the_mean_loss() -> None:
    of = learned("gcn", hidden=8)
    graph, step = of.graph, 1e-6

    def loss(x: Tensor) -> float:
        scores = of.model(x, graph.edges)[graph.train]
        return float(torch.nn.functional.cross_entropy(scores, graph.y[graph.train]).detach())

    slopes = []
    for feature in range(graph.x.shape[1]):
        moved = graph.x.clone()
        moved[7, feature] += step
        slopes.append(abs(loss(moved) - loss(graph.x)) / step)
    assert float(saliency(of.model, graph)[7]) == pytest.approx(sum(slopes), rel=1e-3)


def test_deleted_nodes_have_no_saliency_whatever_the_model_remembers() -> None:
    """RA after is 0 by construction, even for a model that was not changed."""
    of = learned("gat", hidden=8)
    left = saliency(of.model, of.remaining)
    assert share_of(left, of.forget) == 0.0
    assert share_of(saliency(of.model, of.graph), of.forget) > 0.5


def test_membership_is_the_share_of_pairs_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    confidence = torch.from_numpy(rng.integers(0, 5, 40) / 5)
    y, members = torch.from_numpy(rng.integers(0, 3, 40)), torch.from_numpy(rng.random(40) < 0.4)

    def wins(a: float, others: Tensor) -> float:
        return float(((confidence[others] < a) + 0.5 * (confidence[others] == a)).mean(dtype=torch.float64))

    plain = [wins(float(confidence[m]), ~members) for m in torch.nonzero(members).flatten()]
    matched = [wins(float(confidence[m]), ~members & (y == y[m])) for m in torch.nonzero(members).flatten()]
    assert confidence_auc(confidence, members, ~members) == pytest.approx(np.mean(plain))
    assert matched_auc(confidence, y, members, ~members) == pytest.approx(np.mean(matched))
    assert confidence_auc(confidence, members, torch.zeros_like(members)) is None
    assert matched_auc(confidence, y, members, torch.zeros_like(members)) is None


def test_the_rules_of_a_tree_are_its_ways_to_the_leaves() -> None:
    x = torch.tensor([[a, b] for a in (0.0, 1.0) for b in (0.0, 1.0)] * 3)
    predicted = torch.where(x[:, 0] < 0.5, 0, torch.where(x[:, 1] < 0.5, 1, 2))
    low, high = (0, 0.5, "at most"), (0, 0.5, "above")
    assert rules_of(x, predicted, 3) == {((low,), 0), ((high, (1, 0.5, "at most")), 1), ((high, (1, 0.5, "above")), 2)}
    assert len(rules_of(x, predicted, 1)) == 2


# Unlearning


def test_the_edited_closed_form_is_the_retrained_one() -> None:
    of = learned("sgc")
    edited = GRAPH_METHODS.build("graph-editor", of).model
    retrained = GRAPH_METHODS.build("retrain", of).model
    torch.testing.assert_close(weights(edited), weights(retrained), rtol=0, atol=1e-9)
    assert float((weights(edited) - weights(of.model)).abs().max()) > 1e-3


def test_the_step_of_idea_is_newton_s_on_a_quadratic_loss() -> None:
    of = learned("sgc")
    exact = GRAPH_METHODS.build("idea", of, solver="cg", damping=0.0, noise=0.0, iterations=200).model
    design = of.model.design(of.graph.x, of.graph.edges)[of.graph.train]
    H = design.T @ design + torch.eye(design.shape[1], dtype=torch.float64)
    before, after = (
        torch.autograd.grad(of.model.objective(graph, TRAINING), of.model.weights)[0]
        for graph in (of.graph, of.remaining)
    )
    expected = of.model.weights.detach() + torch.linalg.solve(H, before - after)
    torch.testing.assert_close(exact.weights.detach(), expected, rtol=0, atol=1e-7)


def test_both_solvers_of_idea_agree_and_noise_has_the_level_that_is_asked_for() -> None:
    of = learned("gcn", hidden=8)
    damped = {"damping": 0.3, "scale": 40.0, "noise": 0.0}
    one, other = (
        weights(GRAPH_METHODS.build("idea", of, solver=solver, iterations=many, **damped).model)
        for solver, many in (("lissa", 150), ("cg", 60))
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    noisy = weights(GRAPH_METHODS.build("idea", of, solver="cg", iterations=60, **{**damped, "noise": 0.1}).model)
    assert float((noisy - other).std()) == pytest.approx(0.1, rel=0.25)


def test_gnndelete_moves_nodes_near_the_deleted_ones_and_no_parameter_of_the_network() -> None:
    of = learned("gcn", hidden=8)
    before = deepcopy(of.model)
    result = GRAPH_METHODS.build("gnndelete", of, epochs=5, step_size=0.05)
    model: Any = result.model
    assert torch.equal(weights(model.frozen), weights(before))
    moved, frozen = layer_outputs(model, result.graph), layer_outputs(before, result.graph)
    hops = of.graph.hops(of.forget, 2)
    for layer, reach in enumerate((1, 2)):
        assert float((model.matrices[layer].detach() - 1e-3).abs().max()) > 0.01
        assert not torch.equal(moved[layer][hops <= reach], frozen[layer][hops <= reach])
    # The second layer reads the first at neighbours, so that all further than two hops away stay as they were.
    assert torch.equal(moved[0][hops > 1], frozen[0][hops > 1])
    assert (hops > 2).any()
    assert torch.equal(moved[1][hops > 2], frozen[1][hops > 2])
    assert model(of.graph.x, of.graph.edges).shape == (60, 3)


def test_fine_tuning_the_last_layer_leaves_the_first_one() -> None:
    of = learned("gat", hidden=8)
    tuned: Any = GRAPH_METHODS.build("graph-edit-finetune", of, epochs=3).model
    model: Any = of.model
    assert torch.equal(tuned.first, model.first)
    assert not torch.equal(tuned.second, model.second)
    dropped = GRAPH_METHODS.build("drop-finetune", of, epochs=3)
    assert not torch.equal(weights(dropped.model), weights(tuned))
    assert not dropped.graph.present[of.forget].any()


def test_the_stand_ins_do_what_the_code_of_the_paper_does() -> None:
    of = learned("gcn", hidden=8)
    edited = GRAPH_METHODS.build("fe-grapheditor", of, epochs=1).graph
    before, after = (set(map(tuple, graph.edges.T.tolist())) for graph in (of.graph, edited))
    forgotten = set(torch.nonzero(of.forget).flatten().tolist())
    incident = {pair for pair in before if forgotten & set(pair)}
    assert after < before
    assert before - after <= incident
    assert len(before - after) == 2 * round(0.6 * len(incident) / 2)
    assert edited.train[of.forget].all()
    assert torch.equal(edited.x[~of.forget], of.graph.x[~of.forget])
    assert 0.005 < float((edited.x - of.graph.x)[of.forget].std()) < 0.02
    fresh = GRAPH_METHODS.build("fe-idea", of, epochs=3)
    assert fresh.graph is of.graph
    assert not torch.equal(weights(fresh.model), weights(of.model))
    same = [weights(GRAPH_METHODS.build(name, of, epochs=2).model) for name in ("fe-gnndelete", "drop-finetune")]
    assert torch.equal(*same)


# Evidence


def evidence(of: Learned, method: str, verifier: str, **settings: Any) -> tuple[Case, Evidence]:
    """A case that a verifier looks at, retrained with other draws so that nothing is 0 by chance; and what it finds."""
    unlearned, retrained = GRAPH_METHODS.build(method, of, **settings), GRAPH_METHODS.build("retrain", of, draw=1)
    shots = [snapshot(model, of.graph) for model in (of.model, unlearned.model, retrained.model)]
    case = Case(of.forget, shots[0], snapshot(unlearned.model, unlearned.graph), *shots[1:])
    return case, VERIFIERS.build(verifier, case)


def test_the_audit_compares_predictions_with_the_retrained_model() -> None:
    of = learned("gcn", hidden=8)
    case, found = evidence(of, "drop-finetune", "explain-audit", epochs=3)
    value = {figure.name: figure.value for figure in found.figures}
    p, q = (of_model.logs.exp().numpy() for of_model in (case.reference, case.queried))
    assert np.abs(p.sum(1) - 1).max() < 1e-12
    kl = (p * np.log(p / q)).sum(1)
    gone = set(torch.nonzero(of.forget).flatten().tolist())
    around = sorted({other for node in gone for other in networkx_of(of.graph)[node]} - gone)
    assert value["kl_boundary"] == pytest.approx(kl[around].mean())
    assert value["kl_forgotten"] == pytest.approx(kl[sorted(gone)].mean())
    assert value["kl_boundary"] > 1e-4
    assert value["agreement"] == pytest.approx((p.argmax(1) == q.argmax(1)).mean())
    test, y = ~of.graph.train, of.graph.y
    assert value["accuracy_test"] == pytest.approx((q.argmax(1) == y.numpy())[test.numpy()].mean())
    own = [torch.from_numpy(one)[torch.arange(60), y] for one in (q, p)]
    member, retrained = (matched_auc(one, y, of.forget, test) for one in own)
    assert value["mi_f"] == member
    assert value["mi_f_gap"] == pytest.approx(member - retrained)
    assert value["ra_queried"] == pytest.approx(share_of(case.queried.saliency, of.forget))
    groups = {(group["client"], group["hops"]): group for group in found.by_group(case)}
    one_hop = [node for node in around if of.graph.client[node] == 0]
    assert groups[0, 1]["nodes"] == len(one_hop)
    assert groups[0, 1]["kl"] == pytest.approx(kl[one_hop].mean())


def test_the_metrics_of_the_paper_compare_every_node_with_itself() -> None:
    of = learned("gcn", hidden=8)
    case, found = evidence(of, "drop-finetune", "explain-paper", epochs=3)
    value = {figure.name: figure.value for figure in found.figures}
    before, after = saliency(of.model, of.graph).numpy(), case.after.saliency.numpy()
    gone = of.forget.numpy()
    assert value["ra_before"] == pytest.approx(100 * before[gone].sum() / before.sum())
    assert value["ra_after"] == 0.0
    assert value["hs"] == pytest.approx(np.abs(before - after).mean())
    assert value["esd"] == pytest.approx(before[gone].mean())
    graph = networkx_of(of.graph)
    nodes = np.flatnonzero(gone).tolist()
    around = sorted({other for node in nodes for other in graph[node]} - set(nodes))
    egos = nx.compose_all([nx.ego_graph(graph, node, 2) for node in nodes])
    graph.remove_nodes_from(nodes)
    left = nx.compose_all([nx.ego_graph(graph, node, 2) for node in around])
    one, other = ({tuple(sorted(edge)) for edge in of_graph.edges} for of_graph in (egos, left))
    assert value["ged"] == len(one ^ other) > 0
    confidence, y, train = case.after.confidence, of.graph.y, of.graph.train
    assert value["mi"] == confidence_auc(confidence, train, ~train)
    assert value["mi_f"] == matched_auc(confidence, y, of.forget, ~train)
    _, same = evidence(of, "do-nothing", "explain-paper")
    assert {figure.name: figure.value for figure in same.figures}["grs"] == 0


@pytest.mark.parametrize(
    ("kind", "method", "settings", "sentence"),
    [
        ("gcn", "graph-editor", {}, "choose the graph model sgc"),
        ("sgc", "gnndelete", {}, "choose gcn or gat"),
        ("gcn", "gnndelete", {"alpha": 1.5}, "alpha between 0 and 1, not 1.5"),
        ("gcn", "idea", {"iterations": 0}, "at least 1 iteration"),
        ("gcn", "idea", {"scale": 1e-9}, "a larger scale or more damping helps"),
        ("gcn", "drop-finetune", {"epochs": -1}, "0 epochs or more, not -1"),
        ("gcn", "drop-finetune", {"step_size": 0.0}, "a step size is above 0, not 0.0"),
        ("gcn", "fe-grapheditor", {"dropped": 2.0}, "a share of edges between 0 and 1"),
        ("gcn", "retrain", {"draw": -1}, "a number of at least 0, not -1"),
    ],
)
def test_what_a_method_cannot_do_is_a_sentence(kind: str, method: str, settings: dict[str, Any], sentence: str) -> None:
    of = learned(kind, **({} if kind == "sgc" else {"hidden": 4}))
    with pytest.raises(GraphError, match=sentence):
        GRAPH_METHODS.build(method, of, **settings)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: GRAPHS.build("sbm", None, 0, communities=1), "at least 2 communities"),
        (lambda: GRAPHS.build("sbm", None, 0, p_in=1.5), "a p_in between 0 and 1, not 1.5"),
        (lambda: GRAPHS.build("sbm", None, 0, nodes=5, train=1.0), "leaves some to test on; not 1.0"),
        (lambda: GRAPH_MODELS.build("gcn", 3, 2, hidden=0), "a hidden width of at least 1, not 0"),
        (lambda: GRAPH_MODELS.build("gat", 3, 2, hidden=6, heads=4), "evenly, not 4 heads"),
        (lambda: GRAPH_MODELS.build("gat", 3, 2, dropout=1.0), "below 1, not 1.0"),
        (lambda: GRAPH_MODELS.build("sgc", 3, 2, ridge=0.0), "a ridge above 0, not 0.0"),
    ],
)
def test_graphs_and_models_that_make_no_sense_are_sentences(build: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build()
