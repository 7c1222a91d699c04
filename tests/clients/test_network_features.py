"""Frozen networks as features: the same weights for the same public rows and seed, and rows of norm at most 1."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rewindnet.clients.data.dataset import DataError, Dataset, PublicRows
from rewindnet.clients.data.encoders import FeatureError
from rewindnet.clients.data.encoders.network import network
from rewindnet.clients.data.encoders.rows import unit_norm
from rewindnet.clients.data.public_rows import from_elsewhere, set_apart, volunteered

RNG = np.random.default_rng(5)
SHAPES = [("vector", (5,)), ("image", (6, 5)), ("image", (2, 6, 5)), ("signal", (2, 7))]


def data(layout="vector", shape=(5,), rows=40, public=True):
    y = np.arange(rows) % 3
    x = (RNG.standard_normal((rows, *shape)) + y.reshape(-1, *[1] * len(shape))).astype(np.float32)
    found = Dataset("mine", x, y, x[:4].copy(), y[:4], layout, 3)
    return volunteered(found, [np.arange(10), np.arange(20, 25)], ("a", "c")) if public else found


class Net(nn.Module):
    """A module of a user's own, that grows what it is given beyond all bounds."""

    def __init__(self, shape, outputs=4):
        super().__init__()
        self.layer = nn.Linear(math.prod(shape), outputs)

    def forward(self, x):
        return 1e6 * self.layer(x.flatten(1))


OWN = f"{__name__}:Net"


