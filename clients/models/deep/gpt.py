"""A small transformer that reads a prompt and predicts the word that follows."""

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.torch_model import TorchModel

#: The standard deviation of the initial weights, as in GPT-2.
_DEVIATION = 0.02


class GPT(TorchModel):
    """A transformer in the shape of GPT-2, which predicts the token after a prompt; no proven constants.

    Radford et al. (2019), "Language models are unsupervised multitask learners", with learned positions, norms before
    the layers, and the embedding of tokens as the last layer too. Samples are prompts of tokens with zeros on the
    right, and classes are tokens. By default it has 0.6 million parameters.

    Args:
        features: L, the number of tokens of a sample.
        classes: the number of tokens there are.
        shape: [L].
        layers: the number of blocks.
        width: the number of entries that represent a token.
        heads: of attention, a divisor of the width.
        l2: weight of (l2/2)·‖θ‖².
        loss: `cross-entropy`, `mse`, or your own function, as package.module:function or file.py:function.
        weights_path: a file of initial weights (safetensors, or a state_dict); drawn from the seed by default.
        constants: `unknown`, or `estimated` along the rounds of learning, so that certificates are conditional on them.

    Raises:
        ModelError: if a setting is out of range, or the samples are no rows of tokens.
    """

    kind: ClassVar[str] = "gpt"
    reads_tokens = True

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None = None,
        *,
        layers: int = 3,
        width: int = 128,
        heads: int = 4,
        l2: float = 0.0,
        loss: str = "cross-entropy",
        weights_path: str | None = None,
        constants: Literal["unknown", "estimated"] = "unknown",
    ) -> None:
        if min(layers, width, heads) < 1 or width % heads:
            raise ModelError(
                f"model.layers, width and heads of gpt are at least 1, and heads is a divisor of width, not {layers}, "
                f"{width} and {heads}"
            )
        shape = (features,) if shape is None else tuple(shape)
        if len(shape) != 1:
            raise ModelError(f"the model gpt reads rows of tokens, and these samples have the shape {list(shape)}")
        # The weights are drawn by `drawn`; what torch draws as it builds the layers is thrown away.
        with torch.random.fork_rng(devices=[]):
            module = _Transformer(features, classes, layers, width, heads)
        super().__init__(
            features, classes, shape, module, l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )

    def drawn(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw matrices from N(0, 0.02²); biases are 0 and scales of norms 1."""
        values = {}
        for name, shape in self.layout.shapes.items():
            if len(shape) > 1:
                values[name] = _DEVIATION * generator.standard_normal(shape)
            else:
                values[name] = np.full(shape, float(name.endswith("weight")))
        return self.layout.flat(values)


class _Transformer(nn.Module):
    """Embeddings, blocks, and the scores of the token after the last one of a prompt."""

    def __init__(self, length: int, tokens: int, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(_Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, prompts: Tensor) -> Tensor:
        """Compute the scores [n, C] of prompts [n, L]."""
        tokens = prompts.long()
        states = self.blocks(self.words(tokens) + self.places.weight)
        # Attention is causal, so that what is right of the last token changes nothing that is read. An erased prompt,
        # all zeros, is read at its first place.
        last = (tokens > 0).sum(dim=-1, keepdim=True).clamp(min=1) - 1
        reads = (torch.arange(tokens.shape[-1], device=tokens.device) == last).to(states)
        read: Tensor = self.norm((reads.unsqueeze(-1) * states).sum(dim=-2))
        return read @ self.words.weight.mT


class _Block(nn.Module):
    """Causal attention and a layer of four times the width, each after a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, states: Tensor) -> Tensor:
        """Compute the states [n, L, w] after the block."""
        states = states + self.join(self._attention(self.attend(self.before(states))))
        return torch.add(states, self.narrow(gelu(self.widen(self.between(states)))))

    def _attention(self, values: Tensor) -> Tensor:
        """Compute what every place reads of itself and those before it [n, L, w], of [n, L, 3·w]."""
        length = values.shape[-2]
        query, key, value = (
            part.reshape(*part.shape[:-1], self._heads, -1).transpose(-3, -2) for part in values.chunk(3, dim=-1)
        )
        near = query @ key.mT / query.shape[-1] ** 0.5
        later = torch.ones(length, length, device=values.device, dtype=torch.bool).triu(1)
        weights = torch.softmax(near.masked_fill(later, float("-inf")), dim=-1)
        return (weights @ value).transpose(-3, -2).flatten(-2)
