"""Scattering coefficients against sums over pixels: wavelets of mean zero, moduli, averages at places 2^J apart."""

import cmath
import math

import numpy as np
import pytest

from rewindnet.clients.data.dataset import Dataset
from rewindnet.clients.data.encoders import FeatureError
from rewindnet.clients.data.encoders.scattering import scattering


def data(x, layout="image"):
    x = np.asarray(x, dtype=np.float32)
    y = np.arange(len(x)) % 2
    return Dataset("mine", x, y, x[:2].copy(), y[:2], layout, 2)


def normal(*shape):
    return np.random.default_rng(2).standard_normal(shape)


def bell(width, slant, angle, frequency, reach):
    """A wave under a Gaussian, at all offsets up to `reach`."""
    out = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=complex)
    for i, j in np.ndindex(*out.shape):
        down, right = i - reach, j - reach
        along = down * math.cos(angle) + right * math.sin(angle)
        across = right * math.cos(angle) - down * math.sin(angle)
        out[i, j] = math.exp(-(along**2 + (slant * across) ** 2) / (2 * width**2)) * cmath.exp(1j * frequency * along)
    return out * slant / (2 * math.pi * width**2)


def convolved(image, kernel):
    """The convolution on a torus."""
    reach = len(kernel) // 2
    places = np.ndindex(*kernel.shape)
    return sum(kernel[i, j] * np.roll(image, (i - reach, j - reach), axis=(0, 1)) for i, j in places)


def by_hand(image, scales, orientations):
    """The channels of one image, reflected by a step or more beyond its borders, by sums over pixels."""
    step, sides = 2**scales, image.shape
    wide = np.pad(image, [(step, -side % step + step) for side in sides], mode="reflect")

    def wavelet(scale, at):
        width, slant, angle = 0.8 * 2**scale, 4 / orientations, math.pi * at / orientations
        wave = bell(width, slant, angle, 3 * math.pi / 4 / 2**scale, 8)
        plain = bell(width, slant, angle, 0.0, 8)
        return wave - wave.sum() / plain.sum() * plain

    smooth = bell(0.8 * step / 2, 1.0, 0.0, 0.0, 8)

    def averaged(image):
        return convolved(image, smooth).real[step : step + sides[0] : step, step : step + sides[1] : step]

    first, second = [averaged(wide)], []
    for scale in range(scales):
        for at in range(orientations):
            modulus = np.abs(convolved(wide, wavelet(scale, at)))
            first.append(averaged(modulus))
            for coarser in range(scale + 1, scales):
                second += [
                    averaged(np.abs(convolved(modulus, wavelet(coarser, other)))) for other in range(orientations)
                ]
    return np.array(first + second)


@pytest.mark.parametrize(("shape", "scales", "orientations"), [((16, 11), 1, 3), ((12, 8), 2, 2)])
def test_channels_agree_with_sums_over_pixels(shape, scales, orientations):
    x = normal(2, *shape)
    features = scattering(data(x), 0, scales=scales, orientations=orientations)
    for image, row in zip(x.astype(np.float32).astype(float), features.x, strict=True):
        expected = by_hand(image, scales, orientations)
        assert features.shape == expected.shape
        expected /= np.linalg.norm(expected.reshape(len(expected), -1), axis=1)[:, None, None]
        np.testing.assert_allclose(row, expected.ravel() / math.sqrt(len(expected)), atol=2e-4)


def test_every_channel_has_the_same_norm_and_rows_are_at_most_one():
    features = scattering(data(1e4 * normal(30, 3, 20, 17)), 0, scales=2, orientations=3)
    assert (features.radius, features.provenance, features.shape) == (1.0, "proven", (16, 5, 5))
    norms = np.linalg.norm(features.x.reshape(30, 16, -1).astype(np.float64), axis=2)
    np.testing.assert_allclose(norms, 0.25, rtol=1e-5)
    assert max(math.sqrt(math.fsum(float(value) ** 2 for value in row)) for row in features.x) <= 1.0


def test_constant_images_have_the_first_channel_alone():
    row = scattering(data(np.full((2, 16, 8), 0.7)), 0, scales=1).x[0].reshape(5, -1)
    assert row[0].min() > 0.05
    assert np.allclose(np.linalg.norm(scattering(data(np.zeros((2, 16, 8))), 0, scales=1).x, axis=1), 0)


def test_what_is_no_image_or_too_small_is_refused():
    with pytest.raises(FeatureError, match="scattering needs images, and an example of mine is a vector"):
        scattering(data(normal(3, 12), "vector"), 0)
    for settings in ({"scales": 3}, {"scales": 0}, {"orientations": 0}):
        with pytest.raises(FeatureError, match=r"2\^scales below the sides \(8, 9\)"):
            scattering(data(normal(3, 8, 9)), 0, **settings)
