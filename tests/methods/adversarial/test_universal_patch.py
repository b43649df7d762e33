"""One noise for all, a sticker for any position, noise taken for a digit: against chance, and promises."""

import pytest
import torch
import torch.nn.functional as F
from explained_nets import CutShort, awkward
from probed_nets import random_image, state
from torch import nn

from cnnlab.data import digits
from cnnlab.methods.adversarial import (
    Quantised,
    adversarial_patch,
    apply_patch,
    evaluated,
    fooling_images,
    universal_perturbation,
)
from cnnlab.methods.adversarial.adversarial_patch import _patch_gradient


@pytest.fixture(scope="module")
def data():
    return digits.load("test")


# --- universal --------------------------------------------------------------------------------------------


def test_one_noise_fools_pictures_that_it_was_not_made_with(net, data):
    x, y = data.images[:96], data.labels[:96]
    others, theirs = data.images[96:160], data.labels[96:160]
    found = universal_perturbation(net, x, 0.2, labels=y, epochs=3)
    assert found.noise.shape == (1, 1, 28, 28) and found.noise.abs().max() <= 0.2 + 1e-6
    unseen = evaluated(net, others, found.apply(others), labels=theirs)
    turned = evaluated(net, others, (others + found.noise.flip(2)).clamp(0, 1), labels=theirs)  # same size
    assert (
        found.success_rate > 0.5
        and unseen.success_rate > 0.4
        and unseen.success_rate > 2 * turned.success_rate
    )
    assert (
        torch.equal(found.result.images, found.apply(x)) and found.success_rate == found.result.success_rate
    )
    assert len(found.history) == 9 and found.history[0] < 0.1 < found.history[-1]
    assert tuple(found.passes) == (3 * 96 + 2 * 96, 3 * 96) and found.stopped == "finished"


def test_a_universal_noise_of_l2_and_one_with_a_target(net, data):
    x = data.images[:64]
    found = universal_perturbation(net, x, 4.0, norm="l2")
    assert 2 < found.noise.norm() <= 4 + 1e-5 and found.success_rate > 0.3
    turned = (x + found.noise.flip(2)).clamp(0, 1)
    assert found.success_rate > 2 * evaluated(net, x, turned).success_rate
    far = universal_perturbation(
        net, x[:32], 0.5, norm="l2", step_size=0.4, epochs=4
    )  # would leave eps without being cut off
    assert far.noise.norm().item() == pytest.approx(0.5, rel=1e-4)
    eight = universal_perturbation(net, x, 0.3, target="8", epochs=3)
    assert eight.success_rate > 0.3 and eight.result.target.tolist() == [8] * 64


