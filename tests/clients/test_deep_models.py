import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.func import functional_call

from rewindnet.certificates import Constant
from rewindnet.clients.models import MODELS, Model, ModelError, supplied
from rewindnet.clients.models.deep.flnet import FLNet
from rewindnet.clients.models.deep.mlp import MLP
from rewindnet.clients.models.deep.module import UserModule
from rewindnet.clients.models.deep.resnet18 import ResNet18
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.parallel import use_threads

IMAGE = (1, 6, 6)


class Net(nn.Module):
    """A module of a user's own."""

    def __init__(self, shape, classes, width=5):
        super().__init__()
        self.first, self.last = nn.Linear(int(np.prod(shape)), width), nn.Linear(width, classes)
        self.register_buffer("scale", torch.full((), 2.0))

    def forward(self, x):
        return self.last(torch.tanh(self.scale * self.first(x.flatten(1))))


class Convolving(Net):
    """The same after a convolution."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return super().forward(torch.relu(self.convolution(x)))


class Normed(Net):
    def __init__(self, shape, classes, track=True):
        super().__init__(shape, classes)
        self.norm = nn.BatchNorm1d(int(np.prod(shape)), track_running_stats=track)

    def forward(self, x):
        return super().forward(self.norm(x.flatten(1)))


class Dropping(Net):
    def __init__(self, shape, classes, p):
        super().__init__(shape, classes)
        self.dropout = nn.Dropout(p)

    def forward(self, x):
        return super().forward(self.dropout(x))


class Branching(Net):
    """What it computes depends on a value."""

    def forward(self, x):
        return super().forward(x if self.last.bias.sum() > 100 else 2 * x)


class Fixed(Net):
    """The first layer stays as it is."""

    def __init__(self, shape, classes):
        super().__init__(shape, classes)
        self.first.requires_grad_(False)


def lopsided(scores, classes):
    """A loss of a user's own."""
    return (scores.sum(dim=-1) - classes) ** 2


def whole(scores, classes):
    return scores.sum()


def module(name: str, **settings) -> UserModule:
    return UserModule(36, 3, IMAGE, path=f"test_deep_models:{name}", **settings)


MADE = {
    "mlp": lambda **how: MLP(36, 3, IMAGE, widths=[5, 4], **how),
    "mlp-smelu": lambda **how: MLP(36, 3, IMAGE, widths=[5], activation="smelu", **how),
    "mlp-without-layers": lambda **how: MLP(36, 3, widths=[], **how),
    "cnn": lambda **how: MODELS["cnn"](36, 3, (6, 6), channels=[2], kernel=3, widths=[4], **how),
    "module": lambda **how: module("Net", **how),
    "convolving": lambda **how: module("Convolving", **how),
    "fixed": lambda **how: module("Fixed", **how),
}
LOSSES = ("cross-entropy", "mse", "test_deep_models:lopsided")


def batch(model: Model, seed: int, nodes: int = 3, samples: int = 4):
    """θ [b, d], x [b, n, p], y [b, n] and weights [b, n], one of them 0."""
    generator = np.random.default_rng(seed)
    theta = torch.from_numpy(np.stack([model.initial(generator) for _ in range(nodes)]))
    x, y = generator.standard_normal((nodes, samples, 36)), generator.integers(0, 3, (nodes, samples))
    weight = generator.uniform(0.1, 1, (nodes, samples))
    weight[:, -1] = 0
    return theta, *(torch.from_numpy(array) for array in (x, y, weight))


@examples(40)
@given(st.sampled_from(list(MADE)), st.sampled_from(LOSSES), st.sampled_from([0.0, 0.3]), st.integers(0, 2**32 - 1))
def test_gradients_and_steps_are_those_of_the_losses(name, loss, l2, seed):
    model = MADE[name](loss=loss, l2=l2)
    theta, x, y, weight = batch(model, seed)
    derived = Model.gradient(model, theta, x, y, weight)
    before = theta.clone()
    torch.testing.assert_close(model.gradient(theta, x, y, weight), derived, rtol=1e-9, atol=1e-10)
    assert torch.equal(theta, before)
    model.descend(theta, x, y, weight, 0.2)
    torch.testing.assert_close(theta, before - 0.2 * derived, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MADE)
