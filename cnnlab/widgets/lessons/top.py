"""The widgets of lecture 04: what a unit sees, and which pieces of pictures it likes best."""

import functools

import numpy as np
import torch
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing import sheets
from cnnlab.drawing.raster import pixels, plots
from cnnlab.methods import top
from cnnlab.probing import Recorder, receptive
from cnnlab.widgets import ImageInput, cached, explore

_SIDE = 64  # pixels
_BINS = 30


def fields(net: str = "photonet"):
    """What a unit sees: the frame of its receptive field, and how much each pixel counts.

    Args:
        net: one of `cached.NETS` for colour pictures.
    """
    return explore(
        functools.partial(fields_view, net=net),
        title="What does a unit see?",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        layer=list(cached.stage_names(net)),
        row=(0, _SIDE - 1),
        column=(0, _SIDE - 1),
        tops=lambda held: dict.fromkeys(("row", "column"), cached.field(net, held["layer"]).grid[0] - 1),
        start={"layer": cached.stage_names(net)[2], "row": 6, "column": 5},
        alt="a picture, and what a unit sees of it",
    )


def fields_view(image: Tensor, layer: str, row: int, column: int, *, net: str = "photonet") -> dict:
    """The receptive field of the units at one place, and the size of their gradient at every pixel.

    Args:
        image: (1, 3, S, S).
        layer: of the network.
        row, column: a place on the maps of the layer.
        net: one of `cached.NETS`.

    Returns:
        The picture with the frame, the gradient, and the numbers of the field.
    """
    model, seen = cached.net(net), cached.field(net, layer)
    leaf = image.detach().float().clone().requires_grad_()
    with torch.enable_grad(), Recorder(model, layer, stop=True, grad=True) as acts:
        model(leaf.clone())
        (gradient,) = torch.autograd.grad(acts[layer][0, :, row, column].sum(), leaf)
    size = gradient[0].abs().amax(dim=0)  # (S, S), the strongest of the colours
    box, whole = seen.rectangle(row, column), seen.rectangle(row, column, clip=False)
    cut = "" if box == whole else ", the rest is padding"
    said = (
        f"{layer}, place ({row}, {column}) of {seen.grid[0]} x {seen.grid[1]}: sees {seen.size[0]} x "
        f"{seen.size[1]} pixels{cut}; its neighbour sees as much, {seen.stride[1]} pixels further"
    )
    inside = size[box.top : box.bottom, box.left : box.right].sum().item() / max(size.sum().item(), 1e-12)
    said += (
        f"\n{inside:.0%} of all influence comes from inside the frame"
        if size.any()
        else "\nall units here are silent"
    )
    return {
        "the receptive field": pixels.boxed(pixels.grey(image[0]), box, 4),
        "how much each pixel counts": pixels.boxed(pixels.magnitude(size), box, 4),
        "": said,
    }


def browser(*, n: int = 600, seed: int = 0):
    """Choose a unit: nine pieces of pictures, where they were, and how strongly the unit answers to all.

    Args:
        n: how many pictures are scanned, the first time that a layer is chosen.
        seed: of the pictures.
    """
    if n < 10:
        raise ValueError(f"nine pieces and what comes after them need 10 pictures or more, not {n}")
    layers = [f"{net}, {layer}" for net in cached.NETS for layer in cached.stage_names(net)]
    return explore(
        functools.partial(browser_view, n=n, seed=seed),
        title="Which pieces does a unit like?",
        layer=layers,
        channel=(0, 191),
        rank=(0, max(1, n - 9)),
        tops=lambda held: {
            "channel": len(cached.scan(held["layer"], n, seed).values) - 1,
            "rank": cached.scan(held["layer"], n, seed).values.shape[1] - 9,
        },
        start={"layer": layers[2], "channel": 43},
        presets={"strongest": {"rank": 0}, "middle": {"rank": n // 2}},
        alt="the pieces of pictures to which a unit answers",
    )


def browser_view(layer: str, channel: int, rank: int, *, n: int = 600, seed: int = 0) -> dict:
    """Nine pieces of pictures from a place of a unit's ranking on.

    Args:
        layer: "photonet, relu3".
        channel: of the layer.
        rank: 0 are the strongest.
        n, seed: as in `browser`.

    Returns:
        The pieces, the pictures with frames, a histogram of the best answers to every picture, and numbers.
    """
    net, name = layer.split(", ")
    data, whole = cached.data(net, n, seed), cached.scan(layer, n, seed)
    nine, field = whole.ranks(rank, 9), cached.field(net, name)
    pieces = top.patches(data.images, nine, field, channels=[channel], outside=0.5)[0]
    framed = [
        _framed(data.images[k], field, r, c)
        for k, r, c in zip(*(part[channel].tolist() for part in nine[1:4]), strict=True)
    ]
    values = whole.values[channel].clamp(min=0)
    most = max(values[0].item(), 1e-12)
    bins = torch.histc(values, _BINS, 0, most)
    shown = [
        int(min(value / most * _BINS, _BINS - 1)) for value in (values[rank + 8].item(), values[rank].item())
    ]
    silent = (whole.values[channel] <= 0).float().mean().item()
    first, last = (whole.values[channel, rank + k].item() for k in (0, 8))
    return {
        f"rank {rank} to {rank + 8}: from {first:.2f} down to {last:.2f}": sheets.nine(pieces),
        "where they were": pixels.tile(framed, columns=3),
        f"best answer to each of {whole.seen} pictures, 0 to {most:.2f}": plots.bar_chart(
            bins.sqrt(), width=300, marked=(shown[0], shown[1])
        ),
        "": f"channel {channel} of {layer}: sees {field.size[0]} x {field.size[1]} pixels; "
        f"silent on {silent:.0%} of the pictures\n"
        "heights are square roots, so that rare answers show; the marked bars hold these nine",
    }


def _framed(image: Tensor, field: receptive.Field, row: int, column: int) -> np.ndarray:
    factor = max(1, 100 // image.shape[-1])  # the widget must fit on a slide
    return pixels.boxed(pixels.grey(image), field.rectangle(row, column), factor)
