"""The effective receptive field: against kernels worked by hand, and inside the theoretical one."""

import pytest
import torch
from torch import nn

from cnnlab.data import photos
from cnnlab.methods.analysis import central_mass, effective_receptive_field
from cnnlab.nets import models


def test_of_one_linear_convolution_it_is_the_size_of_the_weights():
    conv = nn.Conv2d(1, 1, 3, padding=1).double()
    found = effective_receptive_field(nn.Sequential(conv), torch.rand(3, 1, 9, 9, dtype=torch.float64), "0")
    expected = conv.weight.detach().abs()[0, 0]
    torch.testing.assert_close(found, (expected / expected.sum()).float())


def test_two_means_make_a_pyramid():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False), nn.Conv2d(1, 1, 3, bias=False))
    for layer in net:
        nn.init.constant_(layer.weight, 1.0)
    found = effective_receptive_field(net, torch.rand(2, 1, 12, 12), "1")
    steps = torch.tensor([1.0, 2, 3, 2, 1])
    torch.testing.assert_close(found, steps[:, None] * steps / 81)
    assert central_mass(found, 0.6) == pytest.approx(49 / 81)
    assert central_mass(found, 0.5) == pytest.approx(((0.75 * 2 * 2 + 3) / 9) ** 2)
    assert central_mass(torch.ones(7, 26)) == pytest.approx(0.25)  # whatever the sides


def test_the_field_of_photonet_is_strongest_in_the_middle_and_the_batch_does_not_matter():
    model, images = models.load("photonet"), photos.crops(size=64, n=20).images
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = effective_receptive_field(model, images, "relu3")
    assert found.sum().item() == pytest.approx(1) and found.min() >= 0
    assert central_mass(found) > 0.4
    assert central_mass(found) > central_mass(torch.ones_like(found)) + 0.15
    torch.testing.assert_close(found, effective_receptive_field(model, images, "relu3"))
    torch.testing.assert_close(found, effective_receptive_field(model, images, "relu3", batch=7))
    assert not torch.allclose(found, effective_receptive_field(model, images[:1], "relu3"), rtol=0.05)
    assert not torch.allclose(found, effective_receptive_field(model, images, "relu3", seed=1), rtol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_dropout_is_off_and_the_callers_random_numbers_stay():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout(0.9), nn.ReLU(inplace=True)).train()
    nn.init.constant_(model[0].bias, 9.0)  # so that no unit is silent
    images, before = torch.rand(4, 1, 9, 9), torch.get_rng_state()
    with torch.inference_mode():
        found = effective_receptive_field(model, images, "2")
    assert torch.equal(found, effective_receptive_field(model, images, "2")) and model.training
    assert torch.equal(torch.get_rng_state(), before)


def test_refusals():
    model = models.load("photonet")
    with pytest.raises(ValueError, match="relu5 sees 54x54 pixels, which do not fit into images of 48x48"):
        effective_receptive_field(model, torch.rand(1, 3, 48, 48), "relu5")
    with pytest.raises(ValueError, match="no gradient arrives"):
        net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
        nn.init.constant_(net[0].bias, -99.0)
        effective_receptive_field(net, torch.rand(1, 1, 8, 8), "1")
    for images in (torch.rand(0, 3, 64, 64), torch.full((1, 3, 64, 64), float("nan"))):
        with pytest.raises(ValueError, match="all finite"):
            effective_receptive_field(model, images, "relu1")
    with pytest.raises(ValueError, match="above 0 up to 1"):
        central_mass(torch.ones(4, 4), 0)
