"""How the network of a scenario learns: the settings of learning as facts, checked against model and features."""

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Constant
from rewindnet.clients.data.encoders import Features
from rewindnet.clients.models import Model, supplied
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.training.augmentation import Augmentation
from rewindnet.experiments.scenario.devices import device_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.topology_setup import TopologySetup
from rewindnet.simulator.training_facts import TrainingSetup

Integers = NDArray[np.int64]


def training_setup(
    scenario: Scenario,
    model: Model,
    features: Features,
    samples: Integers,
    topology: TopologySetup,
) -> TrainingSetup:
    """Describe how the network learns, independently of deletions.

    Args:
        scenario: the scenario.
        model: its model.
        features: what the model is given.
        samples: [N], the number of samples of each client.
        topology: the topology, with those who depart.

    Raises:
        ScenarioError: if the model, or the precision, does not go with a setting of learning.
    """
    learning = scenario.learning
    _check_clip(scenario, model)
    _check_step_sizes(scenario)
    _check_mixed_precision(scenario, model)
    return TrainingSetup(
        model=model,
        dtype=np.dtype(scenario.backend.dtype),
        mixing=topology.mixing,
        order=learning.order,
        constants=model.constants(Constant(features.radius, features.provenance)),
        step_size=learning.step_size,
        local_steps=learning.local_steps,
        samples=samples,
        seed=scenario.seed,
        sampling=learning.sampling.build(scenario.seed, learning.local_steps),
        radius=learning.radius,
        client_clip=learning.client_clip,
        clip_tolerance=learning.clip_tolerance,
        departed=topology.departed,
        remaining=topology.remaining if topology.departed else None,
        after_request=learning.after_request,
        optimizer=learning.optimizer.build(),
        step_sizes=learning.sizes(),
        gradient_clip=learning.gradient_clip,
        augmentation=_augmentation(scenario, features),
        recovery_error=learning.recovery_error,
        storage_error=learning.storage_error,
        mixed_precision=scenario.backend.mixed_precision,
    )


def _check_clip(scenario: Scenario, model: Model) -> None:
    """Refuse a clip of clients where its gradients are not computed to within the tolerance."""
    if scenario.learning.client_clip is None:
        return
    if not isinstance(model, Logistic):
        raise ScenarioError(
            f"learning.client_clip is computed for the model logistic alone, not for {scenario.model.kind}"
        )
    if scenario.backend.dtype != "float64":
        raise ScenarioError(
            "learning.client_clip needs backend.dtype float64: the error of a clipped gradient is proven up to rounding"
        )


def _check_step_sizes(scenario: Scenario) -> None:
    """Refuse step sizes that the parameters' type does not have."""
    dtype, learning = scenario.backend.dtype, scenario.learning
    largest = max(learning.sizes(), default=learning.step_size)
    if largest > float(np.finfo(dtype).max):
        raise ScenarioError(f"a step size of {largest:g} (learning.step_size) is beyond the largest number of {dtype}")


def _check_mixed_precision(scenario: Scenario, model: Model) -> None:
    """Refuse mixed precision where torch cannot compute local steps in it."""
    if scenario.backend.mixed_precision is None:
        return
    from rewindnet.clients.models.deep.torch_model import TorchModel
    from rewindnet.clients.training.mixed_precision import problem_with

    if not isinstance(model, TorchModel):
        raise ScenarioError(
            "backend.mixed_precision is for models that are torch modules, such as cnn, flnet, resnet18 and module, "
            f"not for {scenario.model.kind}"
        )
    if scenario.backend.dtype != "float32":
        raise ScenarioError(
            "backend.mixed_precision is for parameters in single precision: set backend.dtype=float32 too"
        )
    problem = problem_with(model, device_of(scenario.backend.device))
    if problem:
        raise ScenarioError(
            f"torch cannot compute the model {scenario.model.kind} in mixed precision; leave out "
            f"backend.mixed_precision ({problem})"
        )


def _augmentation(scenario: Scenario, features: Features) -> Augmentation | None:
    """Return how images change from step to step; None where they do not."""
    given, shape = scenario.learning.augmentation, features.shape
    if given is None:
        return None
    if scenario.learning.client_clip is not None:
        raise ScenarioError("learning.augmentation and learning.client_clip exclude each other: leave one out")
    if len(supplied(scenario.model.kind, features.x.shape[1], 2, shape)) < 3:
        raise ScenarioError(
            f"learning.augmentation is for models of images, such as cnn, mlp or module, not for {scenario.model.kind}"
        )
    return Augmentation(scenario.seed, tuple(shape), given.crop, given.flip)
