"""Attacks against naive loops, closed forms and a peer; what they promise; attacks that would do nothing."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from explained_nets import AWKWARD, CutShort, awkward
from probed_nets import random_image, state
from torch import nn

from cnnlab.methods.adversarial import (
    Quantised,
    Sharpened,
    deepfool,
    evaluated,
    fgsm,
    linear_approximation,
    pgd,
    random_noise,
)
from cnnlab.methods.adversarial.classifier import Classifier, Evaluation, log_odds_against
from cnnlab.methods.adversarial.norms import steepest_ascent
from cnnlab.methods.adversarial.pgd import _better
from cnnlab.nets import models
from cnnlab.probing import Unit

ATTACKS = {
    "fgsm": fgsm,
    "pgd": lambda *a, **k: pgd(*a, steps=3, **k),
    "pgd from the image": lambda *a, **k: pgd(*a, steps=3, start="image", **k),
    "random_noise": random_noise,
}
LABELS = torch.tensor([1, 4, 0])


def gradient_of(model, x, labels, sign=1):
    """The textbook's: autograd through torch's own cross-entropy."""
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        sign * F.cross_entropy(model(leaf.clone()), labels, reduction="sum"), leaf
    )
    return gradient


def linear(weight, bias=0.0):
    """Logits (N, 2): w·x + b, and zero."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(weight.numel(), 2)).double()
    model[1].weight.data = torch.stack([weight.flatten(), torch.zeros(weight.numel())]).double()
    model[1].bias.data = torch.tensor([bias, 0.0], dtype=torch.float64)
    return model


# --- the numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm, size", [("linf", lambda w: w.abs().sum()), ("l2", lambda w: w.norm())])
def test_the_logit_of_a_linear_model_falls_by_eps_times_the_norm_of_its_weights(norm, size):
    weight = torch.randn(3, 4, 4, dtype=torch.float64)
    model, x = linear(weight, 0.3), torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
    eps = torch.tensor([0.1, 0.05], dtype=torch.float64)
    found = linear_approximation(model, x, eps, labels=0, norm=norm)
    for drop in (found.predicted, found.within, found.measured):
        assert torch.allclose(drop, eps * size(weight), rtol=1e-12)
    attacked = fgsm(model, x, eps, labels=0, norm=norm)
    fall = model(x)[:, 0] - model(attacked.images)[:, 0]
    assert torch.allclose(fall, eps * size(weight), rtol=1e-12)
    assert torch.allclose(attacked.linf if norm == "linf" else attacked.l2, eps, rtol=1e-12)
    assert tuple(attacked.passes) == (4, 2) and tuple(found.passes) == (4, 2)


def test_a_pixel_at_the_edge_cannot_move_and_the_prediction_says_so():
    weight = torch.ones(1, 1, 4)
    model, x = linear(weight, 1.0), torch.tensor([[[[0.5, 0.5, 0.0, 0.05]]]], dtype=torch.float64)
    found = linear_approximation(model, x, 0.1)
    assert found.labels.tolist() == [0] and tuple(found.passes) == (3, 1)
    assert found.predicted.item() == pytest.approx(0.4)
    assert found.within.item() == pytest.approx(0.25) == found.measured.item()


@pytest.mark.parametrize("name", AWKWARD)
def test_fgsm_is_the_textbooks_on_every_build(name):
    model, x = awkward(name), random_image(n=3)
    for norm in ("linf", "l2"):
        for options, sign in (({"labels": LABELS}, 1), ({"target": LABELS}, -1)):
            found = fgsm(model, x, 0.03, norm=norm, batch=2, **options)
            gradient = gradient_of(model, x, LABELS, sign)
            sure = gradient.abs() > 1e-9 * gradient.abs().max()  # no sign that rounding could turn
            unit = (
                gradient.sign()
                if norm == "linf"
                else gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            )
            expected = (x + 0.03 * unit).clamp(0, 1)
            assert sure.any() and torch.allclose(found.images[sure], expected[sure], rtol=0, atol=1e-12)
            loss = F.cross_entropy(model(found.images.clone()), LABELS, reduction="none")
            assert torch.allclose(found.loss_after, loss, rtol=1e-10)
            assert torch.equal(found.zero_gradient, ~gradient.flatten(1).any(dim=1))


