"""Synthetic scenes: images for which we know, pixel by pixel, what is there and what decides the class.

Real photos never tell why they carry their label. Here we made the label: **the class is the shape of the
largest object**. Everything else, the small objects, the colours, the background, is there to distract.
So a saliency map, or a unit that "detects stripes", can be measured against the truth.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cnnlab.data import scene_parts
from cnnlab.errors import unknown

CLASSES = tuple(scene_parts.SHAPES)
MIN_SIZE, MAX_SIZE = 40, 96
_LARGE, _SMALL = (
    (0.20, 0.29),
    (0.07, 0.11),
)  # radius as a part of the side: no small one comes near a large one


class Scenes(NamedTuple):
    """Images with labels and the truth about every pixel.

    Attributes:
        images: (N, 3, H, W) float32 in [0, 1].
        labels: (N,) int64, the shape of the largest object, an index into `classes`.
        classes: the names of the shapes.
        masks: name -> (N, H, W) bool. "shape:disc", "colour:red", "texture:dots" and so on: pixels of
            objects of that kind; "part:border", "part:corner": of any object; "background": no object and no
            watermark; "deciding": the largest object; "watermark": the planted mark.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    masks: dict[str, Tensor]


def scenes(
    n: int, size: int = 64, seed: int = 0, *, distractors: int = 2, watermark: float | None = None
) -> Scenes:
    """Draw scenes.

    Args:
        n: how many. The classes take turns, so each is as frequent as the others, to within one.
        size: side in pixels, 40 to 96.
        seed: other numbers give other scenes; scene k depends on seed and k, not on n.
        distractors: how many small objects at most, 0 to 5. One that finds no free place is left out.
        watermark: None for no mark. A number from 0 to 1 plants a small mark in a corner of every scene, a
            code
            of a class: with this probability the scene's own, else another one. At 1 a net can cheat.

    Returns:
        Scenes with a mask for every concept.

    Raises:
        ValueError: a number outside its range.

    >>> scenes(6, size=40).labels.tolist()
    [0, 1, 2, 3, 4, 5]
    """
    for name, value, low, high in (
        ("n", n, 1, 10**6),
        ("size", size, MIN_SIZE, MAX_SIZE),
        ("distractors", distractors, 0, 5),
        ("seed", seed, 0, 2**63),
    ):
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{name} is a whole number from {low} to {high}, but it is {value!r}")
    number = isinstance(watermark, int | float) and not isinstance(watermark, bool)
    if watermark is not None and not (number and 0 <= watermark <= 1):
        raise ValueError(f"watermark is a probability from 0 to 1, or None, but it is {watermark!r}")
    names = concepts(watermark is not None)
    images = np.empty((n, size, size, 3), np.float32)
    masks = {name: np.zeros((n, size, size), bool) for name in names}
    labels = np.arange(n) % len(scene_parts.SHAPES)
    for k, label in enumerate(labels):
        random = np.random.default_rng([seed, k])
        images[k] = _scene(
            int(label), size, distractors, watermark, random, {name: masks[name][k] for name in names}
        )
    return Scenes(
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),  # (N, H, W, 3) -> (N, 3, H, W)
        torch.from_numpy(labels),
        CLASSES,
        {name: torch.from_numpy(mask) for name, mask in masks.items()},
    )


def of_largest(found: Scenes, kind: str) -> tuple[Tensor, tuple[str, ...]]:
    """What the largest object of each scene is, said in another way than by the label.

    Args:
        found: scenes.
        kind: "shape", "colour" or "texture".

    Returns:
        (N,) int64, and the names that the numbers stand for.

    Raises:
        LookupError: there is no such kind.

    >>> of_largest(scenes(6, size=40), "shape")[0].tolist()
    [0, 1, 2, 3, 4, 5]
    """
    kinds = {"shape": scene_parts.SHAPES, "colour": scene_parts.COLOURS, "texture": scene_parts.TEXTURES}
    if kind not in kinds:
        raise unknown("kind", kind, kinds)
    names = tuple(kinds[kind])
    inside = [
        (found.masks[f"{kind}:{name}"] & found.masks["deciding"]).flatten(1).sum(dim=1) for name in names
    ]
    return torch.stack(inside, dim=1).argmax(dim=1), names


