"""How far the samplers of Gaussian noise are from an exact Gaussian: the floor below which no δ can be certified.

**Definition.** A sampler of n values has the *floor* β if its values z can be coupled with independent exact standard
Gaussians Z such that, except with probability β, |z_k − Z_k| ≤ 2⁻¹⁰ for every k. The tolerance is the one that
certificates have for the arithmetic that adds the noise: it resolves every noise to 2⁻¹⁰ of its σ
(`sensitivity.rounding.RESOLUTION`). What an adversary can learn from the lowest bits of a model lies within it and is
outside every certificate.

**What it does to a certificate.** Suppose the view is (ε, δ)-indistinguishable with exact noise, and that rounding it
within the tolerance tells nothing. With samples it is (ε, δ + (1 + e^ε)·β)-indistinguishable: P[S] is at most
β + e^ε·(P'[S] + β) + δ, because each of the two runs differs from exact noise with probability at most β. A
certificate whose δ is below β would therefore state less than the chance that the noise was not Gaussian at all, and is
refused.

**`os`** (`rewindnet.clients.training.noise`) draws U, uniform in (0, 1), from the operating system's words and returns
±Φ⁻¹(U/2). A draw takes one bit for the sign and the 63 other bits of a word for U, and further words as long as fewer
than 53 significant bits of U are known, at most 15 words. So U has a relative error of at most 2⁻⁵¹, except where the
first 14 words are all 0 and the last one is below 2⁵³: with probability at most 2⁻⁶³⁻¹³·⁶⁴⁻¹¹ = 2⁻⁹⁰⁶. Since
dZ = U·(dU/U)/(2φ(Z)) and (U/2)/φ(Z) = R(|Z|) ≤ √(π/2), the Mills ratio, |z − Z| ≤ 2⁻⁵⁰ plus the rounding of Φ⁻¹. Hence
β ≤ n·2⁻⁹⁰⁶. (The words are taken to be uniform and independent.)

**`seed`** is numpy's ziggurat with 256 layers (Marsaglia and Tsang 2000, "The ziggurat method for generating random
variables"; Doornik 2005), if the words of its generator are taken to be uniform and independent, which they are not for
an adversary who has the seed. With r = 3.6542 and the area v = 0.004929 of a layer, a value differs from that of the
same algorithm with real numbers by at most 4·2⁻⁵² unless a comparison comes out differently. That happens

* where the 52-bit position falls on the edge of a layer, whose table is rounded: with probability at most 2·2⁻⁵²;
* where the height in a wedge is compared with the density, with an error of at most 8·2⁻⁵³ by 53-bit uniforms and by
  rounding: with probability at most Σ_i ((x_i − x_{i+1})/x_i)/256 · 8·2⁻⁵³/(v/x_i) = 8·2⁻⁵³·r/(256·v) < 12·2⁻⁵²;
* in the tail beyond r, reached with probability 2.6·10⁻⁴, whose uniforms have steps of 2⁻⁵³: a value is off by more
  than 2⁻¹⁰ with probability at most 2⁻⁵³·2¹⁰/r, values beyond 12.2 never occur (3·10⁻³⁴), and the acceptance is off by
  at most 4·2⁻⁵³: altogether less than 2⁻⁵².

Hence β ≤ n·16·2⁻⁵² = n·2⁻⁴⁸ (rejected values, at most 2 % of them, included).
"""

from typing import Literal

from rewindnet.certificates.errors import CertificateError

NoiseSource = Literal["seed", "os"]

#: The floor of one value, by source.
_FLOOR_OF_ONE: dict[NoiseSource, float] = {"os": 2.0**-906, "seed": 2.0**-48}


def sampler_floor(source: NoiseSource, draws: int) -> float:
    """Return β, the floor of a sampler for this number of values.

    Args:
        source: the source of the noise.
        draws: n, the number of values of all noise vectors of a release: noised nodes × parameters × rounds with noise.

    Raises:
        CertificateError: if the number of draws is negative.
    """
    if draws < 0:
        raise CertificateError(f"the number of draws is not negative, as {draws} is")
    return min(1.0, draws * _FLOOR_OF_ONE[source])