@pytest.mark.parametrize("norm", ("linf", "l2"))
@pytest.mark.parametrize("name", ("in place", "residual", "F.relu"))
def test_pgd_is_a_naive_loop(name, norm):
    model, x = awkward(name), random_image(n=2)
    eps, alpha, labels = (0.02, 0.008, LABELS[:2]) if norm == "linf" else (0.4, 0.2, LABELS[:2])
    found = pgd(model, x, eps, norm=norm, steps=4, step_size=alpha, start="image", labels=labels)
    now, kept, best = x.clone(), None, None
    for _ in range(4):
        gradient = gradient_of(model, now, labels)
        if norm == "linf":
            change = (now + alpha * gradient.sign() - x).clamp(-eps, eps)
        else:
            change = now + alpha * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1) - x
            size = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            change = torch.where(size > eps, change * eps / size, change)
        now = (x + change).clamp(0, 1)
        logits = model(now.clone()).detach()
        loss, wrong = F.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) != labels
        rank = loss + 1000 * wrong
        if best is None:
            best, kept = rank, now
        else:
            kept = torch.where((rank >= best).view(-1, 1, 1, 1), now, kept)
            best = torch.maximum(rank, best)
    assert torch.allclose(found.images, kept, rtol=0, atol=1e-9)
    assert torch.allclose(found.loss_after, best % 1000, rtol=1e-7)
    assert tuple(found.passes) == (2 * 5, 2 * 4)


def test_one_step_of_pgd_from_the_picture_is_fgsm(net, data):
    for norm, eps in (("linf", 0.1), ("l2", 1.5)):
        one = pgd(net, data.images, eps, norm=norm, steps=1, step_size=eps, start="image", labels=data.labels)
        other = fgsm(net, data.images, eps, norm=norm, labels=data.labels)
        assert (one.images - other.images).abs().max() <= 1e-6
        assert torch.equal(one.after, other.after) and one.passes == other.passes


def test_the_loss_and_its_slope_keep_their_digits_where_p_is_nearly_1():
    """In float32, against float64: torch's own cross-entropy says 0 there."""
    logits = torch.tensor([[30.0, 1.0, 0.5], [1.0, 0.0, -2.0], [-5.0, 9.0, 0.0]])
    numbers = torch.tensor([0, 0, 0])

    def both(values):
        leaf = values.clone().requires_grad_()
        odds = log_odds_against(leaf, numbers)
        loss = torch.logaddexp(torch.zeros((), dtype=leaf.dtype), odds)
        return loss.detach(), torch.autograd.grad(loss.sum(), leaf)[0]

    loss, gradient = both(logits)
    exact, right = both(logits.double())
    assert torch.allclose(
        exact[1:], F.cross_entropy(logits.double(), numbers, reduction="none")[1:], rtol=1e-12
    )
    assert torch.allclose(loss.double(), exact, rtol=1e-5) and torch.allclose(
        gradient.double(), right, rtol=1e-5
    )
    assert loss[0] > 0 and F.cross_entropy(logits, numbers, reduction="none")[0] == 0
    small = steepest_ascent(torch.tensor([[[[3e-30, -4e-30]]]]), "l2")
    assert small.flatten().tolist() == pytest.approx([0.6, -0.8])


# --- contracts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm, eps", [("linf", 0.15), ("l2", 2.0)])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_the_books_are_right_and_the_change_is_allowed(attack, norm, eps, net, data):
    x, y = data.images, data.labels
    found = attack(net, x, eps, norm=norm, labels=y)
    assert found.images.min() >= 0 and found.images.max() <= 1
    change = (found.images - x).flatten(1)
    assert torch.allclose(found.linf, change.abs().max(1).values) and torch.allclose(
        found.l2, change.norm(dim=1)
    )
    size = found.linf if norm == "linf" else found.l2
    assert (size <= eps + 1e-6).all() and (size > 0.5 * eps).all()
    with torch.no_grad():
        before, after = net(x), net(found.images)
    assert torch.equal(found.before, before.argmax(1)) and torch.equal(found.after, after.argmax(1))
    assert torch.equal(found.success, found.after != y) and torch.equal(found.labels, y)
    assert torch.allclose(found.loss_after, F.cross_entropy(after, y, reduction="none"), atol=1e-5)
    assert torch.allclose(found.probability, after.softmax(1)[range(len(y)), y], atol=1e-5)
    right = found.before == y
    assert found.success_rate == pytest.approx(float((found.after != y)[right].float().mean()))
    assert (
        found.originals.data_ptr() == x.data_ptr() and found.target is None and not found.zero_gradient.any()
    )
    assert found.stopped == "finished" and found.seconds > 0 and torch.equal(found.noise, found.images - x)
    still = attack(net, x, 0.0, norm=norm, labels=y)
    assert torch.equal(still.images, x) and torch.equal(still.before, still.after)


