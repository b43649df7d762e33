"""Receptive fields against NaN tracing, gradient support, and the numbers of the textbooks."""

import pytest
import torch
import torch.nn.functional as F
from probed_nets import Residual, random_image, seeded, sequential, state, torchvision_net
from torch import nn

from cnnlab.probing import receptive


def seen_by_nan(model, layer, size, unit, channels=3):
    """Independent of any formula: rows and columns whose NaN reaches the unit. NaN passes every operation."""
    from cnnlab.probing import Recorder

    reached = []
    for axis in (2, 3):
        hits = []
        for i in range(size[axis - 2]):
            x = torch.ones(1, channels, *size, dtype=torch.float64)
            x.select(axis, i).fill_(torch.nan)
            with torch.no_grad(), Recorder(model, layer, stop=True) as acts:
                model(x)
            if acts[layer][0, :, *unit].isnan().any():  # of a concatenation, any branch
                hits.append(i)
        reached += [hits[0], hits[-1] + 1]
    top, bottom, left, right = reached
    return top, left, bottom, right


class Mixed(nn.Module):
    """Functional pools, padding by hand, dilation, groups, rectangles, a sum over two depths."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = (
            nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(0, 2)),
            nn.Conv2d(4, 4, 3, groups=2),
        )
        self.conv3, self.out = nn.Conv2d(4, 4, 3, dilation=2, padding=2), nn.Identity()

    def forward(self, x):
        x = F.relu(self.conv1(F.pad(x, (1, 0, 2, 1))))
        x = F.avg_pool2d(self.conv2(x), 2) + 0.5
        side = F.max_pool2d(x, 3, 1, 1)
        return self.out(self.conv3(x) + side * 2)


class Cut(nn.Module):
    """Slices, by position and from the end."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 2, 2)

    def forward(self, x):
        return self.conv2(self.conv1(x[:, :, 2:, :-1])[:, :, 1:, -6:])


CASES = {
    "sequential": (sequential, ["0", "1", "2", "3"], (16, 16)),
    "residual": (Residual, ["conv1", "bn2", "pool", "conv3"], (30, 30)),
    "mixed": (Mixed, ["conv1", "conv2", "conv3", "out"], (26, 21)),
    "cut": (Cut, ["conv2"], (20, 20)),
    "adaptive": (
        lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d(1)),
        ["1", "2"],
        (18, 18),
    ),
    "global": (lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1)), ["1"], (12, 12)),
}