def test_gradients_of_samples_are_those_of_each_alone(name, loss):
    model = MADE[name](loss=loss, l2=0.3)
    theta, x, y, _ = batch(model, 6)
    found = model.sample_gradients(theta[0], x[0], y[0])
    for k in range(len(y[0])):
        alone = model.gradient(theta[:1], x[:1, [k]], y[:1, [k]], torch.ones(1, 1, dtype=torch.float64))
        torch.testing.assert_close(found[k], alone[0] - 0.3 * theta[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", MADE)
def test_a_sample_of_weight_zero_changes_nothing(name):
    model = MADE[name]()
    theta, x, y, weight = batch(model, 1)
    without = model.gradient(theta, x[:, :-1], y[:, :-1], weight[:, :-1])
    x[:, -1], y[:, -1] = 0.0, (y[:, -1] + 1) % 3
    torch.testing.assert_close(model.gradient(theta, x, y, weight), without, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["module", "convolving", "fixed"])
def test_the_scores_are_those_of_the_module_with_the_node_s_parameters(name):
    model = MADE[name]()
    theta, x, _, _ = batch(model, 2)
    made = model._module.double()
    for node in range(len(theta)):
        alone = functional_call(made, model.layout.views(theta[node]), (x[0].view(-1, *IMAGE),))
        torch.testing.assert_close(model.scores(theta, x[0])[node], alone)
        assert torch.equal(model.predict(theta, x[0])[node], alone.argmax(dim=1))


def placed(values, offset):
    """The same numbers, so many numbers behind the beginning of their memory."""
    return torch.empty(offset + values.numel())[offset:].view(values.shape).copy_(values)


def test_where_in_memory_a_model_is_changes_no_bit_of_a_convolution():
    model, generator = MODELS["cnn"](64, 10, (8, 8), channels=[2], kernel=3, widths=[4]), np.random.default_rng(1)
    for _ in range(40):
        count = int(generator.integers(1, 9))
        theta = torch.from_numpy(model.initial(generator) + 0.3 * generator.standard_normal(model.parameters)).float()
        x = torch.from_numpy(generator.random((count, 64))).float()
        y, weight = torch.from_numpy(generator.integers(0, 10, count)), torch.full((1, count), 1 / count)
        found = []
        for offset in range(16):
            point, stepped = placed(theta[None], offset), placed(theta[None], offset)
            model.descend(stepped, x[None], y[None], weight, 0.1)
            gradient = model.gradient(point, x[None], y[None], weight)
            of_samples, losses = model.sample_gradients(point[0], x, y), model.losses(point, x[None], y[None])
            found.append((gradient, stepped, of_samples, losses))
        assert all(torch.equal(*pair) for other in found for pair in zip(other, found[0], strict=True))


def test_one_node_after_the_other_and_all_together_are_the_same():
    model = MADE["convolving"]()
    arguments = batch(model, 3)
    alone, losses = model.gradient(*arguments), model.losses(*arguments[:3])
    model._convolves = False
    torch.testing.assert_close(model.gradient(*arguments), alone, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(model.losses(*arguments[:3]), losses, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["mlp", "cnn", "module"])
def test_threads_compute_what_one_thread_computes(name):
    model, generator = MADE[name](), np.random.default_rng(4)
    x, y = torch.from_numpy(generator.standard_normal((1200, 36))), generator.integers(0, 3, 1200)
    shards = np.split(np.arange(1200), 40)
    block = make_block(model, x, y, shards, step_size=0.1, local_steps=3)
    theta = torch.from_numpy(model.initial(generator)).repeat(40, 1)
    try:
        use_threads(1)
        one = block.descend(theta, 0)
        use_threads(4)
        assert all(torch.equal(block.descend(theta, 0), one) for _ in range(5))
    finally:
        use_threads(None)


def test_the_sizes_of_the_papers_models():
    assert FLNet(784, 10, (28, 28)).parameters == 1_663_370
    assert ResNet18(3072, 2, (3, 32, 32)).parameters == 11_160_258
    assert MLP(467, 2, widths=[256, 64], activation="smelu").parameters == 136_386


@pytest.mark.parametrize("norm", ["none", "group"])
def test_a_small_step_of_resnet18_lowers_its_loss(norm):
    model = ResNet18(192, 3, (3, 8, 8), norm=norm)
    generator = np.random.default_rng(0)
    theta = torch.from_numpy(model.initial(generator)).float()[None]
    x, y = torch.from_numpy(generator.standard_normal((1, 4, 192))).float(), torch.tensor([[0, 1, 2, 0]])
    before, weight = model.losses(theta, x, y).mean(), torch.full((1, 4), 0.25)
    model.descend(theta, x, y, weight, 0.01)
    assert model.losses(theta, x, y).mean() < before


@pytest.mark.parametrize("name", MADE)
def test_initial_weights_follow_from_the_seed_alone(name):
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = MADE[name]().initial(np.random.default_rng(0))
    torch.rand(3)
    assert np.array_equal(MADE[name]().initial(np.random.default_rng(0)), first)
    assert not np.array_equal(MADE[name]().initial(np.random.default_rng(1)), first)
    torch.set_rng_state(state)
    MADE[name]().initial(np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_are_drawn_as_torch_draws_them():
    values = MLP(400, 10, widths=[100]).layout.views(
        torch.from_numpy(MLP(400, 10, widths=[100]).initial(np.random.default_rng(0)))
    )
    assert 0.049 < float(values["0.weight"].abs().max()) <= 0.05
    assert 0.09 < float(values["1.weight"].abs().max()) <= 0.1
    grouped = ResNet18(192, 3, (3, 8, 8), norm="group")
    scales = grouped.layout.views(torch.from_numpy(grouped.initial(np.random.default_rng(0))))
    assert scales["1.before.0.weight"].eq(1).all()
    assert scales["1.before.0.bias"].eq(0).all()


@pytest.mark.parametrize("kept", ["safetensors", "state_dict"])
def test_initial_weights_from_a_file(tmp_path, kept):
    made = Net(IMAGE, 3)
    weights = {name: value for name, value in made.state_dict().items() if name != "scale"}
    file = tmp_path / "weights"
    save_file(weights, file) if kept == "safetensors" else torch.save(weights, file)
    model = module("Net", weights_path=str(file))
    views = model.layout.views(torch.from_numpy(model.initial(np.random.default_rng(0))))
    assert all(torch.equal(views[name], value.double()) for name, value in weights.items())


class Malicious:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"first.weight": torch.zeros(2)}, "lacks first.bias, last.bias, last.weight"),
        (
            {name: torch.zeros(2) for name in ("first.weight", "first.bias", "last.weight", "last.bias")},
            "the shape [2]",
        ),
        ({"first.weight": Malicious()}, "is neither a safetensors file nor a state_dict of torch.save"),
        ([torch.zeros(2)], "holds no state_dict"),
    ],
)
def test_files_of_other_weights_are_refused(tmp_path, monkeypatch, weights, said):
    monkeypatch.chdir(tmp_path)
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match=re.escape(said)):
        module("Net", weights_path="weights.pt").initial(np.random.default_rng(0))
    assert not (tmp_path / "executed").exists()


