"""What every saliency method hands back: the map, and the numbers by which it can be doubted.

A map alone can always be made to look convincing. So each comes with the score that it explains, its own sum,
what the sum should be, and what the answer cost.
"""

import time
from typing import NamedTuple

from torch import Tensor

from cnnlab.methods.targets import Asked


class Passes(NamedTuple):
    """How often pictures went through the network; ten pictures in one batch are ten.

    Attributes:
        forward, backward: times one picture.
    """

    forward: int = 0
    backward: int = 0

    def __str__(self) -> str:
        return f"{self.forward} forward, {self.backward} backward"


class Attribution(NamedTuple):
    """A map, signed and raw, with its bookkeeping. Where several targets were asked, (N, T, …) not (N, …).

    Attributes:
        map: (N, C, H, W) on the pixels, or (N, 1, h, w) on the grid of a layer; positive speaks for the
            target. Never normalised.
        target: (N,) the class numbers; of a unit zeros.
        score: (N,) f(x), the logit, probability or activation that is explained.
        reference: (N,) f(x'), the score of the baseline; None where the method has no baseline.
        passes: through the network.
        seconds: wall clock.
    """

    map: Tensor
    target: Tensor
    score: Tensor
    reference: Tensor | None
    passes: Passes
    seconds: float

    @property
    def total(self) -> Tensor:
        """(N,) the sum of each map."""
        return self.map.sum(dim=(-3, -2, -1))

    @property
    def difference(self) -> Tensor | None:
        """(N,) f(x) - f(x'): what the sum of a complete map is."""
        return None if self.reference is None else self.score - self.reference

    @property
    def gap(self) -> Tensor | None:
        """(N,) how far the sum is from f(x) - f(x'); zero: complete. None without a baseline."""
        return None if self.reference is None else self.total - self.difference


def kept(
    asked: Asked, maps: Tensor, scores: Tensor, reference: Tensor | None, passes: Passes, began: float
) -> Attribution:
    """The result of a method that worked on (N, T, …); where one target was asked for, that axis goes.

    Args:
        asked: what was explained.
        maps, scores, reference: (N, T, C, H, W), (N, T) and (N, T) or None.
        passes: through the network.
        began: time.perf_counter() at the start.
    """
    parts = (maps, asked.numbers, scores, reference)
    if not asked.several:
        parts = tuple(part if part is None else part[:, 0] for part in parts)
    return Attribution(*parts, passes, time.perf_counter() - began)
