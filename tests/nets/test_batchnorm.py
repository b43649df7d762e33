"""Batch norm and dropout backwards, and the fold: against torch's autograd and torch.nn."""

import pytest
import torch
from torch import nn

from cnnlab.nets import layers


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5, 2), (2, 1, 3, 3)])
def test_batch_norm_backward_is_what_autograd_of_torch_says(shape):
    random = torch.Generator().manual_seed(0)
    x, g = (torch.randn(shape, generator=random, dtype=torch.float64) for _ in range(2))
    weight, bias = (torch.randn(shape[1], generator=random, dtype=torch.float64) for _ in range(2))
    asked = [each.clone().requires_grad_() for each in (x, weight, bias)]
    y = torch.nn.functional.batch_norm(asked[0], None, None, asked[1], asked[2], training=True)
    wanted = torch.autograd.grad(y, asked, g)
    for ours, theirs in zip(layers.batch_norm_backward(g, x, weight), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_batch_norm_backward_by_the_jacobian_of_our_own_forward():
    x = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    g = torch.tensor([[1.0], [0.0], [-2.0]], dtype=torch.float64)
    zero, one = torch.zeros(1, dtype=torch.float64), torch.full((1,), 3.0, dtype=torch.float64)

    def forward(x):
        return layers.batch_norm(x, one, zero, zero, one, training=True)[0]

    jacobian = torch.autograd.functional.jacobian(forward, x)[:, 0, :, 0]  # (out, in)
    below = layers.batch_norm_backward(g, x, one)[0]
    torch.testing.assert_close(below[:, 0], g[:, 0] @ jacobian)
    # What is the same for all images goes away: the mean of the gradient is 0.
    assert abs(below.sum().item()) < 1e-12


def test_batch_norm_backward_refuses_other_shapes():
    with pytest.raises(ValueError, match="g is like x"):
        layers.batch_norm_backward(torch.ones(2, 3), torch.ones(3, 3), torch.ones(3))
    with pytest.raises(ValueError, match="number for each channel"):
        layers.batch_norm_backward(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2))


@pytest.mark.parametrize("with_bias", (True, False))
@pytest.mark.parametrize("layer", (nn.Conv2d(3, 5, 3), nn.Linear(4, 5)))
def test_a_fold_gives_what_both_layers_gave(layer, with_bias):
    layer = layer.double()
    norm = (nn.BatchNorm2d(5) if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d(5)).double()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for each in (norm.weight, norm.bias, norm.running_mean):
            each.normal_(generator=random)
        norm.running_var.uniform_(0.1, 2, generator=random)
    norm.eval()
    x = torch.randn((2, 3, 6, 6) if layer.weight.dim() == 4 else (2, 4), generator=random).double()
    bias = layer.bias if with_bias else None
    run = torch.nn.functional.conv2d if layer.weight.dim() == 4 else torch.nn.functional.linear
    weight, shift = layers.fold(
        layer.weight, bias, norm.weight, norm.bias, norm.running_mean, norm.running_var, eps=norm.eps
    )
    torch.testing.assert_close(
        run(x, weight, shift), norm(run(x, layer.weight, bias)), rtol=1e-12, atol=1e-12
    )


def test_a_fold_needs_a_number_for_each_filter():
    one = torch.ones(3)
    with pytest.raises(ValueError, match=r"the weight is \(2, 4\)"):
        layers.fold(torch.ones(2, 4), None, one, one, one, one)


def test_running_numbers_carry_no_graph_from_one_batch_to_the_next():
    x, one, zero = torch.rand(4, 3, requires_grad=True), torch.ones(3), torch.zeros(3)
    y, mean, var = layers.batch_norm(x, one, zero, zero, one, training=True)
    assert y.requires_grad and not mean.requires_grad and not var.requires_grad


def test_what_has_no_channels_or_no_variance_is_refused():
    one = torch.ones(3)
    for x in (torch.rand(3), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="x is .*; not"):
            layers.batch_norm(x, one, one, one, one, training=True)
        with pytest.raises(ValueError, match="g is like x"):
            layers.batch_norm_backward(x, x, one)
    with pytest.raises(ValueError, match="number per channel"):  # forwards it is refused, too
        layers.batch_norm_backward(torch.rand(1, 3), torch.rand(1, 3), one)
    for options in ({"momentum": 1.1}, {"momentum": -0.1}, {"eps": -1.0}, {"eps": torch.nan}):
        with pytest.raises(ValueError, match="momentum is from 0 to 1 and eps"):
            layers.batch_norm(torch.rand(4, 3), one, one, one, one, training=True, **options)
    with pytest.raises(ValueError, match="weight is"):
        layers.fold(torch.rand(3), None, one, one, one, one)


@pytest.mark.parametrize("rate", (0.0, 0.3, 0.8))
def test_dropout_backward_is_what_autograd_says(rate):
    random = torch.Generator().manual_seed(2)
    x = torch.randn(40, 5, dtype=torch.float64).requires_grad_()
    y, kept = layers.dropout(x, rate, generator=random)
    g = torch.randn(40, 5, dtype=torch.float64, generator=random)
    (wanted,) = torch.autograd.grad(y, x, g)
    torch.testing.assert_close(layers.dropout_backward(g, kept, rate), wanted)


def test_at_rate_zero_all_stay_also_what_draws_a_zero(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape))
    assert layers.dropout(torch.ones(3), 0.0)[1].all() and not layers.dropout(torch.ones(3), 0.1)[1].any()


def test_dropout_backward_refuses_other_shapes_and_rates():
    with pytest.raises(ValueError, match="one shape"):
        layers.dropout_backward(torch.ones(2), torch.ones(3, dtype=torch.bool), 0.5)
    with pytest.raises(TypeError, match="True where"):
        layers.dropout_backward(torch.ones(2), torch.rand(2), 0.5)
    with pytest.raises(ValueError, match="below 1"):
        layers.dropout_backward(torch.ones(2), torch.ones(2, dtype=torch.bool), 1.0)
