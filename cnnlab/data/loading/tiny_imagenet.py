"""Twenty classes of Tiny ImageNet: the small photos on which `photonet` was trained.

Read out of a zip file, which is never unpacked to disk: the public tiny-imagenet-200.zip (its 200 classes
are cut down to ours), or a smaller one of our 20 classes with folders train/<class>/ and val/<class>/.
Source: Y. Le, X. Yang, Tiny ImageNet Visual Recognition Challenge, Stanford CS231n, 2015. The images are
ImageNet's: for research and teaching that is not commercial. The course ships none of them.
"""

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from cnnlab.data.labelled import Labelled
from cnnlab.errors import unknown

FILES = ("tiny_imagenet20_64px.zip", "tiny-imagenet-200.zip")
# ImageNet's own class names ("wnid"), sorted: the order of the outputs of photonet.
CLASSES = {
    "n01443537": "goldfish",
    "n01882714": "koala",
    "n01910747": "jellyfish",
    "n02056570": "king penguin",
    "n02099601": "golden retriever",
    "n02106662": "German shepherd",
    "n02123045": "tabby cat",
    "n02129165": "lion",
    "n02165456": "ladybug",
    "n02279972": "monarch butterfly",
    "n02504458": "African elephant",
    "n02814860": "lighthouse",
    "n04146614": "school bus",
    "n04285008": "sports car",
    "n04366367": "suspension bridge",
    "n04398044": "teapot",
    "n04507155": "umbrella",
    "n07734744": "mushroom",
    "n07753592": "banana",
    "n07873807": "pizza",
}


def load(path: str | Path, split: str) -> Labelled:
    """The images of our twenty classes.

    Args:
        path: one of `FILES`.
        split: "train" (500 of each class) or "test": the 50 of each that their makers call "val".

    Returns:
        Labelled images (N, 3, 64, 64) float32 in [0, 1], in the order of classes and file names.

    Raises:
        LookupError: there is no such split.
        FileNotFoundError: there is no such file.
        ValueError: it is no zip file, or our classes are not in it.
    """
    try:
        if split not in ("train", "test"):
            raise unknown("split", split, ("train", "test"))
        with zipfile.ZipFile(path) as archive:
            found = _train(archive) if split == "train" else _test(archive)
            if not found:
                raise ValueError(f"{Path(path).name} has no images of our classes for '{split}'")
            images = torch.empty(len(found), 3, 64, 64)
            for k, (_, name) in enumerate(found):
                images[k] = _image(archive.read(name), name)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"{Path(path).name} is no zip file, or was cut short: {error}. Get it again"
        ) from error
    order = list(CLASSES)
    labels = torch.tensor([order.index(wnid) for wnid, _ in found])
    return Labelled(images, labels, tuple(CLASSES.values()))


def _train(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    """(class, name in the archive) of every image, sorted."""
    found = []
    for name in archive.namelist():
        parts = PurePosixPath(name).parts
        if (
            name.endswith(".JPEG")
            and "train" in parts
            and (wnid := parts[parts.index("train") + 1]) in CLASSES
        ):
            found.append((wnid, name))
    return sorted(found)


def _test(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    names = [name for name in archive.namelist() if "val" in PurePosixPath(name).parts]
    lists = [name for name in names if name.endswith("val_annotations.txt")]
    if not lists:  # a folder for each class
        images = [(PurePosixPath(name).parent.name, name) for name in names if name.endswith(".JPEG")]
        return sorted((wnid, name) for wnid, name in images if wnid in CLASSES)
    folder = PurePosixPath(lists[0]).parent / "images"  # one folder, and a list that says what is what
    rows = (line.split("\t") for line in archive.read(lists[0]).decode("utf-8").splitlines())
    return sorted((row[1], str(folder / row[0])) for row in rows if len(row) > 1 and row[1] in CLASSES)


def _image(data: bytes, name: str) -> torch.Tensor:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            pixels = np.asarray(image.convert("RGB").resize((64, 64)), np.float32)
    except OSError as error:  # Pillow's errors for a broken image are of this kind
        raise ValueError(f"{name} is no JPEG image: {error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255  # (64, 64, 3) -> (3, 64, 64)
