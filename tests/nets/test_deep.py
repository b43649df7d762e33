"""The nets of lectures 08 and 09: their shapes, their shortcuts, their first weights."""

import pytest
import torch
from torch import nn

from cnnlab.nets import deep


@pytest.mark.parametrize("depth", (1, 3, 9))
@pytest.mark.parametrize("residual", (False, True))
@pytest.mark.parametrize("norm", (False, True))
def test_the_depth_is_the_number_of_convolutions(depth, residual, norm):
    net = deep.deep(depth, residual=residual, norm=norm)
    assert sum(isinstance(part, nn.Conv2d) for part in net.modules()) == depth
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 10)
    assert any(isinstance(part, nn.BatchNorm2d) for part in net.modules()) is norm


@pytest.mark.parametrize("depth", (0, 2, -1, 2.5, True))
def test_an_even_depth_is_refused(depth):
    with pytest.raises(ValueError, match="depth is 1, 3, 5"):
        deep.deep(depth)


def test_a_block_whose_weights_are_zero_is_the_identity_only_with_a_shortcut():
    x = torch.rand(2, 4, 6, 6)
    for residual in (True, False):
        block = deep.Block(4, residual, norm=False)
        for weight in block.parameters():
            nn.init.zeros_(weight)
        torch.testing.assert_close(block(x), x if residual else torch.zeros_like(x))


@pytest.mark.parametrize("gain", (0.5, 1.0, 2.0))
def test_first_weights_have_he_s_deviation_times_the_gain(gain):
    torch.manual_seed(0)
    net = deep.dense((400, 300))
    deep.he_init(net, gain)
    for layer, inputs in ((net.dense1, 784), (net.dense2, 400)):
        assert layer.weight.std().item() == pytest.approx(gain * (2 / inputs) ** 0.5, rel=0.02)
        assert not layer.bias.any()
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="gain"):
            deep.he_init(net, wrong)


@pytest.mark.parametrize("gain", (0.5, 1.0))
def test_the_inputs_of_a_convolution_are_its_channels_times_its_places(gain):
    torch.manual_seed(0)
    net = deep.deep(3, width=40, norm=False, init_gain=gain)
    for layer, inputs in ((net.conv, 9), (net.block1.conv1, 40 * 9)):
        assert layer.weight.std().item() == pytest.approx(gain * (2 / inputs) ** 0.5, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize("residual", (False, True))
@pytest.mark.parametrize("norm", (False, True))
def test_a_block_against_its_formula(residual, norm):
    """He et al. 2016: the ReLU comes after the sum."""
    torch.manual_seed(0)
    block, x = deep.Block(4, residual, norm).eval(), torch.randn(2, 4, 6, 6)
    h = block.bn1(block.conv1(x)).clamp(min=0)
    h = block.bn2(block.conv2(h))
    torch.testing.assert_close(block(x), (x + h if residual else h).clamp(min=0))


@pytest.mark.parametrize("net", (deep.dense((3,)), deep.deep(3)))
def test_the_first_layer_normalises_digits(net):
    digit = torch.full((1, 1, 28, 28), 0.1307 + 0.3081)
    torch.testing.assert_close(net.norm(digit), torch.ones_like(digit))


def test_nets_without_units_and_rates_that_drop_everything_are_refused():
    for width in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="width is a whole number"):
            deep.deep(3, width=width)
        with pytest.raises(ValueError, match="width is a whole number"):
            deep.dense((4, width))
    for rate in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match="probability from 0 to below 1"):
            deep.dense((4,), dropout=rate)


def test_dropout_layers_are_there_only_if_asked_for():
    assert [name for name, _ in deep.dense((5, 5)).named_children() if "drop" in name] == []
    net = deep.dense((5, 5), dropout=0.3)
    assert [part.p for part in net.modules() if isinstance(part, nn.Dropout)] == [0.3, 0.3]
