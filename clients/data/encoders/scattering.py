"""Scattering coefficients of images as features: averages of the moduli of wavelet transforms, of orders 0 to 2."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Dataset, Floats, chunks
from rewindnet.clients.data.encoders.base import IMAGES_AT_ONCE, FeatureError, Features, costly, normalized

if TYPE_CHECKING:
    import torch

#: The frequency and the width of the finest wavelet.
_FREQUENCY, _WIDTH = 3 * math.pi / 4, 0.8


@costly
def scattering(dataset: Dataset, seed: int, *, scales: int = 3, orientations: int = 4) -> Features:
    """Scattering by Morlet wavelets, orders 0 to 2, each channel and then each row of unit norm: ‖x‖ ≤ 1, proven.

    With ψ_jl a wavelet of scale 2^j and orientation l, and φ a Gaussian of scale 2^J, the channels of an image x (the
    mean over its own channels) are x∗φ, |x∗ψ_jl|∗φ and ||x∗ψ_jl|∗ψ_km|∗φ for k > j, at places 2^J pixels apart. Images
    are reflected beyond their borders. The map is fixed: it sees no data.

    Args:
        dataset: the data, of layout "image".
        seed: not used.
        scales: J, the number of scales; order 2 needs two or more.
        orientations: the number of orientations, in [0, π).

    Raises:
        FeatureError: if the examples are no images, a parameter is too small, or a scale exceeds an image.

    References:
        Bruna and Mallat, "Invariant scattering convolution networks", IEEE TPAMI 35 (2013).
    """
    if dataset.layout != "image":
        raise FeatureError(
            f"scattering needs images, and an example of {dataset.name} is a {dataset.layout}; use unit-norm"
        )
    sides = dataset.shape[-2:]
    if scales < 1 or orientations < 1 or 2**scales >= min(sides):
        raise FeatureError(
            f"scattering needs scales ≥ 1, orientations ≥ 1 and 2^scales below the sides {sides}; {scales} scales and "
            f"{orientations} orientations were given"
        )
    bank = _Bank(sides, scales, orientations)
    x, test_x = (_scattered(part, bank) for part in (dataset.x, dataset.test_x))
    return Features(x, test_x, 1.0, "proven", bank.shape)


class _Bank:
    """The Fourier transforms of the wavelets and of the Gaussian, for images that are reflected beyond their borders.

    Args:
        sides: h and w of an image.
        scales: J.
        orientations: L.
    """

    def __init__(self, sides: tuple[int, ...], scales: int, orientations: int) -> None:
        self.step = 2**scales
        self._places = [-(-side // self.step) for side in sides]
        # One step of margin before the image, and what is left to whole steps and one more behind it.
        padded = [(places + 2) * self.step for places in self._places]
        places = [_reflected(side, size, self.step) for side, size in zip(sides, padded, strict=True)]
        self._rows, self._columns = np.ix_(*places)
        angles = [math.pi * at / orientations for at in range(orientations)]
        self._wavelets = [
            [_morlet(padded, scale, angle, 4 / orientations) for angle in angles] for scale in range(scales)
        ]
        self._smooth = _transformed(_gabor(padded, _WIDTH * self.step / 2, 0.0, 0.0, 1.0))
        pairs = scales * (scales - 1) // 2
        self.shape = (1 + scales * orientations + pairs * orientations**2, *self._places)

    def channels(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the channels [n, C, h', w'] of images [n, h, w]."""
        import torch

        spectrum = torch.fft.fft2(torch.from_numpy(np.ascontiguousarray(images[:, self._rows, self._columns])))
        found = [self._averaged(spectrum)]
        second = []
        for scale, wavelets in enumerate(self._wavelets):
            for wavelet in wavelets:
                modulus = torch.fft.fft2(torch.fft.ifft2(spectrum * wavelet).abs())
                found.append(self._averaged(modulus))
                for coarser in self._wavelets[scale + 1 :]:
                    moduli = (torch.fft.ifft2(modulus * other).abs() for other in coarser)
                    second += [self._averaged(torch.fft.fft2(each)) for each in moduli]
        return np.asarray(torch.stack(found + second, dim=1).numpy())

    def _averaged(self, spectrum: "torch.Tensor") -> "torch.Tensor":
        """Return local averages [n, h', w'] of what has this spectrum [n, H, W]."""
        import torch

        rows, columns = (slice(self.step, self.step * (places + 1), self.step) for places in self._places)
        averages: torch.Tensor = torch.fft.ifft2(spectrum * self._smooth).real[:, rows, columns]
        return averages


def _reflected(side: int, size: int, margin: int) -> NDArray[np.intp]:
    """Return which pixel of a side lies at each place of a longer one that begins `margin` before it."""
    at = np.abs(np.arange(size) - margin) % (2 * side - 2)
    return np.asarray(np.minimum(at, 2 * side - 2 - at))


def _gabor(sides: list[int], width: float, angle: float, frequency: float, slant: float) -> NDArray[np.complex128]:
    """Return a Gaussian of sum 1 times a wave, on a torus; across the wave it is 1/slant times as wide as along it."""
    total = np.zeros(sides, dtype=np.complex128)
    for down, right in np.ndindex(5, 5):
        i = np.arange(sides[0])[:, None] + sides[0] * (down - 2)
        j = np.arange(sides[1])[None, :] + sides[1] * (right - 2)
        along, across = i * math.cos(angle) + j * math.sin(angle), j * math.cos(angle) - i * math.sin(angle)
        total += np.exp(-(along**2 + (slant * across) ** 2) / (2 * width**2) + 1j * frequency * along)
    return total * slant / (2 * math.pi * width**2)


def _morlet(sides: list[int], scale: int, angle: float, slant: float) -> "torch.Tensor":
    """Return the Fourier transform of a wavelet: a wave under a Gaussian, less what gives it the mean zero."""
    width, frequency = _WIDTH * 2**scale, _FREQUENCY / 2**scale
    wave, bell = (_gabor(sides, width, angle, of, slant) for of in (frequency, 0.0))
    return _transformed(wave - wave.sum() / bell.sum() * bell)


def _transformed(filter: NDArray[np.complex128]) -> "torch.Tensor":
    """Return the Fourier transform, in single precision."""
    import torch

    return torch.from_numpy(np.fft.fft2(filter).astype(np.complex64))


def _scattered(x: Floats, bank: _Bank) -> Floats:
    """Return features, float32 [n, p], of images [n, (c,) h, w]."""
    import torch

    out = np.empty((len(x), math.prod(bank.shape)), dtype=np.float32)
    with torch.no_grad():
        for rows in chunks(len(x), IMAGES_AT_ONCE):
            images = x[rows].reshape(-1, math.prod(x.shape[1:-2]), *x.shape[-2:]).mean(axis=1)
            channels = bank.channels(images)
            units = normalized(channels.reshape(-1, math.prod(bank.shape[1:])), 0.0)
            out[rows] = normalized(units.reshape(len(images), -1), 0.0)
    return out
