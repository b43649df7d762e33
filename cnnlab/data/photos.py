"""Real photos that are already on this machine: they come inside scikit-image and scikit-learn.

`name -> (1, 3, H, W)`. No network, and a credit for each.
"""

import functools
import importlib.util
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.data.labelled import Labelled
from cnnlab.errors import unknown


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


# As the docstrings of skimage.data and the file datasets/images/README.txt of scikit-learn state it.
_CC0, _FREE, _FLICKR = "CC0", "public domain", "https://www.flickr.com/photos"


def _skimage(file: str, title: str, author: str, licence: str, address: str = "") -> _Photo:
    source = f"scikit-image, from {address}" if address else "scikit-image"
    return _Photo("skimage", f"data/{file}", Credit(title, author, licence, source))


def _sklearn(file: str, title: str, author: str, address: str) -> _Photo:
    return _Photo(
        "sklearn",
        f"datasets/images/{file}",
        Credit(title, author, "CC BY 2.0", f"scikit-learn, from {address}"),
    )


_PHOTOS = {
    "cat": _skimage("chelsea.png", "Chelsea the cat", "Stefan van der Walt", _CC0),
    "astronaut": _skimage("astronaut.png", "Eileen Collins", "NASA", _FREE, "https://flic.kr/p/r9qvLn"),
    "coffee": _skimage("coffee.png", "Coffee cup", "Rachel Michetti, Pikolo Espresso Bar", _CC0),
    "camera": _skimage("camera.png", "A man with a camera", "Lav Varshney", _CC0),
    "bricks": _skimage(
        "brick.png", "Brick wall", "CC0Textures", _CC0, "https://cc0textures.com/view.php?tex=Bricks25"
    ),
    "grass": _skimage(
        "grass.png",
        "Grass",
        "linolafett",
        _CC0,
        "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
    ),
    "gravel": _skimage(
        "gravel.png", "Gravel", "CC0Textures", _CC0, "https://cc0textures.com/view.php?tex=Gravel04"
    ),
    "clock": _skimage("clock_motion.png", "Motion blurred clock", "Stefan van der Walt", _FREE),
    "coins": _skimage(
        "coins.png",
        "Greek coins from Pompeii",
        "Brooklyn Museum",
        "no known copyright restrictions",
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
    ),
    "rocket": _skimage(
        "rocket.jpg", "Launch of DSCOVR on Falcon 9", "SpaceX", _FREE, f"{_FLICKR}/spacexphotos/16511594820"
    ),
    "galaxies": _skimage(
        "hubble_deep_field.jpg",
        "Hubble eXtreme Deep Field",
        "NASA",
        _FREE,
        "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
    ),
    "retina": _skimage(
        "retina.jpg",
        "Human retina",
        "Mikael Häggström",
        _CC0,
        "https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg",
    ),
    "temple": _sklearn(
        "china.jpg", "A temple in China", "danielbuechele", f"{_FLICKR}/danielbuechele/6061409035"
    ),
    "flower": _sklearn("flower.jpg", "A flower", "vultilion", f"{_FLICKR}/vultilion/6056698931"),
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
    if size is not None:
        _check_whole("size", size)
    image = _pixels(photo.package, photo.file)
    if size is None:
        return _unit_range(image)
    side = min(image.shape[-2:])
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    return resize(_unit_range(image[..., top : top + side, left : left + side]), size)


def crops(size: int = 64, n: int = 2000, seed: int = 0) -> Labelled:
    """Many square pieces of the photos, at several scales.

    Args:
        size: side of each in pixels.
        n: how many. The photos take turns, so that each gives as many as the others, to within one.
        seed: other numbers give other pieces; the first pieces do not depend on `n`.

    Returns:
        Labelled images (n, 3, size, size); the label is the photo from which a piece was cut.

    Raises:
        ValueError: size or n is not a positive whole number.
    """
    _check_whole("size", size)
    _check_whole("n", n)
    generator = torch.Generator().manual_seed(seed)
    images = torch.empty(n, 3, size, size)
    labels = torch.arange(n) % len(_PHOTOS)
    photos = list(_PHOTOS.values())
    for k, label in enumerate(labels.tolist()):
        photo = photos[label]
        image = _pixels(photo.package, photo.file)
        height, width = image.shape[-2:]
        scale, down, across = torch.rand(3, generator=generator).tolist()
        # Between an eighth of the photo and all of it, as often small as large.
        side = max(8, round(min(height, width) * 2 ** (-3 * scale)))
        top, left = int(down * (height - side + 1)), int(across * (width - side + 1))
        images[k] = resize(_unit_range(image[..., top : top + side, left : left + side]), size)[0]
    return Labelled(images, labels, tuple(_PHOTOS))


def resize(image: Tensor, size: int) -> Tensor:
    """Square images in another size, without aliasing: each pixel is a mean of those it stands for.

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


def _check_whole(what: str, number: object) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{what} is a whole number, 1 or more, but it is {number!r}")


def _unit_range(pixels: Tensor) -> Tensor:
    """Bytes as a fresh float32 tensor in [0, 1]."""
    return pixels.float() / 255


@functools.lru_cache(maxsize=16)
def _pixels(package: str, file: str) -> Tensor:
    """(1, 3, H, W) uint8, as it is kept. Never handed out: `_unit_range` makes a fresh tensor."""
    import numpy as np
    from PIL import Image

    # Where the package lies, without importing it: that would take longer than reading the photo.
    folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    with Image.open(folder / file) as image:
        array = np.array(image.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1)[None].contiguous()  # (H, W, 3) -> (1, 3, H, W)
