"""The scenario: a frozen description of a run, with all defaults filled in."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import Field, field_validator, model_validator

from rewindnet.clients.methods.baselines import DoNothing, Retrain
from rewindnet.clients.methods.r2d import R2D
from rewindnet.clients.methods.warm_start import WarmStart
from rewindnet.experiments.scenario.deletion import DeletionSettings, RequestSettings, with_listed_shares
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import quoted
from rewindnet.experiments.scenario.sections import MethodsSection, plain_value
from rewindnet.experiments.scenario.settings import (
    AuditSettings,
    BackendSettings,
    DataSettings,
    LearningSettings,
    MeasuresSettings,
    ModelSettings,
    NetworkModelSettings,
    PartitionSettings,
    RecordSettings,
    TopologySettings,
    UnlearningSettings,
)

__all__ = ["ALWAYS", "DEFAULT_METHODS", "DeletionSettings", "RequestSettings", "Scenario"]

_PEERS = {"view": "transcript:all", "placement": "rewind", "allocation": "optimal"}
#: The methods of the demo; `recipes/demo.yaml` lists the same methods.
DEFAULT_METHODS: list[dict[str, Any]] = [
    {"method": R2D.name, "rewind": 0.9, "bound": "worst-case"},
    {"method": R2D.name, "rewind": 0.5, "bound": "instance"},
    {"method": R2D.name, "rewind": 0.5, "bound": "instance", **_PEERS},
    {"method": WarmStart.name, "bound": "instance"},
    {"method": Retrain.name},
    {"method": DoNothing.name},
]
#: The methods that every run has, even if they are not listed: the oracle and the control.
ALWAYS = (Retrain.name, DoNothing.name)


class Scenario(MethodsSection):
    """A run, described in full: every key has a default, and `Scenario()` is the demo.

    Attributes:
        name: of the run; its folder is runs/<name> by default.
        seed: of everything random.
    """

    default_methods: ClassVar[Sequence[Mapping[str, Any]]] = DEFAULT_METHODS
    name: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "demo"
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataSettings = Field(default_factory=lambda: DataSettings.model_validate({}))
    partition: PartitionSettings = Field(default_factory=lambda: PartitionSettings.model_validate({}))
    model: ModelSettings = Field(default_factory=lambda: ModelSettings.model_validate({}))
    topology: TopologySettings = Field(default_factory=lambda: TopologySettings.model_validate({}))
    learning: LearningSettings = Field(default_factory=lambda: LearningSettings.model_validate({}))
    deletion: DeletionSettings = DeletionSettings()
    unlearning: Annotated[tuple[UnlearningSettings, ...], Field(min_length=1)] = Field(
        default_factory=lambda: tuple(UnlearningSettings.model_validate(method) for method in DEFAULT_METHODS)
    )
    network: NetworkModelSettings = Field(default_factory=lambda: NetworkModelSettings.model_validate({}))
    backend: BackendSettings = Field(default_factory=lambda: BackendSettings.model_validate({}))
    audit: AuditSettings = AuditSettings()
    measures: MeasuresSettings = MeasuresSettings()
    record: RecordSettings = RecordSettings()

    @model_validator(mode="before")
    @classmethod
    def _with_listed_clients(cls, given: Any) -> Any:
        """List the clients of a share that deletes; what is no mapping is refused elsewhere."""
        if not isinstance(given, Mapping) or "deletion" not in given:
            return given
        partition = given.get("partition")
        clients = partition.get("clients") if isinstance(partition, Mapping) else None
        return {**given, "deletion": with_listed_shares(given["deletion"], clients)}

    @field_validator("unlearning", mode="before")
    @classmethod
    def _with_oracle_and_control(cls, given: Any) -> Any:
        """Add the methods of `ALWAYS` where they are not listed."""
        if not isinstance(given, list | tuple) or not given:
            raise ScenarioError(f"must be a list of methods, like [{{method: r2d}}], not {quoted(given)}")
        listed = [_method_named(entry) for entry in given]
        return (*given, *({"method": name} for name in ALWAYS if name not in listed))

    @model_validator(mode="after")
    def _poisoned_samples_exist(self) -> "Scenario":
        """Refuse to delete poisoned samples of a client that has none."""
        backdoor = self.data.backdoor
        for request in self.deletion.each:
            if request.samples == "poisoned" and (backdoor is None or str(request.client) != str(backdoor.client)):
                poisoned = "no client has" if backdoor is None else f"only client {backdoor.client} has"
                raise ScenarioError(
                    f"client {request.client} is to delete its poisoned samples, but by data.backdoor {poisoned} any"
                )
        return self

    @property
    def noise_is_secret(self) -> bool:
        """Whether noise comes from the operating system, so that models without it must not be written.

        Models on disk without noise, or with noise that can be drawn again, would reveal it.
        """
        return any(method.settings.get("noise_source") == "os" for method in self.unlearning)

    def plain(self) -> dict[str, Any]:
        """Return the scenario as plain data, with every default written out."""
        result: dict[str, Any] = {}
        for field in type(self).model_fields:
            value = getattr(self, field)
            result[field] = [method.plain() for method in value] if isinstance(value, tuple) else plain_value(value)
        return result

    @property
    def sha256(self) -> str:
        """The sha256 of `to_yaml`, which is that of `scenario.yaml` in a run folder."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()

    def to_yaml(self) -> str:
        """Return `plain` as a YAML document."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)


def _method_named(entry: Any) -> Any:
    """Return the method of an entry of the list `unlearning`; it need not be the name of a method."""
    return entry.get("method") if isinstance(entry, Mapping) else getattr(entry, "method", entry)
