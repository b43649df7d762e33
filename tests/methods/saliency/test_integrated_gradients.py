"""Integrated gradients: completeness, closed forms, captum; a chunk of points at a time."""

import captum.attr
import pytest
import torch
from explained_nets import AWKWARD, Formula, awkward, pixels, without_bias
from probed_nets import random_image, torchvision_net

from cnnlab.methods.attribution import weighted_mean
from cnnlab.methods.saliency.integrated_gradients import integrated_gradients, path
from cnnlab.nets import models
from cnnlab.probing import Unit

RULES = ("midpoint", "gauss-legendre")


def near(one, other, share):
    assert one.shape == other.shape and other.any()
    return bool((one - other).abs().max() <= share * other.abs().max())


# --- facts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", AWKWARD)
def test_fact_7_and_9_completeness(name, rule):
    model, x = awkward(name), random_image(n=2)
    found = integrated_gradients(model, x, torch.tensor([1, 3]), baseline=0.5, steps=200, rule=rule)
    grey = torch.full_like(x, 0.5)
    assert torch.allclose(found.score, model(x)[[0, 1], [1, 3]])
    assert torch.allclose(found.reference, model(grey)[[0, 1], [1, 3]])
    assert torch.equal(found.difference, found.score - found.reference)
    assert (found.gap.abs() <= 5e-3 * found.map.abs().sum((1, 2, 3))).all()
    assert torch.allclose(found.gap, found.total - found.score + found.reference)
    assert tuple(found.passes) == (2 * 200 + 4, 2 * 200)


@pytest.mark.parametrize("rule", RULES)
def test_fact_7_linear_exact_with_one_step_and_squares(rule):
    w = torch.tensor([2.0, -3, 0.5]).double()
    x, base = pixels(0.7, 0.1, -2), pixels(0.2, 0.4, 1)
    found = integrated_gradients(Formula(lambda x: x @ w + 7), x, 0, baseline=base, steps=1, rule=rule)
    assert torch.allclose(found.map, w * (x - base), atol=1e-15) and found.gap.abs() < 1e-15
    # x^2: the mean gradient of the way is that in its middle
    for steps in (1, 2, 5):
        found = integrated_gradients(Formula(lambda x: (x**2).sum(1)), x, 0, steps=steps, rule=rule)
        assert torch.allclose(found.map, x**2, atol=1e-14)


def test_gauss_legendre_is_exact_up_to_degree_2n_minus_1_and_the_midpoint_is_not():
    model, x = Formula(lambda x: (x**6).sum(1)), pixels(1.0, -2.0)  # gradients of degree 5
    exact = integrated_gradients(model, x, 0, steps=3, rule="gauss-legendre")
    assert torch.allclose(exact.map, x**6, rtol=1e-12)
    for steps in (3, 50):
        error = integrated_gradients(model, x, 0, steps=steps).gap.abs().item()
        mean = sum(((k + 0.5) / steps) ** 5 for k in range(steps)) / steps
        assert error == pytest.approx(65 * (1 - 6 * mean), rel=1e-9) and error > 1e-3


@pytest.mark.parametrize("rule", RULES)
def test_fact_8_a_product_is_shared(rule):
    found = integrated_gradients(Formula(lambda x: x[:, 0] * x[:, 1]), pixels(3, -1), 0, steps=7, rule=rule)
    assert torch.allclose(found.map.flatten(), torch.tensor([-1.5, -1.5]).double())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", (1, 2, 7))
def test_fact_10_without_biases_it_is_gradient_times_input(rule, steps):
    from cnnlab.methods.saliency.gradient import gradient_x_input

    model, x = without_bias("residual"), random_image(n=2)
    found = integrated_gradients(model, x, 1, steps=steps, rule=rule)
    assert near(found.map, gradient_x_input(model, x, 1).map, 1e-12) and found.gap.abs().max() < 1e-14


def test_a_pixel_like_the_baseline_gets_nothing():
    model, x = awkward("sequential"), random_image()
    base = random_image(seed=5)
    base[..., :4, :] = x[..., :4, :]
    found = integrated_gradients(model, x, 1, baseline=base, steps=5).map
    assert not found[..., :4, :].any() and found[..., 4:, :].all()


