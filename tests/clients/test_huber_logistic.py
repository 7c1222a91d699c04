"""The clipped logistic loss: a convex loss whose gradient is the cross-entropy's, clipped; its constants."""

import json
import re
from math import log, sqrt

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

from rewindnet.certificates import CertificateError, Constant, Constants, derive, settings_of
from rewindnet.clients.models import ModelError
from rewindnet.clients.models.huber_logistic import HuberLogistic
from rewindnet.clients.models.logistic import Logistic

ROOT2 = sqrt(2.0)
clips = st.one_of(st.floats(1e-4, ROOT2), st.sampled_from([ROOT2 / 2, ROOT2]))


def tensor(values):
    return torch.as_tensor(values, dtype=torch.float64)


def draw_scores(generator, C, scale):
    """Scores [C]; sometimes of classes that are all but sure, where the loss bends."""
    return tensor(generator.standard_normal(C) * scale)


def loss(model, scores, y):
    """Of scores [C] themselves: features are the one number 1."""
    return model.losses(scores.reshape(1, -1), torch.ones(1, 1, 1, dtype=torch.float64), torch.tensor([[y]]))[0, 0]


def gradient(model, scores, y):
    one = torch.ones(1, 1, dtype=torch.float64)
    return model.gradient(scores.reshape(1, -1), one.unsqueeze(2), torch.tensor([[y]]), one)[0]


def scores_model(C, clip):
    return HuberLogistic(1, C, l2=0.0, bias=0.0, clip=clip)


