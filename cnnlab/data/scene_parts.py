"""What the scenes are made of: shapes, colours, textures, backgrounds and the watermark.

A shape is a rule on coordinates (u, v) about its centre, in units of its radius: inside or not.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_EDGE = 0.16  # width of a border in units of the radius
_CORNER = 0.34  # pixels of a shape as near as this to one of its corners belong to the corner


def _polygon(points: int, inner: float | None = None) -> np.ndarray:
    """Corners on the unit circle, (points, 2); with `inner`, a star whose notches lie on that radius."""
    angles = np.linspace(0, 2 * np.pi, points * (2 if inner else 1), endpoint=False) - np.pi / 2
    radii = np.where(np.arange(len(angles)) % 2, inner or 1.0, 1.0) if inner else np.ones(len(angles))
    return np.stack([radii * np.sin(angles), radii * np.cos(angles)], axis=1)


def _inside_polygon(corners: np.ndarray) -> Callable:
    """Crossing rule: a ray from an inner point crosses the outline an odd number of times."""

    def rule(v, u):
        crossings = np.zeros(v.shape, int)
        for (v0, u0), (v1, u1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            between = (v0 > v) != (v1 > v)
            gradient = (u1 - u0) / (v1 - v0) if v1 != v0 else 0.0
            crossings += between & (u < u0 + (v - v0) * gradient)
        return crossings % 2 == 1

    return rule


_TIPS = np.array([[a, b] for a in (-1, 1) for b in (-1, 1)])
_SQUARE, _TRIANGLE, _STAR = _TIPS * 0.7, _polygon(3), _polygon(5, inner=0.42)
_CROSS = np.concatenate([_TIPS * (0.93, 0.33), _TIPS * (0.33, 0.93)])
_NONE = np.empty((0, 2))

# name -> (inside rule, outer corners)
SHAPES: dict[str, tuple[Callable, np.ndarray]] = {
    "disc": (lambda v, u: v**2 + u**2 <= 0.85, _NONE),
    "square": (lambda v, u: np.maximum(abs(v), abs(u)) <= 0.7, _SQUARE),
    "triangle": (_inside_polygon(_TRIANGLE), _TRIANGLE),
    "ring": (lambda v, u: (v**2 + u**2 <= 1) & (v**2 + u**2 >= 0.3), _NONE),
    "cross": (
        lambda v, u: (np.minimum(abs(v), abs(u)) <= 0.33) & (np.maximum(abs(v), abs(u)) <= 0.93),
        _CROSS,
    ),
    "star": (_inside_polygon(_STAR), _STAR[::2]),
}
COLOURS = {
    "red": (0.86, 0.12, 0.12),
    "green": (0.10, 0.62, 0.20),
    "blue": (0.12, 0.28, 0.88),
    "yellow": (0.95, 0.86, 0.10),
    "orange": (0.98, 0.52, 0.05),
    "purple": (0.55, 0.15, 0.70),
    "cyan": (0.10, 0.78, 0.86),
    "pink": (0.98, 0.55, 0.75),
}
# name -> which pixels are dark, from pixel coordinates and the width of a stripe
TEXTURES: dict[str, Callable] = {
    "plain": lambda y, x, w: np.zeros(y.shape, bool),  # noqa: ARG005
    "stripes": lambda y, x, w: (y // w) % 2 == 1,  # noqa: ARG005
    "bars": lambda y, x, w: (x // w) % 2 == 1,  # noqa: ARG005
    "checks": lambda y, x, w: ((y // w) + (x // w)) % 2 == 1,
    "dots": lambda y, x, w: ((y % (2 * w)) - w) ** 2 + ((x % (2 * w)) - w) ** 2 <= (0.7 * w) ** 2,
    "diagonals": lambda y, x, w: ((y + x) // (1.4 * w)) % 2 == 1,
}
_DARK = 0.45  # brightness of the dark parts of a texture


class Thing(NamedTuple):
    """Where an object lies: masks (H, W) of all of it, of its border and of its corners."""

    inside: np.ndarray
    border: np.ndarray
    corner: np.ndarray


def thing(shape: str, size: int, row: float, column: float, radius: float, turn: float) -> Thing:
    """The pixels of an object.

    Args:
        shape: one of `SHAPES`.
        size: side of the image.
        row, column, radius: centre and size in pixels.
        turn: in radians.
    """
    rule, corners = SHAPES[shape]
    y, x = _grid(size)
    v, u = (y - row) / radius, (x - column) / radius
    v, u = v * np.cos(turn) - u * np.sin(turn), v * np.sin(turn) + u * np.cos(turn)
    inside = rule(v, u)
    # A pixel is on the border if a step of the border's width in some direction leaves the shape.
    steps = [(np.sin(a) * _EDGE, np.cos(a) * _EDGE) for a in np.linspace(0, 2 * np.pi, 8, endpoint=False)]
    border = inside & ~np.all([rule(v + dv, u + du) for dv, du in steps], axis=0)
    corner = np.zeros_like(inside)
    for cv, cu in corners:
        corner |= inside & ((v - cv) ** 2 + (u - cu) ** 2 <= _CORNER**2)
    return Thing(inside, border, corner)


def paint(colour: str, texture: str, thing: Thing, random) -> np.ndarray:
    """The colours of an object, (H, W, 3): its colour, darker where the texture says so and on its border."""
    y, x = _grid(len(thing.inside))
    width = max(2, round(len(thing.inside) / 24))
    dark = TEXTURES[texture](y + random.integers(width), x + random.integers(width), width)
    light = np.where(dark, _DARK, 1.0) * np.where(thing.border, 0.8, 1.0)
    return (np.array(COLOURS[colour]) * light[..., None]).astype(np.float32)


def background(size: int, random) -> np.ndarray:
    """One of four quiet backgrounds in grey, (H, W, 3): plain, sloping, grainy or cloudy."""
    y, x = _grid(size)
    level, kind = random.uniform(0.25, 0.7), random.integers(4)
    if kind == 0:
        grey = np.full((size, size), level)
    elif kind == 1:
        angle = random.uniform(0, 2 * np.pi)
        grey = level + 0.2 * ((y / size - 0.5) * np.sin(angle) + (x / size - 0.5) * np.cos(angle))
    elif kind == 2:
        grey = level + random.normal(0, 0.04, (size, size))
    else:
        waves = [np.sin(2 * np.pi * (a * y + b * x) / size + c) for a, b, c in random.uniform(-3, 3, (3, 3))]
        grey = level + 0.05 * np.sum(waves, axis=0)
    return np.repeat(grey.clip(0, 1)[..., None], 3, axis=2).astype(np.float32)


def watermark(label: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A code of a class in the lower left corner: (image (H, W, 3), its pixels (H, W)).

    Three squares, black or white, spell the label in binary, one higher than it is, so that none is all
    black.
    """
    side = max(2, size // 20)
    image, where = np.zeros((size, size, 3), np.float32), np.zeros((size, size), bool)
    for bit in range(3):
        part = (slice(size - 1 - side, size - 1), slice(1 + bit * side, 1 + (bit + 1) * side))
        image[part] = float((label + 1) >> bit & 1)
        where[part] = True
    return image, where


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return y, x