def test_weights_that_are_not_finite_and_files_that_are_not_there_are_refused(tmp_path):
    weights = {name: value for name, value in Net(IMAGE, 3).state_dict().items() if name != "scale"}
    weights["last.bias"] = torch.full((3,), torch.nan)
    torch.save(weights, tmp_path / "weights.pt")
    for name, said in (("weights.pt", "not finite"), ("none.pt", "No such file")):
        with pytest.raises(ModelError, match=said):
            module("Net", weights_path=str(tmp_path / name)).initial(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("Normed", {}, "changes its buffer norm.running_mean as it computes (layers: BatchNorm1d)"),
        ("Normed", {"track": False}, "computes a sample otherwise beside other samples (layers: BatchNorm1d)"),
        ("Dropping", {"p": 0.5}, "computes something else each time (layers: Dropout)"),
        ("Branching", {}, "cannot be computed for several nodes at once"),
        ("Net", {"width": "wide"}, "cannot be built with"),
        ("Net", {"shape": [2]}, "fails on two samples, a tensor of shape [2, 1, 6, 6]"),
        ("Net", {"classes": 4}, "it must return a score for each class, [2, 3]"),
        ("IMAGE", {}, "it names a class, or a function that makes a module"),
        ("lopsided", {"scores": torch.ones(2)}, "which is no torch.nn.Module"),
        ("Nothing", {}, "test_deep_models has no Nothing"),
    ],
)
def test_modules_that_a_network_cannot_learn_are_refused(name, settings, said):
    with pytest.raises(ModelError, match=re.escape(said)):
        module(name, settings=settings)


def test_dropout_of_probability_0_is_no_chance():
    assert module("Dropping", settings={"p": 0.0}).parameters == module("Net").parameters


