"""Scenarios: YAML in, a frozen, fully resolved description of a run out."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rewindnet.certificates.audits.montecarlo import check_draws
from rewindnet.certificates.network import Order
from rewindnet.clients.data.backdoor import Corner
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.registries import registry, settings_model

_PEERS = {"view": "transcript:all", "placement": "rewind", "allocation": "optimal"}
#: What the demo compares; `recipes/demo.yaml` says the same in full.
DEFAULT_METHODS: list[dict[str, Any]] = [
    {"method": "r2d", "rewind": 0.9, "bound": "worst-case"},
    {"method": "r2d", "rewind": 0.5, "bound": "instance"},
    {"method": "r2d", "rewind": 0.5, "bound": "instance", **_PEERS},
    {"method": "warm-start", "bound": "instance"},
    {"method": "retrain"},
    {"method": "do-nothing"},
]


#: What every run compares with.
ALWAYS = ("retrain", "do-nothing")


def _method(given: Any) -> Any:
    """The method's name in whatever stands in the list."""
    return given.get("method") if isinstance(given, Mapping) else getattr(given, "method", given)


class Section(BaseModel):
    """A part of a scenario; it knows its keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Choice(Section):
    """One entry of a registry with its settings: written as its name, or as a mapping with the name and settings.

    Keys that belong to the section rather than to the entry are declared by subclasses.
    """

    what: ClassVar[str]
    key: ClassVar[str] = "kind"
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _sort(cls, given: Any) -> Any:
        """Tell the section's own keys from the entry's settings, and check the latter against the entry."""
        if isinstance(given, str):
            given = {cls.key: given}
        if not isinstance(given, Mapping):
            raise ValueError(f"must be a name or a mapping with the key {cls.key}, not {given!r}")
        own = {name: value for name, value in given.items() if name in cls.model_fields and name != "settings"}
        name = own.get(cls.key, cls.model_fields[cls.key].default)
        rest = {key: value for key, value in given.items() if key not in own}
        model = settings_model(cls.what, name)
        rest = registry(cls.what).current(name, rest)
        unknown = [key for key in rest if key not in model.model_fields]
        if unknown:
            allowed = [field for field in cls.model_fields if field != "settings"] + list(model.model_fields)
            raise ScenarioError(f"unknown key {unknown[0]!r} for the {cls.what} {name}; allowed: {', '.join(allowed)}")
        return {**own, "settings": model(**rest).model_dump()}

    @property
    def name(self) -> str:
        """The entry's name."""
        return str(getattr(self, self.key))

    def build(self, *supplied: Any) -> Any:
        """Call the entry with what the house supplies and the settings."""
        return registry(self.what).build(self.name, *supplied, **self.settings)

    def plain(self) -> dict[str, Any]:
        """As it would be written in full."""
        own = {}
        for field in type(self).model_fields:
            value = getattr(self, field)
            if field != "settings":
                own[field] = _plain(value)
        return {**own, **self.settings}


def _plain(value: Any) -> Any:
    """A section as plain data; anything else as it is."""
    if isinstance(value, Choice | Deletion):
        return value.plain()
    return value.model_dump(by_alias=True) if isinstance(value, BaseModel) else value


class Features(Choice):
    """How raw data becomes features of known norm."""

    what = "features"
    kind: str = "unit-norm"


class Backdoor(Section):
    """A client whose samples carry a trigger: a square patch in a corner of the image, and the class it stands for.

    Attributes:
        client: whose samples.
        samples: how many of them, drawn among those of other classes than the target.
        target: the class.
        size: a side of the square, in pixels.
        value: of its pixels; sources scale pixels to [0, 1].
        corner: where it is.
    """

    client: Annotated[int, Field(ge=0)] = 0
    samples: Annotated[int, Field(ge=1)] = 1000
    target: Annotated[int, Field(ge=0)] = 0
    size: Annotated[int, Field(ge=1)] = 3
    value: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    corner: Corner = "bottom-right"


class Data(Choice):
    """Where the data comes from."""

    what, key = "data", "source"
    source: str = "digits"
    root: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    features: Features = Field(default_factory=lambda: Features.model_validate({}))
    backdoor: Backdoor | None = None


class Partition(Choice):
    """How the data is spread over the clients."""

    what = "partition"
    kind: str = "iid"
    clients: Annotated[int, Field(ge=1)] | None = None


