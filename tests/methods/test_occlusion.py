"""Every way to compute an occlusion against a loop that covers one window after the other, and captum's."""

import math
import sys
from pathlib import Path

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnnlab.methods import occlusion, patches, reach, sweep
from cnnlab.methods.targets import best
from cnnlab.nets import models
from cnnlab.probing import Recorder, Unit

sys.path.insert(0, str(Path(__file__).parents[1] / "probing"))

from probed_nets import SMALL, picture, seeded, sequential, state, torchvision_net  # noqa: E402

HOW = ("incremental", "batches")


def make(*parts):
    return seeded(lambda: nn.Sequential(*parts), torch.float64)


def covered(x, window, stride, fill=0.0):
    """One covered picture after the other, row by row, with plain slices."""
    (h, w), (down, right) = window, stride
    for i in range(math.ceil((x.shape[2] - h) / down) + 1):
        for j in range(math.ceil((x.shape[3] - w) / right) + 1):
            place = (..., slice(i * down, i * down + h), slice(j * right, j * right + w))
            one = x.clone()
            one[place] = torch.as_tensor(fill, dtype=x.dtype).expand(x.shape)[place]
            yield one


def loop(model, x, window, stride, fill=0.0):
    """(windows, K), one plain pass each."""
    with torch.no_grad():
        whole = model(x.clone())
        return torch.cat([whole - model(one) for one in covered(x, window, stride, fill)])


def error(model, x, window=(4, 4), stride=(2, 2), fill=0.0, how="incremental", **options):
    """The largest difference to the loop, against the largest drop."""
    found = occlusion.scan(model, x, window=window, stride=stride, fill=fill, how=how, **options)
    assert found.how == how and (how == "batches" or not found.reason)
    expected = loop(model, x, window, stride, fill)
    assert (expected.abs().amax(1) > 0).sum() > 1
    drops = (found.whole - found.outputs).flatten(0, 1)
    assert drops.shape == expected.shape
    return ((drops - expected).abs().max() / expected.abs().max()).item()


# --- every layer there is a rule for ------------------------------------------------------------------------


class Call(nn.Module):
    """A function as a layer."""

    def __init__(self, function, **tensors):
        super().__init__()
        self.function = function
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, x):
        return self.function(x, *self.buffers())


def changed_in_place(x):
    """Results that are thrown away, because they are in x already."""
    y = x.clone()
    x.relu_()
    x += 0.5
    x.mul_(2).clamp_(max=3.0)
    F.relu(x, True)
    return x - y


def seen_through_a_view(x):
    x[:, :2, 3:5].relu_()
    return x


def rest(x):
    """A sum of two ways of different reach."""
    return F.relu(x + F.max_pool2d(x, 5, 1, 2), inplace=True)


