"""The section `deletion` of a scenario: which clients request the deletion of which samples, and when."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from rewindnet.experiments.scenario.client_name import ClientName
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import quoted
from rewindnet.experiments.scenario.sections import Choice, Section, plain_value

#: Several numbers in a row, of clients or of samples, the last one included.
_RANGE = re.compile(r"(\d{1,7})-(\d{1,7})")
#: A share of all clients.
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%")
#: The largest number of clients or samples in a range.
_MOST = 100_000


class ClassOf(Section):
    """All of a client's samples of one class."""

    class_: int | str = Field(alias="class")


class Indices(Section):
    """Samples by their positions among the client's own; 0-4 are five of them."""

    indices: Annotated[list[int], WithJsonSchema({"type": "array", "items": {"type": ["integer", "string"]}})]


class RequestSettings(Section):
    """The request of one client to delete samples of its own.

    Attributes:
        client: the requesting client, by its name in the data or the graph, or else by the number of its node; or a
            list of clients that ask together, in which 0-4 are five of them; or a share like 5 %: so many clients,
            from client 0 on, or from the last that an earlier request takes so.
        samples: a count, a fraction in (0, 1], all, poisoned, {class: c} or {indices: [...]}.
        round: the number of rounds of learning after which the request arrives; None for the end of learning.
    """

    client: ClientName = 0
    samples: int | float | Literal["all", "poisoned"] | ClassOf | Indices = 10
    round: Annotated[int, Field(ge=1)] | None = None

    @property
    def plain_samples(self) -> Any:
        """The samples as plain data."""
        return self.samples.plain() if isinstance(self.samples, ClassOf | Indices) else self.samples

    @field_validator("samples", mode="before")
    @classmethod
    def _understood(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and isinstance(given.get("indices"), list):
            given = {**given, "indices": _spelled_out(given["indices"], "deletion.samples.indices", "positions")}
        number = isinstance(given, int | float) and not isinstance(given, bool)
        named = _names_samples(given) or isinstance(given, ClassOf | Indices)
        if not (number or named or given in ("all", "poisoned")):
            allowed = "a count, a fraction in (0, 1], all, poisoned, {class: c} or {indices: [...]}"
            raise ScenarioError(f"must be {allowed}, not {quoted(given)}")
        return given


class AttackSettings(Choice):
    """What deleting clients put into the samples that they will ask to have forgotten."""

    what = "attack"
    kind: str = "stealthy"


class DeletionSettings(RequestSettings):
    """The deletion requests: either the request of the section itself, or a list of requests.

    Attributes:
        client: the requesting client, or clients that ask together: a list, in which 0-4 are five of them, or a share
            of all, like 5 %.
        departure: whether deleting clients still relay messages (`relay`), or leave the network (`leave`).
        requests: the requests in the order of arrival; if there are any, they replace that of the section.
        attack: what clients put into the samples of their requests; None for nothing.
    """

    departure: Literal["relay", "leave"] = "relay"
    requests: tuple[RequestSettings, ...] = ()
    attack: AttackSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        """Refuse a request in the section itself together with a list of requests."""
        several = isinstance(given, Mapping) and given.get("requests")
        own = [key for key in ("client", "samples", "round") if isinstance(given, Mapping) and key in given]
        if several and own:
            raise ScenarioError(
                f"deletion.{own[0]} cannot be given together with deletion.requests; give {own[0]} in each request"
            )
        if isinstance(several, list):
            return {**given, "requests": tuple(one for request in several for one in _of_each_client(request))}
        if isinstance(given, Mapping) and isinstance(given.get("client"), list):
            request = {key: value for key, value in given.items() if key in RequestSettings.model_fields}
            rest = {key: value for key, value in given.items() if key not in request}
            return {**rest, "requests": tuple(_of_each_client(request))}
        return given

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Sentences about departures that are not possible: clients leave with all of their samples, and together."""
        found, requests = [], self.each
        if self.departure == "leave" and any(request.samples != "all" for request in requests):
            found.append("a client that leaves deletes all of its samples; give samples: all, or departure: relay")
        if self.departure == "leave" and any(request.round != requests[0].round for request in requests):
            found.append("clients that leave do so together; with requests at several rounds use departure relay")
        return tuple(found)

    @property
    def each(self) -> tuple[RequestSettings, ...]:
        """All requests, in the order of arrival."""
        return self.requests or (self,)

    def plain(self) -> dict[str, Any]:
        """Return either the list of requests or the section's own request, as plain data."""
        content = {**self.model_dump(by_alias=True), "attack": plain_value(self.attack)}
        if self.requests:
            own = ("departure", "requests", "attack")
            return {key: list(content[key]) if key == "requests" else content[key] for key in own}
        return {key: value for key, value in content.items() if key != "requests"}


def with_listed_shares(deletion: Any, clients: Any) -> Any:
    """Return the section with a list of clients in place of each share of them: one client, at least, for each.

    Args:
        deletion: the section as it is given.
        clients: N, as it is given; anything else if it is not.

    Raises:
        ScenarioError: if N is not given, or the shares take more than all clients.
    """
    if not isinstance(deletion, Mapping):
        return deletion
    several = deletion.get("requests")
    requests, first = list(several) if isinstance(several, list | tuple) else [deletion], 0
    for at, request in enumerate(requests):
        share = request.get("client") if isinstance(request, Mapping) else None
        found = _SHARE.fullmatch(share) if isinstance(share, str) else None
        if found is None:
            continue
        if not isinstance(clients, int) or isinstance(clients, bool):
            raise ScenarioError(
                f"deletion.client {share} is a share of partition.clients, which is not given; give it, or list the "
                "clients, like [0-4]"
            )
        end = first + max(1, round(float(found[1]) / 100 * clients))
        if end > clients:
            raise ScenarioError(f"deletion.client takes {end} clients by their shares, of {clients} that there are")
        requests[at], first = {**request, "client": [f"{first}-{end - 1}"]}, end
    return {**deletion, "requests": requests} if isinstance(several, list | tuple) else requests[0]


def _of_each_client(request: Any) -> Iterator[Any]:
    """Yield the request of each client that a request lists; one that lists none is yielded as it is."""
    if not isinstance(request, Mapping) or not isinstance(request.get("client"), list):
        yield request
        return
    for client in _listed_clients(request["client"]):
        yield {**request, "client": client}


def _listed_clients(listed: Sequence[Any]) -> list[Any]:
    """Return the clients of a list, in which a text like 0-4 stands for five of them.

    Raises:
        ScenarioError: if the list is empty or names a client twice, or a range has its ends the wrong way round.
    """
    clients = _spelled_out(listed, "deletion.client", "clients")
    twice = next((client for at, client in enumerate(clients) if client in clients[:at]), None)
    if not clients or twice is not None:
        fault = "names no client" if not clients else f"names client {twice} twice"
        raise ScenarioError(f"deletion.client {fault}; list each client that asks once, like [0, 3] or [0-4]")
    return clients


def _spelled_out(listed: Sequence[Any], key: str, what: str) -> list[Any]:
    """Return the entries of a list, with all numbers of each range in it.

    Args:
        listed: numbers, names, and texts like 0-4.
        key: of the scenario, for errors.
        what: the numbers are of.

    Raises:
        ScenarioError: if a range has its ends the wrong way round, or is too long.
    """
    found: list[Any] = []
    for entry in listed:
        ends = _RANGE.fullmatch(entry) if isinstance(entry, str) else None
        first, last = (0, 0) if ends is None else (int(ends[1]), int(ends[2]))
        if first > last or last - first > _MOST:
            raise ScenarioError(f"{key} {entry} is a range of {what} like 0-4: the first, then the last")
        found += [entry] if ends is None else range(first, last + 1)
    return found


def _names_samples(given: Any) -> bool:
    """Return whether a value is {class: c} or {indices: [...]}, with a number or a name and whole numbers."""
    if not isinstance(given, Mapping) or set(given) not in ({"class"}, {"indices"}):
        return False
    ((what, value),) = given.items()
    if what == "class":
        return type(value) in (int, str)
    numbers = value
    return isinstance(numbers, list) and all(type(number) is int for number in numbers)
