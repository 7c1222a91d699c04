"""The base class of objectives that are added to steps on the forget set."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.steps.epochs import Samples


class Objective(ABC):
    """What steps on the forget set go down besides; its settings are the keyword-only parameters of its constructor.

    Attributes:
        reads_tokens: whether samples must be prompts.
    """

    reads_tokens: ClassVar[bool] = False

    @abstractmethod
    def gradient(
        self, model: Model, theta: Tensor, forget: Samples, retained: Samples, generator: np.random.Generator
    ) -> Tensor:
        """Compute the gradient [1, d] that is added, at θ [1, d].

        Args:
            model: the model.
            theta: θ.
            forget: the forgotten samples of the step.
            retained: the client's retained samples, at least one.
            generator: draws what it draws, for the steps of one epoch.
        """
