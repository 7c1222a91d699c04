"""The scenario of a graph network."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Field, field_validator

from rewindnet.clients.methods.baselines import DoNothing, Retrain
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import quoted
from rewindnet.experiments.scenario.sections import Choice, MethodsSection, Section, plain_value

_METHODS: list[dict[str, Any]] = [
    {"method": name} for name in (Retrain.name, "drop-finetune", "idea", "fe-grapheditor", "fe-idea", DoNothing.name)
]


class GraphDataSettings(Choice):
    """The graph whose nodes are samples.

    Attributes:
        source: the source.
        root: the folder of the files; by default that of the environment variable REWINDNET_DATA, or else `data`.
    """

    what, key = "graph", "source"
    source: str = "sbm"
    root: str | None = None


class GraphModelSettings(Choice):
    """The model of the nodes, which all clients learn together."""

    what = "graph model"
    kind: str = "gcn"


class GraphLearningSettings(Section):
    """How the model is learned: by Adam, with full batches and a step in each epoch.

    Attributes:
        epochs: the number of epochs.
        step_size: of Adam.
        weight_decay: λ of the penalty λ/2·‖θ‖².
    """

    epochs: Annotated[int, Field(ge=1)] = 200
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.005
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5e-4


class GraphDeletionSettings(Section):
    """Which nodes are deleted: training nodes, drawn from those of a client.

    Attributes:
        client: the client that holds them; `any` draws from all clients.
        nodes: the number of nodes.
        flipped_labels: whether the deleted nodes had wrong labels when they were learned, so that what a model
            remembers of them can be seen.
    """

    client: Annotated[int, Field(ge=0)] | Literal["any"] = 0
    nodes: Annotated[int, Field(ge=1)] = 30
    flipped_labels: bool = True


class GraphMethodSettings(Choice):
    """An unlearning method with its settings."""

    what, key = "graph method", "method"
    method: str = ""


class VerifierSettings(Choice):
    """A verifier with its settings."""

    what, key = "verifier", "verifier"
    verifier: str = ""


class GraphScenario(MethodsSection):
    """A scenario of a graph network, described in full: every key has a default.

    Attributes:
        name: of the scenario; its folder is runs/<name> by default.
        seed: of everything random.
        seeds: how many seeds are run, from `seed` on; tables show means over them.
        data: the graph whose nodes are samples.
        model: the model of its nodes.
        learning: how the model is learned.
        deletion: which nodes are deleted.
        unlearning: the methods.
        verifiers: what looks at their results.
    """

    default_methods: ClassVar[Sequence[Mapping[str, Any]]] = _METHODS
    name: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "graph-network"
    seed: Annotated[int, Field(ge=0)] = 0
    seeds: Annotated[int, Field(ge=1)] = 1
    data: GraphDataSettings = Field(default_factory=lambda: GraphDataSettings.model_validate({}))
    model: GraphModelSettings = Field(default_factory=lambda: GraphModelSettings.model_validate({}))
    learning: GraphLearningSettings = GraphLearningSettings()
    deletion: GraphDeletionSettings = GraphDeletionSettings()
    unlearning: Annotated[tuple[GraphMethodSettings, ...], Field(min_length=1)] = Field(
        default_factory=lambda: tuple(GraphMethodSettings.model_validate(method) for method in _METHODS)
    )
    verifiers: Annotated[tuple[VerifierSettings, ...], Field(min_length=1)] = Field(
        default_factory=lambda: tuple(map(VerifierSettings.model_validate, ("explain-paper", "explain-audit")))
    )

    @field_validator("unlearning", "verifiers", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """Take lists alone."""
        if not isinstance(given, list | tuple) or not given:
            raise ScenarioError(f"must be a list of at least one choice, not {quoted(given)}")
        return tuple(given)

    def plain(self) -> dict[str, Any]:
        """Return the scenario as plain data, with every default written out."""
        result: dict[str, Any] = {}
        for field in type(self).model_fields:
            value = getattr(self, field)
            result[field] = [each.plain() for each in value] if isinstance(value, tuple) else plain_value(value)
        return result

    def to_yaml(self) -> str:
        """Return `plain` as a YAML document."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)
