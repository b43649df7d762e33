"""A 3 x 3 convolution with half of the products, for many maps of many channels: Winograd's, along rows.

Type: (maps (P, C, H, W), filters, as they are `seen`) -> (P, K, H', W'), what F.conv2d gives with stride 1.
Multiply a polynomial of m coefficients by one of three. That takes 3 m products. But the m + 2 coefficients
of the result are known by its values at m + 2 points, and each value is one product: 9 in place of 21 for
m = 7. A window of three weights that slides along a row is this map transposed: m + 2 inputs, m outputs, the
same m + 2 products. At each point they are a convolution down the columns, for each pair of channels, and
torch is fast at those.

    rows of cells -> at the points -> a convolution of 3 x 1 at each point -> rows of outputs

The columns stand first in memory, and the channels last. So the way to the points and that back are one
product with a small matrix each.

Papers: Winograd, Arithmetic complexity of computations, 1980; Lavin & Gray, Fast algorithms for convolutional
neural networks, CVPR 2016.
"""

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Where polynomials are looked at; None is infinity. A tile of m outputs uses the first m + 2, so one set of
# filters serves tiles of all sizes. At 1 every power is 1, so a bias added there reaches all outputs: it
# stands first. Numbers near one lose little by rounding: about 2e-5 of the largest output of a tile of seven.
_POINTS = (1.0, 0.0, None, -1.0, 0.5, -2.0, -0.5, 2.0, -0.75)
TILE = len(_POINTS) - 2  # outputs of a tile, at most
_CHANNELS = 192  # with fewer, the way to the points and back takes what is won
_CELLS = 100  # in a column of all maps together; with fewer, to rearrange the filters takes what is won


def pays(maps: Tensor, weight: Tensor, padding: tuple[int, int]) -> bool:
    """Is it estimated to be faster than F.conv2d with stride 1?"""
    rows, cols = (n + 2 * p - 2 for n, p in zip(maps.shape[2:], padding, strict=True))
    return (
        tuple(weight.shape[2:]) == (3, 3)
        and min(weight.shape[:2]) >= _CHANNELS
        and len(maps) * rows >= _CELLS
        and cols > 3
        and weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled("cpu")  # half of the digits are too few for it
    )


def seen(weight: Tensor) -> list[Tensor]:
    """(K, C, 3, 3) -> for each point (K, C, 3, 1): the filters, as their rows are seen from there."""
    outs, ins = weight.shape[:2]
    rows = weight.permute(3, 0, 2, 1).reshape(3, -1)  # (3, K * 3 * C)
    points = _values(_POINTS, 3).to(weight) @ rows
    return list(points.view(-1, outs, 3, 1, ins).permute(0, 1, 4, 2, 3))  # the channels last in memory


def conv3x3(maps: Tensor, filters: list[Tensor], bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """What F.conv2d(maps, weight, bias, padding=padding) gives, to rounding.

    Args:
        maps: (P, C, H, W), finite, with the padding three columns or more; fastest where they lie in memory
            as (W, H, P, C).
        filters: what `seen` makes of the weight.
        bias: (K,).
        padding: rows of zeros above and below, and columns to the left and right.

    Returns:
        (P, K, H', W'), in memory as (W', H', P, K).
    """
    count, channels, height, width = maps.shape
    ways = _ways(width, padding[1], maps.dtype)
    cells = maps.permute(3, 2, 0, 1).reshape(width, -1)  # (W, H * P * C)
    points = (ways.there @ cells).view(-1, height, count, channels).permute(0, 3, 1, 2)
    made = [
        F.conv2d(part, weight, None if number else bias, padding=(padding[0], 0))  # (tiles, K, H', P)
        for number, (part, weight) in enumerate(zip(points.split(ways.tiles), filters, strict=False))
    ]
    high = made[0].shape[2]
    lines = torch.cat([part.permute(0, 2, 3, 1).flatten(1) for part in made])  # (points, H' * P * K)
    return (ways.back @ lines).view(-1, high, count, len(filters[0])).permute(2, 3, 1, 0)


class _Ways(NamedTuple):
    """Along a row of W cells, from cells to points and from points to outputs.

    Attributes:
        there: (points of all tiles, W); those of all tiles at the first point, then at the second, …
        back: (outputs, points of all tiles)
        tiles: for each point, how many use it.
    """

    there: Tensor
    back: Tensor
    tiles: list[int]


@functools.cache
def _ways(width: int, padding: int, dtype: torch.dtype) -> _Ways:
    count = width + 2 * padding - 2
    number = -(-count // TILE)
    firsts = [tile * count // number for tile in range(number)]  # tiles are about as large
    sizes = [end - first for first, end in zip(firsts, [*firsts[1:], count], strict=True)]
    there, back, tiles = [], [], []
    for point in range(max(sizes) + 2):
        users = [(first, size) for first, size in zip(firsts, sizes, strict=True) if point < size + 2]
        for first, size in users:
            points = _POINTS[: size + 2]
            # Sliding is the transpose of multiplying polynomials, so the way there is that back, transposed.
            there.append(torch.zeros(width + 2 * padding, dtype=torch.float64))
            there[-1][first : first + size + 2] = torch.linalg.inv(_values(points, size + 2))[:, point]
            back.append(torch.zeros(count, dtype=torch.float64))
            back[-1][first : first + size] = _values(points, size)[point]
        tiles.append(len(users))
    inside = torch.stack(there)[:, padding : padding + width]
    return _Ways(inside.to(dtype), torch.stack(back, dim=1).to(dtype), tiles)


def _values(points: tuple[float | None, ...], numbers: int) -> Tensor:
    """(points, numbers): a polynomial of so many coefficients -> its values; at infinity, the last one."""
    rows = [[0.0] * (numbers - 1) + [1.0] if at is None else [at**i for i in range(numbers)] for at in points]
    return torch.tensor(rows, dtype=torch.float64)
