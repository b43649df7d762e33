"""Small moves of the image before each look, so that what excites a unit does so however it lies.

Type: (image, random numbers) -> image, of the size that the network sees. Each transform is a map of the
plane; a chain of them is one map, so the image is sampled once, whatever the number of transforms.

Paper: Olah, Mordvintsev & Schubert, Feature visualization, Distill 2017 (transformation robustness).
"""

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.errors import unknown

# A map of the plane from where a pixel lands to where it comes from, around the middle of the image, in
# pixels: x = a x' + b y' + e, y = c x' + d y' + f as (a, b, c, d, e, f).
Map = tuple[float, float, float, float, float, float]
_IDENTITY: Map = (1, 0, 0, 1, 0, 0)
PADDING_MODES = ("mirror", "edge", "grey")


class Transform(NamedTuple):
    """One kind of move.

    Attributes:
        name: what is printed.
        draw: a random number generator -> one such move.
        margin: pixels that the view grows by on each side.
    """

    name: str
    draw: Callable[[Random], Map]
    margin: int = 0

    def __repr__(self) -> str:
        return self.name


def pad(pixels: int) -> Transform:
    """The network looks at a wider view: so many pixels more on each side, filled by its `padding_mode`."""
    _whole(pixels, "pad")
    return Transform(f"pad({pixels})", lambda _: _IDENTITY, margin=pixels)


def jitter(pixels: int) -> Transform:
    """Up to so many whole pixels up or down, and to the left or right."""
    _whole(pixels, "jitter")

    def draw(random: Random) -> Map:
        return (1, 0, 0, 1, random.randint(-pixels, pixels), random.randint(-pixels, pixels))

    return Transform(f"jitter({pixels})", draw)


def scale(smallest: float, largest: float) -> Transform:
    """Enlarged by a factor between these two, around the middle."""
    if not 0 < smallest <= largest < float("inf"):
        raise ValueError(f"scale is from a small factor above 0 to a larger one, not {smallest} to {largest}")

    def draw(random: Random) -> Map:
        step = 1 / random.uniform(smallest, largest)
        return (step, 0, 0, step, 0, 0)

    return Transform(f"scale({smallest}, {largest})", draw)


def rotate(degrees: float, smallest: float | None = None) -> Transform:
    """Turned by up to so many degrees to either side; with `smallest`, from that angle to `degrees`."""
    low = -degrees if smallest is None else smallest
    if not -360 <= low <= degrees <= 360:
        raise ValueError(
            f"angles go from a smaller to a larger one within 360 degrees, not {low} to {degrees}"
        )

    def draw(random: Random) -> Map:
        angle = math.radians(random.uniform(low, degrees))
        cos, sin = math.cos(angle), math.sin(angle)
        return (cos, -sin, sin, cos, 0, 0)

    return Transform(f"rotate({degrees})" if smallest is None else f"rotate({degrees}, {smallest})", draw)


def standard(size: int) -> tuple[Transform, ...]:
    """What `render` does if nothing else is asked for, in proportion to the side of the image.

    >>> standard(64)
    (jitter(4), scale(0.95, 1.05), rotate(5), jitter(2))
    """
    return (jitter(max(1, size // 16)), scale(0.95, 1.05), rotate(5), jitter(max(1, size // 32)))


class Warp:
    """A chain of transforms for images of one size: one draw, one sampling.

    Args:
        transforms: in the order in which they are done.
        size: (rows, columns) of the image.
        seed: of its own random numbers; the global ones are left alone.
        padding_mode: what lies outside the image: "mirror", "edge" (its last pixels go on) or "grey".
    """

    def __init__(
        self,
        transforms: Sequence[Transform],
        size: tuple[int, int],
        *,
        seed: int = 0,
        padding_mode: str = "mirror",
    ):
        if padding_mode not in PADDING_MODES:
            raise unknown("padding mode", padding_mode, PADDING_MODES)
        for each in transforms:
            if not isinstance(each, Transform):
                raise TypeError(
                    f"transforms are a list such as [jitter(4), rotate(5)], not with {each!r} in it"
                )
        self.transforms, self.size, self.padding_mode = tuple(transforms), size, padding_mode
        self.random = Random(seed)
        margin = sum(each.margin for each in self.transforms)
        rows, columns = (side + 2 * margin for side in size)
        y, x = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2 for side in (rows, columns))
        y, x = torch.meshgrid(y, x, indexing="ij")
        self.positions = torch.stack([x, y, torch.ones_like(x)], dim=2)  # (rows, columns, 3)

    def draw(self) -> Map | None:
        """The next move; None if there is nothing to do."""
        if not self.transforms:
            return None
        a, b, c, d, e, f = _IDENTITY
        for each in self.transforms:  # a view of a view: the map that comes later is the inner one
            p, q, r, s, t, u = each.draw(self.random)
            a, b, c, d, e, f = (
                a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s,
                a * t + b * u + e, c * t + d * u + f,
            )  # fmt: skip
        return (a, b, c, d, e, f)

    def view(self, image: Tensor, move: Map | None) -> Tensor:
        """(B, C, H, W) -> (B, C, rows, columns): all images moved alike; gradients flow through."""
        if move is None:
            return image
        if self.positions.dtype != image.dtype or self.positions.device != image.device:
            self.positions = self.positions.to(image)
        a, b, c, d, e, f = move
        height, width = self.size
        # grid_sample counts from -1 to 1 across the image.
        to = [
            [2 * a / width, 2 * c / height],
            [2 * b / width, 2 * d / height],
            [2 * e / width, 2 * f / height],
        ]
        grid = (self.positions @ image.new_tensor(to)).expand(len(image), -1, -1, -1)
        if self.padding_mode == "grey":
            return F.grid_sample(image - 0.5, grid, padding_mode="zeros", align_corners=False) + 0.5
        mode = {"mirror": "reflection", "edge": "border"}[self.padding_mode]
        return F.grid_sample(image, grid, padding_mode=mode, align_corners=False)


def _whole(pixels: int, name: str) -> None:
    if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 0:
        raise ValueError(f"{name} takes a whole number of pixels, 0 or more, not {pixels!r}")
