"""The widgets of lecture 10: what a dial says is what an attack does; a network practises and is stopped."""

import re

import pytest
import torch

from cnnlab.data import digits, photos
from cnnlab.methods import adversarial as methods
from cnnlab.nets import models
from cnnlab.nets.training.train import evaluate
from cnnlab.widgets.lessons import adversarial, live_adversarial_training


@pytest.fixture(scope="module")
def cat():
    return photos.load("cat", size=64)


@pytest.fixture(scope="module")
def net():
    return models.load("photonet")


def said(net, image) -> tuple[str, str]:
    """Name and probability, as a widget writes them."""
    with torch.no_grad():
        chance, number = net(image).softmax(dim=1)[0].max(dim=0)
    return net.classes[int(number)], f"{chance:.0%}"


def test_the_dial_shows_what_each_attack_does(cat, net):
    view = adversarial.dial_view(3, cat)
    made = {
        "random noise": methods.random_noise(net, cat, 3 / 255, labels=None),
        "FGSM": methods.fgsm(net, cat, 3 / 255),
        "PGD": methods.pgd(net, cat, 3 / 255, steps=8, start="image"),
    }
    lines = dict(re.findall(r"^(.+?): +(.+)$", view[""], re.M))
    for kind in made:
        assert lines[kind] == " ".join(said(net, made[kind].images))
        drawn = torch.from_numpy(view[kind][::3, ::3].copy()).permute(2, 0, 1) / 255
        assert (drawn - made[kind].images[0]).abs().max() <= 0.51 / 255
    assert lines["random noise"].startswith("tabby cat") and not lines["PGD"].startswith("tabby cat")
    assert lines["random noise"].split()[-1] != lines["FGSM"].split()[-1]


def test_a_dial_at_zero_changes_nothing_and_never_leaves_its_budget(cat):
    still = adversarial.dial_view(0, cat)
    images = [still[kind] for kind in ("random noise", "FGSM", "PGD")]
    assert all((each == images[0]).all() for each in images)
    for eps in (1, 10):
        for kind in ("random noise", "FGSM", "PGD"):
            change = adversarial.dial_view(eps, cat)[kind].astype(int) - images[0].astype(int)
            assert 0 < abs(change).max() <= eps


def test_the_dial_makes_one_noise_stronger_and_draws_no_other(cat):
    small, large = (adversarial.dial_view(eps, cat)["random noise"].astype(int) for eps in (3, 6))
    still = adversarial.dial_view(0, cat)["random noise"].astype(int)
    inner = (still >= 6) & (still <= 249)  # not cut off at black and white
    assert ((large - still)[inner] == 2 * (small - still)[inner]).mean() > 0.9  # but for rounding to levels
    assert ((large - still)[inner] * (small - still)[inner] > 0).all()


def test_eight_steps_are_enough_for_these_sizes(cat, net):
    """The widget takes few steps, so that it answers soon; more would hardly raise the loss."""
    few, many = (methods.pgd(net, cat, 4 / 255, steps=steps, start="image") for steps in (8, 40))
    assert few.loss_after > 0.7 * many.loss_after


def test_a_class_is_led_to(cat, net):
    before, after = (adversarial.towards_view(eps, "pizza", cat) for eps in (0, 8))
    assert "pizza" not in before[""].split("after")[0] and "tabby cat" in before[""]
    first = after[""].split("after")[1].splitlines()[1]
    assert "pizza" in first and int(re.search(r"(\d+)%", first)[1]) > 50
    assert (before["what is added, x 10"] == 128).all()
    found = methods.pgd(net, cat, 8 / 255, steps=8, start="image", target="pizza")
    assert found.success.all() and said(net, found.images)[1].removesuffix("%") in first


def test_the_sticker_lies_where_it_was_put(cat, net):
    patch = torch.rand(3, 16, 16)
    given = {"model": net, "stickers": {"it": patch}, "images": {"cat": cat}}
    view = adversarial.stick_view(5, 40, "it", "cat", **given)
    drawn = torch.from_numpy(view["with the sticker"][::3, ::3].copy()).permute(2, 0, 1) / 255
    assert (drawn[:, 5:21, 40:56] - patch).abs().max() <= 0.51 / 255
    drawn[:, 5:21, 40:56] = cat[0, :, 5:21, 40:56]
    assert (drawn - cat[0]).abs().max() <= 0.51 / 255
    name, chance = said(net, methods.apply_patch(cat, patch, 5, 40))
    assert name in view[""].split("with it")[1].splitlines()[1] and chance in view[""]


@pytest.mark.parametrize(
    "view", (adversarial.dial_view, lambda eps, cat: adversarial.towards_view(eps, "pizza", cat))
)
def test_a_slider_does_not_wait_for_an_attack(view, cat, monkeypatch):
    adversarial._every_size.cache_clear()
    asked, grad, backward = [], torch.autograd.grad, torch.Tensor.backward
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: asked.append(1) or grad(*a, **k))
    monkeypatch.setattr(torch.Tensor, "backward", lambda *a, **k: asked.append(1) or backward(*a, **k))
    view(0, cat)  # the attack runs once for each picture
    gradients = len(asked)
    assert gradients
    for eps in (2, 4, 6, 8, 10, 8, 6, 4, 2):
        view(eps, cat)
    assert len(asked) == gradients


def test_it_practises_and_says_what_it_cost():
    widget = live_adversarial_training.live()
    widget.epochs.value, widget.eps.value = 2, 24
    widget.start()
    widget.wait(180)
    found = widget.found
    assert found.stopped == "finished" and len(found.clean) == 2 and found.eps == pytest.approx(24 / 255)
    assert widget.status.value.count("%") == 4 and "Done after epoch 2 of 2" in widget.status.value
    assert f"{found.attacked[-1]:.0%}" in widget.status.value and "<svg" in widget.curve.value
    test = digits.load("test")
    few = test._replace(images=test.images[:80], labels=test.labels[:80])
    assert evaluate(found.model, few)[1] == pytest.approx(found.clean[-1])
    before = methods.pgd(models.load("simpleconvnet"), few.images, 24 / 255, labels=few.labels)
    assert found.attacked[-1] > 1 - before.success.double().mean() + 0.1  # it learned to withstand
    assert not widget.running and widget.go.icon == "play"


def test_stop_ends_the_practice_after_the_epoch(until):
    widget = live_adversarial_training.live(epochs=20)
    widget.attack.value = "none"
    widget.start()
    until(lambda: "<svg" in widget.curve.value)
    assert widget.running and widget.go.icon == "hourglass"
    widget.start()  # does nothing while it practises
    widget.stop()
    widget.wait(180)
    assert widget.found.stopped == "watcher" and len(widget.found.clean) < 20
    assert "Stopped after epoch" in widget.status.value


def test_half_an_attack_is_not_remembered(cat, monkeypatch):
    """Ctrl+C while it computed: the dial would have shown a wrong curve from then on."""
    adversarial._every_size.cache_clear()
    real = methods.pgd
    monkeypatch.setattr(methods, "pgd", lambda *a, **k: real(*a, **k)._replace(stopped="interrupted"))
    with pytest.raises(KeyboardInterrupt):
        adversarial.dial_view(4, cat)
    monkeypatch.undo()
    assert "PGD" in adversarial.dial_view(4, cat)[""]
