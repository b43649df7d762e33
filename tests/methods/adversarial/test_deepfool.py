"""DeepFool against the closed form of affine classifiers, a naive loop, and attacks of the same size."""

import pytest
import torch
import torch.nn.functional as F
from explained_nets import AWKWARD, CutShort, awkward
from probed_nets import random_image, state
from torch import nn

from cnnlab.data import digits
from cnnlab.methods.adversarial import Quantised, Sharpened, deepfool, fgsm, pgd, random_noise
from cnnlab.nets import models


def affine(classes=4, pixels=48, seed=1):
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, classes)).double()
    random = torch.Generator().manual_seed(seed)
    model[1].weight.data = torch.randn(classes, pixels, generator=random, dtype=torch.float64)
    model[1].bias.data = torch.randn(classes, generator=random, dtype=torch.float64) / 10
    return model


def test_an_affine_classifier_takes_one_step_to_the_nearest_border():
    """facts.md 17: the least of |f_k - f_c| / |w_k - w_c|, by one step."""
    model = affine()
    x = 0.5 + 0.01 * (random_image(4, n=6) - 0.5)  # no pixel is cut off
    found = deepfool(model, x, overshoot=0.02, steps=1)
    weight, logits = model[1].weight.detach(), model(x).detach()
    for n in range(6):
        c = int(logits[n].argmax())
        ways = {
            k: float((logits[n, c] - logits[n, k]) / (weight[c] - weight[k]).norm())
            for k in range(4)
            if k != c
        }
        nearest = min(ways, key=ways.get)
        assert found.l2[n].item() == pytest.approx(1.02 * ways[nearest], rel=1e-9)
        assert found.before[n] == c and found.after[n] == nearest
        across = (weight[nearest] - weight[c]).view(3, 4, 4)
        way = found.noise[n] / found.l2[n]
        assert torch.allclose(way, across / across.norm(), atol=1e-12)
    assert found.success.all() and tuple(found.passes) == (6 * 3, 6 * 4)
    second = deepfool(model, x, steps=1, candidates=1)  # the one other class is that with the highest logit
    for way, (c, k) in zip(second.noise, logits.topk(2).indices, strict=True):
        across = (weight[k] - weight[c]).view(3, 4, 4)
        assert torch.allclose(way / way.norm(), across / across.norm(), atol=1e-12)
    on_it = deepfool(model, x, overshoot=0.0, steps=1)
    values = model(on_it.images).topk(2).values
    assert torch.allclose(values[:, 0], values[:, 1], atol=1e-12)


def test_two_classes_step_by_the_distance_to_the_plane():
    model = affine(classes=2)
    x = 0.5 + 0.01 * (random_image(4) - 0.5)
    w = model[1].weight[1] - model[1].weight[0]
    f = model(x)[0, 1] - model(x)[0, 0]
    found = deepfool(model, x, overshoot=0.0, steps=1, candidates=50)
    expected = (-f * w / (w @ w)).detach().view(1, 3, 4, 4)
    assert torch.allclose(found.noise, expected, atol=1e-14)


@pytest.mark.parametrize("name", ("in place", "residual", "F.relu", "views"))
def test_a_naive_loop_takes_the_same_steps(name):
    model, x = awkward(name), 0.3 + 0.4 * random_image()
    found = deepfool(model, x, steps=3, candidates=4)
    way, label = torch.zeros_like(x), int(model(x.clone()).argmax())
    now = x
    for _ in range(3):
        if int(model(now.clone()).argmax()) != label:
            break
        leaf = (x + way).requires_grad_()
        logits = model(leaf.clone())[0]
        grads = [torch.autograd.grad(logit, leaf, retain_graph=True)[0] for logit in logits]
        logits = logits.detach()
        steps = []
        for k in range(5):
            if k != label:
                w, f = grads[k] - grads[label], float(logits[k] - logits[label])
                if w.norm() > 0:
                    steps.append(abs(f) / w.norm() ** 2 * w)
        way = (x + way + min(steps, key=lambda step: step.norm())).clamp(0, 1) - x
        now = (x + 1.02 * way).clamp(0, 1)
    assert found.l2 > 0 and torch.allclose(found.images, now, atol=1e-9)


def test_trained_digits_are_fooled_by_less_than_any_other_attack_needs():
    net, data = models.load("simpleconvnet"), digits.load("test")
    x, y = data.images[:16], data.labels[:16]
    found = deepfool(net, x, labels=y)
    assert found.success.all() and not found.zero_gradient.any()
    assert found.images.min() >= 0 and found.images.max() <= 1
    with torch.no_grad():
        after = net(found.images)
    assert torch.equal(found.after, after.argmax(1)) and (found.after != y).all()
    assert torch.allclose(found.loss_after, F.cross_entropy(after, y, reduction="none"), atol=1e-5)
    for n in range(
        3
    ):  # one look at the image; for each step one with gradients of 10 logits, and one after it
        alone = deepfool(net, x[n : n + 1], labels=y[n : n + 1])
        assert alone.passes.forward == 1 + 2 * alone.passes.backward // 10 >= 3
        assert torch.allclose(alone.images[0], found.images[n], atol=1e-5)
    assert (
        fgsm(net, x, found.l2.clamp(max=28.0), norm="l2", labels=y).success_rate < 0.9
    )  # of the same size, each
    assert random_noise(net, x, found.l2, norm="l2", labels=y).success_rate < 0.1
    assert (
        pgd(net, x, 0.7 * found.l2, norm="l2", steps=8, labels=y).success_rate < 0.5
    )  # well below: not enough


