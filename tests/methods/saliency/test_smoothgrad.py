"""SmoothGrad: its limits, the formula for one ReLU, captum, and noise that does not depend on the chunks."""

import math
from functools import partial

import captum.attr
import pytest
import torch
from explained_nets import AWKWARD, Formula, awkward, pixels
from probed_nets import random_image

from cnnlab.methods.saliency.grad_cam import grad_cam
from cnnlab.methods.saliency.gradient import gradient
from cnnlab.methods.saliency.guided_backprop import guided_backprop
from cnnlab.methods.saliency.integrated_gradients import integrated_gradients
from cnnlab.methods.saliency.smoothgrad import smoothgrad
from cnnlab.nets import models
from cnnlab.probing import Unit


@pytest.mark.parametrize("name", AWKWARD)
def test_fact_14_without_noise_it_is_the_gradient(name):
    model, x = awkward(name), random_image(n=2)
    expected = gradient(model, x, 1).map
    assert torch.allclose(smoothgrad(model, x, 1, sigma=0.0, samples=3).map, expected, atol=1e-15)
    assert torch.allclose(smoothgrad(model, x, 1, sigma=1e-9, samples=3).map, expected, atol=1e-9)
    assert not torch.allclose(smoothgrad(model, x, 1, sigma=0.3, samples=3).map, expected, atol=1e-4)


def test_fact_14_of_a_linear_score_any_noise_gives_the_gradient():
    w = torch.tensor([2.0, -3, 0.5]).double()
    for sigma in (0.1, 5):
        found = smoothgrad(Formula(lambda x: x @ w), pixels(1, 2, 3), 0, sigma=sigma)
        assert torch.allclose(found.map.flatten(), w, atol=1e-14) and found.score == -2.5
        assert found.reference is None and found.gap is None


@pytest.mark.parametrize("sigma", (0.3, 1.0))
@pytest.mark.parametrize("b", (-0.5, 0.2))
def test_fact_14_one_relu_becomes_the_normal_distribution(sigma, b):
    w = torch.tensor([1.0, -2, 2]).double()  # length 3
    x = pixels(0.5, 0.1, 0.2)
    z = (x.flatten() @ w).item() + b
    found = smoothgrad(
        Formula(lambda x: (x @ w + b).relu()), x, 0, sigma=sigma, samples=20_000, batch=5000
    ).map
    share = 0.5 * (1 + math.erf(z / (sigma * 3) / math.sqrt(2)))
    assert torch.allclose(found.flatten(), w * share, atol=0.03)  # 4 standard errors of the mean
    if sigma == 0.3:  # and not sigma squared
        wrong = 0.5 * (1 + math.erf(z / (sigma**2 * 3) / math.sqrt(2)))
        assert not torch.allclose(found.flatten(), w * wrong, atol=0.1)


def test_captum_on_average():
    model, x = models.load("photonet").double(), random_image(64)
    torch.manual_seed(3)
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
    theirs = tunnel.attribute(
        x, nt_type="smoothgrad", nt_samples=60, nt_samples_batch_size=20, stdevs=0.1, target=3, abs=False
    )
    ours = [smoothgrad(model, x, 3, sigma=0.1, samples=60, seed=seed).map for seed in (0, 1)]

    def like(a, b):
        return torch.cosine_similarity(a.flatten(), b.flatten(), dim=0).item()

    # Two runs of ours are as like as one of ours and one of theirs, and both more than a single gradient.
    assert like(ours[0], theirs) == pytest.approx(like(*ours), abs=0.02) and like(*ours) > 0.9
    assert like(ours[0], gradient(model, x, 3).map) < like(*ours) - 0.05
    assert ours[0].norm().item() == pytest.approx(theirs.norm().item(), rel=0.05)


@pytest.mark.parametrize("batch", (1, 2, 3, 7, 100))
def test_the_noise_does_not_depend_on_chunks_or_places(batch):
    model, x = awkward("residual", torch.float32), random_image(n=3, dtype=torch.float32)
    target = torch.tensor([[1, 2], [3, 0], [4, 4]])
    found = smoothgrad(model, x, target, samples=5, seed=4, batch=batch)
    assert found.map.shape == (3, 2, 3, 16, 16) and tuple(found.passes) == (18, 30)
    for n in range(3):
        alone = smoothgrad(model, x[n : n + 1], target[n : n + 1], samples=5, seed=4)
        assert (found.map[n] - alone.map[0]).abs().max() < 1e-6
    assert torch.allclose(found.score, model(x).gather(1, target), atol=1e-6)
    assert (found.map - smoothgrad(model, x, target, samples=5, seed=5).map).abs().max() > 1e-3


def test_the_mean_is_over_pictures_with_noise_of_this_size():
    """A method that hands back what it was given shows the noise itself."""
    seen = []

    def given(model, images, target, *, output):
        seen.append(images)
        return gradient(model, images, target, output=output)._replace(map=images)

    x = random_image(32)
    found = smoothgrad(Formula(lambda x: x.sum(1)), x, 0, method=given, sigma=0.2, samples=8).map
    noise = torch.cat(seen) - x
    assert noise.std().item() == pytest.approx(0.2, rel=0.05) and abs(noise.mean().item()) < 0.01
    assert torch.allclose(found, torch.cat(seen).mean(0, keepdim=True)) and torch.cat(seen).min() < 0


@pytest.mark.parametrize("method", (guided_backprop, grad_cam, partial(integrated_gradients, steps=3)))
@pytest.mark.parametrize("target", (1, torch.tensor([[1, 2]] * 2), Unit("6", 2)))
def test_of_any_method(method, target):
    model, x = awkward("sequential"), random_image(n=2)
    found = smoothgrad(model, x, target, method=method, samples=4, sigma=0.1)
    once = method(model, x, target)
    assert found.map.shape == once.map.shape and torch.allclose(found.score, once.score)
    assert torch.allclose(smoothgrad(model, x, target, method=method, samples=2, sigma=0).map, once.map)
    assert torch.cosine_similarity(found.map.flatten(), once.map.flatten(), dim=0) > 0.5
    assert found.passes.forward == 4 * once.passes.forward + 2


def test_a_probability_is_handed_on():
    model, x = awkward("sequential"), random_image()
    found = smoothgrad(model, x, 2, output="probability", sigma=1e-9, samples=2)
    assert torch.allclose(found.map, gradient(model, x, 2, output="probability").map, atol=1e-9)
    assert found.score.item() == pytest.approx(model(x).softmax(1)[0, 2].item())


def test_progress_and_a_stop():
    model, x = awkward("sequential"), random_image()
    heard = []
    smoothgrad(model, x, 1, samples=10, batch=4, progress=lambda *now: heard.append(now))
    assert heard == [(4, 10), (8, 10), (10, 10)]
    part = smoothgrad(model, x, 1, samples=10, batch=4, progress=lambda done, _: done >= 8)
    assert torch.allclose(part.map, smoothgrad(model, x, 1, samples=8).map, atol=1e-15)
    assert tuple(part.passes) == (9, 8)


@pytest.mark.parametrize(
    "wrong, text",
    [({"sigma": -0.1}, "sigma"), ({"sigma": float("nan")}, "sigma"), ({"samples": 0}, "samples"),
     ({"samples": 2.5}, "samples"), ({"batch": 0}, "1 image or more")],
)  # fmt: skip
def test_what_is_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        smoothgrad(awkward("sequential"), random_image(), 1, **wrong)
