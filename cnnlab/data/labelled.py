"""What every data set of the course looks like: images, their labels, and what the labels mean."""

from typing import NamedTuple

from torch import Tensor


class Labelled(NamedTuple):
    """Images with one label each.

    Attributes:
        images: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64, an index into `classes`.
        classes: the readable name of each label.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
