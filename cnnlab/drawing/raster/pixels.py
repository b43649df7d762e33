"""The fast way from numbers to a picture: tensor -> (H, W, 3) bytes, without a figure.

A slider has no time for matplotlib: a grid of 64 maps took 570 ms there and 4 ms here. Colours are looked up
in a table of 256; Pillow packs the bytes. Every function returns a new uint8 array of shape (H, W, 3).
"""

import functools

import numpy as np
import torch
from torch import Tensor

from cnnlab.drawing.raster.colormaps import palette

FRAME = (255, 140, 0)  # orange: stands out on grey, on red-blue and on viridis


def grey(image: Tensor) -> np.ndarray:
    """A picture as it is.

    Args:
        image: (H, W), (1, H, W), (3, H, W) or one of these with a batch dimension of 1, in [0, 1].

    Raises:
        ValueError: another shape, numbers that are not finite, or bytes.
    """
    if isinstance(image, Tensor) and image.dtype == torch.uint8:
        raise ValueError("a picture holds numbers from 0 to 1, not bytes: divide by 255 first")
    array = _plain(image)
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ValueError(f"expected one picture, (H, W), (1, H, W) or (3, H, W), got {array.shape}")
    _finite(array)
    bytes_ = (array.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
    return np.ascontiguousarray(np.broadcast_to(bytes_, (*bytes_.shape[:2], 3)))


def signed(values: Tensor, limit: float | None = None) -> np.ndarray:
    """Numbers with a sign: white is zero, red above, blue below.

    Args:
        values: (H, W), or more dimensions of size 1 in front.
        limit: the value drawn in the strongest colour. Left out: the largest absolute value.

    Raises:
        ValueError: not one map, a number that is not finite, or a limit that is not above zero.
    """
    array = _map(values)
    limit = _limit(np.abs(array).max() if limit is None else limit)
    return palette("RdBu_r")[((array / limit).clip(-1, 1) * 127.5 + 127.5).round().astype(np.uint8)]


def magnitude(values: Tensor, limit: float | None = None) -> np.ndarray:
    """Numbers from zero up: dark is zero, bright is much.

    Args:
        values: (H, W), zero or more; dimensions of size 1 may stand in front.
        limit: the value drawn brightest. Left out: the largest value.

    Raises:
        ValueError: as for `signed`, or a number below zero: then a signed map is the honest one.
    """
    array = _map(values)
    if array.min() < 0:
        raise ValueError(
            f"a magnitude is zero or more, but the smallest value is {array.min():.3g}. Use signed()."
        )
    limit = _limit(array.max() if limit is None else limit)
    return palette("viridis")[((array / limit).clip(0, 1) * 255).round().astype(np.uint8)]


def overlay(image: Tensor, values: Tensor, limit: float | None = None) -> np.ndarray:
    """A grey picture that is coloured where a map is large.

    Args:
        image: (1 or 3, H, W) in [0, 1].
        values: (H, W), zero or more.
        limit: the value of the full colour. Left out: the value that 1 % of the pixels exceed, so that a
            single strong pixel does not hide the rest.

    Raises:
        ValueError: picture and map differ in size, or the map is negative or not finite somewhere.
    """
    if image.shape[-2:] != values.shape[-2:]:
        raise ValueError(
            f"the picture is {tuple(image.shape[-2:])}, the map {tuple(values.shape[-2:])} pixels"
        )
    top = strong(values) if limit is None else limit
    colours = magnitude(values, top).astype(np.float32)
    share = 0.9 * (_map(values) / _limit(top)).clip(0, 1)[..., None] ** 0.5
    return (grey(image.detach().mean(dim=-3)) * (1 - share) + colours * share).round().astype(np.uint8)


def strong(values: Tensor) -> float:
    """The value that 1 % of a map exceed, or its largest, or 1 for a map of zeros: where a scale may end."""
    # kthvalue, not quantile: that one refuses maps of more than 16 million numbers.
    flat = values.detach().cpu().flatten().float()
    return flat.kthvalue(max(1, round(0.99 * flat.numel()))).values.item() or flat.max().item() or 1.0


def tile(pictures: list[np.ndarray], columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Pictures of one size in a grid, on white.

    Raises:
        ValueError: no pictures, or pictures of several sizes.
    """
    if not pictures or len({picture.shape for picture in pictures}) != 1:
        raise ValueError(f"expected pictures of one size, got {[picture.shape for picture in pictures][:5]}")
    columns = columns if columns is not None else int(np.ceil(len(pictures) ** 0.5))
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for k, picture in enumerate(pictures):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        page[top : top + height, left : left + width] = picture
    return page


def enlarge(picture: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel becomes a square of factor x factor pixels: nothing is smoothed.

    Raises:
        ValueError: the factor is no whole number from 1 on.
    """
    if factor != int(factor) or factor < 1:
        raise ValueError(f"a picture is enlarged by a whole factor from 1 on, not by {factor}")
    return picture.repeat(int(factor), axis=0).repeat(int(factor), axis=1)


def outline(
    picture: np.ndarray, row: int, column: int, height: int, width: int, thick: int = 2
) -> np.ndarray:
    """A picture with an orange frame just inside a rectangle of its pixels."""
    framed = picture.copy()
    part = framed[row : row + height, column : column + width]
    inside = part[thick:-thick, thick:-thick].copy()
    part[:] = FRAME
    part[thick:-thick, thick:-thick] = inside
    return framed


def boxed(picture: np.ndarray, box: tuple[int, int, int, int], factor: int = 1) -> np.ndarray:
    """A picture enlarged by a factor, framed in orange around (top, left, bottom, right) in its pixels."""
    top, left, bottom, right = (factor * edge for edge in box)
    return outline(enlarge(picture, factor), top, left, bottom - top, right - left, thick=3)


def numbers(
    matrix: Tensor,
    *,
    is_signed: bool = False,
    limits: tuple[float, float] | None = None,
    highlight: tuple[int, int, int, int] | None = None,
    decimals: int | None = None,
    cell: int = 40,
) -> np.ndarray:
    """A matrix as coloured cells with its numbers in them.

    Args:
        matrix: (rows, columns). NaN is an empty cell.
        is_signed: red and blue about zero instead of black to white.
        limits: the values of black and white, or of blue and red. Left out: the smallest and the largest.
        highlight: (row, column, height, width) of cells to frame.
        decimals: digits after the point. Left out: 0 for whole numbers, 1 from 10 on, else 2.
        cell: side of a cell in pixels. Letters shrink until the longest number fits.

    Raises:
        ValueError: not one matrix, or a number is infinite.
    """
    from PIL import Image, ImageDraw

    array = _table(matrix)
    if np.isinf(array).any():
        raise ValueError(
            f"{np.isinf(array).sum()} of {array.size} numbers are infinite; NaN is an empty cell"
        )
    there = array[np.isfinite(array)]
    filled = np.where(np.isfinite(array), array, 0.0)
    if is_signed:
        colours = signed(
            torch.from_numpy(filled), limit=np.abs(filled).max() if limits is None else limits[1]
        )
    else:
        low, high = limits if limits is not None else (there.min(), there.max()) if there.size else (0, 1)
        colours = grey(torch.from_numpy((filled - low) / max(high - low, 1e-12)))
    colours = np.where(np.isfinite(array)[..., None], colours, 255).astype(np.uint8)
    if decimals is None:
        whole = bool(np.all(there == there.round()))
        decimals = 0 if whole else 1 if np.abs(there).max() >= 10 else 2
    page = Image.fromarray(_separated(colours, cell))
    pen = ImageDraw.Draw(page)
    texts = {(i, j): f"{array[i, j] + 0.0:.{decimals}f}" for i, j in np.argwhere(np.isfinite(array))}
    font = _fitting(max(texts.values(), key=len, default=""), cell)
    for (i, j), text in texts.items():
        # Dark letters on light cells and light ones on dark cells; 150 of 255 is where both read equally
        # well.
        bright = colours[i, j] @ np.array([0.299, 0.587, 0.114])
        centre = ((j + 0.5) * cell, (i + 0.5) * cell)
        pen.text(centre, text, font=font, fill=(0, 0, 0) if bright > 150 else (255, 255, 255), anchor="mm")
    return _framed(np.asarray(page), highlight, cell)


def cells(
    matrix: Tensor, *, highlight: tuple[int, int, int, int] | None = None, cell: int = 30
) -> np.ndarray:
    """A matrix as cells without numbers: viridis from 0 to 1; `highlight` as in `numbers`."""
    return _framed(_separated(magnitude(matrix, limit=1.0), cell), highlight, cell)


def line(text: str, width: int, height: int) -> np.ndarray:
    """A line of words, dark on white, in the middle: (height, width, 3) uint8."""
    from PIL import Image, ImageDraw

    page = Image.new("RGB", (width, height), (255, 255, 255))
    size = height - 7
    while size > 7 and _font(size).getlength(text) > width - 2:
        size -= 1
    ImageDraw.Draw(page).text((width / 2, height / 2), text, font=_font(size), fill=(30, 30, 30), anchor="mm")
    return np.asarray(page)


def _fitting(text: str, cell: int):
    """The largest font, up to a third of a cell, in which the text leaves a little air beside it."""
    size = max(10, round(cell * 0.36))
    while size > 5 and _font(size).getlength(text) > cell - 3:
        size -= 1
    return _font(size)


@functools.cache
def _font(size: int):
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _separated(colours: np.ndarray, cell: int) -> np.ndarray:
    """Every number becomes a square of `cell` pixels with a thin light line around it."""
    page = enlarge(colours, cell)
    page[::cell], page[:, ::cell], page[-1], page[:, -1] = 200, 200, 200, 200
    return page


def _framed(page: np.ndarray, highlight: tuple[int, int, int, int] | None, cell: int) -> np.ndarray:
    return page if highlight is None else outline(page, *(cell * number for number in highlight), thick=3)


def _plain(values: Tensor) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().double().numpy()


def _table(values: Tensor) -> np.ndarray:
    """(H, W), also from (1, H, W) or (1, 1, H, W)."""
    array = _plain(values)
    if array.ndim < 2 or not array.size or array.size != np.prod(array.shape[-2:]):
        raise ValueError(f"expected one map, (H, W), got {tuple(array.shape)}")
    return array.reshape(array.shape[-2:])


def _map(values: Tensor) -> np.ndarray:
    array = _table(values)
    _finite(array)
    return array


def _finite(array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        raise ValueError(
            f"{(~np.isfinite(array)).sum()} of {array.size} numbers are NaN or infinite: nothing to draw"
        )


def _limit(limit: float) -> float:
    # A map of zeros has no scale of its own; any limit draws it as zero.
    if limit == 0:
        return 1.0
    if not (np.isfinite(limit) and limit > 0):
        raise ValueError(f"the limit of a colour scale must be above zero, but it is {limit}")
    return float(limit)
