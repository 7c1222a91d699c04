from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.models.sigmoid import Sigmoid
from rewindnet.clients.training import client_block
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.minibatch import Minibatch
from rewindnet.clients.training.parallel import each, split
from rewindnet.clients.training.probe import Probe

CLASSES = 3


def data(seed, sizes, p=4):
    """Features, labels and shards of clients of these sizes, rows in random order."""
    generator = np.random.default_rng(seed)
    n = sum(sizes)
    # No two entries are alike and none is 0, in either precision, so that each can be searched for.
    x = (generator.permutation(n * p).reshape(n, p) + 0.3) / (n * p) * 4 - 2
    y = generator.integers(0, CLASSES, n)
    bounds = np.cumsum([0, *sizes])
    order = generator.permutation(n)
    return x, y, [order[first:last] for first, last in pairwise(bounds)]


def lay_out(seed, sizes, kind=Logistic, dtype=torch.float64, **settings):
    x, y, shards = data(seed, sizes)
    shards = [shards[node] for node in settings.get("nodes", range(len(shards)))]
    model = kind(x.shape[1], CLASSES, l2=0.3, bias=0.2)
    return make_block(model, torch.from_numpy(x).to(dtype), y, shards, step_size=0.7, **settings)


def parameters(block, seed=1):
    theta = np.random.default_rng(seed).standard_normal(block.blank().shape)
    return torch.from_numpy(theta).to(block.blank())


def numpy_gradient(model, theta, x, y):
    """∇f of one client, written out once more: features with bias, mean over its samples, plus l2·θ."""
    x = np.hstack([x * np.sqrt(1 - model.bias**2), np.full((len(x), 1), model.bias)])
    if isinstance(model, Sigmoid):
        side = np.where(np.isin(y, model.positive), 1.0, -1.0)
        s = 1 / (1 + np.exp(-side * (x @ theta)))
        data = -(s * (1 - s) * side) @ x
    else:
        scores = x @ theta.reshape(CLASSES, -1).T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        data = ((p / p.sum(axis=1, keepdims=True) - np.eye(CLASSES)[y]).T @ x).ravel()
    return data / max(len(x), 1) + model.l2 * theta


sizes = st.lists(st.integers(0, 40), min_size=1, max_size=7).filter(sum)
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([Logistic, Sigmoid])


@examples(60)
@given(seeds, sizes, kinds, st.booleans())
def test_every_client_descends_its_own_objective(seed, sizes, kind, alone):
    block = lay_out(seed, sizes, kind, node_by_node=alone)
    x, y, shards = data(seed, sizes)
    theta = parameters(block)
    expected = [numpy_gradient(block.model, theta[i].numpy(), x[own], y[own]) for i, own in enumerate(shards)]
    np.testing.assert_allclose(block.gradient(theta).numpy(), expected, rtol=1e-12, atol=1e-12)


@examples(60)
@given(seeds, sizes, kinds, st.sampled_from([(torch.float64, 1e-12), (torch.float32, 1e-5)]))
def test_buckets_compute_what_every_client_computes_by_itself(seed, sizes, kind, precision):
    dtype, tolerance = precision
    together, alone = (lay_out(seed, sizes, kind, dtype, node_by_node=alone) for alone in (False, True))
    theta = parameters(together)
    torch.testing.assert_close(together.gradient(theta), alone.gradient(theta), rtol=tolerance, atol=tolerance)


