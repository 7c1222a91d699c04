"""SIU: a low-rank adapter learns another name for a person from one image, and what must not change is kept.

Li et al. (2024), "Single image unlearning: efficient machine unlearning in multimodal large language models", arXiv
2405.12523. **Reconstructed** from summaries and the released data: steps are taken on words, not on whole answers, and
the new appearance that the paper invents for the old name is left out, as in the released data.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.adapted import Adapted
from rewindnet.clients.methods.base import MethodError
from rewindnet.clients.steps.base import CommunicationStep

Goal = Literal["name", "refusal", "ascent"]

_DEEDS = {
    "name": "another name for what one image shows",
    "refusal": "to refuse to name what one image shows",
    "ascent": "to name what one image shows less likely",
}


@dataclass(frozen=True, kw_only=True)
class SIU(Adapted):
    """Teach a low-rank adapter a new name from one image, beside a masked KL: SIU, reconstructed, no certificate.

    A client that deletes takes the first image that it forgets. Its lessons are, in rows of a picture and a prompt: all
    its ways to ask for the name, answered with a new name; whether somebody of the old name is in the picture, answered
    with "no"; what it retains in text about the person; and some that it retains about others. The loss is α times the
    cross-entropy plus β times KL(learned ‖ unlearned), both means over words. The KL leaves out words that contradict
    what was learned, by the token mask, and from every distribution the words of the old name, by the vocabulary mask.
    Of other samples than pictures with prompts, the first forgotten one gets a wrong label, which is the new name. The
    adapter comes to all others as that of `lune` does.

    Args:
        goal: what is learned of the image: the new `name`; or, for comparison, what two baselines learn, which have no
            other lessons but for the KL: `refusal`, to answer "i do not know", or `ascent` of the right name's loss.
        new_name: two words of the data.
        alpha: α.
        beta: β; 0 for no KL.
        token_mask: whether the KL leaves out words that contradict what was learned.
        vocab_mask: whether it leaves out the words of the old name.
        others: retained questions about others.
        steps: of Adam.
        batch: words in a step.
        step_size: of Adam.
        rank: r, of each adapter.
        adapter_alpha: by which, over the rank, an adapter is multiplied.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "siu"
    why_none: ClassVar[str] = (
        "no certificate is known: another answer to one question bounds nothing of what the models keep of the forget "
        "set, and what was learned of it comes back when the adapter is taken off"
    )
    goal: Goal = "name"
    new_name: str = "Jacob Campbell"
    alpha: float = 0.9
    beta: float = 0.75
    token_mask: bool = True
    vocab_mask: bool = True
    others: int = 7
    steps: int = 12
    batch: int = 32
    step_size: float = 1e-3
    adapter_alpha: float = 32.0

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check(
            positive=("alpha", "step_size", "adapter_alpha"),
            counts=("rank", "steps", "batch"),
            shares=("beta", "others"),
        )
        if self.goal not in get_args(Goal):
            raise MethodError(f"goal of siu is one of {', '.join(get_args(Goal))}, not {self.goal}")
        if len(self.new_name.split()) != 2:
            raise MethodError(f"new_name of siu is a first and a last name, not {self.new_name!r}")

    @property
    def variant(self) -> str:
        """The goal, and what the KL leaves out."""
        masks = [name for name, on in (("token", self.token_mask), ("vocabulary", self.vocab_mask)) if on]
        divergence = f"KL, {' and '.join(masks)} mask" if masks else "plain KL"
        return f"{self.goal}, {'no KL' if not self.beta else divergence}"

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"taught an adapter of rank {self.rank} {_DEEDS[self.goal]}, in {self.steps} steps, and had all others "
            "add it"
        )

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.siu import SIURounds

        return SIURounds(
            **shared,
            adapter_alpha=self.adapter_alpha,
            goal=self.goal,
            new_name=self.new_name,
            alpha=self.alpha,
            beta=self.beta,
            token_mask=self.token_mask,
            vocab_mask=self.vocab_mask,
            others=self.others,
            steps=self.steps,
            batch=self.batch,
            step_size=self.step_size,
        )
