"""The layers of a transformer in the shape of GPT-2, for models that read prompts."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu

#: The standard deviation of the initial weights, as in GPT-2.
_DEVIATION = 0.02


def drawn_like_gpt2(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw a matrix from N(0, 0.02²); a bias is 0 and the scales of a norm are 1."""
    if len(shape) > 1:
        return _DEVIATION * generator.standard_normal(shape)
    return np.full(shape, float(name.endswith("weight")))


class Transformer(nn.Module):
    """Embeddings, blocks, and the scores of the token after the last one of a prompt.

    Args:
        length: L, the tokens of a prompt.
        tokens: C, how many there are.
        layers: the number of blocks.
        width: w.
        heads: of attention.
        prefix: k, the states that stand before those of the tokens.
    """

    def __init__(self, length: int, tokens: int, layers: int, width: int, heads: int, prefix: int = 0) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(tokens, width), nn.Embedding(prefix + length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, prompts: Tensor, before: Tensor | None = None) -> Tensor:
        """Compute the scores [n, C] of prompts [n, L], behind a prefix [n, k, w] if there is one."""
        tokens = prompts.long()
        entered, skipped = self.words(tokens), 0
        if before is not None:
            entered, skipped = torch.cat([before, entered], dim=-2), before.shape[-2]
        states = self.blocks(entered + self.places.weight)
        # Attention is causal, so that what is right of the last token changes nothing that is read. An erased prompt,
        # all zeros, is read at its first place.
        last = (tokens > 0).sum(dim=-1, keepdim=True).clamp(min=1) - 1 + skipped
        reads = (torch.arange(states.shape[-2], device=tokens.device) == last).to(states)
        read: Tensor = self.norm((reads.unsqueeze(-1) * states).sum(dim=-2))
        return read @ self.words.weight.mT


class Block(nn.Module):
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
