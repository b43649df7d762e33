"""A 3 x 3 convolution by a third of the products, for small maps of many channels: Winograd's.

Type: (maps (N, C, H, W), filters (K, C, 3, 3)) -> (N, K, H', W'), what F.conv2d gives with stride 1. A tile
of 4 x 4 outputs needs 16 * 9 = 144 products per pair of channels. But four outputs in a row are the
coefficients of a polynomial that six numbers determine: six inputs and three weights, each seen at the same
six points, multiplied point by point. In both directions 36 products are left, and they are plain matrix
products. So are the way to the points and that back, and hundreds of channels share them.

Papers: Winograd, Arithmetic complexity of computations, 1980; Lavin & Gray, Fast algorithms for convolutional
neural networks, CVPR 2016.
"""

import functools

import torch
from torch import Tensor

TILE, SPAN = 4, 6  # outputs of a tile along an axis, and the inputs that they need
# Where polynomials are looked at; the sixth point is infinity. With these five, the result is rounded as that
# of F.conv2d is (2e-6 of the largest number); with the usual 0, 1, -1, 2, -2 five times as much.
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
_PICTURES = 32  # with fewer, bringing the filters to the points takes what is won
_AT_ONCE = 2**21  # numbers at the points that are worked on: 8 MB


def pays(maps: int, weight: Tensor, size: tuple[int, int], outputs: tuple[int, int]) -> bool:
    """Is it estimated to be faster than F.conv2d, for so many maps of a size?"""
    if maps < _PICTURES or weight.device.type != "cpu" or tuple(weight.shape[2:]) != (3, 3):
        return False
    if weight.dtype not in (torch.float32, torch.float64):
        return False
    (outs, ins), tiles = weight.shape[:2], -(-outputs[0] // TILE) * -(-outputs[1] // TILE)
    ways = ins * size[0] * size[1] + outs * outputs[0] * outputs[1]
    return SPAN**2 * tiles * (ins * outs + 1.5 * ways) < 0.75 * 9 * outputs[0] * outputs[1] * ins * outs


def conv3x3(maps: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """What F.conv2d(maps, weight, bias, padding=padding) gives, to rounding.

    Args:
        maps: (N, C, H, W).
        weight: (K, C, 3, 3).
        bias: (K,).
        padding: cells of zeros above and below, and to the left and right.

    Returns:
        (N, K, H', W'), in memory with the channels last.
    """
    filters = _transformed(weight)
    (rows, there_row, back_row), (cols, there_col, back_col) = map(_ways, maps.shape[2:], padding)
    # Along both axes at once, points first: tiles of one point are one matrix.
    there = torch.einsum("pth,quw->pqtuhw", there_row, there_col).flatten(4).flatten(0, 3).to(maps)
    back = torch.einsum("hpt,wqu->hwpqtu", back_row, back_col).flatten(2).flatten(0, 1).to(maps)
    out = maps.new_empty(len(maps), rows * cols, filters.shape[2])
    count = max(1, _AT_ONCE // (len(there) * max(filters.shape[1:])))
    for part, place in zip(maps.split(count), out.split(count), strict=True):
        cells = part.permute(2, 3, 0, 1).reshape(there.shape[1], -1)  # (H * W, N * C)
        seen = (there @ cells).view(SPAN**2, -1, maps.shape[1])  # (36, tiles * N, C)
        made = back @ torch.bmm(seen, filters).view(len(there), -1)  # (H' * W', N * K)
        place.copy_(made.view(rows * cols, len(part), -1).transpose(0, 1))
    if bias is not None:
        out += bias
    return out.view(len(maps), rows, cols, -1).permute(0, 3, 1, 2)


def _transformed(weight: Tensor) -> Tensor:
    """(K, C, 3, 3) -> (36, C, K): the filters as they are seen at the points."""
    seen = _seen(3)
    both = torch.kron(seen, seen).to(weight)  # (36, 9)
    return (both @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(SPAN**2, *weight.shape[1::-1])


@functools.cache
def _ways(n: int, padding: int) -> tuple[int, Tensor, Tensor]:
    """Along an axis of n cells: how many outputs, from cells to points (6, tiles, n), and back to outputs."""
    count = n + 2 * padding - 2
    tiles = -(-count // TILE)
    # Sliding is the transpose of multiplying polynomials, so the way there is that back, transposed.
    there, back = torch.linalg.inv(_seen(SPAN)).T, _seen(TILE).T
    to_points = there.new_zeros(SPAN, tiles, tiles * TILE + 2)  # with what is outside
    to_outputs = back.new_zeros(tiles * TILE, SPAN, tiles)
    for tile in range(tiles):
        first = tile * TILE
        to_points[:, tile, first : first + SPAN] = there
        to_outputs[first : first + TILE, :, tile] = back
    cells = torch.nn.functional.pad(to_points, (0, n + padding))[..., padding : padding + n]
    return count, cells, to_outputs[:count]


def _seen(numbers: int) -> Tensor:
    """(6, numbers): a polynomial of so many coefficients -> its values; at infinity, the last coefficient."""
    points = torch.tensor(_POINTS, dtype=torch.float64)
    last = torch.eye(SPAN, dtype=torch.float64)[-1, SPAN - numbers :]
    return torch.cat([points[:, None] ** torch.arange(numbers), last[None]])
