"""Pictures, maps and numbers on matplotlib axes: data and `ax` in, `ax` out.

Titles are large enough for the back row. A map always comes with its colour bar: a colour without a number
says nothing. Leave `ax` out and a new figure is made; `ax.figure` is what `show` takes.
"""

import math
from collections.abc import Sequence

from torch import Tensor

from cnnlab.drawing import filter_images, style
from cnnlab.drawing.raster import pixels
from cnnlab.drawing.style import LABEL, TITLE

_SIZE = (4, 4)  # inches


def picture(image: Tensor, ax=None, *, title: str | None = None):
    """A picture as it is: (H, W), (1, H, W) or (3, H, W) in [0, 1]."""
    drawn = pixels.grey(image)
    ax = style.axes(ax, _SIZE)
    ax.imshow(drawn, interpolation="nearest" if drawn.shape[0] < 64 else "antialiased")
    return _bare(ax, title)


def signed(
    values: Tensor, ax=None, *, limit: float | None = None, title: str | None = None, bar: bool = True
):
    """A map with a sign: white is zero, red above, blue below.

    Args:
        values: (H, W); dimensions of size 1 may stand in front.
        ax: where to draw.
        limit: the value of the strongest colour; the largest absolute value if left out.
        title: what stands above.
        bar: whether to draw the colour bar.

    Raises:
        ValueError: not one map, or a number that is not finite.
    """
    drawn = pixels.signed(values, limit)
    top = limit if limit is not None else values.abs().max().item()
    return _map(drawn, values, ax, title, ("RdBu_r", -top, top) if bar else None)


def magnitude(
    values: Tensor, ax=None, *, limit: float | None = None, title: str | None = None, bar: bool = True
):
    """A map of numbers from zero up: dark is zero, bright is much. Arguments as for `signed`.

    Raises:
        ValueError: not one map, a number that is not finite, or a number below zero.
    """
    drawn = pixels.magnitude(values, limit)
    top = limit if limit is not None else values.max().item()
    return _map(drawn, values, ax, title, ("viridis", 0.0, top) if bar else None)


def overlay(image: Tensor, values: Tensor, ax=None, *, limit: float | None = None, title: str | None = None):
    """A grey picture that is coloured where the map is large.

    Args:
        image: (1 or 3, H, W) in [0, 1].
        values: (H, W), zero or more, of the same size.
        ax: where to draw.
        limit: the value of the full colour. Left out: the value that 1 % of the pixels exceed, so that a
            single strong pixel does not hide the rest.
        title: what stands above.

    Raises:
        ValueError: picture and map differ in size, or the map is negative or not finite somewhere.
    """
    pixels.magnitude(values)  # refuses what cannot be drawn
    top = pixels.strong(values) if limit is None else limit
    drawn = pixels.overlay(image.cpu(), values.cpu(), top)
    ax = style.axes(ax, _SIZE)
    ax.imshow(drawn)
    _bar(ax, "viridis", 0.0, top)
    _say_if_constant(ax, values)
    return _bare(ax, title)


def numbers(
    matrix: Tensor,
    ax=None,
    *,
    title: str | None = None,
    decimals: int | None = None,
    is_signed=False,
    limits=None,
):
    """A matrix of numbers, written into its cells.

    Args:
        matrix: (rows, columns), small enough to be read: up to about 10 x 10.
        ax: where to draw.
        title: what stands above.
        decimals: digits after the point; chosen to fit if left out.
        is_signed: red and blue about zero instead of black to white.
        limits: the values of black and white; the smallest and the largest if left out.
    """
    drawn = pixels.numbers(matrix, decimals=decimals, is_signed=is_signed, limits=limits, cell=72)
    ax = style.axes(ax, _SIZE)
    ax.imshow(drawn, interpolation="antialiased")
    return _bare(ax, title)


def filters(
    weight: Tensor, ax=None, *, shared: bool = True, columns: int | None = None, title: str | None = None
):
    """The filters of a first layer as small pictures.

    Args:
        weight: (F, C, h, w). Three channels are drawn as colours about grey; one channel as a signed map.
        ax: where to draw.
        shared: one scale for all filters, so that a weak filter looks weak; else each fills its own scale.
        columns: filters in a row; about a square if left out.
        title: what stands above.

    Raises:
        ValueError: neither one nor three input channels: such a filter has no picture (see lecture 02).
    """
    if weight.dim() != 4 or weight.shape[1] not in (1, 3):
        raise ValueError(
            f"filters of shape {tuple(weight.shape)} cannot be shown as pictures: that takes 1 or 3 input "
            "channels. Show one kernel of it with signed(weight[f, c])."
        )
    sheet = pixels.tile(filter_images.filters(weight.detach(), shared), columns, gap=1)
    ax = style.axes(ax, _SIZE)
    ax.imshow(sheet, interpolation="nearest")
    return _bare(ax, title)


