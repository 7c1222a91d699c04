import re

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

from rewindnet.certificates.constants import DERIVATIONS
from rewindnet.clients.models import MODELS, Model, ModelError
from rewindnet.clients.models.huber_logistic import HuberLogistic
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.clients.models.sigmoid import Sigmoid


@st.composite
def batches(draw):
    """A model, θ [b, d], designs [b, n, q], targets [b, n] and weights [b, n], some of them 0."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    b, n, p, classes = (draw(st.integers(1, high)) for high in (4, 7, 5, 4))
    kind = MODELS[draw(st.sampled_from(list(DERIVATIONS)))]
    model = kind(p, classes + 1, l2=draw(st.sampled_from([0.0, 1e-3, 0.5])), bias=draw(st.sampled_from([0.0, 0.1])))
    x = torch.from_numpy(generator.standard_normal((b, n, p)))
    design = torch.stack([model.design(rows) for rows in x])
    targets = torch.from_numpy(model.targets(generator.integers(0, classes + 1, (b, n))))
    weight = torch.from_numpy(generator.uniform(0, 1, (b, n)) * (generator.uniform(0, 1, (b, n)) < 0.8))
    theta = torch.from_numpy(generator.standard_normal((b, model.parameters))) * draw(
        st.sampled_from([0.01, 1.0, 30.0])
    )
    return model, theta, design, targets, weight


@examples(100)
@given(batches())
def test_the_closed_form_is_the_derivative_of_the_losses(batch):
    model, theta, design, targets, weight = batch
    assert type(model).gradient is not Model.gradient
    closed, derived = (
        model.gradient(theta, design, targets, weight),
        Model.gradient(model, theta, design, targets, weight),
    )
    assert closed.shape == theta.shape
    torch.testing.assert_close(closed, derived, rtol=1e-10, atol=1e-10)


@examples(50)
@given(batches())
def test_samples_of_weight_zero_contribute_nothing_whatever_their_target(batch):
    model, theta, design, targets, weight = batch
    held = weight > 0
    # As in a padded bucket: the design of what is not there is zero.
    design = design * held.unsqueeze(2)
    other = torch.where(held, targets, (targets + 1) % 2)
    assert torch.equal(model.gradient(theta, design, targets, weight), model.gradient(theta, design, other, weight))
    for row in range(len(theta)):
        own = held[row]
        alone = model.gradient(
            theta[row : row + 1], design[row : row + 1, own], targets[row : row + 1, own], weight[row : row + 1, own]
        )
        torch.testing.assert_close(
            model.gradient(theta, design, targets, weight)[row], alone[0], rtol=1e-12, atol=1e-12
        )


@examples(30)
@given(batches())
def test_without_data_only_the_regulariser_is_left(batch):
    model, theta, design, targets, weight = batch
    left = model.gradient(theta, 0 * design, 0 * targets, 0 * weight)
    torch.testing.assert_close(left, model.l2 * theta, rtol=0, atol=0)


@examples(30)
@given(batches())
def test_the_gradient_leaves_what_it_is_given_as_it_is(batch):
    model, *arguments = batch
    before = [argument.clone() for argument in arguments]
    model.gradient(*arguments)
    assert all(torch.equal(one, other) for one, other in zip(before, arguments, strict=True))


@examples(30)
@given(batches())
def test_a_prediction_has_the_lowest_loss_of_all_targets(batch):
    model, theta, design, _, _ = batch
    shared = design[0]
    predicted = model.predict(theta, shared)
    assert predicted.shape == (len(theta), len(shared))
    everywhere = shared.expand(len(theta), *shared.shape).contiguous()
    choices = range(model.outputs if isinstance(model, Multinomial) else 2)
    losses = torch.stack([model.losses(theta, everywhere, torch.full_like(predicted, choice)) for choice in choices])
    chosen = losses.gather(0, predicted.unsqueeze(0))[0]
    torch.testing.assert_close(chosen, losses.amin(dim=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [Logistic, HuberLogistic])
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_second_moments_are_those_of_the_design(kind, bias):
    model, x = kind(4, 3, bias=bias), np.random.default_rng(5).standard_normal((9, 4))
    design = model.design(torch.from_numpy(x)).numpy()
    assert kind.second_moment is not Model.second_moment
    for moment in (model.second_moment(x), Model.second_moment(model, x)):
        np.testing.assert_allclose(moment, sum(np.outer(row, row) for row in design), rtol=1e-12, atol=1e-13)


def test_the_losses_of_a_model_that_knows_nothing():
    x, theta = torch.ones(1, 1, 2, dtype=torch.float64), torch.zeros(1, 6, dtype=torch.float64)
    logistic = Logistic(2, 3, bias=0)
    assert logistic.losses(theta, x, torch.tensor([[1]])).item() == pytest.approx(np.log(3))
    assert Sigmoid(2, 3, bias=0).losses(theta[:, :2], x, torch.tensor([[1]])).item() == 0.5


def test_models_begin_where_they_say():
    generator = np.random.default_rng(0)
    assert not Logistic(5, 3).initial(generator).any()
    first = Sigmoid(1000, 3).initial(generator)
    assert np.linalg.norm(first) == pytest.approx(0.1, rel=0.1)
    assert (Logistic(5, 3, bias=0.1).parameters, Logistic(5, 3, bias=0).parameters) == (18, 15)
    assert (Sigmoid(5, 3, bias=0.1).parameters, Sigmoid(5, 3, bias=0).parameters) == (6, 5)


def test_the_sides_of_the_sigmoid_model():
    labels = np.array([0, 1, 2, 3, 4])
    assert Sigmoid(2, 5).targets(labels).tolist() == [0, 0, 1, 1, 1]
    assert Sigmoid(2, 5, positive=[4, 0, 4]).targets(labels).tolist() == [1, 0, 0, 0, 1]
    assert Sigmoid(2, 2).targets(labels[:2]).tolist() == [0, 1]
    assert Logistic(2, 5).targets(labels) is labels


@pytest.mark.parametrize("kind", [Logistic, Sigmoid, HuberLogistic])
@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"l2": -1.0}, "model.l2 must be a non-negative number, not -1.0"),
        ({"l2": float("nan")}, "model.l2 must be a non-negative number, not nan"),
        ({"l2": float("inf")}, "model.l2 must be a non-negative number, not inf"),
        ({"bias": 1.0}, "model.bias must lie in [0, 1), not 1.0"),
        ({"bias": -0.1}, "model.bias must lie in [0, 1), not -0.1"),
        ({"bias": float("nan")}, "model.bias must lie in [0, 1), not nan"),
    ],
)
def test_settings_without_a_meaning_are_refused(kind, bad, sentence):
    with pytest.raises(ModelError, match=f"^{re.escape(sentence)}$"):
        kind(3, 2, **bad)


@pytest.mark.parametrize("positive", [[], [0, 1, 2], [3], [-1], [0, 7]])
def test_an_empty_side_is_refused(positive):
    sentence = f"model.positive must name some but not all of the classes 0 to 2, not {positive}"
    with pytest.raises(ModelError, match=f"^{re.escape(sentence)}$"):
        Sigmoid(3, 3, positive=positive)
