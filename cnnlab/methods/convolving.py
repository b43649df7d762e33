"""A convolution of maps that differ from a base in a patch: only what the change adds to that of the base.

Type: (kept, function, its arguments with Patches in place of a tensor) -> Patches, or None: no rule for it.
A convolution is linear: that of base + change is that of the base, which is known, and that of the change.
Outside of its patch the change is zero, and torch makes no products with the zeros of a padding. So the
cells of the patch count, not the larger region that it reaches. For a kernel of 3 with padding 1:

    cells             0 1 # # 4 5     2 changed, so 2 x 3 products;
    outputs           . # # # # .     to make the 4 outputs anew would take 4 x 3

Where strides are longer, the region is computed anew (`sliding.reach`), and the whole map once the patch is
most of it.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.methods import winograd
from cnnlab.methods.patches import Patches, framed
from cnnlab.methods.sliding import Kept, Window, both, reach
from cnnlab.nets.fitting import Size, pair

_SHARE = 0.75  # a patch that is more than this of the map is not worth the trouble


class Convolution(NamedTuple):
    """A convolution that waits to be run: a batch norm after it may still change its filters, and its base.

    Attributes:
        run: (filters, bias, base) -> (P, K, h, w)
        base: (1, K, H, W), what it makes of the whole picture.
    """

    run: Callable[[Tensor, Tensor | None, Tensor], Tensor]
    filters: Tensor
    bias: Tensor | None
    base: Tensor

    def __call__(self) -> Tensor:
        return self.run(self.filters, self.bias, self.base)


def conv2d(
    kept: Kept,
    function: Callable,
    input: Patches,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Patches | None:
    stride, dilation = both(stride), both(dilation)
    margin = tuple(d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True))
    if padding == "same":  # an odd cell goes to the bottom and the right
        sides = tuple(n // 2 for n in margin)
    else:
        sides = (0, 0) if padding == "valid" else both(padding)
    window = Window(tuple(weight.shape[2:]), stride, sides, dilation)

    # Rearranged once; only the latest, for a model may make new filters in each pass.
    last = kept.once(lambda: functools.lru_cache(maxsize=1)(_channels_last), "channels last")
    points = kept.once(lambda: functools.lru_cache(maxsize=1)(winograd.seen), "points")
    base = kept.once(lambda: function(input.base, weight, bias, stride, padding, dilation, groups))
    plain = stride == dilation == (1, 1) and groups == 1

    def convolved(maps: Tensor, filters: Tensor, bias: Tensor | None, padding: Size | str) -> Tensor:
        around = sides if isinstance(padding, str) else pair(padding)
        if plain and winograd.pays(maps, filters, around):
            return winograd.conv3x3(maps, points(filters), bias, around)
        return function(maps, last(filters), bias, stride, padding, dilation, groups)

    if stride == (1, 1) and any(margin) and _small(input) and _finite(kept, input):
        place, cells = window.meets(input, base), input.size
        kept.cells += input.numel + len(input.top) * base.shape[1] * math.prod(place[2])
        _ = input.values  # now, as in `reach`
        frame = kept.once(lambda: functools.lru_cache(maxsize=1)(framed), "frame of the base")

        def run(filters: Tensor, bias: Tensor | None, base: Tensor) -> Tensor:  # noqa: ARG001
            top, left = (
                tuple(i + p - m for i in at)
                for at, p, m in zip((input.top, input.left), sides, margin, strict=True)
            )
            added = Patches(base, convolved(input.change(), filters, None, margin), top, left)
            return added.added_to(frame(base), *place)

    else:
        part = reach(kept, input, base, window)
        place, cells = part[:3], part.size

        def run(filters: Tensor, bias: Tensor | None, base: Tensor) -> Tensor:  # noqa: ARG001
            return convolved(part.piece(), filters, bias, padding if part.whole else 0)

    kept.products += len(input.top) * weight.numel() * math.prod(cells)
    return Patches(base, Convolution(run, weight, bias, base), *place)


def _small(x: Patches) -> bool:
    return math.prod(x.size) <= _SHARE * x.base.shape[2:].numel()


def _finite(kept: Kept, x: Patches) -> bool:
    """The change of an infinite number would be no number."""
    return kept.once(lambda: bool(x.base.sum().isfinite()), "finite")


def _channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)