def test_an_attack_that_does_nothing_or_no_better_than_noise_fails_here(net, data):
    x, y = data.images, data.labels
    for norm, eps in (("linf", 0.15), ("l2", 2.0)):
        noise, one, many = (f(net, x, eps, norm=norm, labels=y) for f in (random_noise, fgsm, pgd))
        assert (
            noise.success_rate < 0.1
            and one.success_rate > 0.5
            and many.success_rate > 0.9
            and many.success_rate >= one.success_rate
        )
        assert (one.loss_after > noise.loss_after).double().mean() > 0.9
        assert (many.loss_after > one.loss_after).double().mean() > 0.8
        # In float32 the sum of squares of hundreds of numbers is rounded, too.
        assert torch.allclose(noise.linf if norm == "linf" else noise.l2, torch.tensor(eps), atol=0.7 * eps)


def test_towards_a_target(net, data):
    x, y = data.images, data.labels
    wanted = (y + 1) % 10
    found = pgd(net, x, 0.25, labels=y, target=wanted)
    assert found.success_rate > 0.9 and torch.equal(found.success, found.after == wanted)
    assert (found.loss_after < found.loss_before).all()
    assert random_noise(net, x, 0.25, target=wanted).success_rate < 0.2
    three = fgsm(net, x, 0.25, target="3")  # also by its name; what says 3 already does not count
    assert three.target.tolist() == [3] * len(x) and not three.attackable[y == 3].any()
    assert three.success_rate == pytest.approx(float(three.success[three.attackable].float().mean()))
    other = (three.after != 3) & (three.after != three.before)  # led away, and not to the target
    assert torch.equal(three.success, three.after == 3) and other.any()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_chunks_and_neighbours_change_nothing(attack):
    model, x = awkward("residual"), random_image(n=5)
    whole = attack(model, x, 0.05)
    assert torch.equal(whole.labels, whole.before)  # its own answers
    for batch in (1, 2, 5):
        part = attack(model, x, 0.05, batch=batch)
        assert torch.allclose(part.images, whole.images, rtol=0, atol=1e-9)
        assert torch.allclose(part.loss_after, whole.loss_after) and torch.equal(part.labels, whole.labels)
    eps = torch.tensor([0.05, 0.0, 0.02, 0.05, 0.01], dtype=torch.float64)
    each = attack(model, x, eps)
    assert torch.equal(each.images[1], x[1]) and (each.linf <= eps + 1e-12).all()
    assert torch.allclose(each.images[0], whole.images[0], rtol=0, atol=1e-9)
    alone = attack(model, x[:1], 0.05)  # a batch of one
    assert torch.allclose(alone.images, whole.images[:1], rtol=0, atol=1e-9)


def test_the_seed_makes_the_start_and_the_noise(net, data):
    x = data.images[:4]
    for attack in (random_noise, ATTACKS["pgd"]):
        first, again, other = (attack(net, x, 0.1, seed=seed).images for seed in (0, 0, 1))
        assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_control_is_as_large_as_the_attack_and_a_start_is_anywhere_within():
    """Nothing is cut off at grey: so the noise is exactly eps, and a start is spread over all of it."""
    model, x = awkward("sequential"), torch.full((6, 3, 16, 16), 0.5, dtype=torch.float64)
    noise = random_noise(model, x, 0.1).noise
    assert torch.allclose(noise.abs(), torch.full_like(x, 0.1), rtol=1e-12) and noise.mean().abs() < 0.01
    ball = random_noise(model, x, 0.1, norm="l2").noise.flatten(1)
    assert torch.allclose(ball.norm(dim=1), torch.full((6,), 0.1).double(), rtol=1e-12)
    start = pgd(model, x, 0.1, steps=1, step_size=0.0).noise / 0.1  # a step of nothing
    assert start.abs().max() <= 1 + 1e-9 and start.mean().abs() < 0.05
    assert start.square().mean().item() == pytest.approx(1 / 3, abs=0.02)  # uniform from -1 to 1
    balls = pgd(model, x, 0.1, norm="l2", steps=1, step_size=0.0).noise.flatten(1)
    assert ((balls.norm(dim=1) > 0.098) & (balls.norm(dim=1) <= 0.1 + 1e-12)).all()  # of 768 dimensions
    assert (balls @ balls.T / 0.01).triu(1).abs().max() < 0.2  # each another way


