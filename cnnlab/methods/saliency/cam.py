"""Class activation maps: which positions of the last maps gave a class its score, and exactly so.

Type: (model, images, target) -> (N, 1, h, w), signed: red positions speak for the class, blue ones against
it. A network that averages its last maps over all positions and reads the classes off the means by one dense
layer
can exchange the two steps: read off at every position first, then average. Nothing is left out.
Paper: B. Zhou et al., Learning deep features for discriminative localization, CVPR 2016.
"""

import time
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.methods.attribution import Attribution, collect
from cnnlab.methods.model_runner import Passes, batches, guarded_forward
from cnnlab.methods.targets import Target, resolve
from cnnlab.probing import layers, preserved
from cnnlab.probing.hooks import on_forward
from cnnlab.probing.memory_format import to_fast_memory_format


def class_activation_map(model: nn.Module, images: Tensor, target: Target) -> Tensor:
    """The map of a class as a plain tensor.

    Args:
        model: it ends with a mean over all positions and one dense layer, as photonet, shapesnet and
            resnet18.
        images: (N, C, H, W) in [0, 1].
        target: a class by number or name, or (N,) or (N, T) numbers: see `targets`.

    Returns:
        (N, 1, h, w) on the grid of the last maps; of (N, T) targets (N, T, 1, h, w). Its mean plus the
        class's bias is the logit.

    Raises:
        ValueError: the network ends in another way, so that this map would not be exact; a Unit.
        LookupError: there is no such class.
    """
    return cam(model, images, target).map


def cam(
    model: nn.Module, images: Tensor, target: Target, *, output: str = "logit", batch: int = 64
) -> Attribution:
    """The map of a class with its bookkeeping; its MEAN plus the class's bias is the logit.

    Args, Raises: as `class_activation_map`.
        output: "logit"; the positions do not add up to a probability, so that is refused.
        batch: images per pass.

    Returns:
        Attribution with a map (N, 1, h, w). It needs no pass back.
    """
    began = time.perf_counter()
    resolved = resolve(model, images, target, output)
    if resolved.unit is not None or output != "logit":
        raise ValueError("a class activation map explains the logit of a class; for others use grad_cam")
    parts = []
    batch = resolved.independent_batch_size(model, images, batch, len(images))
    with preserved(model, grad=False):
        for rows in batches(images, batch):
            end = _end(model, to_fast_memory_format(model, images[rows].detach()))
            here = resolved.rows(rows)
            scores = here.read(end.logits)  # checks the numbers, too
            weight = end.weight[here.indices.to(end.weight.device)]  # (B, T, C)
            parts.append((torch.einsum("btc,bchw->bthw", weight, end.maps)[:, :, None], scores))
    maps, scores = (torch.cat(each) for each in zip(*parts, strict=True))
    return collect(resolved, maps, scores, None, Passes(len(images), 0), began)


def overlay(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """A coarse map spread over the pixels: each cell gives every pixel under it an equal part.

    Args:
        maps: (N, 1, h, w), with H and W multiples of h and w.
        size: (H, W) of the image.

    Returns:
        (N, 1, H, W); its SUM is the mean of the coarse map, so sum + bias = logit.

    Raises:
        ValueError: the cells do not cover the pixels evenly.
    """
    (rows, columns), (height, width) = maps.shape[2:], size
    if height % rows or width % columns:
        raise ValueError(f"{rows}x{columns} cells do not cover {height}x{width} pixels evenly")
    return F.interpolate(maps, size=size, mode="nearest") / (height * width)


class _End(NamedTuple):
    """The last maps (B, C, h, w), the dense layer's weight (classes, C), and what came out (B, classes)."""

    maps: Tensor
    weight: Tensor
    logits: Tensor


def _end(model: nn.Module, images: Tensor) -> _End:
    """How the network ends, if by a mean and a dense layer: checked on the numbers themselves."""
    maps = dense = None
    parts = dict(model.named_modules(remove_duplicate=False))

    def on_output(name: str, output: object) -> None:
        nonlocal maps, dense
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
            maps = output
        elif isinstance(parts[name], nn.Linear):
            dense = parts[name]

    with on_forward(model, layers(model), on_output), guarded_forward(model, images):
        logits = model(images)
    if maps is not None and dense is not None and maps.shape[1] == dense.in_features:
        read = dense(maps.mean(dim=(2, 3)))
        if read.shape == logits.shape and (read - logits).abs().max() <= _rounding(logits, dense.bias):
            return _End(maps, dense.weight.detach(), logits)
    names = [name for name, _ in model.named_children()]
    raise ValueError(
        "a class activation map needs a network that ends with a mean over all positions and one dense "
        f"layer, as photonet (gap, flatten, dense); this one ends with {', '.join(names[-3:])}. Use grad_cam"
    )


def _rounding(logits: Tensor, bias: Tensor | None) -> Tensor:
    """How far two ways to these logits may differ: a large bias says nothing about the maps."""
    own = logits if bias is None else logits - bias
    near = 1e-9 if logits.dtype == torch.float64 else 1e-4
    return near * own.abs().max() + 4 * torch.finfo(logits.dtype).eps * logits.abs().max()
