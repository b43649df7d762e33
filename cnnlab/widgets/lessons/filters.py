"""The widgets of lecture 02: look through the filters of the trained networks, and watch them appear."""

import functools

import torch
from torch import Tensor, nn

from cnnlab.drawing import filter_images
from cnnlab.drawing.raster import pixels
from cnnlab.methods.analysis import filters
from cnnlab.nets import models, weight_files
from cnnlab.widgets.explorer import explore

# What can be looked at without a network: every convolution of every embedded net.
_NETS = {
    "photonet": ("photonet", None),
    "shapesnet": ("shapesnet", None),
    "digits net": ("simpleconvnet", "digits"),
    "MNIST net": ("simpleconvnet", "mnist"),
}
_SCALES = ("one for all", "each its own")


def browser():
    """Look through the filters: a net and a layer, a filter, one scale for all or one for each."""
    layers = [f"{net}, {name}" for net in _NETS for name in _convolutions(_net(net))]
    most = max(_weight(layer).shape[0] for layer in layers)
    return explore(
        browser_view,
        title="Look through the filters",
        layer=layers,
        filter=(0, most - 1),
        tops=lambda held: {"filter": len(_weight(held["layer"])) - 1},
        scale=list(_SCALES),
        presets={
            "first layer of photonet": {"layer": "photonet, conv1", "scale": _SCALES[0]},
            "second layer of photonet": {"layer": "photonet, conv2"},
            "digits": {"layer": "digits net, conv1"},
        },
        alt="filters as pictures",
    )


def browser_view(layer: str, filter: int, scale: str) -> dict:
    """All filters of a first layer, or all kernels of one filter of a deeper layer.

    Args:
        layer: "photonet, conv1".
        filter: which one.
        scale: "one for all", so that a weak filter looks weak, or "each its own".

    Returns:
        The sheet, the filter alone, and what can be said of it.
    """
    weight = _weight(layer)
    if not 0 <= filter < len(weight):
        raise ValueError(f"{layer} has the filters 0 to {len(weight) - 1}, not {filter}")
    channels, side = weight.shape[1], weight.shape[2]
    shared = scale == _SCALES[0]
    size = f"{channels} x {side} x {side} = {weight[0].numel()} weights"
    said = f"filter {filter} of 0 ... {len(weight) - 1}: {size}"
    if channels in (1, 3):
        shown = filter_images.filters(weight, shared)
        columns = 8
        caption = f"all {len(weight)} filters of {layer}"
        (one,) = filter_images.filters(weight[filter : filter + 1], False)
        alone = {f"filter {filter}": pixels.enlarge(one, 20)}
    else:
        limit = weight[filter].abs().max().item()
        each = [limit if shared else kernel.abs().max().item() for kernel in weight[filter]]
        shown = [pixels.signed(kernel, most) for kernel, most in zip(weight[filter], each, strict=True)]
        columns = 12
        caption = f"the {channels} kernels of filter {filter}: no colours, one kernel for each channel below"
        alone = {}
    smooth = filters.smoothness(weight)[filter].item()
    said += f"\nneighbouring weights alike: {smooth:.2f}   (1 smooth, 0 noise, -1 checkerboard)"
    if alone:  # a filter that has no picture has no direction either
        angle, coherence = (number[filter].item() for number in filters.orientation(weight))
        said += f"\nits lines run along {angle:.0f} degrees (0 is level, 90 upright), sure to {coherence:.0%}"
    sheet = pixels.tile(shown, columns=columns, gap=1)
    return {caption: pixels.enlarge(sheet, max(1, 460 // sheet.shape[1])), **alone, "": said}


def growth():
    """Two trainings side by side: a good one, and one with a learning rate a hundred times as high."""
    last = int(_snapshots("photonet-filters")["epochs"][-1])
    return explore(
        growth_view,
        title="Watch the filters appear",
        epoch=(0, last),
        scale=list(_SCALES),
        start={"epoch": 3},
        presets={
            "start": {"epoch": 0},
            "epoch 5": {"epoch": 5},
            "epoch 12": {"epoch": 12},
            "end": {"epoch": last},
        },
        alt="the 32 filters of the first layer in two trainings",
    )


def growth_view(epoch: int, scale: str) -> dict:
    """The first layer's filters of both trainings after some epochs.

    Args:
        epoch: 0 is before the first step. The bad training ended earlier: it stays at its end.
        scale: as in `browser_view`.

    Returns:
        Two sheets and three numbers for each.
    """
    shown, lines = {}, []
    for name, file in (
        ("learning rate 0.1", "photonet-filters"),
        ("learning rate 10", "photonet-bad-filters"),
    ):
        kept = _snapshots(file)
        k = min(epoch, len(kept["epochs"]) - 1)
        weight, right = kept["conv1.weight"][k], kept["accuracy"][k].item()
        sheet = pixels.tile(filter_images.filters(weight, scale == _SCALES[0]), columns=8, gap=1)
        ended = " (its last)" if epoch > kept["epochs"][-1] else ""
        shown[f"{name}, epoch {int(kept['epochs'][k])}{ended}"] = pixels.enlarge(sheet, 5)
        known = f"{right:.0%} right" if right == right else "not tested"
        smooth = round(filters.smoothness(weight).nanmean().item(), 2) + 0.0  # no "-0.00"
        weak = len(filters.dead(weight))
        lines.append(
            f"{name:>18}: {known}; neighbours alike {smooth:5.2f}; {weak:2d} of {len(weight)} filters dead"
        )
    return {**shown, "": "\n".join(lines)}


@functools.cache
def _net(name: str) -> nn.Module:
    return models.load(*_NETS[name])


@functools.cache
def _snapshots(file: str) -> dict[str, Tensor]:
    return weight_files.load(file)


def _convolutions(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_children() if isinstance(module, nn.Conv2d)]


def _weight(layer: str) -> Tensor:
    net, name = layer.split(", ")
    with torch.no_grad():
        return getattr(_net(net), name).weight.clone()