def grid(images: Tensor, ax=None, *, columns: int | None = None, title: str | None = None):
    """Many pictures of one size as one sheet: (N, 1 or 3, H, W) in [0, 1]."""
    sheet = pixels.tile([pixels.grey(image) for image in images], columns)
    ax = style.axes(ax, _SIZE)
    ax.imshow(sheet, interpolation="antialiased")
    return _bare(ax, title)


def row(images: Sequence[Tensor], *, titles: Sequence[str], columns: int | None = None, side: float = 3.4):
    """A figure of pictures with a title each, in rows of `columns`, so many inches for each picture.

    Returns:
        The figure.

    Raises:
        ValueError: not as many titles as pictures.
    """
    if len(titles) != len(images) or not len(images):
        raise ValueError(f"{len(images)} pictures, but {len(titles)} titles")
    for image in images:
        pixels.grey(image)  # refuses what is no picture before there is a figure
    columns = columns if columns is not None else len(images)
    rows = math.ceil(len(images) / columns)
    fig, axes = style.figure((side * columns, (side + 0.3) * rows), rows, columns, squeeze=False)
    for ax in axes.flat[len(images) :]:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        picture(image, ax=ax, title=title)
    return fig


def equation(*tables: Tensor, signs: Sequence[str], titles: Sequence[str]):
    """A figure of tables of numbers with signs between them: pixels x weights = products.

    Args:
        *tables: (rows, columns) each. Those with a negative number share one signed scale; the others run
            from black, their smallest number, to white.
        signs: what stands between them, one less than there are tables.
        titles: one for each table.

    Raises:
        ValueError: the numbers of tables, titles and signs do not go together.
    """
    if not len(tables) == len(titles) == len(signs) + 1:
        raise ValueError(
            f"{len(tables)} tables take as many titles and one sign less, not {len(titles)} and {len(signs)}"
        )
    for table in tables:
        pixels.numbers(table, cell=1)  # refuses what is no table before there is a figure
    with_sign = [bool((table < 0).any()) for table in tables]
    top = max(
        (table.abs().max().item() for table, is_signed in zip(tables, with_sign, strict=True) if is_signed),
        default=1.0,
    )
    widths = [1, *(part for _ in signs for part in (0.18, 1))]
    fig, axes = style.figure((3.2 * len(tables), 3), 1, len(widths), width_ratios=widths, squeeze=False)
    axes = axes[0]
    for ax, table, title, is_signed in zip(axes[::2], tables, titles, with_sign, strict=True):
        numbers(table, ax=ax, title=title, is_signed=is_signed, limits=(-top, top) if is_signed else None)
    for ax, sign in zip(axes[1::2], signs, strict=True):
        ax.text(0.5, 0.5, sign, fontsize=28, ha="center", va="center", transform=ax.transAxes)
        ax.axis("off")
    # The first layout takes the tables for as wide as their columns, and would cut the titles off above.
    fig.draw_without_rendering()
    return fig


def frame(ax, *, row: int, column: int, height: int, width: int):
    """An orange frame around a rectangle of pixels of the picture on `ax`."""
    from matplotlib.patches import Rectangle

    colour = [part / 255 for part in pixels.FRAME]
    ax.add_patch(
        Rectangle((column - 0.5, row - 0.5), width, height, fill=False, edgecolor=colour, linewidth=2.5)
    )
    return ax


def _map(drawn, values, ax, title, bar):
    ax = style.axes(ax, _SIZE)
    ax.imshow(drawn, interpolation="nearest" if drawn.shape[0] < 64 else "antialiased")
    if bar is not None:
        _bar(ax, *bar)
    _say_if_constant(ax, values)
    return _bare(ax, title)


def _say_if_constant(ax, values):
    low, high = values.min().item(), values.max().item()
    if low == high:  # one plain colour looks like a mistake: say that it is none
        ax.set_xlabel(f"every value is {low:.3g}", fontsize=LABEL)


def _bar(ax, palette: str, low: float, high: float):
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if high == low:
        high = low + 1.0  # a map of zeros: any scale shows it
    bar = ax.figure.colorbar(ScalarMappable(Normalize(low, high), palette), ax=ax, fraction=0.046, pad=0.03)
    bar.set_ticks([low, (low + high) / 2, high])
    bar.ax.set_yticklabels([f"{tick:.2g}" for tick in (low, (low + high) / 2, high)], fontsize=LABEL)
    # On axes of somebody's dark style, the letters of the bar are as light as those of the axes.
    bar.ax.tick_params(colors=ax.title.get_color())


def _bare(ax, title):
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=TITLE)
    return ax
