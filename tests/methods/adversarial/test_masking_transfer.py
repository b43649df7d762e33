"""Networks that hide their gradient are fooled all the same; what fools one network fools another."""

import pytest
import torch
from explained_nets import awkward
from probed_nets import random_image, state
from torch import nn

from cnnlab.methods.adversarial import AttackResult, Quantised, Sharpened, evaluated, fgsm, pgd, transfer
from cnnlab.nets import models
from cnnlab.probing import Unit


def test_a_hidden_slope_stops_the_attack_and_is_said_and_does_not_protect(net, data):
    x, y = data.images, data.labels
    masked = Quantised(net, levels=4)
    assert masked.classes == net.classes and masked.input_size == net.input_size and not masked.training
    vain = fgsm(masked, x, 0.2, labels=y)
    assert vain.zero_gradient.all() and torch.equal(vain.images, x) and vain.success_rate == 0
    assert "40 images had no gradient to follow" in str(vain)
    assert pgd(masked, x, 0.2, labels=y).zero_gradient.all()
    through = evaluated(masked, x, pgd(net, x, 0.2, labels=y).images, labels=y)
    straight = pgd(Quantised(net, levels=4, straight_through=True), x, 0.2, labels=y)
    assert through.success_rate > 0.8 and straight.success_rate > 0.9 and not straight.zero_gradient.any()
    # What fools the straight one fools the masked one: their answers are the same.
    assert torch.equal(evaluated(masked, x, straight.images, labels=y).after, straight.after)


def test_the_straight_slope_is_that_of_the_network_at_the_rounded_picture():
    model, x = awkward("sequential"), random_image()
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Quantised(model, levels=5, straight_through=True)(leaf)[0, 2], leaf)
    rounded = ((x * 4).round() / 4).requires_grad_()
    (expected,) = torch.autograd.grad(model(rounded)[0, 2], rounded)
    assert torch.allclose(gradient, expected, atol=1e-12) and gradient.any()


def test_a_saturated_softmax_hides_the_slope_of_the_loss_but_not_that_of_the_odds(net, data):
    x, y = data.images, data.labels
    sharp = Sharpened(net)
    vain = fgsm(sharp, x, 0.15, labels=y)
    assert vain.success_rate < 0.1 and vain.zero_gradient[vain.attackable].double().mean() > 0.8
    assert pgd(sharp, x, 0.15, labels=y, loss="log-odds").success_rate > 0.9
    gentle = Sharpened(net, factor=2.0)  # not flat yet: as open as the network itself
    assert fgsm(gentle, x, 0.15, labels=y).success.sum() == pytest.approx(
        int(fgsm(net, x, 0.15, labels=y).success.sum()), abs=3
    )


def test_the_masks_refuse_what_they_cannot_be():
    for levels in (1, 2.5, True):
        with pytest.raises(ValueError, match="levels"):
            Quantised(nn.Identity(), levels=levels)
    for factor in (0, -1, float("inf"), "big"):
        with pytest.raises(ValueError, match="factor"):
            Sharpened(nn.Identity(), factor=factor)


# --- transfer ---------------------------------------------------------------------------------------------


def test_the_table_counts_what_all_name_rightly(net, data):
    nets = {"digits": net, "masked": Quantised(net, levels=4), "mnist": models.load("simpleconvnet", "mnist")}
    x, y = data.images, data.labels
    told, seen = [], []

    def attack(model, images, labels):
        seen.append((len(images), labels))
        return fgsm(model, images, 0.2, labels=labels)

    found = transfer(nets, x, y, attack, progress=lambda *a: told.append(a))
    with torch.no_grad():
        right = torch.stack([each(x).argmax(1) == y for each in nets.values()]).all(0)
        assert torch.equal(found.right, right) and 20 < right.sum() < 40
        for row, source in enumerate(nets.values()):
            made = fgsm(source, x[right], 0.2, labels=y[right]).images
            assert torch.equal(found.images[row], made)
            for column, other in enumerate(nets.values()):
                share = (other(made).argmax(1) != y[right]).double().mean()
                assert found.success_rate[row, column].item() == pytest.approx(share.item(), abs=1e-6)
    assert found.names == ("digits", "masked", "mnist") and told == [(1, 3), (2, 3), (3, 3)]
    assert all(n == right.sum() and torch.equal(labels, y[right]) for n, labels in seen)
    assert found.success_rate[1].sum() == 0  # nothing comes from a network without a gradient,
    assert found.success_rate[0, 1] > 0.8  # but it is fooled
    assert found.success_rate[0, 0] > 0.8 and found.success_rate[0, 2] < found.success_rate[0, 0]


def test_transfer_stops_and_disturbs_nothing_and_refuses():
    nets = {"one": awkward("in place"), "two": awkward("residual")}
    x = random_image(n=12)
    labels = nets["one"](x.clone()).argmax(1)

    def attack(model, images, labels):
        return fgsm(model, images, 0.05, labels=labels)

    both = (nets["two"](x.clone()).argmax(1) == labels).sum()
    if not both:  # random networks: make them agree
        nets["two"] = Quantised(nets["one"], levels=200)
    was = [state(model, x) for model in nets.values()]
    found = transfer(nets, x, labels, attack, progress=lambda *_: True)
    assert (
        found.stopped == "stopped"
        and found.success_rate[1].isnan().all()
        and not found.success_rate[0].isnan().any()
    )
    assert [state(model, x) for model in nets.values()] == was

    def late(model, images, labels):
        if model is nets["two"]:
            raise KeyboardInterrupt
        return attack(model, images, labels)

    assert transfer(nets, x, labels, late).stopped == "interrupted"
    half = transfer(nets, x, labels, lambda *given: attack(*given)._replace(stopped="interrupted"))
    assert half.stopped == "interrupted" and half.success_rate.isnan().all() and not half.images
    for wrong, error in ((labels[:, None], ValueError), (Unit("0", 0), TypeError)):
        with pytest.raises(error, match="labels"):
            transfer(nets, x, wrong, attack)
    turned = Quantised(nets["one"])
    nets["one"].classes, turned.classes = tuple("abcde"), tuple("edcba")
    with pytest.raises(ValueError, match="the same classes"):
        transfer({**nets, "turned": turned}, x, labels, attack)
    with pytest.raises(TypeError, match="progress is a function"):
        transfer(nets, x, labels, attack, progress=3)
    with pytest.raises(ValueError, match="not one is named rightly by all networks .one 0"):
        transfer({"one": nets["one"]}, x, (labels + 1) % 5, attack)
    with pytest.raises(ValueError, match="dict, name -> network"):
        transfer({}, x, labels, attack)
    with pytest.raises(TypeError, match="an attack is a function"):
        transfer(nets, x, labels, "fgsm")
    with pytest.raises(ValueError, match="an attack gives AttackResult of the same"):
        transfer(nets, x, labels, lambda model, images, labels: images)
    assert isinstance(attack(nets["one"], x, labels), AttackResult)
