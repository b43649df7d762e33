"""Filters and projections as pictures: signed numbers, drawn about the middle grey. Fast, as `pixels`."""

import numpy as np
from torch import Tensor

from cnnlab.drawing.raster import pixels


def centred(values: Tensor, limit: float | None = None) -> np.ndarray:
    """Numbers with a sign as a picture: zero is the middle grey.

    Args:
        values: (1 or 3, H, W).
        limit: the value drawn fully bright. Left out: the largest absolute value.

    Raises:
        ValueError: as for `pixels.grey`.
    """
    limit = values.abs().max().clamp(min=1e-12) if limit is None else limit
    return pixels.grey(0.5 + 0.5 * values / limit)


def filters(weight: Tensor, shared: bool) -> list[np.ndarray]:
    """Filters of 1 or 3 channels, each as a picture: zero is white for one channel, grey for three.

    Args:
        weight: (F, 1 or 3, h, w).
        shared: one scale for all of them; else each fills its own.
    """
    each = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-12)  # (F,)
    scale = (each.max().expand_as(each) if shared else each).tolist()
    if weight.shape[1] == 1:
        return [pixels.signed(kernel[0], limit) for kernel, limit in zip(weight, scale, strict=True)]
    return [centred(kernel, limit) for kernel, limit in zip(weight, scale, strict=True)]
