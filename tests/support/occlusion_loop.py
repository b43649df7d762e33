"""The naive loop that every engine of occlusion must equal: it covers one window after another."""

import math

import torch
from probed_nets import seeded
from torch import nn

from cnnlab.methods import occlusion

ENGINES = ("incremental", "batches")


def make(*parts):
    return seeded(lambda: nn.Sequential(*parts), torch.float64)


def covered(x, window, stride, fill=0.0):
    """One covered image after the other, row by row, with plain slices."""
    (h, w), (down, right) = window, stride
    for i in range(math.ceil((x.shape[2] - h) / down) + 1):
        for j in range(math.ceil((x.shape[3] - w) / right) + 1):
            position = (..., slice(i * down, i * down + h), slice(j * right, j * right + w))
            one = x.clone()
            one[position] = torch.as_tensor(fill, dtype=x.dtype).expand(x.shape)[position]
            yield one


def loop(model, x, window, stride, fill=0.0):
    """(windows, K), one plain pass each."""
    with torch.no_grad():
        whole = model(x.clone())
        return torch.cat([whole - model(one) for one in covered(x, window, stride, fill)])


def error(model, x, window=(4, 4), stride=(2, 2), fill=0.0, engine="incremental", **options):
    """The largest difference to the loop, against the largest drop."""
    found = occlusion.scan(model, x, window=window, stride=stride, fill=fill, engine=engine, **options)
    assert found.engine == engine and (engine == "batches" or not found.reason)
    expected = loop(model, x, window, stride, fill)
    assert (expected.abs().amax(1) > 0).sum() > 1
    drops = (found.unoccluded - found.outputs).flatten(0, 1)
    assert drops.shape == expected.shape
    return ((drops - expected).abs().max() / expected.abs().max()).item()


class Call(nn.Module):
    """A function as a layer."""

    def __init__(self, function, **tensors):
        super().__init__()
        self.function = function
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, x):
        return self.function(x, *self.buffers())
