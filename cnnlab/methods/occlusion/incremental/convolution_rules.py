"""A convolution of maps that differ from a base in a patch: only what the change adds to that of the base.

Type: (cache, function, its arguments with PatchedMaps in place of a tensor) -> PatchedMaps, or None: no rule
for it. A convolution is linear: that of base + change is that of the base, which is known, and that of the
change. Outside of its patch the change is zero, and with many channels torch makes no products with the zeros
of a padding. So the cells of the patch count, not the larger region that it reaches. A kernel of 3 with
padding 1:

    cells             0 1 # # 4 5     2 changed, so 2 x 3 products;
    outputs           . # # # # .     to make the 4 outputs anew would take 4 x 3

Otherwise the region is computed anew (`window_rules.affected_region`), and the whole map once that is most of
it: where strides are longer or channels few, and where the last digits count. For what is 0 when computed
anew may be 1e-8 as a sum of two, and a model may look at its sign.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.methods.occlusion.incremental import winograd
from cnnlab.methods.occlusion.incremental.patch_maps import PatchedMaps, padded_base
from cnnlab.methods.occlusion.incremental.window_rules import BaseCache, Window, affected_region, both
from cnnlab.nets.layer_shapes import Size

_CHANNELS = 32  # with fewer, torch goes through the zeros of a padding, too
_MAX_FRACTION = 0.75  # of the cells of a map; if more are changed, the outputs are computed anew


class Convolution(NamedTuple):
    """A convolution that waits to be run: a batch norm after it may still change its filters, and its base.

    Attributes:
        run: (filters, bias, base) -> (P, K, h, w)
        base: (1, K, H, W), what it makes of the whole image.
    """

    run: Callable[[Tensor, Tensor | None, Tensor], Tensor]
    filters: Tensor
    bias: Tensor | None
    base: Tensor

    def __call__(self) -> Tensor:
        return self.run(self.filters, self.bias, self.base)


def conv2d(
    cache: BaseCache,
    function: Callable,
    input: PatchedMaps,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> PatchedMaps | None:
    stride, dilation = both(stride), both(dilation)
    margin = tuple(d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True))
    if padding == "same":  # an odd cell goes to the bottom and the right
        sides = tuple(n // 2 for n in margin)
    else:
        sides = (0, 0) if padding == "valid" else both(padding)
    window = Window(tuple(weight.shape[2:]), stride, sides, dilation)

    # Rearranged once; only the latest, for a model may make new filters in each pass.
    last = cache.memo(lambda: functools.lru_cache(maxsize=1)(_channels_last), "channels last")
    points = cache.memo(lambda: functools.lru_cache(maxsize=1)(winograd.seen), "points")
    base = cache.memo(lambda: function(input.base, weight, bias, stride, padding, dilation, groups))
    plain = stride == dilation == (1, 1) and groups == 1 and not cache.exact

    def convolved(maps: Tensor, filters: Tensor, bias: Tensor | None, padding: Size | str) -> Tensor:
        around = sides if isinstance(padding, str) else both(padding)
        if plain and winograd.pays(maps, filters, around):
            return winograd.conv3x3(maps, points(filters), bias, around)
        return function(maps, last(filters), bias, stride, padding, dilation, groups)

    wide = stride == (1, 1) and any(margin) and weight.shape[1] >= _CHANNELS
    if (
        wide
        and math.prod(input.size) <= _MAX_FRACTION * input.base.shape[2:].numel()
        and _safe(cache, input, base)
    ):
        position, cells = window.meets(input, base), input.size
        cache.cells += input.numel + len(input.top) * base.shape[1] * math.prod(position[2])
        _ = input.values  # now, as in `reach`
        padded = cache.memo(lambda: functools.lru_cache(maxsize=1)(padded_base), "frame of the base")

        def run(filters: Tensor, bias: Tensor | None, base: Tensor) -> Tensor:  # noqa: ARG001
            top, left = (
                tuple(i + p - m for i in at)
                for at, p, m in zip((input.top, input.left), sides, margin, strict=True)
            )
            added = PatchedMaps(base, convolved(input.change(), filters, None, margin), top, left)
            return added.added_to(padded(base), *position)

    else:
        part = affected_region(cache, input, base, window)
        position, cells = part[:3], part.size

        def run(filters: Tensor, bias: Tensor | None, base: Tensor) -> Tensor:  # noqa: ARG001
            return convolved(part.piece(), filters, bias, padding if part.is_dense else 0)

    cache.multiply_adds += len(input.top) * weight.numel() * math.prod(cells)
    return PatchedMaps(base, Convolution(run, weight, bias, base), *position)


def _safe(cache: BaseCache, x: PatchedMaps, base: Tensor) -> bool:
    """May a sum be the answer? Half precision has no digits to lose, and infinity has no change."""
    if cache.exact or base.dtype not in (torch.float32, torch.float64):
        return False
    return cache.memo(lambda: bool(x.base.sum().isfinite() and base.sum().isfinite()), "finite")


def _channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)
