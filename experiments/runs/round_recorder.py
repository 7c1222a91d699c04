"""Notify the progress display and the record of a run of every round."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.metrics.consensus import consensus_distance
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.experiments.folder.recorder import Recorder
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.simulator.engine import Callback
from rewindnet.simulator.errors import RunError
from rewindnet.simulator.task import Task


class RoundRecorder(Callback):
    """Notifies the progress display and the recorder of every round.

    Args:
        recorder: writes the run folder.
        progress: is notified of every phase and round.
        setup: the run.
    """

    def __init__(self, recorder: Recorder, progress: Progress, setup: RunSetup) -> None:
        self._recorder, self._progress, self._setup = recorder, progress, setup
        self._phase = ""

    @contextmanager
    def phase(self, name: str, rounds: int) -> Iterator[None]:
        """Announce the next phase of the run, and record how long it takes."""
        self._phase = name
        self._progress.phase(name, rounds)
        began = perf_counter()
        yield
        self._recorder.note_seconds(name, perf_counter() - began)

    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """Write one line of metrics.jsonl, without measurements of models that a method has made infinite.

        Raises:
            RunError: if learning itself diverges.
        """
        if repeated:
            self._progress.passed_over()
        else:
            self._progress.advance()
        messages = int(W.nnz - np.count_nonzero(W.diagonal()))
        line: dict[str, Any] = {"phase": self._phase, "round": round + 1, "messages": messages}
        if theta is not None and len(theta) and not self._recorder.secret:
            measured = self._measured(theta)
            if all(isfinite(number) for number in measured.values()):
                line |= measured
            elif self._phase == "learn":
                raise RunError(
                    f"learning diverged: after round {round + 1} parameters are not finite; a smaller "
                    "learning.step_size, or learning.gradient_clip, keeps them so"
                )
        self._recorder.write_round(line, repeated)

    def _measured(self, theta: Tensor) -> dict[str, float]:
        """Compute the consensus distance, and the test accuracy of the average model."""
        model = self._setup.network.model
        # The state of a client between rounds may be wider than a model.
        theta = theta[:, : model.parameters]
        mean = theta.mean(dim=0, keepdim=True)
        design, targets = self._setup.evaluations[0].sets["test"]
        score = accuracy(model, mean.to(design), design, targets)
        return {
            "consensus_distance": consensus_distance(theta, mean),
            "test_accuracy_of_average_model": float(score[0]),
        }
