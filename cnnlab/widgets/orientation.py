"""The two widgets of lecture 00: turn a picture, watch the answer; cover pixels, watch the score fall."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing import pixels
from cnnlab.methods import edges
from cnnlab.widgets import Picture, explore

_BLOCKS = 30  # characters of the longest possible bar


def turn():
    """Turn a picture; see the answer, its shares, and the pixels that decided."""
    return explore(
        turn_view,
        title="Turn the picture",
        angle=(0, 180),
        photo=Picture(tuple(photos.names()), size=362, value="bricks"),
        start={"angle": 0},
        alt="the turned picture, and the pixels that decided",
    )


def turn_view(angle: float, photo: Tensor) -> dict:
    """The picture turned, the deciding pixels, and the shares of the four directions.

    Args:
        angle: in degrees, counter-clockwise.
        photo: (1, 3, S, S) in [0, 1].

    Returns:
        Pictures of the largest square that stays inside the photo at every angle, and one bar per direction.
    """
    turned = rotate(photo, angle)
    return _explained(turned, f"turned by {angle:.0f} degrees")


def cover():
    """Cover a square of the picture; see how much of the score is gone."""
    return explore(
        cover_view,
        title="Cover the pixels",
        row=(0, 100),
        column=(0, 100),
        size=(0, 100),
        photo=Picture(tuple(photos.names()), size=256, value="bricks"),
        start={"row": 50, "column": 50, "size": 30},
        alt="the covered picture, and the pixels that decided",
    )


def cover_view(row: int, column: int, size: int, photo: Tensor) -> dict:
    """The picture with a grey square on it, and what is left of the score.

    Args:
        row, column: where the centre of the square lies, in percent of the picture's side.
        size: the side of the square in percent of the picture's side.
        photo: (1, 3, S, S) in [0, 1].

    Returns:
        The covered picture, its deciding pixels, and the score before and after.
    """
    side = photo.shape[-1]
    half = size / 200
    top, bottom = (round(side * min(max(row / 100 + sign * half, 0), 1)) for sign in (-1, 1))
    left, right = (round(side * min(max(column / 100 + sign * half, 0), 1)) for sign in (-1, 1))
    covered = photo.clone()
    covered[..., top:bottom, left:right] = photo.mean()
    before = edges.scores(photo)[0]
    winner = int(before.argmax())
    after = edges.scores(covered)[0, winner].item()
    lost = 1 - after / before[winner].item() if before[winner] > 0 else 0.0
    shown = _explained(covered, "covered")
    area = (bottom - top) * (right - left) / side**2
    shown[""] = (
        f"{area:.0%} of the picture is covered; the score for '{edges.DIRECTIONS[winner]}' went from "
        f"{before[winner]:.4f} to {after:.4f}: {lost:.0%} of it is gone"
    )
    return shown


def rotate(image: Tensor, angle: float) -> Tensor:
    """Turn a picture about its centre, without empty corners.

    Args:
        image: (N, C, S, S).
        angle: in degrees, counter-clockwise.

    Returns:
        (N, C, s, s) with s = S / sqrt(2): the square that stays inside at any angle, bilinear.
    """
    side = image.shape[-1]
    inner = int(side / math.sqrt(2))
    turn = math.radians(angle)
    scale = inner / side
    matrix = torch.tensor([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]]) * scale
    grid = F.affine_grid(
        matrix[None].expand(image.shape[0], -1, -1).to(image),
        (*image.shape[:2], inner, inner),
        align_corners=False,
    )
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


def _explained(image: Tensor, caption: str) -> dict:
    """A picture, the pixels that decided, and the shares as bars of text."""
    if edges.scores(image).sum() <= 0:
        return {caption: pixels.grey(image[0]), "": "one plain colour: no line in any direction"}
    shares = edges.shares(image)[0]
    winner = edges.DIRECTIONS[shares.argmax()]
    heat = edges.heatmap(image, winner)[0, 0]
    # The strongest percent would drown the rest: the scale ends at the 99 % quantile.
    limit = max(heat.flatten().quantile(0.99).item(), 1e-12)
    bars = "\n".join(
        f"{name:>10} {share:4.0%} " + "\u2588" * round(share * _BLOCKS)
        for name, share in zip(edges.DIRECTIONS, shares.tolist(), strict=True)
    )
    return {
        caption: pixels.grey(image[0]),
        f"why '{winner}'": pixels.magnitude(heat, limit=limit),
        "shares": bars,
    }