@pytest.mark.parametrize(("layout", "shape"), SHAPES)
def test_norms_are_at_most_one_and_nothing_else_depends_on_the_rest(layout, shape):
    dataset, state = data(layout, shape), torch.random.get_rng_state()
    features = network(dataset, 3, width=6, epochs=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (features.radius, features.provenance) == (1.0, "proven")
    assert max(math.sqrt(math.fsum(float(value) ** 2 for value in row)) for row in features.x) <= 1.0
    # What clients hold changes neither the weights nor the features of any other row.
    private = dataset.x.copy()
    private[30:] += 7
    others = network(replace(dataset, x=private, y=(dataset.y + 1) % 3), 3, width=6, epochs=1)
    assert others.weights_sha256 == features.weights_sha256
    np.testing.assert_allclose(others.x[:30], features.x[:30], atol=1e-6)
    assert not np.allclose(others.x[30:], features.x[30:])


@pytest.mark.parametrize("change", ["seed", "epochs", "x", "y"])
def test_weights_follow_from_the_seed_the_settings_and_the_public_rows(change):
    dataset = data()
    weights = network(dataset, 3, width=4, epochs=2).weights_sha256
    assert network(dataset, 3, width=4, epochs=2).weights_sha256 == weights
    public = dataset.public
    seed, epochs = 3 + (change == "seed"), 2 + (change == "epochs")
    if change in ("x", "y"):
        public = replace(public, **{change: getattr(public, change)[::-1].copy()})
    assert network(replace(dataset, public=public), seed, width=4, epochs=epochs).weights_sha256 != weights


def test_training_tells_the_public_classes_apart():
    x = RNG.standard_normal((600, 4)).astype(np.float32)
    # The class is whether two numbers have the same sign, which no linear map of the rows tells.
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    dataset = volunteered(Dataset("mine", x, y, x[:4].copy(), y[:4], "vector", 2), [np.arange(400)], ("all",))
    trained, untrained = (network(dataset, 0, width=8, epochs=epochs).x for epochs in (40, 0))

    def told(features):
        design = np.column_stack([features, np.ones(600)])
        scores = design @ np.linalg.lstsq(design[:400], 2 * y[:400] - 1, rcond=None)[0]
        return ((scores > 0) == y)[400:].mean()

    assert told(trained) > 0.75 > told(untrained)


def test_own_networks_are_trained_too_and_the_centre_is_that_of_public_rows():
    dataset = data()
    features = network(dataset, 0, path=OWN, settings={"outputs": 3}, epochs=1)
    assert features.x.shape == (40, 3)
    assert "trained on public rows alone" in features.origin
    centred = features.x[np.r_[0:10, 20:25]]
    plain = network(dataset, 0, path=OWN, settings={"outputs": 3}, epochs=1, center="zero").x
    assert abs(centred.mean()) < abs(plain.mean())


@pytest.mark.parametrize("form", ["safetensors", "state_dict"])
def test_weights_of_a_file_are_taken_as_they_are(tmp_path, form):
    dataset, module, file = data(public=False), Net((5,)), tmp_path / "weights"
    (save_file if form == "safetensors" else torch.save)(module.state_dict(), file)
    features = network(dataset, 0, path=OWN, weights_path=str(file))
    with torch.no_grad():
        expected = module(torch.from_numpy(dataset.x)).double().numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(features.x, expected, atol=1e-6)
    assert features.origin.endswith("That no client's data went into them is declared.")
    assert features.weights_sha256 != network(data(), 0, path=OWN, epochs=0).weights_sha256


@pytest.mark.parametrize(
    ("dataset", "settings", "sentence"),
    [
        (data(public=False), {}, "network needs data.public, .* or weights_path"),
        (data(), {"width": 0}, "width ≥ 1 and epochs ≥ 0, not 0 and 5"),
        (data(), {"settings": {"outputs": 3}}, "settings are those of a network of your own"),
        (data(), {"path": "nothing.there:Net"}, "data.features.path: nothing.there cannot be imported"),
        (data(), {"path": OWN, "settings": {"size": 3}}, "cannot be built: TypeError"),
        (data(), {"path": "math:sqrt"}, "cannot be built"),
        (data(), {"path": "fractions:Fraction"}, "makes a Fraction, which is no torch.nn.Module"),
        (data(), {"path": "torch.nn:Linear", "settings": {"in_features": 9, "out_features": 2}}, "cannot be trained"),
    ],
)
def test_what_cannot_be_is_refused(dataset, settings, sentence):
    with pytest.raises(FeatureError, match=sentence):
        network(dataset, 0, **settings)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    torch.save({"layer.weight": torch.zeros(4, 6), "layer.bias": torch.zeros(4)}, tmp_path / "w")
    with pytest.raises(FeatureError, match=r"does not fit the network: .* size mismatch for layer.weight"):
        network(data(), 0, path=OWN, weights_path=str(tmp_path / "w"))
    (tmp_path / "w").write_bytes(b"nothing")
    with pytest.raises(FeatureError, match="neither a safetensors file nor a state_dict"):
        network(data(), 0, path=OWN, weights_path=str(tmp_path / "w"))


def test_the_public_mean_is_that_of_public_rows_where_the_source_declares_none():
    dataset = data()
    expected = unit_norm(dataset, 0, center="zero")
    assert not np.allclose(unit_norm(dataset, 0).x, expected.x)
    mean = dataset.public.x.mean(axis=0)
    shifted = replace(dataset, x=dataset.x - mean, public=None)
    np.testing.assert_allclose(unit_norm(dataset, 0).x, unit_norm(shifted, 0, center="zero").x, atol=1e-6)
    np.testing.assert_array_equal(
        unit_norm(replace(dataset, mean=0.5), 0).x, unit_norm(replace(dataset, mean=0.5, public=None), 0).x
    )


def test_public_classes_are_taken_out_of_the_task():
    dataset = replace(data(rows=30, public=False), client=np.arange(30) // 10)
    task = set_apart(dataset, {1})
    np.testing.assert_array_equal(task.x, dataset.x[dataset.y != 1])
    np.testing.assert_array_equal(task.y, dataset.y[dataset.y != 1] // 2)
    np.testing.assert_array_equal(task.client, dataset.client[dataset.y != 1])
    np.testing.assert_array_equal(task.test_y, [0, 1, 0])
    np.testing.assert_array_equal(task.public.x, dataset.x[dataset.y == 1])
    assert (task.classes, task.class_names, task.public.labelled) == (2, ("0", "2"), False)
    assert (set_apart(dataset, {0}).public.y == 0).all()
    for classes in (set(), {0, 1}):
        with pytest.raises(DataError, match="must have public rows, and two other classes to learn"):
            set_apart(dataset, classes)


def test_other_data_are_scaled_to_the_sides_of_the_task():
    grey, colour = data("image", (4, 4), public=False), data("image", (3, 8, 6), public=False)
    public = from_elsewhere(colour, grey).public
    assert public.x.shape == (40, 3, 8, 6)
    np.testing.assert_array_equal(public.x[:, 0], public.x[:, 2])
    np.testing.assert_allclose(public.x.mean(axis=(1, 2, 3)), grey.x.mean(axis=(1, 2)), atol=0.3)
    assert from_elsewhere(grey, colour).public.x.shape == (40, 4, 4)
    assert isinstance(from_elsewhere(grey, grey).public, PublicRows)
    with pytest.raises(DataError, match="only images are scaled"):
        from_elsewhere(grey, data(public=False))
