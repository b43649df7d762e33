"""The classic hand-made kernels: what people drew before networks learned them.

A kernel is a small (k, k) tensor. Slide it over a grey image, multiply and add: that is one feature map.
These ones are written as they are applied, that is, as correlation kernels (see `layers.conv2d`).
"""

import math

import torch
from torch import Tensor

from cnnlab.errors import unknown

_KERNELS = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "box blur": [[1 / 9] * 3] * 3,
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "outline": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
    "sobel x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "sobel y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "shift right": [[0, 0, 0], [1, 0, 0], [0, 0, 0]],
}

# A line detector has a bright bar on dark flanks; its numbers sum to zero, so a plain surface gives nothing.
_LINES = {
    0: [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]],
    45: [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]],
    90: [[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]],
    135: [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]],
}


def names() -> list[str]:
    """The names that `load` knows."""
    return list(_KERNELS)


def load(name: str) -> Tensor:
    """A classic kernel by its name.

    Args:
        name: one of `names()`.

    Returns:
        (3, 3) float32, a fresh tensor. Blurs sum to 1 (brightness stays), edge kernels sum to 0 (a plain
        surface gives nothing).

    Raises:
        LookupError: no kernel has this name.

    >>> load("sobel x").sum().item()
    0.0
    """
    if name not in _KERNELS:
        raise unknown("kernel", name, _KERNELS)
    return torch.tensor(_KERNELS[name], dtype=torch.float32)


def line(angle: int) -> Tensor:
    """A detector for a bright line at an angle.

    Args:
        angle: 0 (a horizontal line), 45 (rising to the right), 90 (vertical) or 135 (falling), in degrees.

    Returns:
        (3, 3) float32 with sum 0.

    Raises:
        LookupError: there is no detector for this angle.
    """
    if angle not in _LINES:
        raise unknown("line angle", angle, map(str, _LINES))
    return torch.tensor(_LINES[angle], dtype=torch.float32)


def gaussian(sigma: float, size: int | None = None) -> Tensor:
    """The smoothest blur: weights that fall off like a bell around the centre.

    Args:
        sigma: width of the bell in pixels, > 0. About two thirds of a row's weight lie within one sigma.
        size: side of the kernel, odd. Left out: wide enough for three sigmas on each side.

    Returns:
        (size, size) float32, all positive, sum 1.

    Raises:
        ValueError: sigma is not positive, or size is even.

    >>> gaussian(1.0).shape
    torch.Size([7, 7])
    """
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma must be a positive number of pixels, but it is {sigma}. Try sigma=1.0.")
    if size is None:
        size = 2 * math.ceil(3 * sigma) + 1
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size must be odd, so that there is a centre, but it is {size}. Try {size + 1}.")
    x = torch.arange(size, dtype=torch.float64) - size // 2  # (size,)
    bell = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = torch.outer(bell, bell)  # (size, size)
    return (kernel / kernel.sum()).float()