class Strict(nn.Module):
    """Refuses images outside of [0, 1], or further than eps from its own."""

    def __init__(self, own, eps):
        super().__init__()
        self.net, self.own, self.eps = awkward("sequential"), own, eps

    def forward(self, x):
        assert x.min() >= 0 and x.max() <= 1 and (x - self.own).abs().max() <= self.eps + 1e-9
        return self.net(x)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_the_network_is_never_asked_about_what_is_not_allowed(attack):
    x = random_image()
    x[..., :4], x[..., 4:8] = 0.0, 1.0
    assert (attack(Strict(x, 0.05), x, 0.05).images != x).any()


@pytest.mark.parametrize("norm", ("linf", "l2"))
def test_a_flat_network_changes_nothing(norm):
    """Also where the gradient would be divided by its length, which is zero."""
    flat, x = Quantised(awkward("sequential")), random_image(n=2)
    for attack in (fgsm, ATTACKS["pgd from the image"]):
        found = attack(flat, x, 0.5, norm=norm)
        assert torch.equal(found.images, x) and found.zero_gradient.all() and not found.success.any()
    once, often = (pgd(flat, x, 0.5, norm=norm, steps=steps) for steps in (1, 3))  # moved at random only
    assert often.zero_gradient.all() and torch.equal(once.images, often.images)


def test_a_slope_that_goes_flat_on_the_way_was_there():
    class Hill(nn.Module):
        """Its loss rises up to a mean of 0.52, and no further."""

        def forward(self, x):
            mean = x.flatten(1).mean(dim=1)
            return torch.stack([1 + 0 * mean, 10 * (mean - 0.5).clamp(max=0.02)], dim=1)

    found = pgd(Hill(), torch.full((1, 3, 4, 4), 0.5), 0.2, start="image", steps=5)
    assert not found.zero_gradient.any() and not found.success.any()


class Peak(nn.Module):
    """The loss of class 0 is the highest where the mean is 0.51, and falls behind it."""

    def forward(self, x):
        away = (x.flatten(1).mean(dim=1) - 0.51).abs()
        return torch.stack([1 + 9 * away, 0 * away], dim=1)


def test_the_best_picture_is_kept_at_the_end_and_when_stopped():
    x = torch.full((1, 1, 2, 2), 0.49, dtype=torch.float64)
    options = {"start": "image", "step_size": 0.03, "labels": 0}  # to 0.52, 0.49, 0.52, ...
    best = pgd(Peak(), x, 0.1, steps=1, **options)
    assert best.images.mean().item() == pytest.approx(0.52)
    for steps in (2, 3, 4):
        end = pgd(Peak(), x, 0.1, steps=steps, **options)
        stopped = pgd(Peak(), x, 0.1, steps=9, **options, progress=lambda done, _, k=steps: done == k)
        for found in (end, stopped):
            assert found.loss_after.item() == pytest.approx(best.loss_after.item(), rel=1e-9)


def test_of_two_pictures_the_one_that_fools_is_better_then_the_one_with_more_loss():
    """With three classes an image can be wrong at a small loss, and right at a larger one."""
    victim = Classifier(awkward("sequential"), random_image(n=4), torch.tensor([0, 0, 0, 0]), None)
    looks = [
        Evaluation(torch.tensor(answers), gain, gain, None)
        for answers, gain in (
            ([1, 0, 0, 1], torch.tensor([0.8, 1.0, 1.0, 0.9])),
            ([0, 2, 0, 2], torch.tensor([1.05, 0.7, 0.9, 0.95])),
        )
    ]
    old, new = torch.zeros(4, 3, 16, 16), torch.ones(4, 3, 16, 16)
    images, look = _better(victim, slice(0, 4), (old, looks[0]), new, looks[1])
    assert images[:, 0, 0, 0].tolist() == [0, 1, 0, 1] and look.predictions.tolist() == [1, 2, 0, 2]
    assert torch.equal(look.loss, torch.tensor([0.8, 0.7, 1.0, 0.95]))


