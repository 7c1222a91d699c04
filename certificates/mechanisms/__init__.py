"""The mechanisms: how the noise of a release hides a deletion.

Each mechanism is a subclass of `Mechanism` in its own module, which states its proof and its source. Importing this
package imports every module in it, and so registers all of them.
"""

import pkgutil
from importlib import import_module

from rewindnet.certificates.mechanisms.gaussian_output import GaussianOutput
from rewindnet.certificates.mechanisms.gossip_dp import GossipDP
from rewindnet.certificates.mechanisms.langevin import Langevin
from rewindnet.certificates.mechanisms.newton import Newton, NewtonSharedNoise
from rewindnet.certificates.mechanisms.noisy_finetune import NoisyFinetune
from rewindnet.certificates.mechanisms.rr_du import RRDU
from rewindnet.certificates.mechanisms.uncertified import Uncertified
from rewindnet.certificates.mechanisms.walk_dp import WalkDP

__all__ = [
    "RRDU",
    "GaussianOutput",
    "GossipDP",
    "Langevin",
    "Newton",
    "NewtonSharedNoise",
    "NoisyFinetune",
    "Uncertified",
    "WalkDP",
]

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
