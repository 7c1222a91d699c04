"""SIU's rounds: an adapter learns new answers to one image by cross-entropy, beside a KL that leaves some words out."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.adapter_rounds import AdapterRounds, descend
from rewindnet.clients.steps.epochs import Samples, logits, order_generator, samples_of
from rewindnet.clients.steps.siu_lessons import Curriculum, Lessons
from rewindnet.clients.training.client_block import ClientBlock


@dataclass(frozen=True)
class SIURounds(AdapterRounds):
    """A round in which clients that delete learn the lessons about one image, and rounds in which adapters are passed.

    Attributes:
        goal: what is learned of the image: `name`, `refusal` or `ascent`.
        new_name: the words of the new name.
        alpha: α, the weight of the cross-entropy.
        beta: β, that of the KL.
        token_mask: whether the KL leaves out words that contradict what was learned.
        vocab_mask: whether it leaves out the words of the old name.
        others: retained questions about others.
        steps: of Adam.
        batch: words in a step.
        step_size: of Adam.
    """

    goal: str
    new_name: str
    alpha: float
    beta: float
    token_mask: bool
    vocab_mask: bool
    others: int
    steps: int
    batch: int
    step_size: float

    def teach(self, block: ClientBlock, node: int, theta: Tensor, adapter: Tensor, gone: Samples) -> int:
        """Have a client learn its lessons, in place; return how many gradients it took."""
        model, drawn = block.model, order_generator(self, self.seed, self.rounds.start, node, "lessons")
        curriculum = Curriculum(self.goal, self.new_name, self.token_mask, self.beta > 0, self.others)
        lessons = curriculum.lessons(model, gone, samples_of(block, node), drawn)
        learned = torch.log_softmax(logits(model, theta[None], lessons.x)[0], dim=1)
        batches = list(self._batches(lessons, node))

        def gradient(point: Tensor, places: Tensor) -> Tensor:
            with torch.enable_grad():
                at = point.detach().clone().requires_grad_(True)
                loss = self._loss(model, at, learned, lessons, places)
                (found,) = torch.autograd.grad(loss, at)
            return found

        descend(self.form(model), theta, adapter, batches, gradient, self.step_size)
        return sum(len(places) for places in batches)

    def _batches(self, lessons: Lessons, node: int) -> Iterator[Tensor]:
        """Yield the places of the rows of each step: in a random order, again and again."""
        left, epoch = self.steps, 0
        while left:
            drawn = order_generator(self, self.seed, self.rounds.start, node, f"epoch {epoch}")
            order = torch.from_numpy(drawn.permutation(len(lessons.y))).to(lessons.y.device)
            batches = torch.split(order, self.batch)[:left]
            yield from batches
            left, epoch = left - len(batches), epoch + 1

    def _loss(self, model: Model, theta: Tensor, learned: Tensor, lessons: Lessons, places: Tensor) -> Tensor:
        """Compute α·CE + β·KL over the rows at some places, by θ [1, d] and the learned log-odds [n, C]."""
        now = torch.log_softmax(logits(model, theta, lessons.x[places])[0], dim=1)
        before, sign, kept = learned[places], lessons.sign[places], lessons.kept[places]
        entropy = -(sign * now.gather(1, lessons.y[places][:, None])[:, 0]).sum() / sign.abs().sum().clamp(min=1)
        counted = torch.ones_like(now[0])
        if self.vocab_mask:
            counted[list(lessons.name)] = 0
        divergence = (counted * before.exp() * (before - now)).sum(dim=1)
        return self.alpha * entropy + self.beta * (kept * divergence).sum() / kept.sum().clamp(min=1)
