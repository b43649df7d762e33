"""Real photos that are already on this machine: they come inside scikit-image and scikit-learn.

`name -> (1, 3, H, W)`. No network, and a credit for each.
"""

import functools
from importlib import resources
from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.data.labelled import Labelled
from cnnlab.names import unknown


class Credit(NamedTuple):
    """Who made a photo, and what may be done with it, as the package that brings it states."""

    title: str
    author: str
    licence: str
    source: str


class _Photo(NamedTuple):
    package: str
    file: str
    credit: Credit


_SKIMAGE, _SKLEARN = "scikit-image", "scikit-learn"
_TEXTURES = "CC0Textures"
_PHOTOS = {
    "cat": _Photo("skimage.data", "chelsea.png", Credit("Chelsea the cat", "Stefan van der Walt", "CC0", _SKIMAGE)),
    "astronaut": _Photo(
        "skimage.data", "astronaut.png", Credit("Eileen Collins", "NASA", "public domain", _SKIMAGE)
    ),
    "coffee": _Photo(
        "skimage.data", "coffee.png", Credit("A cup of coffee", "Rachel Michetti, Pikolo Espresso Bar", "CC0", _SKIMAGE)
    ),
    "camera": _Photo("skimage.data", "camera.png", Credit("A cameraman", "Lav Varshney", "CC0", _SKIMAGE)),
    "bricks": _Photo("skimage.data", "brick.png", Credit("A brick wall", _TEXTURES, "CC0", _SKIMAGE)),
    "grass": _Photo("skimage.data", "grass.png", Credit("Grass", "Linda Hall, DeviantArt", "CC0", _SKIMAGE)),
    "gravel": _Photo("skimage.data", "gravel.png", Credit("Gravel", _TEXTURES, "CC0", _SKIMAGE)),
    "clock": _Photo(
        "skimage.data", "clock_motion.png", Credit("A clock, blurred", "Stefan van der Walt", "public domain", _SKIMAGE)
    ),
    "coins": _Photo(
        "skimage.data", "coins.png", Credit("Coins from Pompeii", "Brooklyn Museum", "no known restrictions", _SKIMAGE)
    ),
    "rocket": _Photo(
        "skimage.data", "rocket.jpg", Credit("Launch of DSCOVR", "SpaceX", "public domain", _SKIMAGE)
    ),
    "galaxies": _Photo(
        "skimage.data", "hubble_deep_field.jpg", Credit("Hubble deep field", "NASA", "public domain", _SKIMAGE)
    ),
    "retina": _Photo("skimage.data", "retina.jpg", Credit("Retina", "Mikael H\u00e4ggstr\u00f6m", "CC0", _SKIMAGE)),
    "temple": _Photo(
        "sklearn.datasets.images", "china.jpg", Credit("A temple in China", "danielbuechele", "CC BY 2.0", _SKLEARN)
    ),
    "flower": _Photo(
        "sklearn.datasets.images", "flower.jpg", Credit("A flower", "vultilion", "CC BY 2.0", _SKLEARN)
    ),
}


def names() -> list[str]:
    """The names of all photos."""
    return list(_PHOTOS)


def credit(name: str) -> Credit:
    """Author and licence of a photo.

    Raises:
        LookupError: there is no such photo.

    >>> credit("coffee").licence
    'CC0'
    """
    return _find(name).credit


def load(name: str, size: int | None = None) -> Tensor:
    """A photo by its name.

    Args:
        name: one of `names()`.
        size: side in pixels, at least 1: the middle square is cut out and resized without aliasing.
            Left out: the photo as it is.

    Returns:
        (1, 3, H, W) float32 in [0, 1], a fresh tensor; a grey photo has three equal channels.

    Raises:
        LookupError: there is no such photo.
        ValueError: the size is not a positive whole number.
    """
    photo = _find(name)
    if size is None:
        return _pixels(photo.package, photo.file).clone()
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"size is a number of pixels, 1 or more, but it is {size!r}")
    image = _pixels(photo.package, photo.file)
    side = min(image.shape[-2:])
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    return resize(image[..., top : top + side, left : left + side], size)


def crops(size: int = 64, n: int = 2000, seed: int = 0) -> Labelled:
    """Many square pieces of the photos, at several scales.

    Args:
        size: side of each in pixels.
        n: how many. The photos take turns, so that each gives as many as the others, to within one.
        seed: other numbers give other pieces; the first pieces do not depend on `n`.

    Returns:
        Labelled pictures (n, 3, size, size); the label is the photo from which a piece was cut.

    Raises:
        ValueError: size or n is not positive.
    """
    if size < 1 or n < 1:
        raise ValueError(f"size and n must be 1 or more, but they are {size} and {n}")
    generator = torch.Generator().manual_seed(seed)
    images = torch.empty(n, 3, size, size)
    labels = torch.arange(n) % len(_PHOTOS)
    for k, label in enumerate(labels.tolist()):
        photo = list(_PHOTOS.values())[label]
        image = _pixels(photo.package, photo.file)
        height, width = image.shape[-2:]
        scale, down, across = torch.rand(3, generator=generator).tolist()
        # Between an eighth of the photo and all of it, as often small as large.
        side = max(8, round(min(height, width) * 2 ** (-3 * scale)))
        top, left = int(down * (height - side + 1)), int(across * (width - side + 1))
        images[k] = resize(image[..., top : top + side, left : left + side], size)[0]
    return Labelled(images, labels, tuple(_PHOTOS))


def resize(image: Tensor, size: int) -> Tensor:
    """Square pictures in another size, without aliasing: each pixel is a mean of those it stands for.

    Args:
        image: (N, C, S, S) in [0, 1].
        size: side of the result.

    Returns:
        (N, C, size, size) in [0, 1], a fresh tensor.
    """
    resized = torch.nn.functional.interpolate(
        image, size=(size, size), mode="bicubic", antialias=True, align_corners=False
    )
    return resized.clamp(0, 1)  # bicubic weights are negative in part, and overshoot a little at sharp edges


def _find(name: str) -> _Photo:
    if name not in _PHOTOS:
        raise unknown("photo", name, _PHOTOS)
    return _PHOTOS[name]


@functools.lru_cache(maxsize=16)
def _pixels(package: str, file: str) -> Tensor:
    """(1, 3, H, W) in [0, 1]; kept, so never handed out: callers cut or copy."""
    import numpy as np
    from PIL import Image

    with resources.files(package).joinpath(file).open("rb") as stream, Image.open(stream) as image:
        array = np.array(image.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255  # (H, W, 3) -> (1, 3, H, W)
