"""Sheets of units: what makes each of them fire, nine patches at a time, beside what of them it used.

Tensors in, a figure out. The order is that of Zeiler & Fergus 2014, figure 2: patches and projections of one
unit side by side, in the same order, so that the eye can go to and fro.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.drawing import filter_images, style
from cnnlab.drawing.raster import pixels

_CELL = 72  # pixels: about the side of a patch
_GAP = 0.06  # as a part of that side: a sheet of tiny patches must not be mostly gap
_NAME = 22  # pixels for a line of words
_SIDE, _WIDTH = 2.6, 12.6  # inches of a square of nine patches at most, and of a figure: it fits on a slide


def nine(patches: Tensor, *, centred: bool = False) -> np.ndarray:
    """Patches of one unit as one picture, three in a row.

    Args:
        patches: (k, 1 or 3, h, w): pictures in [0, 1], or with `centred` numbers with a sign.
        centred: zero is drawn as the middle grey, and each patch fills its own scale: patterns can be seen,
            strengths cannot be compared.

    Raises:
        ValueError: no patches, or some that cannot be drawn.
    """
    if patches.dim() != 4 or not len(patches):
        raise ValueError(f"patches of one unit are (k, 1 or 3, h, w), not {tuple(patches.shape)}")
    side = max(patches.shape[2:])
    factor = max(1, round(_CELL / side))  # small ones grow by a whole factor, so the gap can be thin
    draw = filter_images.centred if centred else pixels.grey
    drawn = [pixels.enlarge(draw(patch), factor) for patch in patches]
    return pixels.tile(drawn, columns=3, gap=max(2, round(_GAP * side * factor)))


def mosaic(pictures: Tensor, magnitude: Tensor) -> Tensor:
    """Pictures of the places of a map, laid out as the places are; the stronger a place, the larger.

    Args:
        pictures: (rows, columns, C, side, side) in [0, 1].
        magnitude: (rows, columns), zero or more; the largest fills its cell. The AREA is in proportion.

    Returns:
        (C, rows * side, columns * side) in [0, 1], on white.

    Raises:
        ValueError: shapes that do not go together.
    """
    if pictures.dim() != 5 or magnitude.shape != pictures.shape[:2]:
        raise ValueError(f"pictures {tuple(pictures.shape)} and magnitudes {tuple(magnitude.shape)}")
    rows, columns, channels, side, _ = pictures.shape
    page = pictures.new_ones(rows, columns, channels, side, side)
    share = magnitude / magnitude.max().clamp(min=1e-12)
    for row, column in np.ndindex(rows, columns):
        page[row, column] = _in_cell(pictures[row, column], share[row, column].item())
    return page.permute(2, 0, 3, 1, 4).reshape(channels, rows * side, columns * side)


def _in_cell(picture: Tensor, share: float) -> Tensor:
    """(C, side, side), made smaller until it fills this share of its area; the rest is white."""
    side = picture.shape[-1]
    small = max(1, round(side * share**0.5))
    start = (side - small) // 2
    inner = F.interpolate(picture[None], size=(small, small), mode="bilinear", antialias=True)
    cell = torch.ones_like(picture)
    cell[:, start : start + small, start : start + small] = inner[0].clamp(0, 1)
    return cell


def icons(pictures: Tensor, strength: Tensor, names: Sequence[str], *, columns: int = 3) -> np.ndarray:
    """Small pictures with a name each, the larger the stronger.

    Args:
        pictures: (K, C, side, side) in [0, 1].
        strength: (K,), zero or more. The AREA is in proportion; zero leaves the place empty.
        names: what stands above each.
        columns: in a row.

    Returns:
        (H, W, 3) uint8, twice as large as the pictures.

    Raises:
        ValueError: not as many names or strengths as pictures.
    """
    if len(names) != len(pictures) or strength.shape != pictures.shape[:1]:
        raise ValueError(f"{len(pictures)} pictures, {len(names)} names, strengths {tuple(strength.shape)}")
    top = max(float(strength.max()), 1e-12)
    side, cells = 2 * pictures.shape[-1], []
    for picture, value, name in zip(pictures, strength.tolist(), names, strict=True):
        page = np.full((side + _NAME, side, 3), 255, np.uint8)
        if value > 0:
            page[_NAME:] = pixels.enlarge(pixels.grey(_in_cell(picture, value / top)), 2)
        page[:_NAME] = pixels.line(name, side, _NAME)
        cells.append(page)
    return pixels.tile(cells, columns=columns, gap=6)


def units(
    patches: Tensor, projections: Tensor | None = None, *, titles: Sequence[str], columns: int | None = None
):
    """A figure of several units.

    Args:
        patches: (U, k, 1 or 3, h, w) in [0, 1], k at most 9.
        projections: of the same shape, with a sign, or None. Drawn to the right of the patches, zero grey,
            each on its own scale.
        titles: one for each unit.
        columns: units in a row; left out, three with projections and six without.

    Returns:
        The figure.

    Raises:
        ValueError: the numbers of units, titles and projections do not go together.
    """
    if patches.dim() != 5 or len(titles) != len(patches) or not len(patches):
        raise ValueError(
            f"{len(titles)} titles for patches (U, k, 3, h, w) of the shape {tuple(patches.shape)}"
        )
    if projections is not None and projections.shape != patches.shape:
        raise ValueError(f"patches {tuple(patches.shape)}, but projections {tuple(projections.shape)}")
    if columns is not None and columns < 1:
        raise ValueError(f"units stand in 1 column or more, not {columns}")
    both = 1 if projections is None else 2
    columns = min(len(patches), columns if columns is not None else 6 // both)
    rows = -(-len(patches) // columns)
    widths = ([1.0] * both + [0.12]) * columns
    side = min(_SIDE, _WIDTH / sum(widths))
    size = (side * sum(widths), rows * (side + 0.45))
    fig, axes = style.figure(size, rows, len(widths), width_ratios=widths, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for number, (group, title) in enumerate(zip(patches, titles, strict=True)):
        row, place = number // columns, (both + 1) * (number % columns)
        axes[row, place].imshow(nine(group), interpolation="antialiased")
        axes[row, place].set_title(title, fontsize=style.TITLE)
        if projections is not None:
            axes[row, place + 1].imshow(nine(projections[number], centred=True), interpolation="antialiased")
    return fig
