"""The sections of a scenario: one class for each, in the order of a scenario file."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rewindnet.certificates.audits.montecarlo import check_draws
from rewindnet.certificates.continuation import AfterRequest
from rewindnet.certificates.network import Order
from rewindnet.certificates.training import CLIP_TOLERANCE
from rewindnet.clients.data.backdoor import Corner
from rewindnet.experiments.scenario.client_name import ClientName
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.kept_rounds import CheckpointSettings
from rewindnet.experiments.scenario.public_settings import PublicSettings
from rewindnet.experiments.scenario.sections import Choice, Section
from rewindnet.experiments.scenario.views import build_unnamed


class FeatureSettings(Choice):
    """How raw data become features of known norm."""

    what = "features"
    kind: str = "unit-norm"


class BackdoorSettings(Section):
    """A client whose samples carry a trigger: a square patch in a corner of the image, and the class it stands for.

    Attributes:
        client: the client with the poisoned samples, by its name in the data or the graph, or else by the number of
            its node.
        samples: the number of poisoned samples, drawn from those of other classes than the target.
        target: the class that the trigger stands for.
        size: the side of the square, in pixels.
        value: the value of its pixels; data sources scale pixels to [0, 1].
        corner: the corner of the image.
    """

    client: ClientName = 0
    samples: Annotated[int, Field(ge=1)] = 1000
    target: Annotated[int, Field(ge=0)] = 0
    size: Annotated[int, Field(ge=1)] = 3
    value: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    corner: Corner = "bottom-right"


class DataSettings(Choice):
    """The source of the data, its features, which rows are public, and a backdoor.

    Attributes:
        source: the source.
        root: the folder of the files; by default that of the environment variable REWINDNET_DATA, or else `data`.
        limit: the number of training samples that are read, from the first on; None for all.
        test_limit: the number of test samples that are read, from the first on; None for all.
        features: how raw data become features.
        public: the rows that are public; None for none.
        backdoor: a client whose samples carry a trigger; None for no such client.
    """

    what, key = "data", "source"
    source: str = "digits"
    root: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    test_limit: Annotated[int, Field(ge=1)] | None = None
    features: FeatureSettings = Field(default_factory=lambda: FeatureSettings.model_validate({}))
    public: PublicSettings | None = None
    backdoor: BackdoorSettings | None = None


class PartitionSettings(Choice):
    """How the data are spread over the clients.

    Attributes:
        kind: the rule.
        clients: the number of clients; by default 10, or as many as the topology or the data have.
    """

    what = "partition"
    kind: str = "iid"
    clients: Annotated[int, Field(ge=1)] | None = None


class ModelSettings(Choice):
    """The model that every client learns."""

    what = "model"
    kind: str = "logistic"


class MixingSettings(Choice):
    """How a node weighs what it receives from its neighbours."""

    what = "mixing"
    kind: str = "metropolis-hastings"


class ScheduleSettings(Choice):
    """Which links and nodes of the topology are active in each round."""

    what = "schedule"
    kind: str = "static"


class TopologySettings(Choice):
    """Which nodes are linked, when, and with which weights."""

    what = "topology"
    kind: str = "erdos-renyi"
    schedule: ScheduleSettings = Field(default_factory=lambda: ScheduleSettings.model_validate({}))
    mixing: MixingSettings = Field(default_factory=lambda: MixingSettings.model_validate({}))


class SamplingSettings(Choice):
    """Which of its samples a client uses in a local step."""

    what = "sampling"
    kind: str = "full"


class OptimizerSettings(Choice):
    """How a client turns its gradient into a step."""

    what = "optimizer"
    kind: str = "sgd"


class StepSizesSettings(Choice):
    """How the step size changes from round to round."""

    what = "step sizes"
    kind: str = "constant"


class AugmentationSettings(Section):
    """How images change from step to step while clients learn.

    Attributes:
        crop: by how many pixels an image is moved at most, up or down and left or right.
        flip: whether images are turned left to right, each with probability one half.
    """

    crop: Annotated[int, Field(ge=0)] = 0
    flip: bool = False


class LearningSettings(Choice):
    """How the network learns.

    Attributes:
        kind: the way to learn.
        rounds: the number of rounds, T.
        step_size: of a local step, η.
        order: whether a round steps first, averages first, or adds the step to the average.
        local_steps: the number of local steps in a round, E.
        radius: of the ball onto which every model is projected after its local steps; None for no projection.
        client_clip: the Lipschitz constant of a client's mean loss, by its Lipschitz envelope; None for no clip.
        clip_tolerance: the error of a gradient of the envelope, as a share of `client_clip`.
        after_request: from which models learning goes on after a request.
        checkpoints_from: a folder with the checkpoints of a network that learned elsewhere.
        checkpoints: which checkpoints are kept; by default those that the methods may begin from.
        sampling: which samples a local step reads.
        optimizer: how a client turns its gradient into a step.
        step_sizes: how the step size changes from round to round.
        gradient_clip: the largest norm of the gradient of a step; None for no clip.
        augmentation: how images change from step to step; None: they do not.
    """

    what = "learning"
    kind: str = "gossip"
    rounds: Annotated[int, Field(ge=1)] = 200
    step_size: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    order: Order = "adapt-then-combine"
    local_steps: Annotated[int, Field(ge=1)] = 1
    radius: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    client_clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    clip_tolerance: Annotated[float, Field(gt=0, lt=1)] = CLIP_TOLERANCE
    after_request: AfterRequest = "continue-unnoised"
    checkpoints_from: Annotated[str, Field(min_length=1)] | None = None
    checkpoints: CheckpointSettings | None = None
    sampling: SamplingSettings = Field(default_factory=lambda: SamplingSettings.model_validate({}))
    optimizer: OptimizerSettings = Field(default_factory=lambda: OptimizerSettings.model_validate({}))
    step_sizes: StepSizesSettings = Field(default_factory=lambda: StepSizesSettings.model_validate({}))
    gradient_clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    augmentation: AugmentationSettings | None = None

    def sizes(self) -> tuple[float, ...]:
        """Return the step size of each round; empty where every round takes `step_size`."""
        factors: tuple[float, ...] = self.step_sizes.build(self.rounds)
        return tuple(self.step_size * factor for factor in factors)

    @property
    def recovery_error(self) -> float:
        """What certificates charge where models of earlier rounds are recovered; 0 where checkpoints are kept."""
        return 0.0 if self.checkpoints is None else self.checkpoints.recover or 0.0

    @property
    def storage_error(self) -> float:
        """What certificates charge where checkpoints are kept in half precision; 0 where they are kept as they are."""
        return 0.0 if self.checkpoints is None else self.checkpoints.half_precision or 0.0

    @model_validator(mode="after")
    def _walks_after_its_step(self) -> "LearningSettings":
        """Refuse a walk in another order: a node takes a step before it passes the model on."""
        if self.kind == "walk" and self.order != "adapt-then-combine":
            raise ScenarioError(f"a walk learns in the order adapt-then-combine, not {self.order}")
        return self


class UnlearningSettings(Choice):
    """An unlearning method with its settings."""

    what, key = "method", "method"
    method: str = ""

    @model_validator(mode="after")
    def _checked_by_the_method(self) -> "UnlearningSettings":
        """Have the method refuse settings that make no sense, and fill in what follows from the others."""
        built = build_unnamed(self.method, self.settings)
        filled = {name: getattr(built, name) for name in self.settings if name != "view"}
        object.__setattr__(self, "settings", {**self.settings, **filled})
        return self


class NetworkModelSettings(Choice):
    """The model of the network latency, which gives the cost in simulated seconds."""

    what = "network"
    kind: str = "uniform"


class BackendSettings(Choice):
    """The transport of the messages, and the precision and device of the computation.

    Attributes:
        kind: the transport.
        precision: whether neighbours are summed in the fastest order, or in the order of the nodes (`exact`), which
            gives the same bits on every transport.
        device: the processor or a GPU; `auto` is a GPU where there is one.
        dtype: the type of the parameters.
        mixed_precision: the type of the products and convolutions of local steps of neural networks; by default that
            of the parameters.
        threads: the number of threads of each process; by default what the transport takes.
    """

    what = "transport"
    kind: str = "in-process"
    precision: Literal["fast", "exact"] = "fast"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float64", "float32"] = "float64"
    mixed_precision: Literal["bfloat16"] | None = None
    threads: Annotated[int, Field(ge=1)] | None = None


class AuditSettings(Section):
    """How certificates are audited by samples of the noise.

    Attributes:
        draws: the number of draws of the noise of every node in the view; 0 for no draws. By default 2,000, or as many
            as take one or two seconds for each method, or none if that is too few for a bound.
        confidence: the confidence of the lower bounds on ε.
    """

    draws: int | None = None
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.999

    @field_validator("draws")
    @classmethod
    def _possible(cls, given: int | None) -> int | None:
        return given if given is None else check_draws(given)


class MeasuresSettings(Section):
    """What is measured on every release besides its accuracy.

    Attributes:
        membership: whether to run membership attacks.
        negatives: the non-members: samples of the test set, or of natural clients that are not part of the network.
        folds: the number of folds of the cross-validation.
        repeats: the number of cross-validations, each with other folds.
        nodes: the number of attacked models, first those of deleting clients; the average model is always attacked.
    """

    membership: bool = True
    negatives: Literal["test", "unseen-users"] = "test"
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 3
    nodes: Annotated[int, Field(ge=1, le=100)] = 3


class RecordSettings(Section):
    """What a run folder stores.

    Attributes:
        weights: whether to store the weights; their hashes are always stored.
    """

    weights: bool = True
