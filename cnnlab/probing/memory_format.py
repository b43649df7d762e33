"""Channels last where that is faster and safe: which models allow it, and the copy of a batch for a pass."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cnnlab.nets.small import Net, Normalise
from cnnlab.probing.at_rest import replaced
from cnnlab.probing.model_state import frozen
from cnnlab.probing.units import unique_modules

_FILTERS_PER_CELL = 6  # numbers in filters for each in the first maps; with more, it is not worth the layout


_ANY_LAYOUT = {nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.BatchNorm2d, nn.Dropout}
_ANY_LAYOUT |= {
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Flatten,
    nn.Linear,
    nn.Identity,
    Net,
    Normalise,
}


# torchvision's own code for these was read: it flattens with torch.flatten and joins channels with torch.cat.
# By name, for torchvision takes a second to import.
_READ = {
    f"torchvision.models.{name}"
    for name in "alexnet.AlexNet vgg.VGG resnet.ResNet resnet.BasicBlock resnet.Bottleneck "
    "squeezenet.SqueezeNet squeezenet.Fire googlenet.BasicConv2d googlenet.Inception".split()
}


def to_fast_memory_format(model: nn.Module, images: Tensor) -> Tensor:
    """A copy for a model to work on, row by row in memory; channels side by side where that is safe.

    Many convolutions are faster so, by a fifth on photonet. But Tensor.view of maps then fails, and
    h.flatten(1).relu_() changes a copy of h without a word. So only where all parts are known, in a row.
    The filters are laid out anew in each pass, which pays if there are not too many of them for the maps.
    """
    layout = torch.channels_last if _side_by_side(model, images) else torch.contiguous_format
    return images.clone(memory_format=layout)


@contextmanager
def frozen_for_many_passes(model: nn.Module, images: Tensor, batch: int) -> Iterator[None]:
    """Around many passes: what each of them does to the model, and its filters' layout, is done once.

    Args:
        images: of the size that goes through the model.
        batch: how many in a pass.

    Raises:
        ValueError: as `frozen`.
    """
    some = images[:1].expand(batch, -1, -1, -1)
    with frozen(model, channels_last=_side_by_side(model, some)):
        yield


def _side_by_side(model: nn.Module, images: Tensor) -> bool:
    filters, cells = 0, None
    for part in unique_modules(model):
        if not _takes_any_layout(type(part)) or _changed(part):
            return False
        if type(part) is nn.Conv2d:
            filters += part.weight.numel()
            if cells is None:
                pixels = len(images) * images.shape[2] * images.shape[3]
                cells = pixels * part.out_channels // math.prod(part.stride)
    return cells is not None and filters <= _FILTERS_PER_CELL * cells


@functools.lru_cache(maxsize=256)
def _takes_any_layout(kind: type[nn.Module]) -> bool:
    return kind in _ANY_LAYOUT or f"{kind.__module__}.{kind.__qualname__}" in _READ


def _changed(part: nn.Module) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks or replaced(part))
