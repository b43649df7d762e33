"""Names at the ends of curves, moved apart where they would lie on each other.

Type: (heights, gap) -> heights. `charts`, `svg` and `plots` write the names; which way is up is theirs.
"""

import math
from collections.abc import Sequence


def separate_labels(
    heights: Sequence[float], gap: float, *, low: float = -math.inf, high: float = math.inf
) -> list[float]:
    """Heights in the same order, no two nearer than a gap: what is in the way moves up, and no further.

    Args:
        heights: where the names belong.
        gap: the height of a line of text.
        low, high: where the room ends. What would go beyond `high` pushes those below it down again; if
            there is no room for all, they leave it at `low`.

    >>> separate_labels([3.0, 1.0, 3.0, 3.5], 1.0)
    [3.0, 1.0, 4.0, 5.0]
    >>> separate_labels([3.0, 1.0, 3.0, 3.5], 1.0, high=4.0)
    [2.0, 1.0, 3.0, 4.0]
    """
    order = sorted(range(len(heights)), key=heights.__getitem__)
    result, last = list(heights), low - gap
    for k in order:
        last = result[k] = max(heights[k], last + gap)
    limit = high
    for k in reversed(order):
        result[k] = min(result[k], limit)
        limit = result[k] - gap
    return result