def test_the_steps_are_as_long_as_the_help_says():
    model, x = awkward("residual"), random_image(n=2)
    for norm in ("linf", "l2"):
        told = pgd(model, x, 0.04, norm=norm, steps=5, step_size=2.5 * 0.04 / 5)
        assert torch.equal(pgd(model, x, 0.04, norm=norm, steps=5).images, told.images)


def test_the_summary_counts_what_was_open_and_says_the_largest_change():
    model, x = awkward("sequential"), random_image(n=3)
    labels = model(x.clone()).argmax(1)
    labels[0] = (labels[0] + 1) % 5  # wrong by itself: no success of the attack
    eps = torch.tensor([0.0, 0.0, 51 / 255], dtype=torch.float64)
    found = fgsm(model, x, eps, labels=labels)
    assert found.success[0] and not found.attackable[0]
    assert str(found).startswith(f"{int(found.success[2])} of 2 images fooled; change at most 51.0/255, ")


class MixesImages(nn.Module):
    """What an image gets depends on the brightest pixel of the batch."""

    def __init__(self):
        super().__init__()
        self.net = awkward("sequential")

    def forward(self, x):
        return self.net(x / x.max())


def test_a_model_that_mixes_the_pictures_of_a_batch_gets_them_one_by_one():
    model, x = MixesImages(), random_image(n=3)
    found = fgsm(model, x, 0.05, labels=LABELS)
    for n in range(3):
        alone = fgsm(model, x[n : n + 1], 0.05, labels=LABELS[n : n + 1])
        assert torch.allclose(found.images[n], alone.images[0])


def test_pictures_changed_elsewhere_are_judged_alike(net, data):
    x, y = data.images, data.labels
    found = fgsm(net, x, 0.15, labels=y)
    again = evaluated(net, x, found.images, labels=y)
    for one, other in zip(found[:-3], again[:-3], strict=True):
        assert one is None and other is None or torch.allclose(one.double(), other.double(), atol=1e-5)
    with pytest.raises(ValueError, match="each image has its original"):
        evaluated(net, x, found.images[:3])
    for wrong, said in ((found.images * 255, "divide by 255"), (found.images / 0, "not finite")):
        with pytest.raises(ValueError, match=said):
            evaluated(net, x, wrong)


# --- promises ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("mode", (torch.no_grad, torch.inference_mode, torch.enable_grad))
def test_nothing_of_the_callers_is_disturbed(attack, mode):
    model, x = awkward("in place"), random_image(n=3)
    model.train()
    model[0].weight.requires_grad_(False)
    was = state(model, x)
    with mode():
        inner = state(model, x)
        found = attack(model, x, 0.05)
        assert state(model, x) == inner
    assert state(model, x) == was and not found.images.requires_grad
    assert (found.images - x).abs().max() > 0.04


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_pictures_born_in_inference_mode(attack):
    model = awkward("sequential")
    with torch.inference_mode():
        x, labels = random_image(n=2) * 1.0, torch.tensor([1, 2])
        found = attack(model, x, torch.tensor(0.05), labels=labels)
    same = attack(model, random_image(n=2), 0.05, labels=torch.tensor([1, 2]))
    assert torch.allclose(found.images, same.images)
    assert torch.allclose(attack(model, x, 0.05, labels=labels).images, same.images)


class Fails(nn.Module):
    """Its fourth pass raises."""

    def __init__(self, error):
        super().__init__()
        self.net, self.error, self.count = awkward("in place"), error, [0]

    def forward(self, x):
        self.count[0] += 1
        if self.count[0] == 4:
            raise self.error
        return self.net(x)


def test_nothing_is_disturbed_by_an_error_half_way():
    model, x = Fails(ZeroDivisionError("on the way")), random_image(n=1)
    model.train()
    was = state(model, x)
    with pytest.raises(ZeroDivisionError, match="on the way"):
        pgd(model, x, 0.05, steps=9)
    assert state(model, x) == was


# --- stopping ---------------------------------------------------------------------------------------------