# --- peers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule, peer", [("midpoint", "riemann_middle"), ("gauss-legendre", "gausslegendre")])
@pytest.mark.parametrize("name", ("sequential", "shared", "F.relu in place", "residual"))
def test_captum(rule, peer, name):
    model, x, base = awkward(name), random_image(n=3), random_image(n=3, seed=9)
    target = torch.tensor([1, 0, 4])
    expected, delta = captum.attr.IntegratedGradients(model).attribute(
        x, base, target, n_steps=20, method=peer, return_convergence_delta=True
    )
    found = integrated_gradients(model, x, target, baseline=base, steps=20, rule=rule, batch=7)
    # captum's points are in float32
    assert near(found.map, expected, 1e-4) and torch.allclose(found.gap, delta.double(), atol=1e-5)


@pytest.mark.parametrize(
    "net, size", [("photonet", 64), ("shapesnet", 64), ("alexnet", 80), ("resnet18", 64)]
)
def test_captum_on_the_networks_of_the_course(net, size):
    model = torchvision_net(net) if net in ("alexnet", "resnet18") else models.load(net)
    model, x = model.double(), random_image(size)
    expected = captum.attr.IntegratedGradients(model).attribute(
        x, target=3, n_steps=6, method="riemann_middle"
    )
    assert near(integrated_gradients(model, x, 3, steps=6).map, expected, 1e-4)


# --- chunks, targets, baselines ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch", (1, 3, 4, 1000))
def test_chunks_change_nothing(batch):
    model, x = awkward("residual", torch.float32), random_image(n=4, dtype=torch.float32)
    target = torch.tensor([[1, 2], [3, 0], [4, 4], [0, 1]])
    found = integrated_gradients(model, x, target, steps=5, batch=batch)
    assert found.map.shape == (4, 2, 3, 16, 16) and found.gap.shape == (4, 2)
    assert tuple(found.passes) == (28, 40)
    for n in range(4):
        for t in range(2):
            alone = integrated_gradients(model, x[n : n + 1], int(target[n, t]), steps=5)
            assert (found.map[n, t] - alone.map[0]).abs().max() < 1e-6
            assert abs(found.gap[n, t] - alone.gap[0]) < 1e-6


def test_memory_does_not_grow_with_the_steps():
    """No tensor larger than a chunk is ever made: neither the images of a pass nor anything kept."""
    model, x = awkward("sequential"), random_image()
    largest = {}

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                sizes.append(out.numel())
            return out

    for steps in (20, 500):
        sizes = []
        with Watch():
            integrated_gradients(model, x, 1, steps=steps, batch=4)
        largest[steps] = max(sizes)
        assert sizes.count(4 * 6 * 16 * 16) >= steps // 4
    assert largest[20] == largest[500] == 4 * 6 * 16 * 16  # the first maps of four points


def test_a_baseline_in_every_form():
    model, x = awkward("sequential"), random_image(n=2)
    colour = (0.2, 0.5, 0.9)
    whole = torch.tensor(colour).double()[:, None, None].expand(3, 16, 16)
    expected = captum.attr.IntegratedGradients(model).attribute(
        x, whole[None].contiguous(), 1, n_steps=4, method="riemann_middle"
    )
    for baseline in (colour, torch.tensor(colour), whole, whole[None], whole.expand(2, 3, 16, 16)):
        found = integrated_gradients(model, x, 1, baseline=baseline, steps=4)
        assert near(found.map, expected, 1e-6)  # the colour is in float32
    for wrong, error in [
        (torch.zeros(2), ValueError),
        (torch.zeros(3, 3, 16, 16), ValueError),
        (torch.zeros(3, 16, 15), ValueError),
        (float("nan"), ValueError),
        ("black", TypeError),
    ]:
        with pytest.raises(error, match="baseline"):
            integrated_gradients(model, x, 1, baseline=wrong)
    with pytest.raises(LookupError, match="Did you mean 'midpoint'"):
        integrated_gradients(model, x, 1, rule="mid-point")
    for steps in (0, 2.5, True):
        with pytest.raises(ValueError, match="steps is a whole number"):
            integrated_gradients(model, x, 1, steps=steps)
    with pytest.raises(ValueError, match="1 image or more"):
        integrated_gradients(model, x, 1, batch=0)


def test_a_unit_and_a_probability():
    model, x = awkward("in place"), random_image(n=2)
    found = integrated_gradients(model, x, Unit("3", 2), steps=300)
    maps = model[3](model[2](model[0](x).relu()))[:, 2].mean((1, 2))
    assert (
        torch.allclose(found.score, maps) and (found.gap.abs() < 1e-3 * found.map.abs().sum((1, 2, 3))).all()
    )
    chance = integrated_gradients(model, x, 2, steps=300, output="probability")
    assert torch.allclose(chance.difference, (model(x).softmax(1) - model(0 * x).softmax(1))[:, 2])
    assert (chance.gap.abs() < 1e-3 * chance.map.abs().sum((1, 2, 3))).all()


