"""Find the clients and the samples that the requests of a scenario name."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.deletion import Arrival, DeletionError, DeletionRequest, arrivals
from rewindnet.experiments.scenario.client_data import ClientData
from rewindnet.experiments.scenario.deletion import ClassOf, RequestSettings
from rewindnet.experiments.scenario.names import class_number, client_title, node_named, node_of
from rewindnet.experiments.scenario.scenario import Scenario

Integers = NDArray[np.int64]


def forget_sets(scenario: Scenario, data: ClientData, names: tuple[str, ...] | None) -> tuple[Arrival, ...]:
    """Determine the forget set of each request.

    Args:
        scenario: the scenario.
        data: the data of its clients.
        names: the names of the nodes; None if they have none.

    Raises:
        DeletionError: if a request names a client or samples that are not there.
    """
    T, labels = scenario.learning.rounds, _ClientLabels(data.dataset.y, data.rows, data.samples)
    requests, leaving = [], scenario.deletion.departure == "leave"
    for request in scenario.deletion.each:
        client = node_of_request(request, names, len(labels), tell=True)
        if client in data.volunteers:
            raise DeletionError(
                f"client {client_title(client, names)} volunteers its samples (data.public.clients), and what every "
                "client learns rests on them, so it cannot have any deleted; let another client ask"
            )
        samples: Any = "all" if leaving else samples_deleted(request, data.poisoned, data.dataset.class_names)
        if labels.declared and isinstance(samples, dict) and "class" in samples:
            raise DeletionError(
                "deletion.samples names a class, but without data it is not known which clients have it"
            )
        requests.append(
            DeletionRequest(client, samples, (scenario.deletion.each[0] if leaving else request).round or T)
        )
    return tuple(arrivals(requests, labels, T, scenario.seed, scenario.noise_is_secret))


def node_of_request(request: RequestSettings, names: tuple[str, ...] | None, nodes: int, *, tell: bool = False) -> int:
    """Return the node of the client of a request, and, if asked to, tell how an ambiguous number was understood."""
    if tell:
        return node_named("deletion.client", request.client, names, nodes)
    return node_of(request.client, names, nodes)[0]


def samples_deleted(request: RequestSettings, poisoned: Integers | None, classes: tuple[str, ...] | None) -> Any:
    """Return the samples that a request names, with poisoned samples by their positions and classes by numbers."""
    if request.samples == "poisoned" and poisoned is not None:
        return {"indices": poisoned.tolist()}
    if isinstance(request.samples, ClassOf):
        return {"class": class_number(request.samples.class_, classes)}
    return request.plain_samples


class _ClientLabels(Sequence[Integers]):
    """The labels of the samples of each client, made on access; zeros if only numbers of samples are declared."""

    def __init__(self, labels: Integers, rows: Sequence[Integers], samples: Integers) -> None:
        self._labels, self._rows, self._samples = labels, rows, samples

    @property
    def declared(self) -> bool:
        """Whether only numbers of samples are declared."""
        return not self._rows

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, client: Any) -> Any:
        if self.declared:
            return np.zeros(self._samples[client], dtype=np.int64)
        return self._labels[self._rows[client]]

    def __iter__(self) -> Iterator[Integers]:
        return (self[client] for client in range(len(self)))
