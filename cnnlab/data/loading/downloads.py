"""Larger data sets, fetched once, checked, and kept: MNIST, CIFAR-10, Imagenette, Tiny ImageNet.

`name, split -> Labelled`. Nothing here runs unless somebody asks for it. Every file's hash is checked before
it is opened, nothing is unpickled, and an interrupted or doubled download leaves no half-written file behind.
"""

import contextlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from cnnlab.data.labelled import Labelled
from cnnlab.data.loading import checked_download, tiny_imagenet
from cnnlab.data.loading.checked_download import cache
from cnnlab.errors import unknown

_CIFAR = checked_download.File(
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    "c32a1d4ab5d03f1284b67883e8d87530",
)
_TINY = checked_download.File(
    "tiny-imagenet-200.zip",
    ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
    "90528d7ca1a48142e341f4ef8d21d0de",
)
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NAMES = ("mnist", "cifar10", "imagenette", "tiny_imagenet")
_SPLITS = ("train", "test")
# What to use instead, on every machine and without a network.
_INSTEAD = {
    "mnist": 'digits.load("train") has handwritten digits',
    "cifar10": "shapes.scenes(1000) has small colour images with classes",
    "imagenette": "photos.crops(n=2000) has pieces of real photos",
    "tiny_imagenet": "photos.crops(n=2000) has pieces of real photos",
}


def load(name: str, split: str, root: str | os.PathLike | None = None, *, size: int = 64) -> Labelled:
    """A data set, from the cache or fetched into it.

    Args:
        name: "mnist" (28x28 grey), "cifar10" (32x32 colour) or "imagenette" (photos of 10 classes)
            or "tiny_imagenet" (64x64 colour: the 20 classes that photonet knows).
        split: "train" or "test".
        root: the cache folder; see `cache`.
        size: for "imagenette" alone: the side to which the middle squares are resized.

    Returns:
        Labelled images (N, C, H, W) float32 in [0, 1].

    Raises:
        LookupError: there is no such data set or split.
        ConnectionError: it is not in the cache, and there is no network. Names the embedded alternative.
        PermissionError: the cache folder cannot be written.
        OSError: the disk is full, or what came over the network is not what its makers published.
    """
    if name not in NAMES:
        raise unknown("data set", name, NAMES)
    if split not in _SPLITS:
        raise unknown("split", split, _SPLITS)
    folder = cache(root)
    with checked_download.careful(folder, name, _INSTEAD[name]):
        if name == "mnist":
            return _mnist(folder, split)
        if name == "cifar10":
            return _cifar10(folder, split)
        if name == "tiny_imagenet":
            return _tiny_imagenet(folder, split)
        return _imagenette(folder, split, size)


def _mnist(folder: Path, split: str) -> Labelled:
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import check_integrity

    raw = folder / "MNIST" / "raw"
    # torchvision fetches what is missing or altered, checks the packed files, and unpacks beside them. It
    # trusts unpacked files as they lie there, so we let it unpack again whenever that is cheap to do: always.
    files = [
        checked_download.File(name, tuple(mirror + name for mirror in MNIST.mirrors), md5)
        for name, md5 in MNIST.resources
    ]
    for file in files:
        if not check_integrity(str(raw / file.name), file.digest):
            checked_download.fetch(file, raw)
    with contextlib.ExitStack() as stack:
        if not os.access(raw, os.W_OK):  # a folder that a class shares: unpacked elsewhere
            own = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (own / "MNIST" / "raw").mkdir(parents=True)
            for file in files:
                shutil.copyfile(raw / file.name, own / "MNIST" / "raw" / file.name)
            folder, raw = own, own / "MNIST" / "raw"
        for file in files:
            (raw / file.name.removesuffix(".gz")).unlink(missing_ok=True)
        made = MNIST(folder, train=split == "train", download=True)
    images = made.data[:, None].float() / 255  # (N, 28, 28) -> (N, 1, 28, 28)
    return Labelled(images, made.targets.long(), tuple(str(digit) for digit in range(10)))


def _cifar10(folder: Path, split: str) -> Labelled:
    """The binary version: the usual one is a pickle, and we open none."""
    packed = folder / _CIFAR.name
    if not packed.is_file() or not _CIFAR.fits(packed):
        checked_download.fetch(_CIFAR, folder)
    wanted = ["test_batch.bin"] if split == "test" else [f"data_batch_{k}.bin" for k in range(1, 6)]
    with tarfile.open(packed) as archive:
        # Read out of the archive, never unpacked to disk: a path inside it cannot lead anywhere.
        parts = [archive.extractfile(f"cifar-10-batches-bin/{name}").read() for name in wanted]
    return _cifar10_records(b"".join(parts))


def _tiny_imagenet(folder: Path, split: str) -> Labelled:
    for name in tiny_imagenet.FILES:  # the smaller file holds the same images of our classes
        if (folder / name).is_file():
            return tiny_imagenet.load(folder / name, split)
    checked_download.fetch(_TINY, folder)
    return tiny_imagenet.load(folder / _TINY.name, split)


def _cifar10_records(data: bytes) -> Labelled:
    """Records of one label byte and 3 x 32 x 32 image bytes."""
    table = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(-1, 1 + 3 * 32 * 32)
    images: Tensor = table[:, 1:].reshape(-1, 3, 32, 32).float() / 255
    return Labelled(images, table[:, 0].long(), _CIFAR_CLASSES)


def _imagenette(folder: Path, split: str, size: int) -> Labelled:
    from torchvision.datasets import Imagenette

    from cnnlab.data import uploads

    there = (folder / "imagenette2-160").is_dir()
    try:
        made = Imagenette(
            folder, split="train" if split == "train" else "val", size="160px", download=not there
        )
    except BaseException:
        if not there:  # unpacked in part: the next try must start anew
            shutil.rmtree(folder / "imagenette2-160", ignore_errors=True)
            (folder / "imagenette2-160.tgz").unlink(missing_ok=True)
        raise
    images = torch.empty(len(made), 3, size, size)  # one image at a time: memory is bounded by the result
    labels = torch.empty(len(made), dtype=torch.int64)
    for k, (path, label) in enumerate(made._samples):
        images[k], labels[k] = uploads.read(Path(path).read_bytes(), size)[0], label
    return Labelled(images, labels, tuple(names[0] for names in made.classes))