def test_progress_and_a_stop_on_the_way():
    model, x = Formula(lambda x: (x**2).sum(1)), random_image(n=3)
    heard = []
    integrated_gradients(model, x, 0, steps=10, batch=4, progress=lambda *now: heard.append(now))
    assert heard == [(done, 30) for done in (4, 8, 12, 16, 20, 24, 28, 30)]
    # Stopped at once: with batch 2 the third image has no point yet, so it goes on until it has one.
    found = integrated_gradients(model, x, 0, steps=100, batch=2, progress=lambda *now: True)
    assert tuple(found.passes) == (4 + 6, 4) and (found.map.sum((1, 2, 3)) > 0).all()
    # Some way on the points lie evenly, and the answer is a rough one of the whole, not of the first part.
    rough = integrated_gradients(model, x, 0, steps=100, progress=lambda done, _: done >= 60)
    assert rough.passes.forward < 80 and (rough.gap.abs() < 0.1 * rough.score).all()
    ending = integrated_gradients(model, x, 0, steps=10, progress=lambda done, total: done == total)
    assert torch.equal(ending.map, integrated_gradients(model, x, 0, steps=10).map)


def test_the_mean_of_a_mean():
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    values = torch.rand(4, 3, 2, 5, dtype=torch.float64)  # points, images
    for batch in (1, 2, 5, 12, 99):
        found = weighted_mean(3, weights, lambda n, k: values[k, n], batch=batch)
        assert torch.allclose(found, (weights[:, None, None, None] * values).sum(0), atol=1e-15)
    part = weighted_mean(3, weights, lambda n, k: values[k, n], batch=4, progress=lambda *_: True)
    assert torch.allclose(part[0], (0.1 * values[0, 0] + 0.2 * values[1, 0]) / 0.3)
    assert torch.allclose(part[1:], values[0, 1:])


# --- the way itself ---------------------------------------------------------------------------------------


def test_path_is_what_it_says():
    model, x = Formula(lambda x: (x**3).sum(1)), pixels(0.5, 1)
    found = path(model, x, 0, steps=4, batch=2)
    at = torch.tensor([0, 0.25, 0.5, 0.75, 1]).double()
    cubes = 0.5**3 + 1
    assert torch.equal(found.at, at)
    assert torch.allclose(found.scores[0], at**3 * cubes) and torch.allclose(
        found.gradients[0], 3 * at**2 * cubes
    )
    assert torch.allclose(found.sizes[0], 3 * at**2 * (0.25 + 1) / 2)
    trapezoids = [0, *(0.125 * 3 * cubes * (a**2 + b**2) for a, b in zip(at, at[1:], strict=False))]
    assert torch.allclose(found.sums[0], torch.tensor(trapezoids).double().cumsum(0))


@pytest.mark.parametrize("batch", (1, 4, 100))
def test_path_of_several_pictures_and_targets(batch):
    model, x = awkward("residual"), random_image(n=2)
    target = torch.tensor([[1, 2, 3], [3, 0, 4]])
    found = path(model, x, target, baseline=0.3, steps=40, batch=batch)
    assert found.scores.shape == found.gradients.shape == found.sizes.shape == found.sums.shape == (2, 3, 41)
    for n in range(2):
        for t in range(3):
            alone = path(model, x[n : n + 1], int(target[n, t]), baseline=0.3, steps=40)
            for one, other in zip(alone[1:], found[1:], strict=True):
                assert torch.allclose(one[0], other[n, t], atol=1e-12)
    assert torch.allclose(found.scores[..., -1], model(x).gather(1, target))
    risen = found.scores - found.scores[..., :1]
    assert (found.sums - risen).abs().max() < 0.03 * risen.abs().max()


def test_saturation_on_the_way():
    model = Formula(lambda x: 1 - (1 - x.sum(1)).relu())  # flat from a sum of 1 on
    found = path(model, pixels(1, 1), 0, steps=10)
    assert (found.sizes[0] > 0).tolist() == [True] * 5 + [False] * 6
    assert found.scores[0, -1] == 1 and integrated_gradients(model, pixels(1, 1), 0).total == 1
