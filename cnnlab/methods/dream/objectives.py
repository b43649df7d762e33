"""What is an image to be good at? Objectives that are read off one pass, and that add, scale and print.

Type of an objective: Seen -> (B,), one value for each image of a batch; larger is better. An objective is a
sum of weighted terms, so the algebra of the lecture is the algebra here:

>>> channel("relu3", 43) - 0.5 * total_variation()
channel relu3 43 - 0.5 * total variation

A term that takes one number for all images also takes a list with one for each: channel("relu3", [0, 1, 2])
is about three images, each with a channel of its own.

Papers: Erhan et al. 2009 (a unit's favourite image), Simonyan et al. 2014 (of a class), Mahendran & Vedaldi
2015 (total variation), Olah, Mordvintsev & Schubert, Feature visualization, Distill 2017 (the rest).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.errors import unknown
from cnnlab.methods.dream.objective_algebra import Objective, Seen, term
from cnnlab.probing import Unit

Which = int | Sequence[int]


def neuron(layer: str, channel: Which, row: int | None = None, col: int | None = None) -> Objective:
    """One unit: a channel at one position; left out, the position in the middle of the map."""
    if (row is None) != (col is None):
        raise ValueError(f"a position needs row and col: row is {row}, col is {col}")

    def value(seen: Seen) -> Tensor:
        maps = seen.layers[layer]
        if row is not None:
            maps = _at(maps, layer, row, col)
        elif maps.dim() == 4:
            maps = maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]
        return _chosen(maps, layer, channel)

    n_images = _n_images(channel, "channel")
    position = "" if row is None else f" at {row}, {col}"
    return term(f"neuron {layer} {_listed(channel)}{position}", value, layer, n_images=n_images)


def channel(layer: str, channel: Which) -> Objective:
    """A whole feature map: the mean of a channel over all positions."""

    def value(seen: Seen) -> Tensor:
        return _mean(_chosen(seen.layers[layer], layer, channel))

    n_images = _n_images(channel, "channel")
    return term(f"channel {layer} {_listed(channel)}", value, layer, n_images=n_images)


def layer(layer: str) -> Objective:
    """All of a layer at once: the mean of the squares. The objective of deep dream."""
    return term(f"layer {layer}", lambda seen: _mean(seen.layers[layer].square()), layer)


def logit(target: int | str | Sequence[int | str]) -> Objective:
    """A class, by its number or its name: what the network says before the softmax."""

    def value(seen: Seen) -> Tensor:
        return _class(seen, seen.output, target)

    n_images = _n_images(target, "class")
    return term(f"logit {_listed(target)}", value, output=True, n_images=n_images)


def probability(target: int | str | Sequence[int | str]) -> Objective:
    """A class after the softmax. It also rises when all other classes fall, and near 1 it has no gradient."""

    def value(seen: Seen) -> Tensor:
        return _class(seen, seen.output.softmax(dim=1), target)

    n_images = _n_images(target, "class")
    return term(f"probability {_listed(target)}", value, output=True, n_images=n_images)


def direction(
    layer: str, vector: Tensor, row: int | None = None, col: int | None = None, *, power: float = 0
) -> Objective:
    """A mixture of channels: the product of the activations a with a vector v, at each position.

    Args:
        layer: its name.
        vector: (C,), or (B, C) with one for each image.
        row, col: one position; left out, the mean over all.
        power: the product is multiplied by max(0.1, cos(a, v)) to this power. From 1 on, the angle counts:
            other channels must stay silent.
    """
    if not isinstance(vector, Tensor) or vector.dim() not in (1, 2) or not vector.isfinite().all():
        raise ValueError("a direction is a finite vector (C,), or (B, C) with one for each image")
    if (row is None) != (col is None):
        raise ValueError(f"a position needs row and col: row is {row}, col is {col}")
    vector = vector.detach().clone()

    def value(seen: Seen) -> Tensor:
        maps = seen.layers[layer]
        if maps.shape[1] != vector.shape[-1]:
            raise ValueError(f"{layer} has {maps.shape[1]} channels, and the direction {vector.shape[-1]}")
        if row is not None:
            maps = _at(maps, layer, row, col)
        maps = maps.reshape(*maps.shape[:2], -1)  # (B, C, positions)
        # A copy made here: one that was born in the caller's inference mode has no position in a graph.
        along = vector.clone().to(maps).expand(len(maps), -1)  # (B, C)
        dot = torch.einsum("bcp,bc->bp", maps, along)
        if power:
            own = maps.square().sum(dim=1).add(1e-12).sqrt()  # (B, positions)
            lengths = own * along.norm(dim=1, keepdim=True).clamp(min=1e-12)
            dot = dot * (dot / lengths).clamp(min=0.1) ** power
        return dot.mean(dim=1)

    position = "" if row is None else f" at {row}, {col}"
    return term(
        f"direction {layer}{position}", value, layer, n_images=len(vector) if vector.dim() == 2 else None
    )


def diversity(layer: str) -> Objective:
    """How unlike the images of a batch are: minus the mean cosine of their Gram matrices, from -1 to 0.

    The Gram matrix of a layer says which channels fire together, wherever that is: its style.
    """

    def value(seen: Seen) -> Tensor:
        maps = seen.layers[layer].flatten(2)
        count = len(maps)
        if count < 2:
            raise ValueError("diversity compares the images of a batch: ask for n_images=2 or more")
        grams = F.normalize((maps @ maps.transpose(1, 2)).flatten(1), dim=1)  # (B, C * C)
        alike = grams @ grams.T
        return -(alike.sum(dim=1) - alike.diagonal()) / (count - 1)

    return term(f"diversity {layer}", value, layer)


def l2() -> Objective:
    """How far the pixels are from grey: the mean of (x - 1/2) squared. To be subtracted."""
    return term("L2", lambda seen: _mean((seen.image - 0.5).square()))


def total_variation() -> Objective:
    """How rough the image is: the mean step |x - x'| to the right plus the mean step down."""

    def value(seen: Seen) -> Tensor:
        x = seen.image
        across, down = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
        return _mean(across.abs()) + _mean(down.abs())

    return term("total variation", value)


