"""Curves as bytes, for widgets: axes, names at the ends, a few milliseconds, and no figure.

matplotlib makes the figures that stay (`charts.lines`); `svg.curves` draws a training that runs in its own
thread. This is for curves that a slider changes.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from cnnlab.drawing.charts import COLOURS
from cnnlab.drawing.label_layout import separate_labels

_INK, _GRID, _PAPER = (30, 30, 30), (215, 215, 215), (255, 255, 255)
_FINE = 2  # drawn this much larger, and made smaller again: smooth lines
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 132, 26, 42  # pixels around the axes
_FONT = 14
EMPTY, BAR, MARKED = (235, 235, 235), (0, 114, 178), (213, 94, 0)  # blue and vermilion: safe for all eyes


class Axis(NamedTuple):
    """One axis.

    Attributes:
        low, high: where it begins and ends; above zero if it is logarithmic.
        name: stands beside it.
        log: each step multiplies.
    """

    low: float
    high: float
    name: str = ""
    log: bool = False

    def position(self, value: float) -> float:
        """0 at the low end, 1 at the high end; what lies outside stops there."""
        low, high = (math.log(end) for end in (self.low, self.high)) if self.log else (self.low, self.high)
        if self.log:
            value = math.log(value) if value > 0 else low
        return (min(max(value, low), high) - low) / (high - low)

    def label(self, tick: float) -> str:
        """A tick in words: on a long logarithmic axis all of them as powers of ten."""
        if self.log and self.high / self.low > 1e5:
            power = round(math.log10(tick))
            return f"1e{power}" if power else "1"
        return _short(tick)

    def ticks(self) -> list[float]:
        """Round numbers along it, three to seven."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first) / 5))
            return [10.0**power for power in range(first, last + 1, step)]
        wide = self.high - self.low
        step = 10 ** math.floor(math.log10(wide / 3))
        step *= next(factor for factor in (1, 2, 5, 10) if wide / (step * factor) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: Axis,
    y: Axis,
    *,
    dashed: Sequence[str] = (),
    dots: Mapping[str, tuple[float, float]] | None = None,
    width: int = 520,
    height: int = 280,
    beside: int = _RIGHT,
) -> np.ndarray:
    """Curves in one pair of axes, each named at its end in its own colour.

    Args:
        lines: name -> (places, values), at most six; what is not finite is a gap.
        x, y: the axes. What lies outside is drawn at the border.
        dashed: names of lines that are theory, or what was before.
        dots: name of a line -> (place, value): where it is now.
        width, height: in pixels.
        beside: pixels at the right for the names; less, where names are short and room is scarce.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: no line or too many, one whose places and values differ in number, or an axis that does
            not go from low to high.
    """
    if not 1 <= len(lines) <= len(COLOURS):
        raise ValueError(f"one to {len(COLOURS)} curves can be told apart, not {len(lines)}")
    for axis in (x, y):
        if not (math.isfinite(axis.low) and math.isfinite(axis.high) and axis.low < axis.high):
            raise ValueError(f"an axis goes from a low number to a higher one, not {axis.low} to {axis.high}")
        if axis.log and axis.low <= 0:
            raise ValueError(f"a logarithmic axis begins above zero, not at {axis.low}")
    page = Image.new("RGB", (width * _FINE, height * _FINE), _PAPER)
    pen = ImageDraw.Draw(page)
    box = (_LEFT * _FINE, _TOP * _FINE, (width - beside) * _FINE, (height - _BOTTOM) * _FINE)

    def place(across: float, up: float) -> tuple[float, float]:
        left, top, right, bottom = box
        return left + x.position(across) * (right - left), bottom - y.position(up) * (bottom - top)

    _axes(pen, box, x, y, place)
    ends = []
    for (name, (places, values)), colour in zip(lines.items(), COLOURS, strict=False):
        if len(places) != len(values):
            raise ValueError(f"{name} has {len(places)} places and {len(values)} values")
        fill, last = ImageColor.getrgb(colour), None
        for piece in _pieces(places, values):
            points = [place(*point) for point in piece]
            if len(points) == 1:
                _dot(pen, points[0], 3, fill)
            elif name in dashed:
                _dashes(pen, points, fill)
            else:
                pen.line(points, fill, 3 * _FINE, joint="curve")
            last = points[-1]
        if last is not None:
            ends.append((last[1], name, fill))
        if dots and name in dots:
            _dot(pen, place(*dots[name]), 6, fill)
    heights = separate_labels([end[0] for end in ends], (_FONT + 3) * _FINE, low=box[1], high=box[3])
    for (_, name, fill), down in zip(ends, heights, strict=True):
        pen.text((box[2] + 8 * _FINE, down), name, fill, _font(_FONT), anchor="lm")
    return np.asarray(page.resize((width, height), Image.Resampling.BOX))