def test_a_linear_model_gets_the_noise_of_the_closed_form():
    """All images have one gradient, so the noise is eps times its sign after eps / alpha steps."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).double()
    x = 0.5 + 0.01 * random_image(4, n=4)
    labels = model(x).argmax(1)
    keep = labels == labels[0]
    found = universal_perturbation(model, x[keep], 1e-4, step_size=1e-4, epochs=1, batch=8)
    row = model[1].weight.detach()[1 - labels[0]] - model[1].weight.detach()[labels[0]]
    assert torch.equal(found.noise, 1e-4 * row.sign().view(1, 3, 4, 4))


def test_only_those_that_the_noise_does_not_fool_have_a_say():
    model, x = awkward("residual"), random_image(n=6)
    labels = model(x.clone()).argmax(1)
    labels[3:] = (labels[3:] + 1) % 5  # named otherwise already
    options = {"step_size": 0.05, "epochs": 1, "batch": 8}
    found = universal_perturbation(model, x, 0.05, labels=labels, **options)
    assert torch.equal(
        found.noise, universal_perturbation(model, x[:3], 0.05, labels=labels[:3], **options).noise
    )
    assert found.history == [0.5]


def test_universal_promises_and_refusals():
    model, x = awkward("residual"), random_image(n=4)
    model.train()
    was = state(model, x)
    first, again, other = (
        universal_perturbation(model, x, 0.05, epochs=2, batch=2, seed=s) for s in (0, 0, 1)
    )
    assert state(model, x) == was
    assert torch.equal(first.noise, again.noise) and first.history == again.history
    with torch.inference_mode():
        assert torch.equal(universal_perturbation(model, x, 0.05, epochs=2, batch=2).noise, first.noise)
    stopped = universal_perturbation(model, x, 0.05, epochs=2, batch=2, progress=lambda done, *_: done == 1)
    assert stopped.stopped == "stopped" and len(stopped.history) == 1 and stopped.noise.any()

    told = []
    ended = universal_perturbation(
        model, x, 0.05, epochs=2, batch=2, progress=lambda *a: told.append(a) or a[0] == a[1]
    )
    assert ended.stopped == "finished" and [a[:2] for a in told] == [(k, 4) for k in range(1, 5)]
    assert torch.equal(told[-1][2], ended.noise) and not torch.equal(told[0][2], ended.noise)

    def interrupt(*_):
        raise KeyboardInterrupt

    assert universal_perturbation(model, x, 0.05, batch=2, progress=interrupt).stopped == "interrupted"
    assert state(model, x) == was
    with pytest.raises(ValueError, match="no noise was made"):
        universal_perturbation(Quantised(model), x, 0.05)
    for options in ({"epochs": 0}, {"batch": 0}, {"step_size": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            universal_perturbation(model, x, 0.05, **options)
    with pytest.raises(ValueError, match="eps"):
        universal_perturbation(model, x, 8)


@pytest.mark.parametrize("n", (3, 6, 13, 17))  # while it looks, while it learns, while it judges
def test_ctrl_c_is_said_also_when_the_result_was_being_judged(n, net, data):
    x = data.images[:16]
    found = universal_perturbation(CutShort(net, n), x, 0.2, epochs=2, batch=4)
    assert found.stopped == "interrupted" and found.noise.any() == (n > 8)
    made = adversarial_patch(CutShort(net, n), x, 3, side=8, steps=8, batch=4)
    assert made.stopped == "interrupted" and len(made.history) == min(8, n - 3)


def test_a_noise_is_not_added_to_pictures_of_another_shape_or_range(net, data):
    found = universal_perturbation(net, data.images[:8], 0.1, epochs=1)
    with pytest.raises(ValueError, match=r"for images of \(1, 28, 28\), not \(3, 28, 28\)"):
        found.apply(torch.rand(2, 3, 28, 28))
    for wrong, said in ((255 * data.images[:2], "divide by 255"), (data.images[0], r"\(N, C, H, W\)")):
        with pytest.raises(ValueError, match=said):
            found.apply(wrong)


# --- stickers ---------------------------------------------------------------------------------------------


def test_pasted_where_it_was_asked_for_and_taken_off_is_the_way_back():
    x, patch = random_image(6, n=3), 1 + random_image(2)[0]
    rows, columns, turns = torch.tensor([0, 4, 2]), torch.tensor([4, 0, 1]), torch.tensor([0, 1, 2])
    was = x.clone()
    found = apply_patch(x, patch, rows, columns, turns)
    assert torch.equal(x, was)
    for n in range(3):
        expected = x[n].clone()
        for i in range(2):
            for j in range(2):
                position = {0: (i, j), 1: (1 - j, i), 2: (1 - i, 1 - j)}[n]
                expected[:, rows[n] + position[0], columns[n] + position[1]] = patch[:, i, j]
        assert torch.equal(found[n], expected)
    g = torch.randn(
        3, 3, 6, 6, dtype=torch.float64
    )  # <apply_patch(p) - apply_patch(0), g> = <p, patch_gradient(g)>
    change = found - apply_patch(x, torch.zeros_like(patch), rows, columns, turns)
    off = _patch_gradient(g, 2, rows, columns, turns)
    assert float((change * g).sum()) == pytest.approx(float((patch * off).sum()))


def test_a_sticker_works_where_a_random_one_does_not(net, data):
    x = data.images[:60]
    found = adversarial_patch(net, x, 3, side=10, steps=60, rotate=False)
    assert found.patch.shape == (1, 10, 10) and 0 <= found.patch.min() and found.patch.max() <= 1
    assert torch.equal(
        found.result.images, apply_patch(x, found.patch, found.rows, found.columns, found.rotations)
    )
    random = apply_patch(x, torch.rand(1, 10, 10), found.rows, found.columns)
    chance = evaluated(net, x, random, target=3).success_rate
    assert found.success_rate > chance + 0.2 and found.result.after.eq(3).double().mean() > 0.3
    other = apply_patch(data.images[100:160], found.patch, found.rows, found.columns)  # not seen before
    assert evaluated(net, data.images[100:160], other, target=3).success_rate > chance + 0.2
    assert found.rows.unique().numel() > 5 and not found.rotations.any() and len(found.history) == 60


def test_sticker_promises_and_refusals():
    model, x = awkward("in place"), random_image(n=4)
    model.train()
    was = state(model, x)
    first, again = (adversarial_patch(model, x, 2, side=5, steps=3) for _ in range(2))
    assert state(model, x) == was and torch.equal(first.patch, again.patch) and first.rotations.any()
    with torch.inference_mode():
        assert torch.equal(adversarial_patch(model, x, 2, side=5, steps=3).patch, first.patch)
    stopped = adversarial_patch(model, x, 2, side=5, steps=3, progress=lambda done, *_: done == 1)
    assert stopped.stopped == "stopped" and len(stopped.history) == 1
    told = []  # what was told does not change afterwards
    adversarial_patch(model, x, 2, side=5, steps=3, progress=lambda *a: told.append(a[2]))
    assert not torch.equal(told[0], told[2]) and torch.equal(told[2], first.patch)
    with pytest.raises(ValueError, match="no patch was made"):
        adversarial_patch(Quantised(model), x, 2, side=5, steps=2)
    for options, said in (
        ({"side": 17}, "does not fit"),
        ({"side": 0}, "side"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": 0}, "learning_rate"),
    ):
        with pytest.raises(ValueError, match=said):
            adversarial_patch(model, x, 2, **options)
    with pytest.raises(LookupError, match="no class 9"):
        adversarial_patch(model, x, 9, side=5)
    with pytest.raises(TypeError, match="target"):
        adversarial_patch(model, x, None, side=5)
    with pytest.raises(TypeError, match="progress is a function"):
        adversarial_patch(model, x, 2, side=5, progress=3)
    for patch, row in (
        (torch.zeros(1, 2, 2), 0),
        (torch.zeros(3, 2, 3), 0),
        (torch.zeros(2, 2), 0),
        (torch.tensor(0.0), 0),
        (None, 0),
        (torch.zeros(3, 2, 2), 15),
    ):
        with pytest.raises(ValueError, match="a patch"):
            apply_patch(x, patch, row, 0)
    for row in (1.5, torch.zeros(3, dtype=torch.int64), True):
        with pytest.raises(ValueError, match="whole numbers"):
            apply_patch(x, torch.zeros(3, 2, 2), row, 0)
    with pytest.raises(ValueError, match="images are"):
        apply_patch(x[0], torch.zeros(3, 2, 2), 0, 0)


# --- fooling ----------------------------------------------------------------------------------------------


def test_noise_is_taken_for_every_digit_and_stays_noise(net):
    found = fooling_images(net, torch.arange(10))
    with torch.no_grad():
        p = net(found.images).softmax(1)[range(10), range(10)]
    assert (p > 0.98).all() and torch.allclose(p, found.probability, atol=1e-5)
    assert found.success.all() and (found.linf < 60 / 255).all()
    near = torch.corrcoef(torch.stack([found.images[4].flatten(), found.originals[4].flatten()]))[0, 1]
    assert near > 0.95  # what it was made of is still what is seen
    assert torch.equal(found.originals, fooling_images(net, torch.arange(10), steps=1).originals)
    alone = fooling_images(net, "4", start="grey")
    assert alone.probability > 0.98 and (alone.originals == 0.5).all() and len(alone.images) == 1
    assert fooling_images(net, "4", start="grey", sure=0.5).linf < alone.linf


def test_the_books_of_fooling_are_right_and_it_stays_a_picture(net):
    found = fooling_images(net, torch.tensor([3, 8]), steps=6, step_size=0.1)
    assert found.images.min() == 0 and found.images.max() == 1
    with torch.no_grad():
        before, after = net(found.originals), net(found.images)
    for said, loss, logits in (
        (found.before, found.loss_before, before),
        (found.after, found.loss_after, after),
    ):
        assert torch.equal(said, logits.argmax(1))
        assert torch.allclose(loss, F.cross_entropy(logits, found.target, reduction="none"), atol=1e-5)

    class Hill(nn.Module):
        """A gradient up to a mean of 0.52, and none behind it."""

        def forward(self, x):
            mean = x.flatten(1).mean(dim=1)
            return torch.stack([1 + 0 * mean, 10 * (mean - 0.5).clamp(max=0.02)], dim=1)

    assert not fooling_images(Hill(), 1, shape=(1, 4, 4), start="grey", steps=20).zero_gradient.any()


def test_fooling_promises_and_refusals():
    model = awkward("sequential")
    model.train()
    was = state(model)
    found = fooling_images(model, 2, shape=(3, 16, 16), steps=5, step_size=0.05)
    assert state(model) == was and found.images.dtype == torch.float64
    assert found.loss_after < found.loss_before
    stopped = fooling_images(model, 2, shape=(3, 16, 16), steps=5, progress=lambda done, _: done == 2)
    assert stopped.stopped == "stopped" and stopped.linf.item() == pytest.approx(2 / 255)
    with pytest.raises(ValueError, match="does not say its own"):
        fooling_images(model, 2)
    for shape in (5, "abc", (3, 16), (3, -2, 3), (3.5, 2, 3)):
        with pytest.raises(ValueError, match=r"the shape of an image is \(C, H, W\)"):
            fooling_images(model, 2, shape=shape)
    for other, target in ((lambda x: x, 2), (model, None)):
        with pytest.raises(TypeError, match="comes first|target"):
            fooling_images(other, target, shape=(3, 16, 16))
    told = []
    fooling_images(model, 2, shape=(3, 16, 16), steps=4, progress=lambda *a: told.append(a))
    assert told == [(k, 4) for k in range(1, 5)]
    with pytest.raises(LookupError, match="no start"):
        fooling_images(model, 2, shape=(3, 16, 16), start="white")
    for options in ({"steps": 0}, {"sure": 1.5}, {"step_size": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            fooling_images(model, 2, shape=(3, 16, 16), **options)
    assert fooling_images(Quantised(model), 2, shape=(3, 16, 16), steps=2).zero_gradient.all()