@examples(60)
@given(seeds, sizes, st.booleans())
def test_every_sample_is_in_one_place_and_padding_is_nothing(seed, sizes, alone):
    block = lay_out(seed, sizes, node_by_node=alone)
    x, y, shards = data(seed, sizes)
    design = block.model.design(torch.from_numpy(x))
    assert sorted(int(row) for bucket in block.buckets for row in bucket.rows) == list(range(len(sizes)))
    for bucket in block.buckets:
        longest = max(sizes[int(row)] for row in bucket.rows)
        assert bucket.x.shape[1] == max(1, longest)
        for k, row in enumerate(bucket.rows.tolist()):
            n, own = sizes[row], torch.from_numpy(shards[row])
            assert n >= 0.8 * longest
            assert torch.equal(bucket.x[k, :n], design[own])
            assert torch.equal(bucket.y[k, :n], torch.from_numpy(y)[own])
            assert not bucket.x[k, n:].any()
            assert not bucket.weight[k, n:].any()
            assert float(bucket.weight[k].sum()) == pytest.approx(1.0 if n else 0.0)
    if alone:
        assert all(len(bucket.rows) == 1 for bucket in block.buckets)


def test_a_block_of_some_nodes_holds_their_data_alone():
    whole, part = lay_out(0, [5, 9, 3, 7]), lay_out(0, [5, 9, 3, 7], nodes=[3, 1])
    assert part.nodes == (3, 1)
    assert part.samples.tolist() == [7, 9]
    theta = parameters(whole)
    torch.testing.assert_close(part.gradient(theta[[3, 1]]), whole.gradient(theta)[[3, 1]], rtol=1e-12, atol=1e-12)


@st.composite
def deletions(draw):
    """A seed, sizes, and for some nodes the positions that they delete."""
    seed, held = draw(seeds), draw(sizes)
    able = [node for node, n in enumerate(held) if n]
    nodes = draw(st.lists(st.sampled_from(able), min_size=1, max_size=2, unique=True))
    generator = np.random.default_rng(seed)
    forget = {}
    for node in nodes:
        m = draw(st.one_of(st.just(held[node]), st.integers(1, held[node])))
        forget[node] = np.sort(generator.choice(held[node], m, replace=False))
    return seed, held, forget


@examples(60)
@given(deletions(), kinds, st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_erasing_leaves_no_trace_and_the_others_bit_for_bit(deletion, kind, alone, dtype):
    seed, held, forget = deletion
    full = lay_out(seed, held, kind, dtype, node_by_node=alone)
    before = [(bucket.x.clone(), bucket.y.clone(), bucket.weight.clone()) for bucket in full.buckets]
    retained = full.without(forget)
    # No two entries of the features are alike, so that a value of an erased sample is found nowhere but in that sample.
    x, _, shards = data(seed, held)
    design = full.model.design(torch.from_numpy(x).to(dtype))[:, : x.shape[1]]
    gone = design[torch.from_numpy(np.concatenate([shards[node][own] for node, own in forget.items()]))]
    for bucket in retained.buckets:
        assert not torch.isin(bucket.x, gone).any()
        for k, row in enumerate(bucket.rows.tolist()):
            erased = forget.get(row, np.array([], dtype=np.int64))
            assert not bucket.x[k, erased].any()
            assert not bucket.y[k, erased].any()
            assert not bucket.weight[k, erased].any()
            left = held[row] - len(erased)
            assert int((bucket.weight[k] > 0).sum()) == left == retained.samples[row]
            assert float(bucket.weight[k].sum()) == pytest.approx(1.0 if left else 0.0, rel=1e-5)
    for bucket, (x_before, y_before, weight_before) in zip(full.buckets, before, strict=True):
        assert torch.equal(bucket.x, x_before)
        assert torch.equal(bucket.y, y_before)
        assert torch.equal(bucket.weight, weight_before)
    theta = parameters(full)
    others = [node for node in range(len(held)) if node not in forget]
    assert torch.equal(retained.gradient(theta)[others], full.gradient(theta)[others])


@examples(60)
@given(deletions(), kinds, st.booleans())
def test_what_is_left_is_learned_as_if_it_had_been_all_there_was(deletion, kind, alone):
    seed, held, forget = deletion
    retained = lay_out(seed, held, kind, node_by_node=alone).without(forget)
    x, y, shards = data(seed, held)
    theta = parameters(retained)
    found = retained.gradient(theta)
    for node, own in enumerate(shards):
        kept = np.delete(own, forget.get(node, []))
        expected = numpy_gradient(retained.model, theta[node].numpy(), x[kept], y[kept])
        np.testing.assert_allclose(found[node].numpy(), expected, rtol=1e-12, atol=1e-12)
        if not len(kept):
            assert torch.equal(found[node], retained.model.l2 * theta[node])


def test_a_client_can_erase_in_two_steps_what_it_could_erase_in_one():
    full = lay_out(3, [12, 11, 30])
    # Erased samples leave holes, so positions keep their meaning.
    twice = full.without({1: np.array([2, 5])}).without({1: np.array([0, 7])})
    once = full.without({1: np.array([0, 2, 5, 7])})
    theta = parameters(full)
    assert torch.equal(twice.gradient(theta), once.gradient(theta))
    assert twice.samples.tolist() == once.samples.tolist() == [12, 7, 30]


@examples(40)
@given(seeds, sizes, st.data(), kinds)
def test_only_some_clients_in_another_precision(seed, sizes, choice, kind):
    block = lay_out(seed, sizes, kind, torch.float32)
    nodes = choice.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, unique=True))
    some = block.only(nodes, torch.float64)
    assert some.nodes == tuple(nodes)
    assert some.samples.tolist() == [sizes[node] for node in nodes]
    theta = parameters(block)
    found = some.gradient(theta[nodes].double())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), block.gradient(theta)[nodes], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("local_steps", [1, 3])
