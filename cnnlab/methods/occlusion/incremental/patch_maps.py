"""One feature map for every window, of which only the region that the window reached is stored.

Type: PatchedMaps.crop(where, size) -> (P, C, rows, cols). Outside of its patch, the map of every window is
that of the whole image, the base. So a piece of it is put together out of both:

    . . . . . .        . base, the same for all windows
    . o o # . .        # patch of this window, in `values`
    . o o # . .        o crop of 3 x 2 cells at (1, 1) takes its other
    . o o # . .          cells from the base; here it ends with the patch

What stands in the patches is made when it is first asked for. So a function that comes next can still change
how: a ReLU works in place, and a batch norm is multiplied into the filters of the convolution before it.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_Index = tuple[slice, ...]
Starts = tuple[int, ...]  # one for each window, along one axis; plain numbers, for there are few


class PaddedBase(NamedTuple):
    """A base with a border, to cut pieces from.

    Attributes:
        cells: (H', W', C), so that a cell is one stretch of memory.
        above, before: rows and columns of border until the base begins.
    """

    cells: Tensor
    above: int
    before: int

    def pieces(self, top: Starts, left: Starts, rows: int, cols: int) -> Tensor:
        """(P, C, rows, cols) one piece for each position, in memory with the channels last."""
        height, width, channels = self.cells.shape
        # One from every cell on; they overlap in memory, but only those that are taken are copied.
        last = (height - rows) * width + width - cols + 1
        every = self.cells.as_strided((last, rows, cols, channels), (channels, width * channels, channels, 1))
        begin = [(i + self.above) * width + j + self.before for i, j in zip(top, left, strict=True)]
        return every.index_select(0, torch.tensor(begin, device=every.device)).permute(0, 3, 1, 2)


def padded_base(
    base: Tensor, rows: tuple[int, int] = (0, 0), cols: tuple[int, int] = (0, 0), outside: float = 0.0
) -> PaddedBase:
    """(1, C, H, W) with so many rows and columns before and behind it."""
    if any((*rows, *cols)):
        base = F.pad(base, (*cols, *rows), value=outside)
    return PaddedBase(base[0].permute(1, 2, 0).contiguous(), rows[0], cols[0])


class PatchedMaps:
    """P maps that differ from a base only inside a patch each, all patches of one size.

    Attributes:
        base: (1, C, H, W), the map of the whole image.
        values: (P, C, h, w), what stands in the patches.
        make: what will make the values; None as soon as they are there.
        top, left: where the patches begin, P of each; they lie inside the map.
        size: (h, w); needed where the values are not there yet.
    """

    def __init__(
        self,
        base: Tensor,
        values: Tensor | Callable[[], Tensor],
        top: Starts,
        left: Starts,
        size: tuple[int, int] | None = None,
    ):
        self._values, self.make = (values, None) if isinstance(values, Tensor) else (None, values)
        self.base, self.top, self.left = base, top, left
        self.size = tuple(values.shape[2:]) if size is None else size

    @property
    def values(self) -> Tensor:
        """Only read them."""
        if self._values is None:
            self._values, self.make = self.make(), None
        return self._values

    @property
    def numel(self) -> int:
        """How many numbers the values are."""
        return len(self.top) * self.base.shape[1] * self.size[0] * self.size[1]

    def become(self, base: Tensor, values: Tensor | Callable[[], Tensor]) -> "PatchedMaps":
        """Other values in the same positions of another map."""
        return PatchedMaps(base, values, self.top, self.left, self.size)

    def crop(
        self, top: Starts, left: Starts, rows: int, cols: int, padded: PaddedBase | None = None
    ) -> Tensor:
        """A piece of each map.

        Args:
            top, left: where it begins, P of each.
            rows, cols: its size.
            padded: the base with a border, if it reaches beyond the map.

        Returns:
            (P, C, rows, cols), in memory with the channels last. Only read it: it may be `values` itself.
        """
        if (rows, cols) == self.size and top == self.top and left == self.left:
            return self.values
        taken = (padded or padded_base(self.base)).pieces(top, left, rows, cols)
        for into, out_of in self._meeting(top, left, (rows, cols)):
            taken[into] = self.values[out_of]
        return taken

    def change(self) -> Tensor:
        """(P, C, h, w): what stands in the patches, less what the base has there."""
        base = padded_base(self.base).pieces(self.top, self.left, *self.size)
        return torch.sub(self.values, base, out=base)

    def added_to(self, padded: PaddedBase, top: Starts, left: Starts, size: tuple[int, int]) -> Tensor:
        """Pieces of another base, to which the patches are added: (P, C, *size), the channels last."""
        taken = padded.pieces(top, left, *size)
        for into, out_of in self._meeting(top, left, size):
            taken[into] += self.values[out_of]
        return taken

    def _meeting(self, top: Starts, left: Starts, size: tuple[int, int]) -> Iterator[tuple[_Index, _Index]]:
        """Where pieces at these positions meet the patches: the cells of the pieces, and of the values."""
        down, right = (
            [mine - start for mine, start in zip(*both, strict=True)]
            for both in ((self.top, top), (self.left, left))
        )
        first = 0
        for (i, j), alike in groupby(zip(down, right, strict=True)):  # their patches lie alike in the pieces
            some = slice(first, first + len(list(alike)))
            first = some.stop
            into, out_of = zip(
                _overlap(i, self.size[0], size[0]), _overlap(j, self.size[1], size[1]), strict=True
            )
            yield (some, slice(None), *into), (some, slice(None), *out_of)

    def dense(self) -> Tensor:
        """All of each map: (P, C, H, W). Only read it, as a crop."""
        corner = (0,) * len(self.top)
        return self.crop(corner, corner, *self.base.shape[2:])


def _overlap(start: int, size: int, n: int) -> tuple[slice, slice]:
    """Of n cells, those that a patch covers, which begins at start; and which of its cells these are.

    >>> _overlap(-1, 3, 6)
    (slice(0, 2, None), slice(1, 3, None))
    """
    low, high = min(max(start, 0), n), max(min(start + size, n), 0)
    return slice(low, high), slice(low - start, high - start)
