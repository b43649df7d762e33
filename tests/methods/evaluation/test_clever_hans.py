"""The net that cheats is right, and is caught; the honest one is right, and is not."""

import pytest
import torch
from probed_nets import state

from cnnlab.methods.evaluation import clever_hans
from cnnlab.nets import models


def gradient_x_input(model, images, target):
    """Plain, on its own: the methods of the lecture are not asked here."""
    leaf = images.clone().requires_grad_()
    score = model(leaf.clone()).gather(1, target[:, None]).sum()
    return torch.autograd.grad(score, leaf)[0] * images


@pytest.fixture(scope="module")
def reports():
    return {
        name: clever_hans.report(models.load("shapesnet", name), gradient_x_input, n=24, tested=240)
        for name in ("scenes", "watermarked")
    }


def test_accuracy_does_not_tell_them_apart_where_the_mark_tells_the_truth(reports):
    assert min(report.acc_true_mark for report in reports.values()) >= 0.99
    cheat, honest = reports["watermarked"], reports["scenes"]
    assert cheat.acc_no_mark < 0.5 and cheat.acc_wrong_mark < 0.02 and cheat.follows_mark > 0.97
    assert min(honest.acc_no_mark, honest.acc_wrong_mark) >= 0.98 and honest.follows_mark < 0.02


def test_the_map_does(reports):
    cheat, honest = reports["watermarked"], reports["scenes"]
    assert cheat.in_mark.shape == (24,) and cheat.mark_area.mean().item() == pytest.approx(27 / 4096)
    assert cheat.in_mark.mean() > 20 * cheat.mark_area.mean()
    assert cheat.in_mark.mean() > 5 * honest.in_mark.mean()
    assert honest.in_object.mean() > 2 * cheat.in_object.mean()
    assert torch.equal(honest.object_area, cheat.object_area)


def test_nothing_is_left_behind_and_wrong_numbers_are_refused():
    model = models.build("shapesnet").train()
    before = state(model)
    found = clever_hans.report(model, gradient_x_input, n=2, tested=6)
    assert found.in_mark.shape == (2,) and 0 <= found.acc_true_mark <= 1

    def broken(*_):
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        clever_hans.report(model, broken, n=1, tested=6)
    assert state(model) == before
    with pytest.raises(ValueError, match="n is from 1 to 6"):
        clever_hans.report(model, gradient_x_input, n=7, tested=6)
    with pytest.raises(ValueError, match="maps of 8x8 for images of 64x64"):
        clever_hans.report(model, lambda *_: torch.rand(2, 1, 8, 8), n=2, tested=6)