@pytest.mark.parametrize("case", CASES)
def test_nan_reaches_exactly_the_rectangle(case):
    make, names, size = CASES[case]
    model = seeded(make, torch.float64)
    for name in names:
        field = receptive.field(model, name, size)
        rows, cols = field.grid
        for unit in {(0, 0), (rows // 2, cols // 2), (rows - 1, cols - 1)}:
            assert field.rectangle(*unit) == seen_by_nan(model, name, size, unit), (name, unit)


def support(model, layer, size, unit):
    """Where the gradient of a unit is not zero, with positive weights and pools that pass gradient to all."""
    from cnnlab.probing import Recorder

    x = torch.ones(1, 3, size, size, requires_grad=True)
    with Recorder(model, layer, stop=True, grad=True) as acts:
        model(x)
    (g,) = torch.autograd.grad(acts[layer][0, :, *unit].sum(), x)
    rows, cols = g[0].abs().sum(0).nonzero(as_tuple=True)
    return int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1


def positive(model):
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter.data, 1 / parameter[0].numel())
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(
                child, nn.MaxPool2d
            ):  # a maximum shows only one pixel; a mean shows the whole window
                setattr(
                    parent,
                    name,
                    nn.AvgPool2d(child.kernel_size, child.stride, child.padding, ceil_mode=child.ceil_mode),
                )
    return model


# 223: at 224 the last row is one that no window of squeezenet reaches
@pytest.mark.parametrize(
    "net, layer, image, size, stride",
    [("alexnet", "features.10", 224, 163, 16), ("squeezenet1_0", "features.12", 223, 155, 16)],
)
def test_gradient_support_of_large_networks(net, layer, image, size, stride):
    model = torchvision_net(net)
    field = receptive.field(model, layer, image)
    assert (field.size, field.stride) == ((size, size), (stride, stride))
    positive(model)
    for unit in [(0, 0), (6, 6), (12, 5)]:
        assert support(model, layer, image, unit) == field.rectangle(*unit)


# r += (k - 1) j, j *= s, worked by hand; googlenet's 5x5 branches are 3x3 in torchvision
KNOWN = {
    "alexnet": ("features.12", 195, 32, 0),
    "vgg11": ("features.18", 134, 16, 0),
    "resnet18": ("layer4", 435, 32, -217),
    "squeezenet1_0": ("features.0", 7, 2, 0),
    "googlenet": ("inception3a", 43, 8, None),
}


def test_known_fields_of_large_networks(large):
    layer, size, stride, start = KNOWN[large.name]
    before = state(large)
    field = receptive.field(large, layer, 128)
    assert state(large) == before
    assert (field.size, field.stride) == ((size, size), (stride, stride))
    if start:
        assert field.start == (start, start)


def test_padding_is_visible():
    field = receptive.field(seeded(sequential), "3", 16)
    assert (
        field.size == (8, 8) and field.stride == (2, 2) and field.start == (-1, -1) and field.grid == (6, 6)
    )
    assert field.rectangle(0, 5, clip=False) == (-1, 9, 7, 17)
    assert field.rectangle(0, 5) == (0, 9, 7, 16)
    x = random_image(16)
    crop = field.crop(x, 0, 5, outside=torch.nan)
    assert crop.shape == (1, 3, 8, 8)
    assert crop[..., 0, :].isnan().all() and crop[..., -1].isnan().all()
    assert torch.equal(crop[..., 1:, :-1], x[..., 0:7, 9:16])
    inside = field.crop(x, 2, 2)
    assert torch.equal(inside, x[..., 3:11, 3:11])
    inside.zero_()
    assert x.any()
    with pytest.raises(ValueError, match="no row 6: the feature map has rows 0 to 5"):
        field.rectangle(6, 0)
    with pytest.raises(ValueError, match="this field is for images"):
        field.crop(x[..., 1:], 0, 0)


def test_a_crop_is_all_that_a_unit_sees():
    model, x = seeded(sequential, torch.float64), random_image(16)
    field = receptive.field(model, "3", 16)
    whole = model[:4](x)[0, :, 2, 3]
    part = F.max_pool2d(F.relu(F.conv2d(field.crop(x, 2, 3), model[0].weight, model[0].bias)), 2)
    assert (model[3](part)[0, :, 0, 0] - whole).abs().max() < 1e-12


def test_grey_pictures_float64_and_training_mode_are_left_alone():
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)
        ),
        torch.float64,
    ).train()
    before = state(model)
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode():
            assert receptive.field(model, "4", (20, 24)).size == (7, 7)
    assert receptive.field(model, "4", (1, 20, 24)).grid == (7, 9)
    assert state(model) == before
    with pytest.raises(RuntimeError):
        receptive.field(model, "4", (2, 20, 24))
    assert state(model) == before


class Gate(nn.Module):
    """Squeeze and excitation: every position depends on the mean of the whole map."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate, self.out = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Identity()

    def forward(self, x):
        x = self.conv(x)
        return self.out(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True))))


REFUSED = {
    "linear": (sequential, "6", 16, "no rows and columns"),
    "gate": (Gate, "out", 16, "branches with strides"),
    "adaptive": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(4)),
        "1",
        16,
        "different sizes",
    ),
    "upsampling": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2)),
        "1",
        16,
        "Upsample",
    ),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3)),
        "0",
        (3, 16, 16),
        "ConvolutionBackward",
    ),
    "instance norm": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), "1", 16, "not known"),
    "group norm": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), "1", 16, "GroupNorm"),
    "reflection": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")),
        "0",
        16,
        "Reflect",
    ),
    "softmax over rows": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(2)), "1", 16, "Softmax"),
    "size": (sequential, "0", (1, 3, 16, 16), "image_size must be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_is_refused_with_the_reason(case):
    make, layer, size, reason = REFUSED[case]
    with pytest.raises(ValueError, match=reason):
        receptive.field(seeded(make), layer, size)
    with pytest.raises(LookupError, match="no layer 'nothing'"):
        receptive.field(seeded(make), "nothing", size)