class Model(Choice):
    """What every client learns."""

    what = "model"
    kind: str = "logistic"


class Mixing(Choice):
    """How a node weighs what it hears."""

    what = "mixing"
    kind: str = "metropolis-hastings"


class Schedule(Choice):
    """What of the topology is there in which round."""

    what = "schedule"
    kind: str = "static"


class Topology(Choice):
    """Who talks to whom."""

    what = "topology"
    kind: str = "erdos-renyi"
    schedule: Schedule = Field(default_factory=lambda: Schedule.model_validate({}))
    mixing: Mixing = Field(default_factory=lambda: Mixing.model_validate({}))


class Unlearning(Choice):
    """An unlearning method."""

    what, key = "method", "method"
    method: str = ""

    @model_validator(mode="after")
    def _sensible(self) -> "Unlearning":
        """The method itself refuses settings that make no sense, and fills in what follows from the others."""
        built = self.build()
        object.__setattr__(self, "settings", {name: getattr(built, name) for name in self.settings})
        return self


class Sampling(Choice):
    """Which of its samples a client reads in a local step."""

    what = "sampling"
    kind: str = "full"


class Learning(Choice):
    """How the network learns."""

    what = "learning"
    kind: str = "gossip"
    rounds: Annotated[int, Field(ge=1)] = 200
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    order: Order = "adapt-then-combine"
    local_steps: Annotated[int, Field(ge=1)] = 1
    radius: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    sampling: Sampling = Field(default_factory=lambda: Sampling.model_validate({}))

    @model_validator(mode="after")
    def _token(self) -> "Learning":
        """A token is handed on after its holder has stepped."""
        if self.kind == "walk" and self.order != "adapt-then-combine":
            raise ScenarioError(f"a walk learns in the order adapt-then-combine, not {self.order}")
        return self


class ClassOf(Section):
    """All of a client's samples of one class."""

    class_: int = Field(alias="class")


class Indices(Section):
    """Samples named one by one."""

    indices: list[int]


def _names_samples(given: Any) -> bool:
    if not isinstance(given, Mapping) or set(given) not in ({"class"}, {"indices"}):
        return False
    ((what, value),) = given.items()
    numbers = [value] if what == "class" else value
    return isinstance(numbers, list) and all(type(number) is int for number in numbers)


class Request(Section):
    """One client asks for something to be forgotten.

    It arrives after so many rounds of learning; when learning ends where `round` is not given.
    """

    client: Annotated[int, Field(ge=0)] = 0
    samples: int | float | Literal["all", "poisoned"] | ClassOf | Indices = 10
    round: Annotated[int, Field(ge=1)] | None = None

    @property
    def plainly(self) -> Any:
        """The samples as plain data."""
        named = isinstance(self.samples, ClassOf | Indices)
        return self.samples.model_dump(by_alias=True) if named else self.samples  # type: ignore[union-attr]

    @field_validator("samples", mode="before")
    @classmethod
    def _understood(cls, given: Any) -> Any:
        number = isinstance(given, int | float) and not isinstance(given, bool)
        named = _names_samples(given) or isinstance(given, ClassOf | Indices)
        if not (number or named or given in ("all", "poisoned")):
            allowed = "a count, a fraction in (0, 1], all, poisoned, {class: c} or {indices: [...]}"
            raise ScenarioError(f"must be {allowed}, not {given!r}")
        return given