def test_what_was_wrong_is_left_alone_and_what_has_no_slope_is_said():
    model, x = awkward("sequential"), random_image(n=3)
    said = model(x.clone()).argmax(1)
    labels = said.clone()
    labels[1] = (said[1] + 1) % 5
    found = deepfool(model, x, labels=labels)
    assert found.l2[1] == 0 and found.success[1] and not found.attackable[1] and found.l2[0] > 0
    flat = deepfool(Quantised(model), x)
    assert flat.zero_gradient.all() and not flat.success.any() and torch.equal(flat.images, x)
    assert flat.passes.forward == 3 * len(x)  # and nobody goes on for fifty steps
    none = deepfool(model, x, labels=(said + 1) % 5)
    assert torch.equal(none.images, x) and none.passes.backward == 0


@pytest.mark.parametrize("overshoot", (0.0, 0.02))
@pytest.mark.parametrize("gap", (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3))
def test_a_picture_that_lies_on_a_border_gets_across_it(gap, overshoot):
    """The way is so short that rounding takes it back, or there is none left at all."""
    model, x = affine(classes=3).float(), torch.full((1, 3, 4, 4), 0.5)
    with torch.no_grad():
        model[1].bias -= model(x)[0] - torch.tensor([gap, 0.0, 0.0])
    found = deepfool(model, x, overshoot=overshoot)
    assert found.success.all() and 0 < found.l2 < 2e-3 and found.passes.forward < 20


@pytest.mark.parametrize("factor", (1e-30, 1e-20, 1e18))
def test_the_distance_does_not_depend_on_the_size_of_the_logits(factor):
    net, x = models.load("simpleconvnet"), digits.load("test").images[:4]
    usual = deepfool(net, x)
    found = deepfool(Sharpened(net, factor=factor), x)
    assert found.success.all() and torch.allclose(found.l2, usual.l2, rtol=1e-2)


class Cliff(nn.Module):
    """A gradient that ends before the border."""

    def forward(self, x):
        mean = x.flatten(1).mean(dim=1)
        return torch.stack([1 + 0 * mean, 10 * (mean - 0.5).clamp(max=0.05)], dim=1)


def test_a_slope_that_ends_on_the_way_was_one():
    found = deepfool(Cliff(), torch.full((1, 3, 4, 4), 0.5))
    assert not found.success.any() and found.l2 > 0.1 and not found.zero_gradient.any()
    assert "no gradient" not in str(found)


@pytest.mark.parametrize("n", range(1, 6))
def test_ctrl_c_at_any_pass_leaves_books_that_are_right(n):
    net, x = models.load("simpleconvnet"), digits.load("test").images[:1]
    found = deepfool(CutShort(net, n), x)
    with torch.no_grad():
        logits = net(found.images)
    assert found.stopped == "interrupted" and torch.equal(found.after, logits.argmax(1))
    assert torch.allclose(
        found.loss_after, F.cross_entropy(logits, found.labels, reduction="none"), atol=1e-5
    )
    assert (found.l2 > 0) == (n > 3) and found.l2.item() == pytest.approx(found.noise.norm().item())


@pytest.mark.parametrize("name", AWKWARD)
def test_chunks_change_nothing_and_nothing_is_disturbed(name):
    model, x = awkward(name), random_image(n=3)
    model.train()
    was = state(model, x)
    whole = deepfool(model, x, steps=2)
    assert state(model, x) == was
    with torch.inference_mode():
        part = deepfool(model, x, steps=2, batch=2)
    assert torch.allclose(part.images, whole.images, rtol=0, atol=1e-7)


def test_stopping_and_wrong_options():
    model, x = awkward("residual"), random_image(n=2)
    told = []
    found = deepfool(model, x, steps=4, batch=1, progress=lambda *a: told.append(a) or len(told) == 1)
    assert found.stopped == "stopped" and told == [(1, 8)]
    assert found.l2[0] > 0 and torch.equal(found.images[1], x[1])
    told.clear()  # an end that comes soon is told, too
    deepfool(model, x, steps=30, batch=1, progress=lambda *a: told.append(a))
    assert (30, 60) in told and told[-1] == (60, 60) and len(told) < 40
    for options in ({"steps": 0}, {"candidates": 0}, {"overshoot": -0.1}, {"overshoot": True}):
        with pytest.raises(ValueError, match=next(iter(options))):
            deepfool(model, x, **options)
