"""ManiF-SMC: forgetting without labels, by moving erased samples off the place where the model has learned them to be.

**Reconstructed**: the equations of the paper could not be read, and its released code does something else (it never
trains a curve, and averages the model with a freshly initialised one). This is the triplet of the prose, with the
direction that a retrained model confirms: erased samples move *away* from their old neighbours. Ours are the term
`keep`, without which neighbours are dragged along in small networks; and distances of representations of length 1.
Neighbours and control point are sought at the client that deletes, so that no erased sample and nothing made of one but
the change of the model leaves it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.alternating import Alternating
from rewindnet.clients.methods.base import MethodError
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.optimizers.pair import Pairing

_MARGINS = ("smc", "smc-label-free", "fixed")


@dataclass(frozen=True, kw_only=True)
class ManifSmc(Alternating):
    """Push erased samples off the neighbourhoods that the model has learned for them: ManiF-SMC, reconstructed.

    Only clients that delete take steps: others have nothing to do meanwhile. The other settings are documented at
    `Alternating`; the steps on retained data are those of the control point, which begin anew with every epoch.

    Args:
        neighbours: retained samples around each erased one.
        keep: by how much they are held where they are.
        margin: how far erased samples are to go beyond their neighbours: `fixed`; as far as a model half way on a curve
            back to the learned one puts them (`smc`: self-mode-connectivity, with the curve's control point learned on
            the neighbours); or the same with a control point that is learned without any labels (`smc-label-free`).
        alpha: the fixed margin, in squared distances of vectors of length 1.
        control_steps: of the control point in each epoch.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "manif-smc"
    why_none: ClassVar[str] = (
        "no certificate is known: where the models put the forget set bounds nothing of what they keep of it, and no "
        "noise hides it"
    )
    epochs: int = 5
    step_size: float = 5e-4
    optimizers: Pairing = "dual-aa"
    neighbours: int = 5
    keep: float = 1.0
    margin: Literal["smc", "smc-label-free", "fixed"] = "smc"
    alpha: float = 0.001
    control_steps: int = 20
    forget_batch: int = 16
    batch: int = 16

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self._check(counts=("neighbours", "control_steps"), shares=("keep", "alpha"))
        if self.margin not in _MARGINS:
            raise MethodError(f"margin of manif-smc is one of {', '.join(_MARGINS)}, not {self.margin}")
        if self.objective is not None:
            raise MethodError("manif-smc takes no objective: its steps are of representations, not of answers")

    @property
    def variant(self) -> str:
        """The margin, and the way over the network."""
        return f"{self.margin}, {self.way}"

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"went {self.epochs} times through what is to be forgotten, and pushed it off the neighbourhoods that the "
            f"learned model puts it in, at the client that deletes, {_MEANWHILE[self.way]}"
        )

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.manif_smc import ManifoldEpochs

        return ManifoldEpochs(
            **shared,
            neighbours=self.neighbours,
            keep=self.keep,
            margin=self.margin,
            alpha=self.alpha,
            control_steps=self.control_steps,
        )


_MEANWHILE = {
    "local": "and had all others add what it changed",
    "gossip": "with an exchange of models after each epoch",
    "server": "with a server that averages all models after each epoch",
    "token": "as a token came by",
}
