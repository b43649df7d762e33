"""Class activation maps: which places of the last maps gave a class its score, and exactly so.

Type: (model, image, target) -> (N, 1, h, w), signed: red places speak for the class, blue ones against it.
A network that averages its last maps over all places and reads the classes off the means by one dense layer
can exchange the two steps: read off at every place first, then average. Nothing is left out.
Paper: B. Zhou et al., Learning deep features for discriminative localization, CVPR 2016.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.names import unknown
from cnnlab.probing import Recorder
from cnnlab.probing.hooks import evaluating


def cam(model: nn.Module, images: Tensor, target: int | str | Tensor) -> Tensor:
    """The map of a class.

    Args:
        model: its last layers are "gap", "flatten" and "dense", as those of photonet and shapesnet.
        images: (N, C, H, W) in [0, 1].
        target: the class for all pictures, by its number or name, or one number for each picture (N,).

    Returns:
        (N, 1, h, w) on the grid of the last maps. Its mean plus the class's bias is the logit.

    Raises:
        ValueError: the network ends in another way, so that this map would not be exact.
        LookupError: there is no such class.
    """
    names = [name for name, _ in model.named_children()]
    averages = isinstance(getattr(model, "gap", None), nn.AdaptiveAvgPool2d) and model.gap.output_size in (
        1,
        (1, 1),
    )
    reads = averages and isinstance(getattr(model, "dense", None), nn.Linear)
    if len(names) < 4 or names[-3:] != ["gap", "flatten", "dense"] or not reads:
        raise ValueError(
            "a class activation map needs a network that ends with gap, flatten, dense, as photonet; this "
            f"one ends with {', '.join(names[-3:])}"
        )
    with evaluating(model), torch.no_grad(), Recorder(model, names[-4], stop=True) as acts:
        model(images)
    weight = model.dense.weight.detach()[_numbers(model, target, len(images))]  # (N, C)
    return (acts[names[-4]] * weight[:, :, None, None]).sum(dim=1, keepdim=True)


def over_picture(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """A coarse map spread over the pixels: each cell gives every pixel under it an equal part.

    Args:
        maps: (N, 1, h, w), with H and W multiples of h and w.
        size: (H, W) of the picture.

    Returns:
        (N, 1, H, W); its SUM is the mean of the coarse map, so sum + bias = logit.

    Raises:
        ValueError: the cells do not cover the pixels evenly.
    """
    (rows, columns), (height, width) = maps.shape[2:], size
    if height % rows or width % columns:
        raise ValueError(f"{rows}x{columns} cells do not cover {height}x{width} pixels evenly")
    return F.interpolate(maps, size=size, mode="nearest") / (height * width)


def _numbers(model: nn.Module, target: int | str | Tensor, n: int) -> Tensor:
    """One class number for each picture."""
    classes = tuple(getattr(model, "classes", ()))
    if isinstance(target, str):
        if target not in classes:
            raise unknown("class", target, classes, plural="classes")
        target = classes.index(target)
    numbers = torch.as_tensor(target).reshape(-1)
    outputs = model.dense.out_features
    if isinstance(target, bool) or numbers.dtype.is_floating_point or len(numbers) not in (1, n):
        raise ValueError(f"one class, or one for each of {n} pictures, not {target}")
    if int(numbers.min()) < 0 or int(numbers.max()) >= outputs:
        raise LookupError(f"no class {target}: they are numbered from 0 to {outputs - 1}")
    return numbers.expand(n)
