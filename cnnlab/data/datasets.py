"""A data set by its name, in the size and colours that a network wants: for lectures with a DATA parameter.

`(name, input size) -> Labelled`. Three of them are on every machine and need no network.
"""

import torch
from torch import Tensor

from cnnlab.data import digits, photos, shapes
from cnnlab.data.labelled import Labelled
from cnnlab.data.loading import downloads
from cnnlab.errors import unknown

EMBEDDED = ("photos", "scenes", "digits")
NAMES = (*EMBEDDED, *downloads.NAMES)


def load(name: str, input_size: tuple[int, int, int], *, n: int = 600, seed: int = 0) -> Labelled:
    """Images for a network.

    Args:
        name: "photos" (pieces of the embedded photos), "scenes" (synthetic), "digits" (embedded handwriting),
            or a data set of `downloads`, from its test part.
        input_size: (channels, rows, columns), a network's `input_size`; square.
        n: how many at most; a data set that has fewer gives all it has.
        seed: of the pieces, of the scenes, or of the choice where there are more than n.

    Returns:
        Labelled images (n, C, H, W) in [0, 1]. For one channel colours are averaged, for three a grey
        image is repeated.

    Raises:
        LookupError: there is no such data set.
        ValueError: n is below 1, or the network wants no square images of 1 or 3 channels.
        ConnectionError: it is neither on this machine nor to be had; names the embedded alternative.

    >>> load("digits", (3, 32, 32), n=5).images.shape
    torch.Size([5, 3, 32, 32])
    """
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    channels, rows, columns = input_size
    if channels not in (1, 3) or rows != columns:
        raise ValueError(f"images here are square, of 1 or 3 channels; the network wants {input_size}")
    if type(n) is not int or n < 1:
        raise ValueError(f"n is a whole number from 1 on, not {n!r}")
    if name == "photos":
        found = photos.crops(size=rows, n=n, seed=seed)
    elif name == "scenes":
        # Scenes are drawn in sizes of their own; another size is made from the nearest.
        found = shapes.scenes(n, size=min(max(rows, shapes.MIN_SIZE), shapes.MAX_SIZE), seed=seed)
    elif name == "digits":
        found = _some(digits.load("test") if n <= 355 else digits.load("train"), n, seed)
    else:
        found = _some(downloads.load(name, "test", size=rows), n, seed)
    images = found.images if found.images.shape[-1] == rows else photos.resize(found.images, rows)
    return Labelled(_coloured(images, channels), found.labels, found.classes)


def _some(found: Labelled, n: int, seed: int) -> Labelled:
    """n of them, chosen by the seed; all in their order if there are no more."""
    if len(found.labels) <= n:
        return found
    chosen = torch.randperm(len(found.labels), generator=torch.Generator().manual_seed(seed))[:n]
    return Labelled(found.images[chosen], found.labels[chosen], found.classes)


def _coloured(images: Tensor, channels: int) -> Tensor:
    if images.shape[1] == channels:
        return images
    return images.mean(dim=1, keepdim=True) if channels == 1 else images.expand(-1, 3, -1, -1).contiguous()
