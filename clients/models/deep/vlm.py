"""A small vision-language model: an image becomes a few states in front of a prompt, and the next word is predicted."""

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.torch_model import TorchModel
from rewindnet.clients.models.deep.transformer import Transformer, drawn_like_gpt2


class VLM(TorchModel):
    """A transformer that reads an image and a prompt, and predicts the word that follows; no proven constants.

    In the shape of LLaVA: Liu, Li, Wu and Lee (2023), "Visual instruction tuning", arXiv 2304.08485. Two layers with
    GELU see the image, a linear one projects what they see to the states of a few tokens, and the transformer of `gpt`
    reads these before the prompt. A sample is the image, flat, and behind it the prompt, with zeros on the right;
    classes are words. A prompt without an image has one of zeros. Adapters change all matrices but those that see.

    Args:
        features: P + L, the pixels of an image and the number of tokens.
        classes: the number of tokens there are.
        shape: [P + L].
        words: the word of each token.
        side: the width and the height of an image in pixels.
        seeing: the width of the layers that see it.
        prefix: the number of states that it becomes.
        layers: the number of blocks.
        width: the number of entries that represent a token.
        heads: of attention, a divisor of the width.
        l2: weight of (l2/2)·‖θ‖².
        loss: `cross-entropy`, `mse`, or your own function, as package.module:function or file.py:function.
        weights_path: a file of initial weights (safetensors, or a state_dict); drawn from the seed by default.
        constants: `unknown`, or `estimated` along the rounds of learning, so that certificates are conditional on them.

    Raises:
        ModelError: if a setting is out of range, or a sample has no room for an image and a prompt.
    """

    kind: ClassVar[str] = "vlm"
    reads = "image-prompt"

    def __init__(
        self,
        features: int,
        classes: int,
        shape: tuple[int, ...] | None = None,
        words: tuple[str, ...] = (),
        *,
        side: int = 12,
        seeing: int = 64,
        prefix: int = 4,
        layers: int = 3,
        width: int = 128,
        heads: int = 4,
        l2: float = 0.0,
        loss: str = "cross-entropy",
        weights_path: str | None = None,
        constants: Literal["unknown", "estimated"] = "unknown",
    ) -> None:
        if min(side, seeing, prefix, layers, width, heads) < 1 or width % heads:
            raise ModelError(
                "model.side, seeing, prefix, layers, width and heads of vlm are at least 1, and heads is a divisor of "
                f"width, not {side}, {seeing}, {prefix}, {layers}, {width} and {heads}"
            )
        shape = (features,) if shape is None else tuple(shape)
        if len(shape) != 1 or features <= side * side:
            raise ModelError(
                f"the model vlm reads rows of {side} × {side} pixels with a prompt behind them, and these samples have "
                f"the shape {list(shape)}"
            )
        self.pixels, self.words = side * side, tuple(words)
        # The weights are drawn by `drawn`; what torch draws as it builds the layers is thrown away.
        with torch.random.fork_rng(devices=[]):
            reader = Transformer(features - self.pixels, classes, layers, width, heads, prefix)
            module = _Seeing(self.pixels, seeing, prefix, width, reader)
        super().__init__(
            features, classes, shape, module, l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )

    @property
    def matrices(self) -> dict[str, tuple[int, tuple[int, int]]]:
        """The weights that adapters may change: the projection's and the transformer's, as in LLaVA."""
        return {name: of for name, of in super().matrices.items() if not name.startswith("eye.")}

    def drawn(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw matrices that see from N(0, 2/inputs), all others from N(0, 0.02²); biases are 0, scales of norms 1."""

        def one(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
            if name.startswith("eye.") and len(shape) > 1:
                return float(np.sqrt(2 / shape[1])) * generator.standard_normal(shape)
            return drawn_like_gpt2(name, shape, generator)

        return self.layout.flat({name: one(name, shape) for name, shape in self.layout.shapes.items()})


class _Seeing(nn.Module):
    """Layers that see an image, the projection of what they see, and the transformer that reads it with a prompt."""

    def __init__(self, pixels: int, seeing: int, prefix: int, width: int, reader: Transformer) -> None:
        super().__init__()
        self._pixels, self._prefix = pixels, prefix
        self.eye = nn.Sequential(nn.Linear(pixels, seeing), nn.GELU(), nn.Linear(seeing, seeing), nn.GELU())
        self.project, self.reader = nn.Linear(seeing, prefix * width), reader

    def forward(self, samples: Tensor) -> Tensor:
        """Compute the scores [n, C] of samples [n, P + L]."""
        image, prompts = samples[..., : self._pixels], samples[..., self._pixels :]
        before = self.project(self.eye(image)).unflatten(-1, (self._prefix, -1))
        scores: Tensor = self.reader(prompts, before)
        return scores
