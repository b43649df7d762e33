"""The mean of very many maps, with room for a few: a running sum over chunks of bounded size.

Type: (pictures, weights of the points, what makes the maps) -> one weighted mean map for each picture. The
points are those of a path, or the draws of a noise; every picture is asked at every point. All pictures get
their first point before any gets its second, so that stopping early leaves a mean for each.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Progress = Callable[[int, int], object]


def averaged(
    pictures: int,
    weights: Tensor,
    maps: Callable[[Tensor, Tensor], Tensor],
    *,
    batch: int,
    progress: Progress | None = None,
) -> Tensor:
    """One mean for each picture.

    >>> averaged(2, torch.tensor([0.75, 0.25]), lambda picture, point: picture + 10.0 * point, batch=3)
    tensor([2.5000, 3.5000])

    Args:
        pictures: how many, N.
        weights: (K,) of the points, positive, together 1.
        maps: called with (B,) numbers of pictures and (B,) numbers of points; gives (B, …), and the memory
            may be used again.
        batch: the largest B.
        progress: called with (done, N * K) after each pass. True stops: the mean is over the points so far,
            of which every picture has at least one.

    Returns:
        (N, …)
    """
    if batch < 1:
        raise ValueError(f"a pass takes 1 picture or more, not {batch}")
    total, weight, everything = None, torch.zeros(pictures, dtype=torch.float64), pictures * len(weights)
    stopped = False
    for first in range(0, everything, batch):
        rows = torch.arange(first, min(first + batch, everything))
        picture, point = rows % pictures, rows // pictures
        part = maps(picture, point)
        if total is None:
            total = part.new_zeros(pictures, *part.shape[1:])
        share = weights[point].to(part).view(-1, *[1] * (part.dim() - 1))
        if pictures == 1:  # much faster than adding row by row
            total[0] += (part * share).sum(dim=0)
        else:
            total.index_add_(0, picture.to(part.device), part * share)
        del part  # not kept while the next ones are made
        weight.index_add_(0, picture, weights[point].double())
        done = len(rows) + first
        stopped |= progress is not None and progress(done, everything) is True
        if stopped and done >= pictures:
            break
    if done < everything:
        total /= weight.to(total).view(-1, *[1] * (total.dim() - 1))
    return total
