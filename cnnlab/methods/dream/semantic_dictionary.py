"""A layer's answer, spelled out: at each position of an image, the channels that speak, by images for them.

Type: (model, image, layer, position) -> TopChannels; (model, image, layer) -> Grid. The activation vector of
a position is many numbers. `top_channels` names its largest, to be shown by the channels' icons
(`superstimuli`). `grid` makes an image for the vector as a whole.

Paper: Olah et al., The building blocks of interpretability, Distill 2018.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.methods.dream import objectives
from cnnlab.methods.dream.objective_gradient import check_image_input, layer_output
from cnnlab.methods.dream.superstimuli import Progress, render_batches
from cnnlab.methods.dream.transforms import Transform
from cnnlab.validation import check_integer


class TopChannels(NamedTuple):
    """The strongest channels at one position.

    Attributes:
        channels: (k,) the strongest first; of equals the lower number.
        values: (k,) their activations.
        fraction: (k,) of the sum of all that is positive there. It says how much of the answer is shown.
    """

    channels: Tensor
    values: Tensor
    fraction: Tensor


class Grid(NamedTuple):
    """An image for the answer at each position.

    Attributes:
        images: (rows, columns, C, size, size) in [0, 1]; grey where it was stopped before, where the layer
            is silent, and where the climb never found a gradient.
        magnitude: (rows, columns), the length of the activation vector. To be shown by the cells' sizes.
        stopped: "finished", "stopped" or "interrupted".
    """

    images: Tensor
    magnitude: Tensor
    stopped: str


def top_channels(model: nn.Module, image: Tensor, layer: str, row: int, col: int, k: int = 4) -> TopChannels:
    """What a layer says at one position of an image, by its strongest channels.

    Args:
        model: any network; it runs in eval mode, and only as far as the layer.
        image: (1, C, H, W) in [0, 1].
        layer: a layer with maps.
        row, col: a position on its maps.
        k: how many channels; only positive ones are named, so there may be fewer.

    Returns:
        TopChannels. `superstimuli(model, layer, channels=found.channels)` makes their icons.

    Raises:
        LookupError: no such layer.
        ValueError: no such position, or more than one image.
    """
    maps = _maps(model, image, layer)
    rows, cols = maps.shape[1:]
    check_integer(row, "row is a whole number, 0 or more", least=0)
    check_integer(col, "col is a whole number, 0 or more", least=0)
    if not (0 <= row < rows and 0 <= col < cols):
        raise ValueError(f"{layer} has no position {row}, {col}: it has {rows} rows and {cols} columns")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k is a whole number, 1 or more, not {k!r}")
    activations = maps[:, row, col]
    order = activations.sort(descending=True, stable=True)
    count = min(k, int((activations > 0).sum()))
    values, total = order.values[:count], activations.clamp(min=0).sum()
    return TopChannels(order.indices[:count], values, values / total)


def grid(
    model: nn.Module,
    image: Tensor,
    layer: str,
    *,
    cells: int | tuple[int, int] | None = None,
    size: int = 32,
    steps: int = 48,
    power: float = 1,
    transforms: str | Sequence[Transform] = "standard",
    learning_rate: float = 0.1,
    batch: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
) -> Grid:
    """An image of what a layer says at each position: made for the direction of the activations there.

    Each cell is rendered by itself, many in one batch. (A weighted sum of the channels' icons would be
    quicker, and wrong: two images laid over each other are not the image for both.)

    Args:
        model: any network; it runs in eval mode, and only as far as the layer. It must take images of
            `size`.
        image: (1, C, H, W) in [0, 1].
        layer: a layer with maps.
        cells: (rows, columns), or one number for both; left out, as many as the layer has positions. Where
            they are fewer, the vectors of a cell are averaged.
        size: side of the cells' images.
        steps, transforms, learning_rate, seed: as in `render`.
        power: of the cosine, see `objectives.direction`: 0, only the length along the direction counts.
        batch: cells per pass.
        progress: as in `superstimuli`. True stops.

    Returns:
        Grid. Where the layer is silent, there is no direction, and the cell is grey.

    Raises:
        LookupError: no such layer.
        ValueError: more cells than positions, numbers out of range, or more than one image.
    """
    maps = _maps(model, image, layer)
    rows, cols = maps.shape[1:] if cells is None else _pair(cells)
    check_integer(size, "size is the side of the cells' images: a whole number, 2 or more", least=2)
    if not (1 <= rows <= maps.shape[1] and 1 <= cols <= maps.shape[2]):
        raise ValueError(
            f"{layer} has {maps.shape[1]} x {maps.shape[2]} positions: cells are as many or fewer"
        )
    vectors = F.adaptive_avg_pool2d(maps[None], (rows, cols))[0].flatten(1).T  # (rows * cols, C)
    magnitude = vectors.norm(dim=1)
    active = (magnitude > 0).nonzero()[:, 0]
    images = torch.full((rows * cols, image.shape[1], size, size), 0.5, dtype=maps.dtype)
    stopped = "finished"
    if len(active):
        units = vectors[active] / magnitude[active, None]
        result = render_batches(
            model,
            lambda some: objectives.direction(layer, units[some], power=power),
            len(active),
            batch,
            progress,
            size=size,
            steps=steps,
            transforms=transforms,
            learning_rate=learning_rate,
            seed=seed,
        )
        # A cell that never had a gradient shows nothing but the noise at its start.
        shown = result.channels[result.had_gradient.cpu()]
        images[active[shown]] = result.images[result.had_gradient].cpu().to(images.dtype)
        stopped = result.stopped
    return Grid(images.unflatten(0, (rows, cols)), magnitude.view(rows, cols), stopped)


def _pair(cells: object) -> tuple[int, int]:
    both = (cells, cells) if isinstance(cells, int) else cells
    if not isinstance(both, tuple | list) or len(both) != 2:
        raise ValueError(f"cells are one number, or (rows, columns); not {cells!r}")
    return tuple(check_integer(each, "cells are whole numbers, 1 or more") for each in both)


def _maps(model: nn.Module, image: Tensor, layer: str) -> Tensor:
    """(C, rows, cols): what a layer with maps says to one image."""
    check_image_input(image)
    if len(image) != 1:
        raise ValueError(f"one image is asked for, (1, C, H, W), not {len(image)}")
    maps = layer_output(model, image, layer)
    if maps.dim() != 4:
        raise ValueError(
            f"{layer} has no rows and columns (shape {tuple(maps.shape)}): choose a layer with maps"
        )
    if not maps.isfinite().all():
        raise ValueError(f"what {layer} says is not finite (nan or inf): look at image and weights")
    return maps[0]