def blur() -> Objective:
    """How far the image is from its blurred self: the mean square of x - blur(x), blur(x) held fixed."""

    def value(seen: Seen) -> Tensor:
        x = seen.image
        kernel = x.new_tensor([0.25, 0.5, 0.25])
        with torch.no_grad():
            soft = F.pad(x, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
            soft = F.conv2d(F.conv2d(soft, kernel.view(1, 1, 3, 1)), kernel.view(1, 1, 1, 3)).view_as(x)
        return _mean((x - soft).square())

    return term("blur", value)


def _mean(values: Tensor) -> Tensor:
    """(B, …) -> (B,)"""
    return values.flatten(1).mean(dim=1) if values.dim() > 1 else values


def _at(maps: Tensor, layer: str, row: int, col: int) -> Tensor:
    """(B, C, rows, cols) -> (B, C)"""
    if maps.dim() != 4:
        raise ValueError(f"{layer} has no rows and columns: leave the position {row}, {col} away")
    rows, cols = maps.shape[2:]
    if not (0 <= row < rows and 0 <= col < cols):
        raise ValueError(f"{layer} has no position {row}, {col}: it has {rows} rows and {cols} columns")
    return maps[:, :, row, col]


def _chosen(maps: Tensor, layer: str, channel: Which) -> Tensor:
    """(B, C, …) -> (B, …): one channel for all images, or for each its own."""
    if isinstance(channel, int):
        return Unit(layer, channel).activation(maps)
    for each in set(channel):
        Unit(layer, each).activation(maps[:1])  # refuses a channel that there is not
    if len(set(channel)) == 1:  # a slice: its way back is faster than that of numbers picked one by one
        return maps[:, channel[0]]
    return maps[torch.arange(len(maps)), list(channel)]


def _class(seen: Seen, scores: Tensor, target: int | str | Sequence[int | str]) -> Tensor:
    """(B, classes) -> (B,)"""
    if scores.dim() != 2:
        raise ValueError(f"a class has a score where a model gives (B, classes), not {tuple(scores.shape)}")
    targets = [target] * len(scores) if isinstance(target, int | str) else target
    numbers = []
    for each in targets:
        if isinstance(each, str) and each not in seen.classes:
            raise unknown("class", each, seen.classes, plural="classes")
        numbers.append(seen.classes.index(each) if isinstance(each, str) else each)
        if not 0 <= numbers[-1] < scores.shape[1]:
            raise LookupError(f"no class {each}: they are numbered from 0 to {scores.shape[1] - 1}")
    return scores[torch.arange(len(scores)), numbers]


def _n_images(which: object, kind: str) -> int | None:
    """How many images a list is about; None for a single one."""
    single = (int, str) if kind == "class" else (int,)
    if isinstance(which, single) and not isinstance(which, bool):
        return None
    if isinstance(which, str) or not isinstance(which, Sequence) or not len(which):
        raise TypeError(f"a {kind} is a number, or a list with one for each image; not {which!r}")
    for each in which:
        if not isinstance(each, single) or isinstance(each, bool):
            raise TypeError(f"a {kind} is given by its number, and not by {each!r}")
    return len(which)


def _listed(which: object) -> str:
    if isinstance(which, int | str):
        return str(which)
    shown = ", ".join(map(str, which[:3]))
    return f"[{shown}]" if len(which) <= 3 else f"[{shown}, … {len(which)} in all]"
