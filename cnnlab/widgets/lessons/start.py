"""The two widgets of lecture 00: turn a picture and watch the answer; cover some pixels."""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.data import photos
from cnnlab.drawing.raster import pixels
from cnnlab.methods.saliency.cam import class_activation_map, overlay
from cnnlab.nets import models
from cnnlab.widgets import ImageInput, explore

_BLOCKS = 12  # characters of the longest possible bar: in JupyterLab, too, it stays beside two pictures
_SHOWN = 224  # pixels: a picture, its settings and a question fit on one slide
_BARS = "the five most probable classes"
_SIDE = 64  # pixels: what photonet was trained on


def turn():
    """Turn a picture; see the answer, its probability, and the places that decided."""
    return explore(
        turn_view,
        title="Turn the picture",
        angle=(0, 360),
        photo=ImageInput(tuple(photos.names()), size=_SHOWN, value="cat"),
        start={"angle": 0},
        alt="the turned picture, and the places that decided",
    )


def turn_view(angle: float, photo: Tensor) -> dict:
    """The picture turned, the deciding places, and the five most probable classes.

    Args:
        angle: in degrees, counter-clockwise.
        photo: (1, 3, S, S) in [0, 1].

    Returns:
        The turned picture, the places that decided, and one bar per class.
    """
    turned = rotate(photo, angle)
    chances = _probabilities(turned)[0]
    winner = _net().classes[int(chances.argmax())]
    return {
        f"turned by {angle:.0f} degrees": pixels.grey(turned[0]),
        f"why '{winner}'": _why(turned, winner),
        _BARS: _bars(chances),
    }


def cover():
    """Cover a square of the picture; see what becomes of the answer."""
    return explore(
        cover_view,
        title="Cover the pixels",
        row=(0, 100),
        column=(0, 100),
        size=(0, 100),
        photo=ImageInput(tuple(photos.names()), size=_SHOWN, value="cat"),
        start={"row": 50, "column": 50, "size": 30},
        alt="the covered picture, and the places that decided",
    )


def cover_view(row: int, column: int, size: int, photo: Tensor) -> dict:
    """The picture with a grey square on it, and what is left of the probability.

    Args:
        row, column: where the centre of the square lies, in percent of the picture's side.
        size: the side of the square in percent of the picture's side.
        photo: (1, 3, S, S) in [0, 1].

    Returns:
        The covered picture, the places that decided BEFORE it was covered with the square framed on them, and
        the probability before and after.
    """
    side, half = photo.shape[-1], size / 200
    top, bottom = (round(side * min(max(row / 100 + sign * half, 0), 1)) for sign in (-1, 1))
    left, right = (round(side * min(max(column / 100 + sign * half, 0), 1)) for sign in (-1, 1))
    covered = photo.clone()
    covered[..., top:bottom, left:right] = photo.mean()
    before, after = (_probabilities(image)[0] for image in (photo, covered))
    winner = int(before.argmax())
    why = _why(photo, _net().classes[winner])
    if bottom - top > 6 and right - left > 6:
        why = pixels.outline(why, top, left, bottom - top, right - left, thick=3)
    area = (bottom - top) * (right - left) / side**2
    return {
        "covered": pixels.grey(covered[0]),
        f"why '{_net().classes[winner]}', before": why,
        _BARS: _bars(after),
        "": f"{area:.0%} of the picture is covered; the probability of '{_net().classes[winner]}' went from "
        f"{before[winner]:.1%} to {after[winner]:.1%}",
    }


def rotate(image: Tensor, angle: float) -> Tensor:
    """Turn a picture about its centre; where a corner would be empty, the mirrored picture goes on.

    Args:
        image: (N, C, S, S).
        angle: in degrees, counter-clockwise.

    Returns:
        (N, C, S, S), bilinear; the same numbers for an angle of 0.
    """
    turn = math.radians(angle)
    matrix = torch.tensor([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0]])
    grid = F.affine_grid(
        matrix[None].expand(image.shape[0], -1, -1).to(image), image.shape, align_corners=False
    )
    return F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)


def _why(image: Tensor, winner: str) -> np.ndarray:
    """The places that speak for a class, in the network's own 8 x 8 cells, on the picture."""
    heat = overlay(class_activation_map(_net(), _small(image), winner), image.shape[2:])[0, 0]
    return pixels.overlay(image[0], heat.clamp(min=0))


def _bars(chances: Tensor) -> str:
    """The five most probable classes as bars of text."""
    values, numbers = chances.topk(5)
    return "\n".join(
        f"{_net().classes[number]:>17} {share:4.0%} " + "\u2588" * round(share * _BLOCKS)
        for share, number in zip(values.tolist(), numbers.tolist(), strict=True)
    )


def _small(image: Tensor) -> Tensor:
    return photos.resize(image, _SIDE)


def _probabilities(image: Tensor) -> Tensor:
    with torch.no_grad():
        return _net()(_small(image)).softmax(dim=1)


@functools.cache
def _net() -> nn.Module:
    return models.load("photonet")
