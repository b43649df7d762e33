"""Which way do the lines of a picture run? A tiny explainable "network": four filters, a score each.

`picture -> scores`, and for every score a map over the pixels that adds up to it. Nothing is trained.
It stands in lecture 00 for a trained net: all of its parts fit on one slide, so the explanation can be
checked by eye.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.names import unknown
from cnnlab.nets import kernels

DIRECTIONS = ("horizontal", "rising", "vertical", "falling")
_ANGLES = (0, 45, 90, 135)


def maps(image: Tensor) -> Tensor:
    """Where each direction is seen, and how strongly.

    Args:
        image: (N, C, H, W) in [0, 1], at least 3x3 pixels. Colours are averaged to grey.

    Returns:
        (N, 4, H-2, W-2), zero or more: the squared answer of the line filter of each direction, divided
        by the number of positions, so that a map sums to the score of its direction.

    Raises:
        ValueError: the picture is not (N, C, H, W) or smaller than 3x3.
    """
    if image.dim() != 4 or min(image.shape[-2:]) < 3:
        raise ValueError(
            f"expected pictures as (N, C, H, W) of at least 3x3 pixels, got {tuple(image.shape)}. "
            "Add a batch dimension with image[None] if there is one picture."
        )
    grey = image.mean(dim=1, keepdim=True)  # (N, C, H, W) -> (N, 1, H, W)
    filters = torch.stack([kernels.line(angle) for angle in _ANGLES])[:, None].to(image)  # (4, 1, 3, 3)
    answer = F.conv2d(grey, filters)  # (N, 4, H-2, W-2)
    # A diagonal neighbour is sqrt(2) further away, so a diagonal filter answers to a coarser line. We leave
    # it so: four equal filters are easier to read than four balanced ones.
    return answer.square() / (answer.shape[-2] * answer.shape[-1])


def scores(image: Tensor) -> Tensor:
    """How much of each direction there is.

    Args:
        image: (N, C, H, W) in [0, 1].

    Returns:
        (N, 4), zero or more, in the order of `DIRECTIONS`.
    """
    return maps(image).sum(dim=(-2, -1))


def shares(image: Tensor) -> Tensor:
    """The scores as shares of their sum.

    Args:
        image: (N, C, H, W) in [0, 1].

    Returns:
        (N, 4), each row sums to 1.

    Raises:
        ValueError: a picture has no lines at all (one plain colour), so that there is nothing to share.
    """
    total = scores(image)
    if (total.sum(dim=1) <= 0).any():
        raise ValueError("this picture is one plain colour: no line in any direction. Try a photo.")
    return total / total.sum(dim=1, keepdim=True)


def heatmap(image: Tensor, direction: str) -> Tensor:
    """Which pixels gave one direction its score.

    Args:
        image: (N, C, H, W) in [0, 1].
        direction: one of `DIRECTIONS`.

    Returns:
        (N, 1, H, W), zero or more; sums to the score of this direction. No filter fits on the border: 0.

    Raises:
        LookupError: there is no such direction.
    """
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS)
    chosen = maps(image)[:, DIRECTIONS.index(direction)][:, None]  # (N, 1, H-2, W-2)
    return F.pad(chosen, (1, 1, 1, 1))  # -> (N, 1, H, W)
