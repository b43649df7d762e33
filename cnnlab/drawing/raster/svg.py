"""Curves as SVG text: drawn by the browser, in a millisecond, while something trains.

matplotlib makes the figures that stay; this is for curves that are drawn ten times a second.
"""

import html
import math
from collections.abc import Mapping, Sequence

from cnnlab.drawing.charts import COLOURS
from cnnlab.drawing.label_layout import separate_labels

_LINE, _WORD = 15, 80  # pixels from one name to the next below, and beside
_MOST = 300  # points of a curve; more would be thinner than a pixel


def curves(
    values: Mapping[str, Sequence[float]],
    *,
    alt: str,
    limits: tuple[float, float],
    xlabel: str = "",
    ends: tuple[str, str] = ("", ""),
    width: int = 420,
    height: int = 220,
) -> str:
    """Curves over their whole history, each named at its end.

    Args:
        values: name -> numbers, at most six curves. Each fills the width, whatever its length; what is not
            finite is a gap, and what lies outside the limits is drawn at the limit.
        alt: what the curves show.
        limits: the values at the bottom and at the top.
        xlabel: what stands below.
        ends: what stands below the first and the last place.
        width, height: in pixels.

    Returns:
        An svg element with alt text.

    Raises:
        ValueError: more curves than can be told apart, or limits that are not low < high.
    """
    low, high = limits
    if len(values) > len(COLOURS) or not low < high:
        raise ValueError(
            f"at most {len(COLOURS)} curves and limits low < high, not {len(values)} and {limits}"
        )
    left, right, top, bottom = 44, width - 90, 12, height - 28
    parts = []
    for share in (0, 0.5, 1):
        y = bottom - share * (bottom - top)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#bbb"/>')
        label = f"{low + share * (high - low):.3g}"
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for x, side, said in (
        (left, "start", ends[0]),
        ((left + right) / 2, "middle", xlabel),
        (right, "end", ends[1]),
    ):
        if said:
            parts.append(f'<text x="{x}" y="{height - 8}" text-anchor="{side}">{html.escape(said)}</text>')
    names = []
    for (name, numbers), colour in zip(values.items(), COLOURS, strict=False):
        pieces = _pieces(
            numbers, left, right, lambda value: bottom - _share(value, low, high) * (bottom - top)
        )
        for piece in pieces:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
            if len(piece) == 1:  # a line needs two
                ((x, y),) = piece
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>')
                continue
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        if pieces:
            x, y = pieces[-1][-1]
            # The colour is a dot beside the name: coloured letters would be too faint on one of the themes.
            parts.append(f'<circle cx="{x + 6:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            names.append((x, y, name))
    for near in _neighbours(names):
        # Upwards on a page is down in numbers.
        heights = separate_labels([-y for _, y, _ in near], _LINE, low=-bottom, high=-top)
        parts += [
            f'<text x="{x + 14:.1f}" y="{4 - height:.1f}" font-weight="bold">{html.escape(name)}</text>'
            for (x, _, name), height in zip(near, heights, strict=True)
        ]
    style = f"width: {width}px; max-width: 100%; font: 13px sans-serif; fill: currentColor"
    label = html.escape(alt, quote=True)
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" style="{style}">'
        f"<title>{label}</title>{''.join(parts)}</svg>"
    )


def _neighbours(ends: list[tuple[float, float, str]]) -> list[list[tuple[float, float, str]]]:
    """Ends of curves in groups, of which no name reaches into another group."""
    groups: list[list[tuple[float, float, str]]] = []
    for end in sorted(ends):
        if groups and end[0] - groups[-1][-1][0] < _WORD:
            groups[-1].append(end)
        else:
            groups.append([end])
    return groups


def _share(value: float, low: float, high: float) -> float:
    return (min(max(value, low), high) - low) / (high - low)


def _pieces(numbers: Sequence[float], left: float, right: float, y) -> list[list[tuple[float, float]]]:
    """The points of a curve, thinned out; a new piece after each gap, however short."""
    step = max(1, math.ceil(len(numbers) / _MOST))
    pieces: list[list[tuple[float, float]]] = [[]]
    last = len(numbers) - 1  # the newest is always there
    for k, number in enumerate(numbers):
        if not math.isfinite(number):
            pieces.append([])
        elif k % step == 0 or k == last or not pieces[-1]:
            pieces[-1].append((left + (right - left) * k / max(last, 1), y(number)))
    return [piece for piece in pieces if piece]
