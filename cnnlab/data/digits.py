"""Handwritten digits that are already on this machine: the test part of the UCI "pen and paper" set.

They come inside scikit-learn as 8x8 images. They look like MNIST from a distance, but they are another data
set: smaller, coarser, other writers. A result on them is never a result on MNIST.
The same 13 people wrote both splits here, so the test asks for other images, not for other hands.
Source: E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI repository, 1998.
"""

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import torch

from cnnlab.data.labelled import Labelled
from cnnlab.data.photos import resize
from cnnlab.errors import unknown

_TEST_SHARE = 5  # every fifth image of each digit
_SPLITS = ("train", "test")


def load(split: str) -> Labelled:
    """The digits of one split.

    The 8x8 images are resized to 20x20 and framed by 4 dark pixels, as the makers of MNIST did with theirs:
    so the same network fits both, and no stroke touches the border.

    Args:
        split: "train" (1442 images) or "test" (355). The split is fixed: of each digit every fifth image,
            in the order of the file, is for testing.

    Returns:
        Labelled images (N, 1, 28, 28) float32 in [0, 1], white on black; the classes are "0" to "9".

    Raises:
        LookupError: there is no such split.

    >>> load("test").images.shape
    torch.Size([355, 1, 28, 28])
    """
    if split not in _SPLITS:
        raise unknown("split", split, _SPLITS)
    raw = _table()
    labels = raw[:, 64].long()
    small = raw[:, :64].view(-1, 1, 8, 8) / 16  # 16 is the brightest
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for digit in range(10):
        is_test[(labels == digit).nonzero()[:, 0][_TEST_SHARE - 1 :: _TEST_SHARE]] = True
    chosen = is_test if split == "test" else ~is_test
    images = torch.nn.functional.pad(resize(small[chosen], 20), (4, 4, 4, 4))  # -> (N, 1, 28, 28)
    return Labelled(images, labels[chosen], tuple(str(digit) for digit in range(10)))


def _table() -> torch.Tensor:
    """The file as it is: (1797, 65), the 64 numbers of an image and then its digit."""
    # Found without importing scikit-learn: with scipy that takes seconds, and 80 MB.
    folder = Path(importlib.util.find_spec("sklearn").submodule_search_locations[0])
    path = folder / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():  # another release may keep it elsewhere
        from sklearn.datasets import load_digits

        raw = load_digits()
        return torch.from_numpy(np.column_stack([raw.data, raw.target])).float()
    with gzip.open(path, "rt") as file:
        return torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.float32))
