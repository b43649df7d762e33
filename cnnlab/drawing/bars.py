"""Upright bars as bytes, for widgets: no figure, no letters, a millisecond."""

from collections.abc import Sequence

import numpy as np

PAPER, BAR, MARKED = (235, 235, 235), (0, 114, 178), (213, 94, 0)  # blue and vermilion: safe for all eyes


def upright(
    values: Sequence[float],
    limit: float | None = None,
    *,
    width: int = 420,
    height: int = 120,
    marked: tuple[int, int] | None = None,
) -> np.ndarray:
    """One bar for each value, from the left to the right.

    Args:
        values: zero or more, finite; what is larger than the limit ends at the top.
        limit: the value of a bar of full height; left out, the largest.
        width, height: in pixels; the width is rounded down to whole bars, each at least 2 wide.
        marked: (first, last) bars to draw in another colour and with a line below: the colour alone would
            not do.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: no values, a negative one, or one that is not finite.
    """
    numbers = np.asarray([float(value) for value in values])
    if not numbers.size or not np.isfinite(numbers).all() or (numbers < 0).any():
        raise ValueError(f"bars need finite values, zero or more, got {numbers[:5].tolist()}")
    limit = max(limit if limit is not None else numbers.max(), 1e-12)
    wide = max(2, width // len(numbers))
    page = np.full((height, wide * len(numbers), 3), PAPER, np.uint8)
    for place, share in enumerate((numbers / limit).clip(0, 1).tolist()):
        tall = round(share * height)
        here = marked is not None and marked[0] <= place <= marked[1]
        columns = slice(wide * place, wide * (place + 1) - 1)
        if tall:
            page[height - tall :, columns] = MARKED if here else BAR
        if here:
            page[-3:, wide * place : wide * (place + 1)] = MARKED
    return page
