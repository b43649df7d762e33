"""Sheets of saliency maps: pictures on top, under them one row for each method.

Tensors in, a figure out. All maps of a row share one scale, and its end is written beside the row: so a weak
map looks weak, and rows of different units can stand on one page.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from cnnlab.drawing import style
from cnnlab.drawing.raster import pixels

_SIDE, _LABEL, _HEIGHT = 1.9, 2.0, 6.1  # inches: a picture at most, the words beside a row, a figure at most
_PIXELS = 120  # a map is enlarged to about this


def sheet(
    pictures: Tensor,
    rows: Mapping[str, Tensor],
    *,
    titles: Sequence[str],
    masks: Tensor | None = None,
    each: bool = False,
):
    """A figure of pictures and of what several methods say about them.

    Args:
        pictures: (N, 1 or 3, H, W) in [0, 1].
        rows: method -> (N, h, w) or (N, 1, h, w) with a sign, or (N, C, H, W): then the colours are added up.
        titles: one for each picture.
        masks: (N, H, W) bool; the border of the masked pixels is drawn on every map of this size.
        each: every map fills its own scale; then no number stands beside the row.

    Returns:
        The figure: red speaks for the class, blue against it, white is zero.

    Raises:
        ValueError: the numbers of pictures, titles and maps do not go together.
    """
    if pictures.dim() != 4 or len(titles) != len(pictures) or not len(pictures):
        raise ValueError(f"{len(titles)} titles for pictures (N, C, H, W), not {tuple(pictures.shape)}")
    flat = {name: _flat(name, maps, len(pictures)) for name, maps in rows.items()}
    side = min(_SIDE, (_HEIGHT - 0.4) / (1 + len(flat)), (12.6 - _LABEL) / len(pictures))
    fig, axes = style.figure(
        (_LABEL + side * len(pictures), side * (1 + len(flat)) + 0.4),
        1 + len(flat),
        1 + len(pictures),
        width_ratios=[_LABEL / side, *[1] * len(pictures)],
        squeeze=False,
    )
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, hspace=0.02, wspace=0.02)
    for ax in axes.flat:
        ax.axis("off")
    for ax, picture, title in zip(axes[0, 1:], pictures, titles, strict=True):
        ax.imshow(pixels.grey(picture), interpolation="antialiased")
        ax.set_title(title, fontsize=style.LABEL)
    for line, (name, maps) in zip(axes[1:], flat.items(), strict=True):
        limit = None if each else shared_limit(maps)
        said = name if each else f"{name}\n$\\pm$ {limit:.2g}"
        line[0].text(
            0.97, 0.5, said, fontsize=style.LABEL, ha="right", va="center", transform=line[0].transAxes
        )
        for k, (ax, values) in enumerate(zip(line[1:], maps, strict=True)):
            drawn = pixels.signed(values, limit if limit is not None else shared_limit(values[None]))
            factor = max(1, round(_PIXELS / drawn.shape[0]))
            drawn = pixels.enlarge(drawn, factor)
            if masks is not None and masks.shape[1:] == values.shape:
                drawn[border(masks[k].numpy().repeat(factor, axis=0).repeat(factor, axis=1))] = pixels.FRAME
            ax.imshow(drawn, interpolation="antialiased")
    return fig


def shared_limit(maps: Tensor) -> float:
    """The size that 1 % of the numbers exceed: one strong pixel must not pale all others. 1 if all are zero.

    Args:
        maps: (N, H, W); each map counts alike, so one strong map does not pale the others.
    """
    return max(pixels.strong(one.abs()) for one in maps)


def border(inside: np.ndarray) -> np.ndarray:
    """The pixels of a mask (H, W) that touch a pixel outside of it, two wide; bool."""
    core = inside.copy()
    for _ in range(2):
        padded = np.pad(core, 1, constant_values=False)
        core = core & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return inside & ~core


def _flat(name: str, maps: Tensor, n: int) -> Tensor:
    """(N, h, w), whatever of the accepted shapes it was."""
    if maps.dim() == 4:
        maps = maps.sum(dim=1)
    if maps.dim() != 3 or len(maps) != n:
        raise ValueError(f"{name}: {n} maps are ({n}, h, w) or ({n}, C, h, w), not {tuple(maps.shape)}")
    return maps.detach().float().cpu()
