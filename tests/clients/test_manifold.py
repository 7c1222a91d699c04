"""The model on the unit sphere, against torch."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, normalize

from rewindnet.clients.models import MODELS, ModelError

SETTINGS = {"widths": [7, 6], "dimensions": 4, "reconstruction": 0.3, "capacity": 0.2, "l2": 0.05}


def objective(row: Tensor, x: Tensor, y: Tensor, weight: Tensor, views: dict[str, Tensor]) -> Tensor:
    """What one node goes down, in plain torch: weighted losses, l2, and the nuclear norm of samples with a weight."""

    def layer(name: str, z: Tensor) -> Tensor:
        return linear(z, views[f"{name}.weight"], views[f"{name}.bias"])

    z = normalize(layer("encoder.2", layer("encoder.1", layer("encoder.0", x).relu()).relu()), dim=1)
    rebuilt = layer("decoder.1", layer("decoder.0", z).relu())
    losses = cross_entropy(layer("head", z), y, reduction="none") + 0.3 * (rebuilt - x).square().mean(dim=1)
    norm = torch.linalg.svdvals(z[weight > 0]).sum()
    return (weight * losses).sum() + 0.05 / 2 * (row**2).sum() - 0.2 * norm


def test_its_gradient_is_torch_s_for_every_node() -> None:
    model = MODELS["manifold"](5, 3, **SETTINGS)
    generator = torch.Generator().manual_seed(1)
    theta = torch.randn(2, model.parameters, generator=generator, dtype=torch.float64)
    x = torch.randn(2, 6, 5, generator=generator, dtype=torch.float64)
    y = torch.tensor([[0, 1, 2, 0, 1, 2], [2, 2, 1, 0, 0, 0]])
    weight = torch.tensor([[0.2] * 5 + [0.0], [0.25] * 4 + [0.0] * 2], dtype=torch.float64)
    found = model.gradient(theta, x, y, weight)
    for node in range(2):
        row = theta[node].clone().requires_grad_(True)
        (wanted,) = torch.autograd.grad(objective(row, x[node], y[node], weight[node], model.layout.views(row)), row)
        torch.testing.assert_close(found[node], wanted)


def test_what_the_linear_layer_reads_is_on_the_unit_sphere() -> None:
    model = MODELS["manifold"](5, 3, **SETTINGS)
    theta, x = torch.randn(2, model.parameters), torch.randn(9, 5)
    z, views = model.representation(theta, x), model.layout.views(theta)
    torch.testing.assert_close(z.norm(dim=2), torch.ones(2, 9))
    scores = z @ views["head.weight"].transpose(1, 2) + views["head.bias"][:, None]
    torch.testing.assert_close(model.scores(theta, x), scores)
    assert not any("decoder" in name for name in MODELS["manifold"](5, 3).layout.shapes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"widths": []}, "of at least one layer"),
        ({"dimensions": 0}, "model.dimensions is at least 1"),
        ({"reconstruction": -1.0}, "model.reconstruction of manifold"),
        ({"capacity": float("nan")}, "model.capacity of manifold"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        MODELS["manifold"](5, 3, **settings)
