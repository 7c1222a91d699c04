"""A small transformer that reads a prompt and predicts the word that follows."""

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rewindnet.clients.models.base import ModelError
from rewindnet.clients.models.deep.torch_model import TorchModel
from rewindnet.clients.models.deep.transformer import Transformer, drawn_like_gpt2


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
    reads = "prompt"

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
            module = Transformer(features, classes, layers, width, heads)
        super().__init__(
            features, classes, shape, module, l2=l2, loss=loss, weights_path=weights_path, constants=constants
        )

    def drawn(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Draw matrices from N(0, 0.02²); biases are 0 and scales of norms 1."""
        shapes = self.layout.shapes.items()
        return self.layout.flat({name: drawn_like_gpt2(name, shape, generator) for name, shape in shapes})