def test_progress_counts_and_stops_and_what_was_reached_stays(net, data):
    x, y = data.images[:12], data.labels[:12]
    told = []
    whole = pgd(net, x, 0.15, steps=5, labels=y, batch=4, progress=lambda *a: told.append(a))
    assert told == [(k, 15) for k in range(1, 16)] and whole.stopped == "finished"
    found = pgd(net, x, 0.15, steps=5, labels=y, batch=4, progress=lambda done, _: done == 7)
    assert found.stopped == "stopped" and "stopped before the end" in str(found)
    assert torch.equal(found.images[:4], whole.images[:4])  # the first chunk was done
    assert not torch.equal(found.images[4:8], x[4:8]) and (found.linf[4:8] <= 0.15 + 1e-6).all()
    assert torch.equal(found.images[8:], x[8:]) and torch.equal(found.after[8:], found.before[8:])
    with torch.no_grad():
        assert torch.equal(found.after, net(found.images).argmax(1))
    with pytest.raises(TypeError, match="progress is a function"):
        fgsm(net, x, 0.1, progress=3)


def test_ctrl_c_keeps_the_best_so_far():
    model, x = Fails(KeyboardInterrupt()), random_image(n=2)
    found = pgd(model, x, 0.05, steps=9, start="image", labels=LABELS[:2], batch=1)
    assert found.stopped == "interrupted"
    assert found.linf[0] > 0 and found.linf[1] == 0
    assert torch.equal(found.after, model.net(found.images).argmax(1))


def test_ctrl_c_before_the_first_step_of_a_chunk_leaves_that_chunk_alone():
    model, x = CutShort(awkward("in place"), 3), random_image(n=3)  # of a chunk: one pass, and one to judge
    found = fgsm(model, x, 0.05, batch=1)
    assert found.stopped == "interrupted" and found.linf[0] > 0
    assert torch.equal(found.images[1:], x[1:]) and torch.equal(found.after[1:], found.before[1:])


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, error, said",
    [
        ({"images": random_image() * 255}, ValueError, r"in \[0, 1\], these go from .* divide by 255"),
        ({"images": random_image() - 0.5}, ValueError, "normalisation a layer"),
        ({"images": random_image()[0]}, ValueError, r"\(N, C, H, W\)"),
        ({"images": torch.full((1, 3, 16, 16), torch.nan).double()}, ValueError, "not finite"),
        ({"images": random_image(dtype=torch.float32)}, ValueError, "do not fit"),
        ({"eps": -0.1}, ValueError, "eps is 0 or more"),
        ({"eps": 8}, ValueError, r"as 8/255; 8 is more than the largest"),
        ({"eps": float("nan")}, ValueError, "eps is 0 or more"),
        ({"eps": "much"}, ValueError, "eps is a number"),
        ({"eps": torch.tensor(True)}, ValueError, "eps is a number"),
        ({"eps": torch.zeros(3)}, ValueError, "for N = 1 images"),
        ({"norm": "l1"}, LookupError, "no norm 'l1'"),
        ({"loss": "mse"}, LookupError, "no loss 'mse'"),
        ({"labels": 5}, LookupError, "no class 5"),
        ({"target": 9}, LookupError, "no class 9"),
        ({"labels": "cat"}, LookupError, "no class 'cat'"),
        ({"labels": torch.zeros(1, 2, dtype=torch.int64)}, ValueError, "labels: one class for each"),
        ({"target": Unit("0", 1)}, TypeError, "a Unit cannot be attacked"),
        ({"batch": 0}, ValueError, "batch is 1 image or more, not 0"),
        ({"model": lambda x: x}, TypeError, "a model"),
        ({"model": nn.Sequential(awkward("sequential"), nn.Softmax(1))}, ValueError, "probabilities already"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(768, 1)).double()}, ValueError, "one output"),
        ({"model": nn.Sequential(nn.Conv2d(3, 2, 3)).double()}, ValueError, "where a model gives"),
    ],
)
def test_what_cannot_be_attacked_is_refused(change, error, said):
    given = {"model": awkward("sequential"), "images": random_image(), "eps": 0.1} | change
    for attack in (fgsm, pgd):
        with pytest.raises(error, match=said):
            attack(given.pop("model"), given.pop("images"), given.pop("eps"), **given)
        given = {"model": awkward("sequential"), "images": random_image(), "eps": 0.1} | change


