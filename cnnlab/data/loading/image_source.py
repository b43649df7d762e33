"""Images from wherever they are, a few at a time: a tensor, a data set, or a folder larger than memory.

Type: (anything with images, numbers) -> (n, C, H, W). Only the images that are asked for are in memory.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from cnnlab.data import uploads

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_MOST = 10_000_000  # bytes of one file, as `uploads.read` has it


class Folder(Sequence):
    """The images of a folder and of the folders in it, in the order of their names.

    folder[5] reads the sixth of them: (3, size, size) float32 in [0, 1], the middle square, upright. Nothing
    is kept.

    Args:
        path: the folder. Files that end in .png, .jpg, .jpeg, .webp, .gif or .bmp count; hidden ones do not.
        size: side in pixels.
        grey: (1, size, size), by the weights of ITU-R BT.601.

    Attributes:
        names: relative to the folder, with / on every system.

    Raises:
        NotADirectoryError: there is no such folder.
        ValueError: there are no images in it; at folder[k]: the file is no image, or a damaged one.
    """

    def __init__(self, path: str | Path, size: int, *, grey: bool = False):
        self.path, self.size, self.grey = Path(path), size, grey
        if not self.path.is_dir():
            raise NotADirectoryError(f"no folder {str(path)!r}; give one that holds images")
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"size is a number of pixels, 1 or more, but it is {size!r}")
        self.names = sorted(
            (Path(folder) / file).relative_to(self.path).as_posix()
            for folder, _, files in os.walk(self.path)
            for file in files
            if file.lower().endswith(_ENDINGS) and not file.startswith(".")
        )
        if not self.names:
            raise ValueError(f"no images in {str(path)!r}; they end in {', '.join(_ENDINGS)}")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Tensor:
        name = self.names[number]
        try:
            with open(self.path / name, "rb") as stream:
                image = uploads.read(stream.read(_MOST + 1), self.size, max_bytes=_MOST)[0]
        except ValueError as error:
            raise ValueError(f"{name}: {error} Or take the file out of the folder.") from error
        if not self.grey:
            return image
        weights = torch.tensor([0.299, 0.587, 0.114])
        return (weights @ image.flatten(1)).view(1, self.size, self.size)  # (3, H, W) -> (1, H, W)


def source(images, *, size: int | None = None, grey: bool = False) -> Tensor | Sequence:
    """Anything with images in it, checked, as something with a length from which `take` takes.

    Args:
        images: (N, C, H, W); or the path of a folder; or a data set or sequence of images (C, H, W), or of
            tuples that begin with one, as (image, label).
        size: of the images of a folder.
        grey: one channel instead of three, of a folder.

    Raises:
        TypeError: something else.
        ValueError: no images, or a folder without a size.
    """
    if isinstance(images, str | Path):
        if size is None:
            raise ValueError(f"to which size are the images of {str(images)!r} brought? Give size=64 or so")
        return Folder(images, size, grey=grey)
    if isinstance(images, tuple) and isinstance(getattr(images, "images", None), Tensor):
        raise TypeError(f"images are wanted, not a whole {type(images).__name__}: give its .images")
    if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")) or isinstance(images, dict):
        raise TypeError(
            "images come as a tensor (N, C, H, W), a data set or list with a length, or the path of a "
            f"folder, not as {type(images).__name__}"
        )
    if isinstance(images, Tensor) and images.dim() != 4:
        raise ValueError(f"images are (N, C, H, W), not {tuple(images.shape)}; one alone is image[None]")
    if not len(images):
        raise ValueError("there are no images")
    return images


def take(images: Tensor | Sequence, numbers: Iterable[int]) -> Tensor:
    """Some of the images.

    Args:
        images: what `source` gave.
        numbers: which, each from 0 to len(images) - 1, at least one.

    Returns:
        (n, C, H, W), a copy.

    Raises:
        TypeError: an item of a data set is no image.
        ValueError: the images differ in size, or a pixel is not finite.
    """
    numbers = list(numbers)
    if isinstance(images, Tensor):
        run = numbers == list(range(numbers[0], numbers[-1] + 1))  # a slice is faster than a list of numbers
        taken = images[numbers[0] : numbers[-1] + 1].clone() if run else images[numbers]
        taken = taken.detach()
    else:
        tensors = [_image(images[number], number) for number in numbers]
        sizes = {tuple(tensor.shape) for tensor in tensors}
        if len(sizes) > 1:
            raise ValueError(f"images of one size go through a network together, not {sorted(sizes)}")
        taken = torch.stack(tensors)
    if taken.is_floating_point() and not taken.sum().isfinite():  # a sum is fast, and may itself overflow
        for tensor, number in zip(taken, numbers, strict=True):
            if not tensor.isfinite().all():
                raise ValueError(f"image {number} holds a number that is not finite (nan or inf)")
    return taken


def fingerprint(images: Tensor | Sequence) -> str:
    """A hash by which the same images are known again.

    Of a tensor the bytes count; of a folder the names, lengths and times of its files, and the size.

    Raises:
        ValueError: a data set: what it would give cannot be known without reading it all.
    """
    digest = hashlib.sha256()
    if isinstance(images, Tensor):
        digest.update(f"{tuple(images.shape)} {images.dtype}".encode())
        for image in images.detach():
            digest.update(image.contiguous().view(-1).view(torch.uint8).cpu().numpy())
    elif isinstance(images, Folder):
        digest.update(f"{images.size} {images.grey}".encode())
        for name in images.names:
            about = (images.path / name).stat()
            digest.update(f"{name}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    else:
        raise ValueError(
            f"a {type(images).__name__} cannot be known again without reading it all. Give it a name with "
            "key='imagenette train' or so, another one whenever its images change; or leave out the cache"
        )
    return digest.hexdigest()


def _image(item: object, number: int) -> Tensor:
    image = item[0] if isinstance(item, tuple | list) and len(item) else item
    if not isinstance(image, Tensor):
        raise TypeError(
            f"item {number} is no image (C, H, W) but {type(image).__name__}; give the data set a "
            "transform that makes tensors, as torchvision.transforms.ToTensor()"
        )
    if image.dim() != 3:
        raise ValueError(f"image {number} is {tuple(image.shape)}, not (C, H, W)")
    return image.detach()