def _axes(pen, box, x: Axis, y: Axis, place) -> None:
    left, top, right, bottom = box
    for tick in y.ticks():
        height = place(x.low, tick)[1]
        pen.line([(left, height), (right, height)], _GRID, _FINE)
        pen.text((left - 6 * _FINE, height), y.label(tick), _INK, _font(_FONT), anchor="rm")
    for tick in x.ticks():
        across = place(tick, y.low)[0]
        pen.line([(across, bottom), (across, bottom + 4 * _FINE)], _INK, _FINE)
        pen.text((across, bottom + 6 * _FINE), x.label(tick), _INK, _font(_FONT), anchor="ma")
    pen.line([(left, top), (left, bottom), (right, bottom)], _INK, _FINE)
    pen.text(((left + right) / 2, bottom + 24 * _FINE), x.name, _INK, _font(_FONT), anchor="ma")
    pen.text((left, top - 20 * _FINE), y.name, _INK, _font(_FONT), anchor="la")


def _pieces(places: Sequence[float], values: Sequence[float]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in zip(places, values, strict=True):
        if all(map(math.isfinite, point)):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _dashes(pen, points: list[tuple[float, float]], fill) -> None:
    """The path in pieces of equal length, every other one drawn."""
    on, left, length = True, 8.0 * _FINE, 8.0 * _FINE
    for (ax, ay), (bx, by) in zip(points, points[1:], strict=False):
        whole = math.hypot(bx - ax, by - ay)
        done = 0.0
        while done < whole:
            step = min(left, whole - done)
            if on:
                start, end = (
                    (ax + (bx - ax) * at / whole, ay + (by - ay) * at / whole) for at in (done, done + step)
                )
                pen.line([start, end], fill, 3 * _FINE)
            done, left = done + step, left - step
            if left <= 1e-9:
                on, left = not on, length


def _dot(pen, at: tuple[float, float], radius: int, fill) -> None:
    across, down = at
    size = radius * _FINE
    pen.ellipse((across - size, down - size, across + size, down + size), fill, _PAPER)


def _short(number: float) -> str:
    return f"{number + 0.0:.3g}"  # -0.0 + 0.0 is 0.0


@functools.cache
def _font(size: int):
    return ImageFont.load_default(size * _FINE)


def bar_chart(
    values: Sequence[float],
    limit: float | None = None,
    *,
    width: int = 420,
    height: int = 120,
    marked: tuple[int, int] | None = None,
) -> np.ndarray:
    """One bar for each value, from the left to the right.

    Args:
        values: zero or more, finite; what is larger than the limit ends at the top.
        limit: the value of a bar of full height; left out, the largest.
        width, height: in pixels; the width is rounded down to whole bars, each at least 2 wide.
        marked: (first, last) bars to draw in another colour and with a line below: the colour alone would
            not do.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: no values, a negative one, or one that is not finite.
    """
    numbers = np.asarray([float(value) for value in values])
    if not numbers.size or not np.isfinite(numbers).all() or (numbers < 0).any():
        raise ValueError(f"bars need finite values, zero or more, got {numbers[:5].tolist()}")
    limit = max(limit if limit is not None else numbers.max(), 1e-12)
    wide = max(2, width // len(numbers))
    page = np.full((height, wide * len(numbers), 3), EMPTY, np.uint8)
    for place, share in enumerate((numbers / limit).clip(0, 1).tolist()):
        tall = round(share * height)
        here = marked is not None and marked[0] <= place <= marked[1]
        columns = slice(wide * place, wide * (place + 1) - 1)
        if tall:
            page[height - tall :, columns] = MARKED if here else BAR
        if here:
            page[-3:, wide * place : wide * (place + 1)] = MARKED
    return page