class Deletion(Request):
    """Who asks for what to be forgotten: one client, or several requests, one after the other or at once."""

    departure: Literal["relay", "leave"] = "relay"
    requests: tuple[Request, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        several = isinstance(given, Mapping) and given.get("requests")
        own = [key for key in ("client", "samples", "round") if isinstance(given, Mapping) and key in given]
        if several and own:
            raise ScenarioError(f"with requests, each says for itself which {own[0]}; leave out deletion.{own[0]}")
        if isinstance(several, list):
            return {**given, "requests": tuple(several)}
        return given

    @model_validator(mode="after")
    def _whole(self) -> "Deletion":
        """Who leaves takes everything along; what has arrived cannot arrive again."""
        asked = self.each
        if self.departure == "leave" and any(request.samples != "all" for request in asked):
            raise ScenarioError("a client that leaves deletes all of its samples; say samples: all")
        if self.departure == "leave" and any(request.round != asked[0].round for request in asked):
            raise ScenarioError(
                "clients that leave do so together; with requests at several rounds use departure relay"
            )
        return self

    @property
    def each(self) -> tuple[Request, ...]:
        """All requests, in the order in which they arrive."""
        return self.requests or (self,)

    def plain(self) -> dict[str, Any]:
        """As it would be written in full."""
        said = self.model_dump(by_alias=True)
        if self.requests:
            return {"departure": said["departure"], "requests": list(said["requests"])}
        return {key: value for key, value in said.items() if key != "requests"}


class Network(Choice):
    """How long the modelled network takes: for the cost in simulated seconds alone."""

    what = "network"
    kind: str = "uniform"


class Backend(Choice):
    """What it runs on."""

    what = "transport"
    kind: str = "in-process"
    precision: Literal["fast", "exact"] = "fast"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float64", "float32"] = "float64"
    threads: Annotated[int, Field(ge=1)] | None = None


class Record(Section):
    """What a run folder keeps."""

    weights: bool = True


class Measures(Section):
    """What is measured of every release beside its accuracy.

    Attributes:
        membership: whether membership attacks are tried.
        negatives: what members are told from: samples of the test set, or of natural clients that take no part.
        folds: of their cross-validation.
        repeats: how often they are cross-validated, with other folds each time.
        nodes: how many models are attacked, those of deleting clients first; the average model is attacked in any case.
    """

    membership: bool = True
    negatives: Literal["test", "unseen-users"] = "test"
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 3
    nodes: Annotated[int, Field(ge=1, le=100)] = 3


class Audit(Section):
    """How certificates are tried by samples of the noise.

    Attributes:
        draws: of the noise of every node that the view shows; 0 for none. Unless given, 2,000, or as many as take a
            second or two for each method, or none where that is too few to see anything.
        confidence: of the lower bounds on ε.
    """

    draws: int | None = None
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95

    @field_validator("draws")
    @classmethod
    def _possible(cls, given: int | None) -> int | None:
        return given if given is None else check_draws(given)


class Scenario(Section):
    """A run, in full."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "demo"
    seed: Annotated[int, Field(ge=0)] = 0
    data: Data = Field(default_factory=lambda: Data.model_validate({}))
    partition: Partition = Field(default_factory=lambda: Partition.model_validate({}))
    model: Model = Field(default_factory=lambda: Model.model_validate({}))
    topology: Topology = Field(default_factory=lambda: Topology.model_validate({}))
    learning: Learning = Field(default_factory=lambda: Learning.model_validate({}))
    deletion: Deletion = Deletion()
    unlearning: Annotated[tuple[Unlearning, ...], Field(min_length=1)] = Field(
        default_factory=lambda: tuple(Unlearning.model_validate(method) for method in DEFAULT_METHODS)
    )
    network: Network = Field(default_factory=lambda: Network.model_validate({}))
    backend: Backend = Field(default_factory=lambda: Backend.model_validate({}))
    audit: Audit = Audit()
    measures: Measures = Measures()
    record: Record = Record()

    @field_validator("unlearning", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple) or not given:
            raise ScenarioError(f"must be a list of methods, like [{{method: r2d}}], not {given!r}")
        # The oracle and the control are what everything else is held against.
        listed = {_method(one) for one in given}
        return (*given, *({"method": name} for name in ALWAYS if name not in listed))

    @model_validator(mode="after")
    def _poisoned(self) -> "Scenario":
        """Only the client with the backdoor has poisoned samples."""
        backdoor = self.data.backdoor
        for request in self.deletion.each:
            if request.samples == "poisoned" and (backdoor is None or request.client != backdoor.client):
                whose = "nobody" if backdoor is None else f"client {backdoor.client}"
                raise ScenarioError(
                    f"client {request.client} is to delete its poisoned samples, but by data.backdoor {whose} has any"
                )
        return self

    def plain(self) -> dict[str, Any]:
        """The scenario with every default written out, as YAML would hold it."""
        result: dict[str, Any] = {}
        for field in type(self).model_fields:
            value = getattr(self, field)
            result[field] = [_plain(method) for method in value] if isinstance(value, tuple) else _plain(value)
        return result

    def to_yaml(self) -> str:
        """`plain` as a YAML document."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)
