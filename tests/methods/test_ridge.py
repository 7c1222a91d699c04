"""Ridge regression in closed form: the regression of the retained data at every node, to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from addresses import address_at
from networks import SMALL

from rewindnet.certificates import certify
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.ridge import Ridge
from rewindnet.clients.steps import ridge as module
from rewindnet.clients.steps.ridge import RidgeSums, held, parts, sums_of
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.make_block import make_block


def retained(simulation: object, node: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The designs and labels that a node has after the request."""
    block: ClientBlock = simulation.network.worker.blocks[1]  # type: ignore[attr-defined]
    for bucket in block.buckets:
        for at, row in enumerate(bucket.rows.tolist()):
            if row == node:
                held = bucket.weight[at] > 0
                return bucket.x[at][held], bucket.y[at][held]
    raise AssertionError(node)


@pytest.mark.parametrize(("family", "nodes", "deleted"), [("ring", 5, "half"), ("path", 5, "all"), ("path", 1, "one")])
def test_every_node_has_the_regression_of_the_retained_data(family: str, nodes: int, deleted: str) -> None:
    client = min(1, nodes - 1)
    case = replace(SMALL, family=family, nodes=nodes, deleted=deleted, client=client, sizes=SMALL.sizes[:nodes])
    simulation = case.simulation()
    learned, (*_, learning) = simulation.learn([0])
    method = Ridge(penalty=0.01)
    method.check(learning)
    plan = method.plan(learning)
    outcome = simulation.execute(method, plan, learned, 0)
    rows = [retained(simulation, node) for node in range(nodes)]
    x = np.concatenate([x.numpy() for x, _ in rows])
    y = np.eye(3)[np.concatenate([y.numpy() for _, y in rows]).astype(int)] - 1 / 3
    assert len(x) == int((learning.samples - learning.deleted).sum())
    expected = np.linalg.solve(x.T @ x / len(x) + 0.01 * np.eye(x.shape[1]), x.T @ y / len(x)).T.ravel()
    assert np.allclose(outcome.released.numpy(), expected, rtol=1e-9, atol=1e-12)
    assert all(torch.equal(outcome.released[node], outcome.released[0]) for node in range(nodes))
    assert outcome.cost.gradients == len(x)
    certificate = certify(learning, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.mu) == (0.0, 0.0)


def test_sums_have_the_bits_of_a_network_that_never_had_the_samples() -> None:
    simulation = SMALL.simulation()
    before: ClientBlock = simulation.network.worker.blocks[1]  # type: ignore[attr-defined]
    rows = [retained(simulation, node) for node in range(5)]
    ends = np.cumsum([len(x) for x, _ in rows])
    shards = [np.arange(end - len(x), end) for end, (x, _) in zip(ends, rows, strict=True)]
    never = make_block(
        replace_bias(before),
        torch.cat([x for x, _ in rows]),
        torch.cat([y for _, y in rows]).numpy(),
        shards,
        step_size=1.0,
        local_steps=1,
        node_by_node=False,
    )
    k = parts(before.model.inputs, 3)
    for block in (before, never):
        assert sum(len(bucket.rows) for bucket in block.buckets) == 5
    assert torch.equal(own_sums(before, k), own_sums(never, k))


def own_sums(block: ClientBlock, k: int) -> torch.Tensor:
    """All sums of every client."""
    out = torch.zeros(5, k * block.model.parameters, dtype=torch.float64)
    for bucket in block.buckets:
        for at, row in enumerate(bucket.rows.tolist()):
            out[row] = sums_of(*held(bucket, at), 3, range(k))
    return out


@pytest.mark.parametrize(("features", "classes"), [(1, 2), (2, 3), (7, 3), (6, 11), (40, 2)])
@pytest.mark.parametrize(("samples", "together"), [(0, 1), (9, 1), (9, 2), (4, 100)])
def test_the_parts_are_the_rows_of_the_sums_and_then_the_number_of_samples(
    features: int, classes: int, samples: int, together: int
) -> None:
    x = torch.randn(samples, features, dtype=torch.float64, generator=torch.Generator().manual_seed(features))
    y = torch.arange(samples) % classes
    k = parts(features, classes)
    spans = [range(first, min(first + together, k)) for first in range(0, k, together)]
    found = torch.cat([sums_of(x, y, classes, span) for span in spans]).numpy()
    rows = x.numpy().T @ np.hstack([x.numpy(), np.eye(classes)[y.numpy()] - 1 / classes])
    expected = np.concatenate([*(row[at:] for at, row in enumerate(rows)), [samples]])
    assert 0 <= len(found) - len(expected) < features * classes
    assert np.allclose(found[: len(expected)], expected, rtol=1e-12, atol=1e-12)
    assert not found[len(expected) :].any()


@pytest.mark.parametrize("together", [1, 3, 100])
def test_clients_keep_a_few_parts_of_their_own_sums_and_the_root_the_totals(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = replace(SMALL, family="path").simulation()
    _, (*_, learning) = simulation.learn([0])
    (sums, *_) = Ridge(penalty=0.01).program(Ridge().plan(learning).release, learning, address_at(), {}).finish
    assert isinstance(sums, RidgeSums)
    worker = simulation.network.worker  # type: ignore[attr-defined]
    d, k, height = worker.full.model.parameters, parts(worker.full.model.inputs, 3), 4
    monkeypatch.setattr(module, "_TOGETHER", 5 * d * together)
    assert len(sums.rounds) == k + height - 1
    worker.begin(1, "learned-000000")
    for round in sums.rounds:
        senders = np.flatnonzero(sums.mixing_matrix(round, learning.mixing).sum(axis=0)).tolist()
        assert senders == [node for node in range(1, 5) if 0 <= round - (4 - node) < k]
        simulation.network.run_round(sums, round, sums.mixing_matrix(round, learning.mixing))
        assert worker.state.shape == (5, d)
        own = {name: len(held) for name, held in worker.memory.items() if name.startswith("own")}
        assert all(length <= min(together, k) * d for length in own.values())
        complete = max(0, round - height + 2) if round < sums.rounds[-1] else 0
        assert sorted(set(worker.memory) - set(own)) == sorted(f"total {part}" for part in range(complete))
    assert not worker.memory


def replace_bias(block: ClientBlock) -> object:
    """The model of designs that have their bias already."""
    return type(block.model)(block.model.inputs, block.model.outputs, l2=0.1, bias=0)  # type: ignore[attr-defined]


def test_messages_have_no_number_and_say_why() -> None:
    learning = SMALL.simulation().training_run
    plan = Ridge(view="transcript:all").plan(learning)
    certificate = certify(learning, plan.release, plan.claim)
    assert certificate.epsilon is None
    assert "subtracts what was deleted" in str(certificate.reason)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "sigmoid"}, "ridge takes the models logistic and huber-logistic"),
        ({"schedule": "link-failures"}, "a tree of edges, which a schedule that changes them does not keep"),
        ({"departure": "leave", "deleted": "all"}, "use deletion.departure: relay"),
    ],
)
def test_what_it_cannot_sum_is_refused(change: dict[str, str], sentence: str) -> None:
    learning = replace(SMALL, **change).simulation().training_run  # type: ignore[arg-type]
    with pytest.raises(MethodError, match=sentence):
        Ridge().check(learning)


def test_a_penalty_is_positive() -> None:
    with pytest.raises(MethodError, match="penalty must be a positive number, not 0"):
        Ridge(penalty=0)
