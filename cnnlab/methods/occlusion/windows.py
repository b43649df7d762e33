"""Where the windows of an occlusion lie, the images with one of them covered, and the mean for each pixel.

Type: (image size, window, stride) -> Windows. They start at 0, stride, 2 * stride, … until the last one
reaches the border; there it is cut, never shifted (as in captum). What a pixel gets is the mean over the
windows that cover it. A window is a range of rows times a range of columns, so that mean is two products with
small matrices, one for the rows and one for the columns.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cnnlab.nets.layer_shapes import Size
from cnnlab.validation import check_integer


class Windows(NamedTuple):
    """A grid of windows. Each attribute is a pair: (rows, columns).

    Attributes:
        image_size: its size in pixels.
        size: of a window.
        stride: pixels from one window to the next.
    """

    image_size: tuple[int, int]
    size: tuple[int, int]
    stride: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """How many windows there are: (rows, columns).

        >>> Windows((10, 7), (4, 7), (4, 1)).grid
        (3, 1)
        """
        rows, cols = (math.ceil((n - k) / s) + 1 for n, k, s in zip(*self, strict=True))
        return rows, cols

    def positions(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """(P,) numbers of windows, row by row -> (P,) their top rows and (P,) their left columns."""
        top = numbers.div(self.grid[1], rounding_mode="floor") * self.stride[0]
        return top, numbers % self.grid[1] * self.stride[1]

    def border_kinds(self, kinds: int) -> Tensor:
        """(windows,) a number for each window, by how far from the border it lies: kinds**2 of them.

        The region that a window near the border reaches is cut there. Those of one kind are about as large.
        """
        rows, cols = (
            (kinds * torch.minimum(i := torch.arange(n), n - 1 - i) // ((n + 1) // 2)) for n in self.grid
        )
        return (rows[:, None] * kinds + cols).flatten()

    def over(self, row: int, col: int) -> int:
        """The number of a window that covers this pixel: the last one that does.

        >>> Windows((10, 7), (4, 7), (4, 1)).over(9, 3)
        2
        """
        down, right = (min(i // s, n - 1) for i, s, n in zip((row, col), self.stride, self.grid, strict=True))
        return down * self.grid[1] + right

    def meet(self, pixels: Tensor) -> Tensor:
        """(H, W) true or false -> (windows,): does this window cover a pixel that is true?"""
        rows, cols = (self._mask(axis).to(pixels.device, torch.float32) for axis in (0, 1))
        return (rows @ pixels.to(torch.float32) @ cols.T > 0).flatten()

    def occluded(self, image: Tensor, fill: Tensor, numbers: Tensor) -> Tensor:
        """One image with one window covered at a time: (1, C, H, W) -> (P, C, H, W)."""
        hides = []
        for axis, start in enumerate(self.positions(numbers.to(image.device))):
            pixels = torch.arange(self.image_size[axis], device=image.device)
            hides.append((pixels >= start[:, None]) & (pixels < start[:, None] + self.size[axis]))
        rows, cols = hides  # (P, H), (P, W)
        return torch.where(rows[:, None, :, None] & cols[:, None, None, :], fill, image)

    def per_pixel(self, values: Tensor) -> Tensor:
        """The mean over the windows that cover a pixel: (…, rows, cols) -> (…, H, W).

        Windows with the value nan are left out of it; where no other covers a pixel, it is nan.
        """
        rows, cols = (self._mask(axis).to(values) for axis in (0, 1))  # (rows, H), (cols, W)
        known = ~values.isnan()
        total = rows.T @ values.nan_to_num(nan=0.0) @ cols
        return total / (rows.T @ known.to(values) @ cols)  # 0 / 0 is nan

    def _mask(self, axis: int) -> Tensor:
        """(windows, pixels): does this window cover this pixel, along one axis?"""
        start = torch.arange(self.grid[axis])[:, None] * self.stride[axis]
        pixels = torch.arange(self.image_size[axis])
        return (pixels >= start) & (pixels < start + self.size[axis])


def windows(image: Tensor, window: Size, stride: Size | None) -> Windows:
    """The windows for an image (1, C, H, W), checked.

    Args:
        image: whose size counts.
        window: pixels, one number or (rows, columns).
        stride: the same; None: half a window.

    Raises:
        ValueError: a window that is larger than the image, or a stride that would leave pixels uncovered.
    """
    image_size = (image.shape[2], image.shape[3])
    size = _pair("window", window)
    step = tuple(max(1, n // 2) for n in size) if stride is None else _pair("stride", stride)
    if any(k > n for k, n in zip(size, image_size, strict=True)):
        raise ValueError(
            f"a window of {size[0]}x{size[1]} does not fit in {image_size[0]}x{image_size[1]} pixels"
        )
    if any(s > k for s, k in zip(step, size, strict=True)):
        raise ValueError(
            f"with stride {step[0]}x{step[1]}, windows of {size[0]}x{size[1]} leave pixels between them that "
            "no window covers: take a stride of at most the window"
        )
    return Windows(image_size, size, step)


def fill_image(image: Tensor, fill: float | Tensor) -> Tensor:
    """What the windows show instead of the image, as an image (1, C, H, W).

    Args:
        image: (1, C, H, W).
        fill: a number, a colour (C,), or a whole image (C, H, W) or (1, C, H, W).

    Raises:
        ValueError: another shape, or a number that is not finite.
        TypeError: no numbers.
    """
    if isinstance(fill, bool) or not isinstance(fill, int | float | np.number | Tensor):
        raise TypeError(f"fill is a number, a colour or an image, not {type(fill).__name__}")
    given = torch.as_tensor(fill).detach().to(image)
    if given.shape == image.shape[1:2] and given.dim() == 1:
        given = given[:, None, None]
    if given.dim() and given.shape not in (image.shape, image.shape[1:], (image.shape[1], 1, 1)):
        raise ValueError(
            f"fill is a number, a colour ({image.shape[1]},), or an image {tuple(image.shape)}; "
            f"not {tuple(given.shape)}"
        )
    if not given.isfinite().all():
        raise ValueError("fill holds a number that is not finite (nan or inf)")
    return given.expand(image.shape)


def _pair(what: str, size: Size) -> tuple[int, int]:
    both = (size, size) if not isinstance(size, tuple | list) else tuple(size)
    try:
        rows, cols = (check_integer(n, what) for n in both)
    except ValueError:
        raise ValueError(
            f"{what} is a number of pixels, or (rows, columns), 1 or more, not {size!r}"
        ) from None
    return rows, cols


class OccludedImages(NamedTuple):
    """What is covered, where, and by what.

    Attributes:
        windows: for this image.
        image, fill: (1, C, H, W), the image, and the image that the windows show instead.
    """

    windows: Windows
    image: Tensor
    fill: Tensor

    def laid_out(self, layout: torch.memory_format) -> "OccludedImages":
        """The same in copies that lie in memory in this way."""
        image, fill = (part.detach().clone(memory_format=layout) for part in self[1:])
        return OccludedImages(self.windows, image, fill)

    def changing(self) -> Tensor:
        """(windows,) which windows change the image; the others cover what looks like the fill."""
        return self.windows.meet((self.image != self.fill).any(dim=1)[0]).cpu()

    def probe_windows(self, changing: Tensor) -> Tensor:
        """(2 or 3,) windows on which to try a model; the first is near the middle of the grid.

        The others cover what is brighter, and what is darker than all of the fill. So a model that compares
        the images of a batch, or asks how bright they are, answers otherwise to them than alone. They are
        different, if there are two that change the image.

        Args:
            changing: (windows,) as above; at least one does.
        """
        bright, dark = self.image.amax(dim=1)[0], self.image.amin(dim=1)[0]
        positions = [bright.argmax()] if bright.max() > self.fill.max() else []
        positions += [dark.argmin()] if dark.min() < self.fill.min() else []
        if not positions:  # a fill with both
            positions = [(self.image - self.fill).abs().amax(dim=1).argmax()]
        most = list(
            {self.windows.over(*divmod(int(position), bright.shape[1])): None for position in positions}
        )
        rows, cols = self.windows.grid
        away = (torch.arange(rows * cols) - (rows // 2 * cols + cols // 2)).abs()
        away[~changing] += rows * cols
        away[most] += 2 * rows * cols
        return torch.tensor([int(away.argmin()), *most])

    def images(self, numbers: Tensor) -> Tensor:
        """(P,) windows -> (P, C, H, W), in the layout of the image."""
        return self.windows.occluded(self.image, self.fill, numbers)