def test_local_steps_are_gradient_steps_and_each_is_witnessed(local_steps):
    block = lay_out(5, [6, 17, 4], local_steps=local_steps)
    seen = []

    class Recording(Probe):
        watched_rows = (2, 0)

        def local_steps(self, round, points):
            seen.append((round, points.clone()))

    theta = parameters(block)
    begun = theta.clone()
    found = block.descend(theta, 8, Recording())
    assert torch.equal(theta, begun)
    ((round, points),) = seen
    assert round == 8
    assert points.shape == (local_steps, 2, block.model.parameters)
    for point in points:
        torch.testing.assert_close(point, theta[[2, 0]], rtol=1e-14, atol=1e-14)
        theta = theta - block.step_size * block.gradient(theta)
    torch.testing.assert_close(found, theta, rtol=1e-14, atol=1e-14)


def test_a_blank_buffer_fits_the_data():
    block = lay_out(0, [4, 5], dtype=torch.float32)
    assert isinstance(block, ClientBlock)
    assert block.blank().shape == (2, block.model.parameters)
    assert block.blank().dtype == torch.float32


@given(st.integers(0, 50), st.integers(1, 20))
def test_slices_cover_everything_once(length, size):
    slices = split(length, size)
    assert [at for one in slices for at in range(length)[one]] == list(range(length))
    assert all(1 <= one.stop - one.start <= size for one in slices)


def test_all_parts_are_done_once_and_errors_are_not_lost():
    done = []
    each(done.append, list(range(40)))
    assert sorted(done) == list(range(40))

    def refuse(part):
        raise RuntimeError(f"part {part}")

    with pytest.raises(RuntimeError, match="part 0"):
        each(refuse, [0, 1, 2])


@pytest.mark.parametrize(("device", "expected"), [("cpu", False), ("meta", True)])
def test_threads_share_the_parts_on_a_processor_and_not_on_a_gpu(device, expected, monkeypatch):
    """The device `meta` stands for a GPU."""
    block = lay_out(0, [40_000, 10, 4])
    buckets = tuple(replace(bucket, x=bucket.x.to(device)) for bucket in block.buckets)
    asked = []
    monkeypatch.setattr(client_block, "each", lambda work, parts, alone: asked.append((len(parts), alone)))
    replace(block, buckets=buckets)._on_each_part([Minibatch()], lambda part: None)
    assert asked == [(3, expected)]
