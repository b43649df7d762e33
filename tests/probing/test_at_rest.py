"""Batch norm at rest: torch's numbers, torch's errors, and nothing left behind."""

import pytest
import torch
from torch import nn

from cnnlab.methods import saliency
from cnnlab.nets import models
from cnnlab.probing import at_rest, frozen
from cnnlab.probing.at_rest import Straight


def norm(channels=5, dtype=torch.float32, **options):
    made = nn.BatchNorm2d(channels, **options).to(dtype)
    generator = torch.Generator().manual_seed(3)
    for numbers, low in (
        (made.running_mean, -2),
        (made.running_var, 0.1),
        (made.weight, -1),
        (made.bias, -1),
    ):
        if numbers is not None:
            numbers.data.copy_(low + 3 * torch.rand(channels, generator=generator))
    return made.eval()


def asked(made, x):
    x = x.clone().requires_grad_()
    y = made(x)
    (gradient,) = torch.autograd.grad(
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum(), x
    )
    return y.detach(), gradient


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"eps": 0.3}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("images", [1, 3])
def test_numbers_and_slopes_are_those_of_torch(options, dtype, layout, images):
    made = norm(dtype=dtype, **options)
    x = torch.randn(images, 5, 4, 6, dtype=dtype).contiguous(memory_format=layout)
    with at_rest(made):
        assert isinstance(made.forward, Straight)
        found = asked(made, x)
    for ours, torchs in zip(found, asked(made, x), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-6)
    assert found[0].stride() == x.stride()


def test_the_network_alone_uses_it_and_its_maps_are_the_same():
    model, image = models.load("photonet"), torch.rand(1, 3, 64, 64)
    leaf = image.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf)[0, 4], leaf)
    calls = []
    model.bn2.register_forward_pre_hook(lambda part, _: calls.append(type(part.forward)))
    found = saliency.gradient(model, image, 4).map
    assert Straight in calls
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    with frozen(model):
        model(image)
    assert calls[-1] is Straight


def test_nothing_is_left_behind_also_after_an_error():
    made = norm()
    with pytest.raises(ZeroDivisionError), at_rest(made):
        raise ZeroDivisionError
    assert "forward" not in vars(made)


def test_in_train_mode_it_is_torchs_own():
    made, x = norm(), torch.randn(4, 5, 3, 3)
    with at_rest(made):
        made.train()
        y = made(x)
    assert abs(float(y.detach()[:, 0].std(correction=0)) - abs(float(made.weight.detach()[0]))) < 1e-3
    assert int(made.num_batches_tracked) == 1


@pytest.mark.parametrize("wrong", [torch.rand(1, 4, 3, 3), torch.rand(5, 3, 3), torch.rand(1, 1, 3, 3)])
def test_what_does_not_fit_is_refused_as_torch_refuses_it(wrong):
    made = norm()
    with pytest.raises((RuntimeError, ValueError)) as torchs:
        made(wrong)
    with at_rest(made), pytest.raises(type(torchs.value)) as ours:
        made(wrong)
    assert str(ours.value) == str(torchs.value)


def test_it_leaves_alone_what_others_replaced_and_what_has_no_statistics():
    made, without = norm(), nn.BatchNorm2d(5, track_running_stats=False).eval()
    made.forward = mine = lambda x: x
    with at_rest(nn.Sequential(made, without)):
        assert made.forward is mine
        assert "forward" not in vars(without)
    assert made.forward is mine


def test_a_block_inside_a_block_leaves_the_outer_one_its_own():
    made = norm()
    with at_rest(made):
        own = made.forward
        with at_rest(made):
            assert made.forward is own
        assert made.forward is own
    assert "forward" not in vars(made)


def test_its_weights_ask_for_no_gradient_there():
    made, x = norm(), torch.rand(1, 5, 3, 3, requires_grad=True)
    with at_rest(made):
        made(x).sum().backward()
    assert made.weight.grad is None and x.grad is not None