@pytest.mark.parametrize("path", ["Net", "no.such.module:Net", "nothing.py:Net", ":Net", "test_deep_models:"])
def test_places_without_code_are_refused(path):
    with pytest.raises(ModelError, match=r"model\.path"):
        UserModule(36, 3, IMAGE, path=path)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: MLP(3, 2, widths=[0]), "numbers of units"),
        (lambda: MLP(3, 2, activation="smelu", beta=0.0), "beta"),
        (lambda: MLP(3, 2, l2=-1.0), "l2"),
        (lambda: MLP(3, 2, (2, 2)), "do not have 3 features"),
        (lambda: MLP(3, 2, loss="hinge"), "model.loss is cross-entropy, mse"),
        (lambda: MLP(3, 2, loss="test_deep_models:module"), "fails on scores"),
        (lambda: MLP(3, 2, loss="test_deep_models:whole"), "a tensor of shape [] for 3 samples"),
        (lambda: MODELS["cnn"](9, 2), "takes images of the shape"),
        (lambda: MODELS["cnn"](9, 2, (3, 3)), "pools images to a 4th"),
        (lambda: MODELS["cnn"](64, 2, (8, 8), kernel=4), "odd"),
        (lambda: ResNet18(192, 2, (3, 8, 8), groups=3), "divisor of 64"),
    ],
)
def test_settings_without_a_meaning_are_refused(made, said):
    with pytest.raises(ModelError, match=re.escape(said)):
        made()


def test_the_shape_reaches_the_models_that_ask_for_it():
    assert supplied("cnn", 36, 3, IMAGE) == (36, 3, IMAGE)
    assert supplied("logistic", 36, 3, IMAGE) == (36, 3)


@pytest.mark.parametrize("name", MADE)
def test_no_constants_are_known(name):
    constants = MADE[name](l2=0.1).constants(Constant(1.0, "proven"))
    assert not constants.known
    assert constants.l2.value == 0.1


def test_the_model_without_a_hidden_layer_is_logistic_regression():
    generator = np.random.default_rng(5)
    model, logistic = MLP(36, 3, widths=[]), MODELS["logistic"](36, 3, l2=0.0, bias=0.0)
    theta = torch.from_numpy(generator.standard_normal((2, 108)))
    with_bias = torch.cat([theta, torch.zeros(2, 3, dtype=theta.dtype)], dim=1)
    _, x, y, weight = batch(model, 5, nodes=2)
    torch.testing.assert_close(
        model.gradient(with_bias, x, y, weight)[:, :108], logistic.gradient(theta, x, y, weight), rtol=1e-10, atol=1e-12
    )


class Convolutions(nn.Module):
    """Convolutions of every kind."""

    def __init__(self, classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.Conv2d(4, 6, (1, 3), padding=(0, 1), dilation=(1, 1), bias=False),
            nn.Conv2d(6, 6, 3, padding="same", groups=2),
            nn.Conv2d(6, 4, 2, padding=(1, 0), dilation=2),
            nn.Conv2d(4, 3, 1, padding=1, padding_mode="circular"),
            nn.Flatten(),
            nn.LazyLinear(classes),
        )
        with torch.no_grad():
            self.layers(torch.zeros(1, *IMAGE))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("name", ["cnn", "convolutions"])
def test_nodes_with_convolutions_are_the_same_together_as_one_by_one(name, monkeypatch):
    model = module("Convolutions") if name == "convolutions" else MADE["cnn"]()
    theta, x, y, weight = batch(model, 3)
    alone, scores = model.gradient(theta, x, y, weight), model.scores(theta, x[0])
    monkeypatch.setattr(model, "one_by_one", lambda device: False)
    torch.testing.assert_close(model.gradient(theta, x, y, weight), alone, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(model.scores(theta, x[0]), scores, rtol=1e-9, atol=1e-12)
    assert alone.norm() > 0.01


def test_as_many_nodes_are_computed_together_as_the_memory_of_a_gpu_holds(monkeypatch):
    cuda, model = torch.device("cuda"), MODELS["resnet18"](3072, 10, (3, 32, 32), norm="group")
    memory = SimpleNamespace(total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    few, many = (model.nodes_at_once(cuda, samples) for samples in (64, 8))
    assert 1 <= few < many
    # A sample keeps about 3 million numbers: 12 MB in single precision.
    assert 8e9 / (64 * 20e6) < few < 8e9 / (64 * 8e6)
    memory.total_memory = 0
    assert model.nodes_at_once(cuda, 64) == 1