def test_options_of_pgd_and_noise_are_checked():
    model, x = awkward("sequential"), random_image()
    for options, error in (
        ({"steps": 0}, ValueError),
        ({"step_size": -1}, ValueError),
        ({"start": "anywhere"}, LookupError),
        ({"seed": 0.5}, ValueError),
    ):
        with pytest.raises(error, match=next(iter(options))):
            pgd(model, x, 0.1, **options)
    with pytest.raises(ValueError, match="seed"):
        random_noise(model, x, 0.1, seed=None)


@pytest.mark.parametrize("dtype, factor", [(torch.float16, 1), (torch.bfloat16, 1), (torch.float32, 10)])
def test_probabilities_are_refused_also_where_they_are_rounded(dtype, factor, data):
    """Its gradients are none of the network's: three of eight images were fooled, without a word."""
    net = models.load("simpleconvnet")
    sure = nn.Sequential(Sharpened(net, factor=factor), nn.Softmax(1)).to(dtype)
    x = data.images[:8].to(dtype)
    for attack in (fgsm, pgd, random_noise):
        with pytest.raises(ValueError, match="probabilities already"):
            attack(sure, x, 0.1)


def test_random_models_and_slopes_that_are_no_numbers_are_refused():
    class Lots(nn.Module):
        def forward(self, x):
            return F.dropout(x.flatten(1)[:, :5])

    with pytest.raises(ValueError, match="random"):
        fgsm(Lots(), random_image(), 0.1)

    class Root(nn.Module):
        """Finite, but its gradient at 0 is not."""

        def forward(self, x):
            return x.flatten(1)[:, :5].sqrt()

    with pytest.raises(ValueError, match="not finite"):
        fgsm(Root(), torch.zeros(1, 3, 4, 4), 0.1)
    spoilt = awkward("sequential")
    spoilt[-1].bias.data[3] = torch.nan  # one class of five
    for attack in (*ATTACKS.values(), lambda model, x, _: deepfool(model, x)):
        with pytest.raises(ValueError, match="answer is not finite"):
            attack(spoilt, random_image(), 0.1)

    class Whole(nn.Module):
        """A path that no gradient comes back by at all."""

        def forward(self, x):
            return (x * 10).long().float().flatten(1)[:, :5]

    with pytest.raises(ValueError, match="does not depend on the image"):
        fgsm(Whole(), random_image(), 0.1)


# --- a peer -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer():
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_PYTHON_REFRESH", "quiet")  # it can fetch models by git; we do not ask for any
        warnings.simplefilter("ignore")  # of scipy, which it still calls by an older name
        import foolbox
    return foolbox


def test_foolbox_finds_the_same_in_float64(data, peer):
    """In float32, torch's cross-entropy has lost its digits where these digits are certain."""
    model, y = models.load("simpleconvnet").double(), data.labels
    # On plain paper many windows of a pool hold the same number four times. Which of them is the largest is
    # then a matter of rounding, and so is where the gradient goes: another processor rounds in another way.
    grain = torch.rand(data.images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = 0.95 * data.images.double() + 0.05 * grain
    theirs = peer.PyTorchModel(model, bounds=(0, 1), device="cpu")

    def attacked(attack, eps):
        return evaluated(model, x, attack(theirs, x, y, epsilons=eps)[1], labels=y)

    mine, other = fgsm(model, x, 0.1, labels=y), attacked(peer.attacks.LinfFastGradientAttack(), 0.1)
    # A gradient of zero, to rounding, may have either sign.
    assert ((mine.images - other.images).abs() > 1e-6).double().mean() < 0.001
    assert torch.equal(mine.after, other.after) and 0.3 < mine.success_rate < 0.9

    for norm, eps, step, attack in (
        ("linf", 0.1, 0.04, peer.attacks.LinfPGD),
        ("l2", 1.0, 0.5, peer.attacks.L2PGD),
    ):
        mine = pgd(model, x, eps, norm=norm, steps=5, step_size=step, start="image", labels=y)
        other = attacked(attack(abs_stepsize=step, steps=5, random_start=False), eps)
        assert mine.success.sum() >= other.success.sum() > 10
        assert (mine.loss_after >= other.loss_after - 1e-6).all()  # ours keeps the best, theirs the last

    smallest = attacked(peer.attacks.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02), None)
    mine = deepfool(model, x, labels=y)
    assert mine.success.all() and smallest.success.all()
    assert ((mine.l2 / smallest.l2 - 1).abs() < 0.05).all()
