"""Class activation maps against the logit, against captum's Grad-CAM, and where they must be refused."""

import copy

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from cnnlab.data import photos
from cnnlab.methods.saliency.cam import cam, class_activation_map, overlay
from cnnlab.nets import models


@pytest.fixture(scope="module")
def net():
    return models.load("photonet")


@pytest.mark.parametrize("size", (64, 96))
def test_mean_plus_bias_is_the_logit(net, size):
    images = torch.cat([photos.load(name, size=size) for name in ("cat", "coffee", "rocket")])
    logits = net(images)
    for target in (0, 6, 19):
        found = class_activation_map(net, images, target).mean(dim=(1, 2, 3)) + net.dense.bias[target]
        assert torch.allclose(found, logits[:, target], atol=1e-4)


def test_float64_to_twelve_digits():
    double, image = models.load("photonet").double(), photos.load("cat", size=64).double()
    found = class_activation_map(double, image, "tabby cat").mean() + double.dense.bias[6]
    assert found.item() == pytest.approx(double(image)[0, 6].item(), abs=1e-12)


def test_grad_cam_is_this_map_over_its_number_of_places(net):
    image = photos.load("cat", size=64)
    theirs = LayerGradCam(net, net.relu5).attribute(image.clone().requires_grad_(), target=6)
    ours = class_activation_map(net, image, 6)
    assert torch.allclose(theirs, ours / ours[0].numel(), atol=1e-5)


def test_one_target_for_each_picture(net):
    images = torch.rand(3, 3, 64, 64)
    together = class_activation_map(net, images, torch.tensor([1, 5, 7]))
    apart = torch.cat(
        [
            class_activation_map(net, image[None], label)
            for image, label in zip(images, (1, 5, 7), strict=True)
        ]
    )
    assert torch.allclose(together, apart, atol=1e-5)


def test_spread_over_the_picture_the_sum_stays(net):
    maps = class_activation_map(net, photos.load("cat", size=64), 6)
    wide = overlay(maps, (64, 64))
    assert wide.shape == (1, 1, 64, 64) and wide.sum().item() == pytest.approx(maps.mean().item(), abs=1e-4)
    assert wide[0, 0, 8, 15] == maps[0, 0, 1, 1] / 4096
    with pytest.raises(ValueError, match="do not cover 60x64"):
        overlay(maps, (60, 64))


def test_other_networks_and_wrong_classes_are_refused(net):
    with pytest.raises(ValueError, match="ends with relu4, dense2|dense1, relu4, dense2"):
        class_activation_map(models.load("simpleconvnet"), torch.rand(1, 1, 28, 28), 3)
    image = torch.rand(2, 3, 64, 64)
    with pytest.raises(LookupError, match="Did you mean 'tabby cat'"):
        class_activation_map(net, image, "taby cat")
    with pytest.raises(LookupError, match="from 0 to 19"):
        class_activation_map(net, image, 20)
    with pytest.raises(ValueError, match="for N = 2 images"):
        class_activation_map(net, image, torch.tensor([1, 2, 3]))


def test_nothing_is_changed():
    net, image = models.load("photonet").train(), torch.rand(2, 3, 64, 64)
    state, before = copy.deepcopy(net.state_dict()), image.clone()
    class_activation_map(net, image, 3)
    with pytest.raises(LookupError):
        class_activation_map(net, image, 99)
    assert net.training and torch.equal(image, before)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_a_large_bias_does_not_hide_another_end():
    """A maximum over all positions instead of the mean: beside a bias of 50000 the difference looks small."""

    def make(pool):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(6, 4))
        nn.init.constant_(net[4].bias, 5e4)
        return net

    x = torch.rand(1, 3, 16, 16)
    with pytest.raises(ValueError, match="Use grad_cam"):
        class_activation_map(make(nn.AdaptiveMaxPool2d), x, 1)
    assert class_activation_map(make(nn.AdaptiveAvgPool2d), x, 1).any()


def test_fewer_pictures_per_pass_than_pictures_with_a_class_each(net):
    images, target = torch.rand(5, 3, 64, 64), torch.tensor([3, 1, 4, 0, 5])
    assert torch.allclose(
        cam(net, images, target, batch=2).map, class_activation_map(net, images, target), atol=1e-5
    )
