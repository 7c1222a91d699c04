import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rewindnet.clients.data.dataset import Dataset
from rewindnet.clients.data.encoders import ENCODERS, FeatureError, Features
from rewindnet.clients.data.encoders.hog import hog
from rewindnet.clients.data.encoders.random_conv import random_conv
from rewindnet.clients.data.encoders.rows import raw, unit_norm


def data(x, layout="vector", mean=None):
    x = np.asarray(x, dtype=np.float32)
    y = np.arange(len(x)) % 2
    return Dataset("mine", x, y, x[:3].copy(), y[:3], layout, 2, mean=mean)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def exact_norm(row):
    return math.sqrt(math.fsum(float(value) ** 2 for value in row))


anything = arrays.arrays(
    np.float32,
    st.tuples(st.integers(3, 6), st.integers(1, 9)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def test_raw_features_are_the_rows_and_the_radius_an_estimate():
    x = normal(5000, 2, 3)
    features = raw(data(x), 0)
    np.testing.assert_array_equal(features.x, x.reshape(5000, 6))
    assert features.radius == pytest.approx(np.linalg.norm(x.reshape(5000, 6), axis=1).max(), rel=1e-6)
    assert (features.provenance, features.shape) == ("estimated", (2, 3))


@given(x=anything, radius=st.floats(1e-3, 1e6))
@settings(deadline=None)
def test_an_enforced_radius_holds_and_shorter_rows_stay(x, radius):
    features = raw(data(x), 0, radius=radius)
    assert (features.provenance, features.radius) == ("enforced", radius)
    for before, after in zip(x, features.x, strict=True):
        assert exact_norm(after) <= radius
        if exact_norm(before) < radius * (1 - 1e-9):
            np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan])
def test_a_radius_that_is_none_is_refused(radius):
    with pytest.raises(FeatureError, match="radius of raw features must be positive and finite"):
        raw(data(normal(4, 2)), 0, radius=radius)


def test_features_that_are_longer_than_they_say_are_refused():
    x = np.zeros((5000, 4), dtype=np.float32)
    x[4321] = 1.0
    assert Features(x, x, 2.0, "proven", (4,)).radius == 2.0
    with pytest.raises(
        FeatureError, match=r"has the norm 2, and they say that none is longer than 1\.99999 \(proven\)"
    ):
        Features(x, x, 1.99999, "proven", (4,))
    with pytest.raises(FeatureError, match="has the norm nan"):
        Features(x * np.float32(np.nan), x, 2.0, "proven", (4,))


@given(x=anything, center=st.sampled_from(["public", "zero", 0.25, -1e-30]))
@settings(deadline=None)
def test_unit_norm_is_at_most_one_exactly_whatever_the_data(x, center):
    features = unit_norm(data(x, mean=0.5), 0, center=center)
    assert (features.radius, features.provenance) == (1.0, "proven")
    for row in [*features.x, *features.test_x]:
        assert exact_norm(row) <= 1.0
        assert float(np.linalg.norm(row.astype(np.float64))) <= 1.0


def test_unit_norm_is_the_direction_from_the_public_mean():
    x = normal(9000, 3, 2, 2)
    mean = np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    features = unit_norm(data(x, "image", mean), 0)
    direction = (x - mean).reshape(9000, 12)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    np.testing.assert_allclose(features.x, direction, atol=1e-6)
    assert features.x.dtype == np.float32
    assert features.shape == (3, 2, 2)


def test_without_a_public_mean_nothing_is_subtracted_and_zero_rows_stay():
    x = normal(4, 3)
    x[1] = 0
    expected = unit_norm(data(x, mean=7.0), 0, center="zero").x
    np.testing.assert_array_equal(unit_norm(data(x), 0).x, expected)
    np.testing.assert_array_equal(expected[1], 0)


@pytest.mark.parametrize("center", ["private", math.nan])
def test_an_unknown_center_is_refused(center):
    with pytest.raises(FeatureError, match="must be public, zero or a finite number"):
        unit_norm(data(normal(4, 2)), 0, center=center)


