"""Grad-CAM against captum, CAM and a graph of its own; coarse maps brought to the right pixels."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from explained_nets import AWKWARD, awkward, ends_in_a_mean
from probed_nets import random_image, seeded, torchvision_net
from torch import nn

from cnnlab.data import photos
from cnnlab.methods.saliency.cam import cam, class_activation_map
from cnnlab.methods.saliency.grad_cam import grad_cam, guided_grad_cam
from cnnlab.methods.saliency.gradient import gradient
from cnnlab.methods.saliency.guided_backprop import guided_backprop
from cnnlab.methods.saliency.upsampling import last_feature_maps, upsample_to_image
from cnnlab.nets import models
from cnnlab.probing import Unit, layer, receptive

pytestmark = pytest.mark.filterwarnings(
    "ignore:Setting backward hooks on ReLU", "ignore:Setting forward, backward hooks"
)
LAST = {"sequential": "4", "in place": "4", "shared": "3", "residual": "conv3", "views": "conv"}


def near(one, other, share=1e-10):
    assert one.shape == other.shape and other.any()
    return bool((one - other).abs().max() <= share * other.abs().max())


def plainly(maps, score):
    """Grad-CAM of maps that are still in the graph of the score."""
    (gradients,) = torch.autograd.grad(score.sum(), maps)
    return (gradients.mean((2, 3), keepdim=True) * maps.detach()).sum(1, keepdim=True)


# --- facts ------------------------------------------------------------------------------------------------


def test_fact_12_and_13_cam_grad_cam_and_the_logit():
    model, x = ends_in_a_mean(), random_image(n=3)
    target = torch.tensor([[1, 2], [3, 0], [4, 4]])
    one, other = grad_cam(model, x, target), cam(model, x, target)
    assert one.map.shape == other.map.shape == (3, 2, 1, 6, 6) and one.score.shape == (3, 2)
    assert torch.allclose(one.map, other.map / 36, atol=1e-16)
    bias = model[7].bias[target]
    assert torch.allclose(one.total + bias, model(x).gather(1, target), atol=1e-14)
    assert torch.allclose(other.map.mean((2, 3, 4)) + bias, other.score, atol=1e-14)
    assert tuple(one.passes) == (3, 6) and tuple(other.passes) == (3, 0)
    assert torch.equal(class_activation_map(model, x, target), other.map)
    assert torch.equal(class_activation_map(model, x, 2), cam(model, x, 2, batch=2).map)


@pytest.mark.parametrize("name, share", [("resnet18", 1e-10), ("residual", 1e-10)])
def test_cam_of_networks_that_end_in_their_own_way(name, share):
    """resnet18 names its parts otherwise, the other one averages by a function and shares its ReLU."""
    model = torchvision_net("resnet18").double() if name == "resnet18" else awkward("residual")
    x = random_image(64 if name == "resnet18" else 16, n=2)
    found = cam(model, x, 2)
    assert near(found.map.mean((1, 2, 3)) + model.fc.bias[2], model(x)[:, 2], share)


def test_cam_is_refused_where_it_would_not_be_exact():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = ends_in_a_mean()

        def forward(self, x):
            return 1.01 * self.net(x)

    for model in (Scaled(), awkward("sequential"), torchvision_net("squeezenet1_0").double()):
        with pytest.raises(ValueError, match="Use grad_cam"):
            class_activation_map(model, random_image(64 if hasattr(model, "classifier") else 16), 1)
    net = ends_in_a_mean()
    with pytest.raises(ValueError, match="explains the logit of a class"):
        cam(net, random_image(), 1, output="probability")
    with pytest.raises(ValueError, match="explains the logit of a class"):
        class_activation_map(net, random_image(), Unit("3", 1))
    with pytest.raises(LookupError, match="from 0 to 4"):
        class_activation_map(net, random_image(), 5)


# --- peers and every build --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "net, size, inner",
    [
        ("photonet", 64, "relu5"),
        ("shapesnet", 64, None),
        ("alexnet", 96, "features"),
        ("resnet18", 64, "layer4"),
    ],
)
@pytest.mark.parametrize("output", ("logit", "probability"))
def test_captum(net, size, inner, output):
    model = torchvision_net(net) if net in ("alexnet", "resnet18") else models.load(net)
    model, x, target = model.double(), random_image(size, n=2), torch.tensor([1, 3])
    inner = inner if inner is not None else last_feature_maps(model, x)
    assert last_feature_maps(model, x) == inner
    asked = model if output == "logit" else lambda x: model(x).softmax(1)
    peer = captum.attr.LayerGradCam(asked, layer(model, inner))
    found = grad_cam(model, x, target, output=output)
    assert near(found.map, peer.attribute(x.clone().requires_grad_(), target=target).detach())
    cut = grad_cam(model, x, target, output=output, rectify=True).map
    assert torch.equal(cut, found.map.clamp(min=0)) and (found.map < 0).any()


def test_captums_guided_grad_cam_is_the_product_of_the_two():
    model, x = models.load("photonet").double(), photos.load("cat", size=64).double()
    theirs = captum.attr.GuidedGradCam(model, model.relu5).attribute(x.clone().requires_grad_(), target=6)
    fine = guided_backprop(model, x, 6)
    coarse = grad_cam(model, x, 6, rectify=True).map
    assert near(fine.map * F.interpolate(coarse, (64, 64)), theirs.detach())
    found = guided_grad_cam(model, x, 6)
    assert near(found.map, fine.map * upsample_to_image(coarse, model, "relu5", (64, 64)))
    assert tuple(found.passes) == (2, 2) and torch.equal(found.score, fine.score)


@pytest.mark.parametrize("name", AWKWARD)
def test_every_build(name):
    model, x = awkward(name), random_image(n=3)
    last = LAST.get(name, "conv2")
    assert last_feature_maps(model, x) == last
    kept = {}

    def passing(module, inputs, output):
        kept["maps"] = output
        return output.clone()  # so that a ReLU in place leaves the maps alone

    handle = layer(model, last).register_forward_hook(passing)
    target = torch.tensor([1, 4, 2])
    score = model(x)[range(3), target]
    expected = plainly(kept["maps"], score)
    handle.remove()
    for batch in (1, 2, 16):
        assert near(grad_cam(model, x, target, batch=batch).map, expected)
        assert near(grad_cam(model, x, target, layer=last, batch=batch).map, expected)
    several = grad_cam(model, x, torch.stack([target, target.flip(0)], dim=1))
    assert near(several.map[:, 0], expected) and several.map.shape[1:3] == (2, 1)


def behind(model, x):
    """The maps of layer 2, and the mean over unit 2 of layer 3."""
    maps = F.max_pool2d(model[0](x).relu(), 2).detach().requires_grad_()
    return maps, model[3](maps)[:, 2].mean((1, 2))


def test_an_earlier_layer_and_a_unit():
    model, x = awkward("in place"), random_image(n=2)
    early = model[0](x)
    early = early.detach().requires_grad_()
    inner = model[3](F.max_pool2d(early.relu(), 2))
    expected = plainly(early, inner[:, 2, 1, 4])
    assert near(grad_cam(model, x, Unit("3", 2, 1, 4), layer="0").map, expected)
    flat = model[6](model[3](F.max_pool2d((second := model[0](x).detach()).relu(), 2)).relu().flatten(1))
    found = grad_cam(model, x, Unit("6", 3))
    assert torch.allclose(found.score, flat[:, 3]) and second.any() and found.map.shape == (2, 1, 6, 6)
    alone = grad_cam(model, x, Unit("3", 2))  # of the last maps before its own
    assert near(alone.map, grad_cam(model, x, Unit("3", 2), layer="2").map)
    assert near(alone.map, plainly(*behind(model, x)))
    with pytest.raises(ValueError, match="no layer before '0' puts out maps"):
        grad_cam(model, x, Unit("0", 2))
    with pytest.raises(ValueError, match="does not run before '0'"):
        grad_cam(model, x, Unit("0", 2), layer="3")


def test_nothing_before_the_layer_is_differentiated():
    model, x = awkward("sequential"), random_image()
    before = []
    handles = [
        model[k].register_forward_hook(lambda m, i, o: before.append(o.requires_grad)) for k in (0, 1, 2, 3)
    ]
    grad_cam(model, x, 1)  # of layer 4
    grad_cam(model, x, 1, layer="4")
    for handle in handles:
        handle.remove()
    assert len(before) >= 8 and not any(before)


def test_one_pass_forward_where_the_last_layer_is_where_it_usually_is():
    x, runs = random_image(64), []
    for model in (models.load("photonet").double(), torchvision_net("resnet18").double()):
        handle = model.register_forward_hook(lambda *_: runs.append(1))
        assert tuple(grad_cam(model, x, 1).passes) == (1, 1)
        handle.remove()
        assert len(runs) == 1
        runs.clear()
    dense_first = nn.Sequential(nn.Sequential(awkward("sequential")))
    assert tuple(grad_cam(dense_first, random_image(n=3), 1, batch=2).passes) == (
        5,
        3,
    )  # the first two ran twice


def test_rectified_to_nothing_is_zeros():
    model, x = ends_in_a_mean(), random_image()
    with torch.no_grad():
        model[7].weight.copy_(-model[7].weight.abs())
    assert (grad_cam(model, x, 1).map <= 0).all() and grad_cam(model, x, 1).map.any()
    assert not grad_cam(model, x, 1, rectify=True).map.any()
    assert not guided_grad_cam(model, x, 1).map.any()


def test_what_is_refused():
    model, x = awkward("shared"), random_image(n=2)
    for wrong, error, text in [
        ({"layer": "nine"}, LookupError, "no layer 'nine'"),
        ({"layer": "1"}, ValueError, "ran 3 times in one pass"),
        ({"layer": "6"}, ValueError, "does not put out maps"),
        ({"batch": 0}, ValueError, "1 image or more"),
        ({"target": 9}, LookupError, "from 0 to 4"),
    ]:
        with pytest.raises(error, match=text):
            grad_cam(model, x, **({"target": 1} | wrong))
    flat = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 5)), torch.float64)
    for door in (grad_cam, guided_grad_cam):
        with pytest.raises(ValueError, match="no layer of this network puts out maps"):
            door(flat, x, 1)

    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.conv = nn.Linear(768, 5), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            self.conv(x)
            return self.fc(x.flatten(1))

    with pytest.raises(ValueError, match="does not depend on"):
        grad_cam(seeded(Aside, torch.float64), x, 1)


# --- coarse maps on the image ---------------------------------------------------------------------------


def unpadded():
    return nn.Sequential(nn.Conv2d(3, 4, 7, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 5, stride=2))


def padded():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(3, 3), nn.Conv2d(4, 4, 3, padding=1))


@pytest.mark.parametrize("make, name, size", [(unpadded, "2", (41, 33)), (padded, "2", (30, 27))])
def test_a_hot_cell_lies_at_the_middle_of_what_it_sees(make, name, size):
    model = seeded(make)
    seen = receptive.field(model, name, size)
    for row, col in [(0, 0), (2, 1), (seen.grid[0] - 1, seen.grid[1] - 1)]:
        maps = torch.zeros(1, 1, *seen.grid)
        maps[0, 0, row, col] = 2.0
        box = seen.rectangle(row, col, clip=False)
        middle = (box.top + box.bottom - 1) / 2, (box.left + box.right - 1) / 2
        assert all(m == int(m) for m in middle)  # these networks have odd windows
        found = upsample_to_image(maps, model, name, size)
        assert found.shape == (1, 1, *size) and found.max() == 2
        assert found[0, 0, int(middle[0]), int(middle[1])] == 2
        if 0 < row < seen.grid[0] - 1 and 0 < col < seen.grid[1] - 1:
            assert divmod(int(found.argmax()), size[1]) == middle and (found == 2).sum() == 1
            half = found[0, 0, int(middle[0]) + 1, int(middle[1])].item()
            assert half == pytest.approx(2 * (1 - 1 / seen.stride[0]))
            assert not found[0, 0, int(middle[0]) + seen.stride[0], :].any()


def test_stretching_would_have_shifted_it():
    model = seeded(unpadded)
    grid = receptive.field(model, "2", 64).grid
    ramp = torch.arange(grid[0]).float()[:, None].expand(grid)[None, None]
    stretched = F.interpolate(ramp, (64, 64), mode="bilinear")
    assert (stretched - upsample_to_image(ramp, model, "2", (64, 64))).abs().max() > 0.5  # of a cell


def test_between_the_middles_it_is_linear_and_outside_it_stays():
    model, maps = seeded(padded), torch.rand(2, 3, 1, 10, 9)
    found = upsample_to_image(maps, model, "2", (30, 27))
    assert found.shape == (2, 3, 1, 30, 27)
    assert torch.allclose(found[..., 1::3, 1::3], maps)  # the middles
    assert torch.equal(found[..., 0, :], found[..., 1, :])
    assert torch.allclose(found[..., 2, 1::3], (2 * maps[..., 0, :] + maps[..., 1, :]) / 3)
    assert torch.allclose(
        upsample_to_image(torch.ones(1, 1, 10, 9), model, "2", (30, 27)), torch.ones(1, 1, 30, 27)
    )


def test_maps_of_another_grid_and_unknown_windows_are_refused():
    model = seeded(padded)
    with pytest.raises(ValueError, match="grid of 10x9 cells"):
        upsample_to_image(torch.zeros(1, 1, 9, 9), model, "2", (30, 27))
    with pytest.raises(LookupError, match="no layer"):
        upsample_to_image(torch.zeros(1, 1, 9, 9), model, "5", (30, 27))
    with pytest.raises(ValueError, match="has no rows and columns"):
        upsample_to_image(torch.zeros(1, 1, 6, 6), awkward("sequential"), "6", (16, 16))


def test_grad_cam_finds_where_the_object_is():
    """A detector of one bright spot: the map on the image is largest where the spot is."""
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 1, 5, stride=4, bias=False), nn.ReLU(),
                                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)))  # fmt: skip
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[4].weight.fill_(1)
    x = torch.zeros(1, 1, 41, 41)
    x[..., 20:25, 28:33] = 1
    found = grad_cam(model, x, 0)
    there = upsample_to_image(found.map, model, "1", (41, 41))
    assert divmod(int(there.argmax()), 41) == (22, 30)
    assert gradient(model, x, 0).map.any()


class Keeps(nn.Module):
    """A block that keeps its maps; they are read from there."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        self.kept = torch.relu(self.conv(x))[:, :4]  # a view of what the ReLU made
        self.view, self.part = self.kept.flatten(2), self.kept[:, :, :3]
        self.row = self.kept.flatten(1)
        return self.kept