KINDS = {
    "conv": lambda: nn.Conv2d(4, 4, 3),
    "stride, padding": lambda: nn.Conv2d(4, 4, 3, stride=2, padding=1),
    "rows left out": lambda: nn.Conv2d(4, 4, 2, stride=3),
    "kernel below the stride": lambda: nn.Conv2d(4, 4, 1, stride=4),
    "dilation, groups": lambda: nn.Conv2d(4, 4, (3, 2), dilation=(2, 3), padding=(2, 0), groups=2),
    "same, even kernel": lambda: nn.Conv2d(4, 4, (4, 2), padding="same", dilation=(1, 3)),
    "valid": lambda: nn.Conv2d(4, 4, 3, padding="valid", bias=False),
    "much padding": lambda: nn.Conv2d(4, 4, 3, padding=4),
    "each channel by itself": lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "1x1": lambda: nn.Conv2d(4, 4, 1),
    "reflected": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 3, stride=2),
    "overlapping pool": lambda: nn.MaxPool2d(3, 2, padding=1),
    "pool up to the edge": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "dilated pool": lambda: nn.MaxPool2d((2, 3), (1, 2), dilation=2),
    "mean pool": lambda: nn.AvgPool2d(3, 2, padding=1),
    "mean pool up to the edge": lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
    "mean pool of what is there": lambda: nn.AvgPool2d((3, 2), 2, padding=1, count_include_pad=False),
    "mean pool, divisor": lambda: nn.AvgPool2d(2, 3, divisor_override=5),
    "adaptive pool": lambda: nn.AdaptiveAvgPool2d((3, 5)),
    "batch norm": lambda: nn.BatchNorm2d(4),
    "batch norm, no weights": lambda: nn.BatchNorm2d(4, affine=False),
    "dropout": lambda: nn.Sequential(nn.Dropout(), nn.Dropout2d(inplace=True), nn.Identity()),
    "relu in place": lambda: nn.ReLU(inplace=True),
    "leaky, elu, prelu": lambda: nn.Sequential(nn.LeakyReLU(0.1, True), nn.ELU(), nn.PReLU(4)),
    "sigmoid, tanh, silu": lambda: nn.Sequential(nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.GELU()),
    "softmax": lambda: nn.Softmax(dim=1),
    "border of zeros": lambda: nn.Sequential(nn.ZeroPad2d((1, 2, 0, 3)), nn.ConstantPad2d(1, 0.5)),
    "cut border": lambda: nn.ZeroPad2d(-1),
    "constants": lambda: Call(
        lambda x, c: (2 - x / c) * 0.5 - c, c=torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1)
    ),
    "a constant map": lambda: Call(lambda x, c: x + c, c=torch.arange(11.0)),
    "sum of two ways": lambda: Call(rest),
    "product of two ways": lambda: Call(lambda x: x * x.sigmoid()),
    "gate": lambda: Call(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()),
    "gate without batch": lambda: Call(
        lambda x: x * x.mean((2, 3), keepdim=True).sigmoid().repeat(1, 1, 1, 1)
    ),
    "concatenation": lambda: Call(lambda x: torch.cat([x[:, 1:3], F.avg_pool2d(x, 3, 1, 1)[:, :2]], 1)),
    "concatenated rows": lambda: Call(lambda x: torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 2)),
    "in place": lambda: Call(changed_in_place),
    "in place through a view": lambda: Call(seen_through_a_view),
    "normalised over the map": lambda: nn.GroupNorm(2, 4),
    "fourier": lambda: Call(lambda x: torch.fft.fft2(x).abs()),
    "shapes": lambda: Call(lambda x: x.view(x.size(0), 4, -1).reshape(len(x), *x.shape[1:]).contiguous()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_every_layer_is_that_of_the_loop(kind):
    middle = KINDS[kind]()
    model = make(
        nn.Conv2d(3, 4, 3, padding=1), middle, nn.Conv2d(4, 3, 2, padding=1), nn.ReLU(), nn.Flatten()
    )
    x = picture(11)
    for window, stride in [((4, 4), (3, 3)), ((2, 5), (1, 2)), ((1, 1), (1, 1))]:
        assert error(model, x, window, stride) < 1e-10


@pytest.mark.parametrize("batch", (1, 2, 7, 1000))
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", SMALL)
def test_every_build_of_a_net_and_every_chunk(name, how, batch):
    assert (
        error(seeded(SMALL[name], torch.float64), picture(16), (3, 5), (2, 5), how=how, batch=batch) < 1e-10
    )


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("size, window, stride", [
    ((16, 16), (16, 16), (8, 8)), ((17, 13), (6, 4), (5, 3)), ((9, 20), (2, 2), (2, 1)), ((16, 16), (15, 1), (15, 1))
])  # fmt: skip
def test_odd_sizes_and_windows_that_do_not_divide(how, size, window, stride):
    model = make(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 2), nn.Flatten())
    x = torch.rand(1, 1, *size, dtype=torch.float64)
    expected = loop(model, x, window, stride)
    found = occlusion.scan(model, x, window=window, stride=stride, how=how)
    drops = (found.whole - found.outputs).flatten(0, 1)
    assert expected.abs().max() > 0 and (drops - expected).abs().max() < 1e-12
