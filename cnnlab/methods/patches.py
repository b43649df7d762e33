"""One feature map for every window, of which only the region that the window reached is stored.

Type: Patches.crop(where, size) -> (P, C, rows, cols). Outside of its patch, the map of every window is that
of the whole picture, the base. So a piece of it is put together out of both:

    . . . . . .        . base, the same for all windows
    . o o # . .        # patch of this window, in `values`
    . o o # . .        o crop of 3 x 2 cells at (1, 1) takes its other
    . o o # . .          cells from the base; here it ends with the patch
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Patches(NamedTuple):
    """P maps that differ from a base only inside a patch each, all patches of one size.

    Attributes:
        base: (1, C, H, W), the map of the whole picture.
        values: (P, C, h, w), what stands in the patches.
        top, left: (P,) where they begin; they lie inside the map.
    """

    base: Tensor
    values: Tensor
    top: Tensor
    left: Tensor

    def crop(self, top: Tensor, left: Tensor, rows: int, cols: int, outside: float = 0.0) -> Tensor:
        """A piece of each map.

        Args:
            top, left: (P,) where it begins; it may reach beyond the map.
            rows, cols: its size.
            outside: what stands beyond the map.

        Returns:
            (P, C, rows, cols), in memory with the channels last. Only read it: it may be `values` itself.
        """
        (_, channels, height, width), (h, w) = self.base.shape, self.values.shape[2:]
        if (rows, cols) == (h, w) and torch.equal(top, self.top) and torch.equal(left, self.left):
            return self.values
        in_map, in_patch = [], []
        for start, size, first, n, patch in (
            (top, rows, self.top, height, h),
            (left, cols, self.left, width, w),
        ):
            cells = start[:, None] + torch.arange(size, device=start.device)  # (P, size)
            in_map.append((cells, (cells >= 0) & (cells < n)))
            cells = cells - first[:, None]
            in_patch.append((cells, (cells >= 0) & (cells < patch)))
        # All cells in one long list, the base's, then those of all patches, then one beyond the map: every
        # cell of the result is a number in it. With channels last, a cell is one stretch of memory.
        number = torch.arange(len(top), device=top.device)[:, None, None]
        from_patch, of_patch = _cells(*in_patch, w)
        from_base, of_base = _cells(*in_map, width)
        first, beyond = height * width, height * width + number.numel() * h * w
        index = torch.where(of_base, from_base, beyond)
        index = torch.where(of_patch, first + number * h * w + from_patch, index)
        border = self.base.new_full((1, channels), outside)
        every = torch.cat([_as_list(self.base), _as_list(self.values), border])  # (cells, C)
        taken = every.index_select(0, index.flatten())
        return taken.view(*index.shape, channels).permute(0, 3, 1, 2)

    def whole(self) -> Tensor:
        """All of each map: (P, C, H, W). Only read it, as a crop."""
        corner = torch.zeros_like(self.top)
        return self.crop(corner, corner, *self.base.shape[2:])


def _as_list(maps: Tensor) -> Tensor:
    """(N, C, rows, cols) -> (N * rows * cols, C)"""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _cells(rows: tuple[Tensor, Tensor], cols: tuple[Tensor, Tensor], width: int) -> tuple[Tensor, Tensor]:
    """(P, rows) and (P, cols), each with a mask -> (P, rows, cols) the numbers of the cells, and a mask."""
    numbers = rows[0][:, :, None] * width + cols[0][:, None, :]
    return numbers, rows[1][:, :, None] & cols[1][:, None, :]