class AnswersKept(nn.Module):
    """Its answer is what a block has kept, as it lies there."""

    def __init__(self):
        super().__init__()
        self.e = Keeps()

    def forward(self, x):
        self.e(x)
        return self.e.row


class ReadsKept(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.e, self.fc, self.how = Keeps(), nn.Linear(4, 5), how

    def forward(self, x):
        return self.fc(self.how(self.e(x), self.e))


@pytest.mark.parametrize(
    "how",
    (
        lambda h, e: h.mean((2, 3)) + e.kept.mean((2, 3)),
        lambda h, e: torch.cat([h[:, :2], e.kept[:, 2:]], dim=1).mean((2, 3)),
        lambda h, e: torch.stack([h, e.kept]).amax(0).mean((2, 3)),
        lambda h, e: torch.cat((h, e.kept), 2).mean((2, 3)),
        lambda h, e: torch.add(input=h, other=e.kept).mean((2, 3)),
        lambda h, e: h.mean((2, 3)) + e.view.mean(2),
        lambda h, e: h.mean((2, 3)) + e.part.mean((2, 3)),
    ),
)
def test_maps_that_are_read_by_another_way_are_refused(how):
    model = seeded(lambda: ReadsKept(how), torch.float64)
    for layer_ in (None, "e"):
        with pytest.raises(ValueError, match="the model keeps its maps"):
            grad_cam(model, random_image(), 1, layer=layer_)
    fine = seeded(lambda: ReadsKept(lambda h, e: h.mean((2, 3)) * len(e.kept)), torch.float64)
    assert grad_cam(fine, random_image(), 1).map.any()
    fine = seeded(lambda: ReadsKept(lambda h, e: h.mean((2, 3))), torch.float64)
    assert near(
        grad_cam(fine, random_image(), 1).map,
        grad_cam(fine, random_image(), 1, layer="e").map,
    )


def test_an_answer_that_was_kept_is_refused_with_the_reason():
    model = AnswersKept()
    with pytest.raises(ValueError, match="keeps its maps and reads them later"):
        grad_cam(model, torch.rand(1, 3, 8, 8), 2, layer="e")


class Attends(nn.Module):
    """Tokens x tokens by a softmax module, after maps."""

    def __init__(self):
        super().__init__()
        self.conv, self.sm, self.drop, self.fc = (
            nn.Conv2d(3, 4, 4, 4),
            nn.Softmax(-1),
            nn.Dropout(),
            nn.Linear(4, 5),
        )

    def forward(self, x):
        t = self.conv(x).flatten(2).transpose(1, 2)[:, None]  # (N, 1, T, C)
        return self.fc((self.drop(self.sm(t @ t.transpose(2, 3))) @ t).mean((1, 2)))


class ChannelsStandLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.norm, self.fc1 = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 8)
        self.relu, self.fc = nn.ReLU(), nn.Linear(8, 5)

    def forward(self, x):
        h = self.patch(x).permute(0, 2, 3, 1)
        return self.fc(self.relu(self.fc1(self.norm(h))).mean((1, 2)))


@pytest.mark.parametrize("make, first", [(Attends, "conv"), (ChannelsStandLast, "patch")])
def test_four_axes_are_not_always_maps(make, first):
    model = seeded(make, torch.float64)
    for door in (last_feature_maps, lambda *given: grad_cam(*given, 1)):
        with pytest.raises(ValueError, match="cannot be told whether these are maps .* Name one: layer="):
            door(model, random_image())
    assert grad_cam(model, random_image(), 1, layer=first).map.shape == (1, 1, 4, 4)


def test_maps_of_one_cell_and_after_a_pool_by_a_function():
    small = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 14), nn.ReLU(), nn.Flatten(), nn.Linear(4, 5)
        )
    )
    assert (
        last_feature_maps(small, random_image(dtype=torch.float32)) == "0"
    )  # one cell is no position to look at

    class Pools(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 5)

        def forward(self, x):
            return self.fc(self.relu(F.max_pool2d(self.conv(x), 3)).mean((2, 3)))

    assert last_feature_maps(seeded(Pools, torch.float64), random_image()) == "relu"
