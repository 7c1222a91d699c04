"""Where tests draw noise: in one context, so that only the seed and the release differ."""

from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.training.noise import NoiseAddress


def address_at(seed: int = 0, release: int = 0, source: NoiseSource = "seed") -> NoiseAddress:
    return NoiseAddress(seed, "some scenario", "some forget set", release, source)
