"""A 3 x 3 convolution by a quarter of the products, for maps of many channels: Winograd's.

Type: (maps (N, C, H, W), transformed filters) -> (N, K, H', W'), what F.conv2d gives with stride 1. Each tile
of 4 x 4 outputs needs 16 * 9 = 144 products per pair of channels. But four outputs in a row are the
coefficients of a polynomial that six numbers determine: six inputs and three weights, each seen at the same
six points, multiplied point by point. In both directions 36 products are left, and they are plain matrix
products. To go to the points and back costs time, too; it pays where hundreds of channels share it.

Papers: Winograd, Arithmetic complexity of computations, 1980; Lavin & Gray, Fast algorithms for convolutional
neural networks, CVPR 2016.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

TILE, SPAN = 4, 6  # outputs of a tile along an axis, and the inputs that they need
# Where polynomials are looked at; the sixth point is infinity. With these five, the result is rounded as that
# of F.conv2d is (2e-6 of the largest number); with the usual 0, 1, -1, 2, -2 five times as much.
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
_CHANNELS, _PICTURES = 384, 16  # with fewer, the way there and back takes what is won
_THERE_AND_BACK = 2500  # products that take as long as to bring one channel of a tile to the points, or back
_AT_ONCE = 2**22  # numbers of the tiles that are worked on: 16 MB


def pays(maps: int, weight: Tensor, rows: int, cols: int) -> bool:
    """Is it estimated to be faster than F.conv2d? `rows` and `cols` are those of the output."""
    outs, ins = weight.shape[:2]
    if min(outs, ins) < _CHANNELS or maps < _PICTURES or weight.device.type != "cpu":
        return False
    if tuple(weight.shape[2:]) != (3, 3) or weight.dtype not in (torch.float32, torch.float64):
        return False
    tiles = -(-rows // TILE) * -(-cols // TILE)
    return (
        1.2 * tiles * (SPAN**2 * ins * outs + _THERE_AND_BACK * (ins + outs)) < 9 * rows * cols * ins * outs
    )


def transformed(weight: Tensor) -> Tensor:
    """(K, C, 3, 3) -> (36, C, K): the filters as they are seen at the points; made once."""
    _, _, there = _matrices()
    both = torch.kron(there, there).to(weight)  # (36, 9)
    return (both @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(SPAN**2, *weight.shape[1::-1])


def conv3x3(maps: Tensor, filters: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """What F.conv2d(maps, weight, bias, padding=padding) gives, to rounding.

    Args:
        maps: (N, C, H, W).
        filters: transformed(weight).
        bias: (K,).
        padding: cells of zeros above and below, and to the left and right.

    Returns:
        (N, K, H', W'), in memory with the channels last.
    """
    rows, cols = (size + 2 * pad - 2 for size, pad in zip(maps.shape[2:], padding, strict=True))
    down, across = -(-rows // TILE), -(-cols // TILE)
    count = max(1, _AT_ONCE // (SPAN**2 * down * across * max(filters.shape[1:])))
    out = maps.new_empty(len(maps), rows, cols, filters.shape[2])
    for part, place in zip(maps.split(count), out.split(count), strict=True):
        tiles = _tiled(part.permute(0, 2, 3, 1), padding, down, across)
        made = _convolved(tiles, filters).view(TILE, TILE, len(part), down, across, -1)
        made = made.permute(2, 3, 0, 4, 1, 5).reshape(len(part), down * TILE, across * TILE, -1)
        place.copy_(made[:, :rows, :cols])
    if bias is not None:
        out += bias
    return out.permute(0, 3, 1, 2)


def _tiled(maps: Tensor, padding: tuple[int, int], down: int, across: int) -> Tensor:
    """(N, H, W, C) -> (36, N * down * across, C): the inputs of each tile; they overlap by two."""
    count, height, width, channels = maps.shape
    (above, left), (rows, cols) = padding, (down * TILE + 2, across * TILE + 2)
    maps = F.pad(maps, (0, 0, left, cols - width - left, above, rows - height - above)).contiguous()
    picture, row, col, _ = maps.stride()
    tiles = maps.as_strided(
        (SPAN, SPAN, count, down, across, channels), (row, col, picture, TILE * row, TILE * col, 1)
    )
    return tiles.reshape(SPAN**2, -1, channels)


def _convolved(tiles: Tensor, filters: Tensor) -> Tensor:
    """(36, tiles, C), (36, C, K) -> (16, tiles * K)"""
    back, there, _ = _matrices()
    seen = torch.kron(there, there).to(tiles) @ tiles.flatten(1)
    products = torch.bmm(seen.view_as(tiles), filters)
    return torch.kron(back, back).to(tiles) @ products.flatten(1)


@functools.cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """From the points back to outputs (4, 6); from inputs to the points (6, 6), from weights (6, 3)."""
    with torch.inference_mode(False):
        points = torch.tensor(_POINTS, dtype=torch.float64)
        last = torch.eye(SPAN, dtype=torch.float64)[-1]

        def seen(numbers: int) -> Tensor:
            """A polynomial of so many coefficients -> its values; at infinity, the last coefficient."""
            powers = points[:, None] ** torch.arange(numbers)
            return torch.cat([powers, last[None, SPAN - numbers :]])

        # Sliding is the transpose of multiplying polynomials, so the way there is that back, transposed.
        return seen(TILE).T.contiguous(), torch.linalg.inv(seen(SPAN)).T.contiguous(), seen(3)