def pooled_by_hand(x, weight, pool):
    """Correlation, ReLU and average pooling in loops over positions; x [n, c, *sides], weight [f, c, *kernel]."""
    sides, kernel = x.shape[2:], weight.shape[2:]
    inner = tuple(side - k + 1 for side, k in zip(sides, kernel, strict=True))
    out = np.zeros((len(x), len(weight), *inner))
    for place in np.ndindex(*inner):
        window = (slice(None), slice(None), *(slice(p, p + k) for p, k in zip(place, kernel, strict=True)))
        product = np.tensordot(x[window], weight, axes=(range(1, x.ndim), range(1, x.ndim)))
        out[(slice(None), slice(None), *place)] = np.maximum(product, 0)
    small = tuple(side // pool for side in inner)
    pooled = np.zeros((len(x), len(weight), *small))
    for place in np.ndindex(*small):
        window = (slice(None), slice(None), *(slice(p * pool, (p + 1) * pool) for p in place))
        pooled[(slice(None), slice(None), *place)] = out[window].mean(axis=tuple(range(2, x.ndim)))
    return pooled


@pytest.mark.parametrize(
    ("shape", "layout", "seen", "result"),
    [
        ((9, 8), "image", (1, 9, 8), (4, 3, 3)),
        ((3, 9, 8), "image", (3, 9, 8), (4, 3, 3)),
        ((9, 8), "signal", (9, 8), (4, 3)),
    ],
)
def test_random_convolution_agrees_with_loops(shape, layout, seen, result):
    from rewindnet.topologies.rng import Stream, rng_at

    x = normal(6, *shape)
    features = random_conv(data(x, layout, mean=0.5), 11, filters=4, kernel=3, pool=2)
    weight = rng_at(11, Stream.FEATURES).standard_normal((4, seen[0], *[3] * (len(seen) - 1)))
    weight /= np.sqrt((weight**2).sum(axis=tuple(range(1, weight.ndim)), keepdims=True))
    expected = pooled_by_hand((x - 0.5).reshape(6, *seen), weight, 2).reshape(6, -1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(features.x, expected, atol=1e-6)
    assert features.shape == result
    assert (features.radius, features.provenance) == (1.0, "proven")
    assert max(map(exact_norm, features.x)) <= 1.0


def test_random_convolution_of_a_row_depends_on_that_row_and_the_seed_alone():
    x = normal(700, 10, 10)
    whole = random_conv(data(x, "image"), 5).x
    alone = random_conv(data(x[600:603], "image"), 5).x
    np.testing.assert_array_equal(alone, whole[600:603])
    assert not np.allclose(random_conv(data(x[600:603], "image"), 6).x, alone)


def test_random_convolution_leaves_no_trace_in_torch():
    state = torch.random.get_rng_state()
    random_conv(data(normal(4, 10, 10), "image"), 5)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_random_convolution_refuses_vectors_and_impossible_sizes():
    with pytest.raises(FeatureError, match=r"an example of mine is a vector of shape \(12,\); use raw or unit-norm"):
        random_conv(data(normal(4, 12)), 0)
    small = data(normal(4, 8, 7), "image")
    for parameters in ({}, {"kernel": 9}, {"filters": 0}, {"pool": 0}, {"kernel": 0}):
        with pytest.raises(FeatureError, match=r"random-conv needs .*the sides \(8, 7\)"):
            random_conv(small, 0, **parameters)


def test_encoders_are_named_as_a_scenario_names_them():
    assert list(ENCODERS) == ["raw", "unit-norm", "random-conv", "hog", "scattering", "network", "efficientnet-lite0"]


@pytest.mark.parametrize(("shape", "power"), [((9, 8), 1.0), ((2, 9, 8), 0.25)])
def test_histograms_agree_with_loops(shape, power):
    x = normal(3, *shape)
    features = hog(data(x, "image"), 0, orientations=4, cell=3, stride=2, power=power)
    assert (features.radius, features.provenance, features.shape) == (1.0, "proven", (4, 4, 3))
    for image, row in zip(x.astype(np.float64), features.x, strict=True):
        brightness = image.reshape(-1, 9, 8).mean(axis=0)
        down, right = np.gradient(brightness)
        expected = np.zeros((4, 4, 3))
        for i, j in np.ndindex(4, 3):
            for k, m in np.ndindex(3, 3):
                at = 2 * i + k, 2 * j + m
                angle = math.atan2(down[at], right[at]) % (2 * math.pi) / (2 * math.pi) * 4
                length, lower = math.hypot(down[at], right[at]), math.floor(angle)
                expected[lower % 4, i, j] += length * (1 - angle + lower)
                expected[(lower + 1) % 4, i, j] += length * (angle - lower)
        expected **= power
        expected -= expected.mean(axis=0)
        np.testing.assert_allclose(row, (expected / np.linalg.norm(expected)).ravel(), rtol=1e-5, atol=1e-6)


def test_histograms_are_of_proven_norm_and_refuse_what_is_no_image():
    assert max(exact_norm(row) for row in hog(data(1e6 * normal(40, 28, 28), "image"), 0).x) <= 1
    assert not hog(data(np.ones((3, 28, 28)), "image"), 0).x.any()
    assert hog(data(normal(3, 28, 28), "image"), 0).x.shape[1] == 512
    with pytest.raises(FeatureError, match="hog needs images"):
        hog(data(normal(4, 12)), 0)
    with pytest.raises(FeatureError, match=r"cells within the sides \(8, 7\)"):
        hog(data(normal(3, 8, 7), "image"), 0, cell=8)
    with pytest.raises(FeatureError, match="power of hog must be above 0"):
        hog(data(normal(3, 8, 7), "image"), 0, power=0)