@st.composite
def places(draw):
    """A model on scores, scores and a label."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    C, scale = draw(st.integers(2, 6)), 10 ** draw(st.floats(-3, 3))
    model = scores_model(C, draw(clips))
    return model, draw_scores(generator, C, scale), draw(st.integers(0, C - 1)), generator, scale


@examples(200)
@given(places())
def test_the_gradient_is_that_of_the_cross_entropy_clipped(place):
    model, scores, y, _, _ = place
    residual = torch.softmax(scores, dim=0)
    residual[y] = 0
    wrong = residual.sum()
    residual[y] = -wrong
    expected = residual * min(1.0, model.clip / ROOT2 / max(float(wrong), 1e-300))
    torch.testing.assert_close(gradient(model, scores, y), expected, rtol=1e-12, atol=1e-300)


@examples(200)
@given(places())
def test_no_sample_pulls_harder_than_the_clip(place):
    model, scores, y, _, scale = place
    for push in (0.0, scale, -scale, 1e3):
        hostile = scores.clone()
        hostile[y] -= push
        assert float(gradient(model, hostile, y).norm()) <= model.clip * (1 + 1e-12)


@pytest.mark.parametrize("clip", [0.01, 0.5, 1.2, ROOT2])
def test_the_clip_is_attained_by_one_wrong_class(clip):
    scores = tensor([0.0, 60.0, 0.0, 0.0])
    assert float(gradient(scores_model(4, clip), scores, 0).norm()) == pytest.approx(clip, rel=1e-12)


@examples(200)
@given(places(), st.floats(0, 1))
def test_the_loss_is_convex_along_every_line(place, share):
    model, one, y, generator, scale = place
    other = draw_scores(generator, len(one), scale)
    between = loss(model, (1 - share) * one + share * other, y)
    ends = (1 - share) * loss(model, one, y) + share * loss(model, other, y)
    assert between <= ends + 1e-12 * (1 + abs(ends))


@examples(200)
@given(places(), st.floats(-4, 1))
def test_the_gradient_is_monotone_and_lipschitz_across_the_bend(place, size):
    model, _, y, generator, _ = place
    C, L = len(place[1]), derive("huber-logistic", Constant(1.0, "proven"), l2=0.0, clip=model.clip).L.value
    # Around the bend: the other classes' share of the label's log-odds set to it, give or take `size`.
    scores = tensor(generator.standard_normal(C))
    others = torch.cat([scores[:y], scores[y + 1 :]])
    steepest = min(model.clip / ROOT2, 1 - 1e-9)
    scores[y] = torch.logsumexp(others, 0) - log(steepest / (1 - steepest))
    one, other = (scores + 10**size * tensor(generator.standard_normal(C)) for _ in range(2))
    change = gradient(model, one, y) - gradient(model, other, y)
    # Baillon and Haddad: for a convex loss, L-smooth is the same as this.
    assert float(change @ (one - other)) >= float(change @ change) / L - 1e-13


def largest_curvature(model, scores, y, iterations=60):
    """Of the loss at these scores, by power iteration on differences of gradients."""
    direction = tensor(np.random.default_rng(0).standard_normal(len(scores)))
    step, value = 1e-5, 0.0
    for _ in range(iterations):
        direction = direction / direction.norm()
        ahead, behind = (gradient(model, scores + side * step * direction, y) for side in (1, -1))
        direction = (ahead - behind) / (2 * step)
        value = float(direction.norm())
        if value == 0:
            break
    return value


@examples(60)
@given(places())
def test_no_curvature_beyond_the_constants_by_power_iteration(place):
    model, scores, y, _, _ = place
    L = derive("huber-logistic", Constant(1.0, "proven"), l2=0.0, clip=model.clip).L.value
    assert largest_curvature(model, scores / 30, y) <= L * (1 + 1e-6) + 1e-8


@pytest.mark.parametrize("clip", [0.01, 0.3, ROOT2 / 2, 1.0, ROOT2])
def test_the_smoothness_is_attained_with_two_classes(clip):
    constants = derive("huber-logistic", Constant(1.0, "proven"), l2=0.0, clip=clip)
    slope = min(clip / ROOT2 * (1 - 1e-3), 0.5)
    scores = tensor([log((1 - slope) / slope), 0.0])
    assert largest_curvature(scores_model(2, clip), scores, 0) == pytest.approx(constants.L.value, rel=2e-3)


def test_the_widest_clip_is_the_logistic_model():
    generator = np.random.default_rng(1)
    huber, plain = HuberLogistic(5, 4, l2=0.1, clip=ROOT2), Logistic(5, 4, l2=0.1)
    x = torch.stack([plain.design(tensor(generator.standard_normal((9, 5)))) for _ in range(3)])
    y = torch.from_numpy(generator.integers(0, 4, (3, 9)))
    weight, theta = tensor(generator.uniform(0, 1, (3, 9))), tensor(generator.standard_normal((3, 24)))
    torch.testing.assert_close(huber.losses(theta, x, y), plain.losses(theta, x, y), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(huber.gradient(theta, x, y, weight), plain.gradient(theta, x, y, weight))
    one, other = (model.constants(Constant(1.7, "enforced")) for model in (huber, plain))
    assert one.G.value == pytest.approx(other.G.value, rel=1e-15)
    assert (one.L, one.strong_convexity) == (other.L, other.strong_convexity)


def test_small_gradients_are_not_lost_to_cancellation():
    """Rounding is charged as a share of G = clip·R, so 1 − p_y may not be formed as a difference."""
    model = scores_model(3, 1e-6)
    scores = torch.tensor([0.0, -18.0, -18.5], dtype=torch.float32)
    one = torch.ones(1, 1, dtype=torch.float32)
    single = model.gradient(scores.reshape(1, -1), one.unsqueeze(2), torch.tensor([[0]]), one)[0]
    double = gradient(model, scores.double(), 0)
    assert float((single.double() - double).norm()) <= 13 * 2.0**-24 * model.clip


def test_constants_know_their_clip():
    constants = HuberLogistic(5, 3, l2=0.2, bias=0.0, clip=0.3).constants(Constant(2.0, "enforced"))
    t = 0.3 / ROOT2
    assert (constants.G, constants.settings) == (Constant(0.6, "enforced"), {"l2": 0.2, "clip": 0.3})
    assert constants.L.value == pytest.approx(2 * t * (1 - t) * 4 + 0.2)
    assert Constants.from_record(json.loads(json.dumps(constants.to_record()))) == constants
    assert Logistic(5, 3, l2=0.1).constants(Constant(1.0, "proven")).to_record()["settings"] == {"l2": 0.1}


def test_settings_that_constants_follow_from():
    assert (settings_of("logistic"), settings_of("huber-logistic")) == (("l2",), ("l2", "clip"))
    with pytest.raises(CertificateError, match="'huber-logistic' needs the setting 'clip'"):
        derive("huber-logistic", Constant(1.0, "proven"), l2=0.0)
    with pytest.raises(CertificateError, match="'logistic' has no setting 'clip'; it takes: l2"):
        derive("logistic", Constant(1.0, "proven"), l2=0.0, clip=0.3)


@pytest.mark.parametrize("clip", [0.0, -0.1, 1.4143, float("nan")])
def test_a_clip_out_of_range_is_refused(clip):
    with pytest.raises(ModelError, match=f"^{re.escape(f'model.clip must lie in (0, √2], not {clip}')}$"):
        HuberLogistic(3, 2, clip=clip)
    with pytest.raises(CertificateError, match=re.escape(f"clip must lie in (0, √2], not {clip}")):
        derive("huber-logistic", Constant(1.0, "proven"), l2=0.0, clip=clip)