def of_watermark(found: Scenes) -> Tensor:
    """The class that the mark of each scene spells, true or not: an index into `classes`.

    Args:
        found: scenes with marks.

    Returns:
        (N,) int64.

    Raises:
        ValueError: the scenes have no marks.

    >>> of_watermark(scenes(6, size=40, watermark=1.0)).tolist()
    [0, 1, 2, 3, 4, 5]
    """
    if "watermark" not in found.masks:
        raise ValueError("these scenes carry no mark: draw them with watermark=, a number from 0 to 1")
    size, where = found.images.shape[-1], found.masks["watermark"]
    marks = torch.stack(
        [torch.from_numpy(scene_parts.watermark(label, size)[0]) for label in range(len(found.classes))]
    )
    seen = found.images.permute(0, 2, 3, 1)[where].view(len(where), 1, -1)  # (N, 1, pixels of the mark * 3)
    known = marks[where[0].expand(len(marks), -1, -1)].view(1, len(marks), -1)
    return (seen - known).abs().sum(dim=2).argmin(dim=1)


def concepts(with_watermark: bool = True) -> list[str]:
    """The names of all masks."""
    named = [f"shape:{name}" for name in scene_parts.SHAPES] + [
        f"colour:{name}" for name in scene_parts.COLOURS
    ]
    named += [f"texture:{name}" for name in scene_parts.TEXTURES]
    return [
        *named,
        "part:border",
        "part:corner",
        "background",
        "deciding",
        *(["watermark"] if with_watermark else []),
    ]


def _scene(
    label: int, size: int, distractors: int, watermark: float | None, random, masks: dict
) -> np.ndarray:
    """Draw one scene, (H, W, 3), and fill its masks in place."""
    page = scene_parts.background(size, random)
    placed: list[tuple[float, float, float]] = []  # row, column, radius
    for k in range(1 + random.integers(0, distractors + 1) if distractors else 1):
        low, high = _LARGE if k == 0 else _SMALL
        radius = size * random.uniform(low, high)
        centre = _free_position(size, radius, placed, random)
        if centre is None:
            continue
        placed.append((*centre, radius))
        # Drawn by lot even for the first, so that nothing else of a scene depends on its class.
        lot = int(random.integers(len(scene_parts.SHAPES)))
        shape = list(scene_parts.SHAPES)[label if k == 0 else lot]
        colour = list(scene_parts.COLOURS)[random.integers(len(scene_parts.COLOURS))]
        texture = list(scene_parts.TEXTURES)[random.integers(len(scene_parts.TEXTURES))]
        turn = random.uniform(0, 2 * np.pi)
        thing = scene_parts.thing(shape, size, *centre, radius, turn)
        page[thing.inside] = scene_parts.paint(colour, texture, thing, random)[thing.inside]
        for name in (
            f"shape:{shape}",
            f"colour:{colour}",
            f"texture:{texture}",
            *(["deciding"] if k == 0 else []),
        ):
            masks[name] |= thing.inside
        masks["part:border"] |= thing.border
        masks["part:corner"] |= thing.corner
    if watermark is not None:
        other = (label + 1 + int(random.integers(len(scene_parts.SHAPES) - 1))) % len(scene_parts.SHAPES)
        mark, where = scene_parts.watermark(label if random.random() < watermark else other, size)
        page[where] = mark[where]
        for mask in masks.values():
            mask &= ~where  # the mark covers what lay under it
        masks["watermark"] |= where
    covered = np.any(
        [mask for name, mask in masks.items() if name.startswith("shape:") or name == "watermark"], axis=0
    )
    masks["background"] |= ~covered
    return page


def _free_position(size: int, radius: float, placed: list, random) -> tuple[float, float] | None:
    """A centre at which nothing is touched, neither the border of the image; None after 40 tries."""
    for _ in range(40):
        row, column = random.uniform(radius + 1, size - radius - 2, 2)
        if all(np.hypot(row - r, column - c) > radius + other + 2 for r, c, other in placed):
            return row, column
    return None
