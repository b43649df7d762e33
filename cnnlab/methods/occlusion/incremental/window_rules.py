"""How far a change reaches through a window that slides, a convolution or a pool; and the rules of pools.

Type of a rule: (cache, function, its arguments with PatchedMaps in place of a tensor) -> PatchedMaps, or
None: no rule for it. A cell of the output changes only if its own window meets a changed cell. So the changed
region is taken with a margin as wide as the window, and the function runs on that, without padding; once the
region is most of the map, on all of it. `convolution_rules` has the rule of convolutions; `pointwise_rules`
has those of everything else, and the list of all.

Along one axis, an image of 6 cells, of which a window covers the cells 2 and 3, under a kernel of 3 cells
with padding 1: the outputs 1 to 4 meet them, so 4 are computed again, from the 6 cells 0 to 5.

    cells             0 1 # # 4 5
    outputs           . # # # # .
    their windows     0-2, 1-3, 2-4, 3-5
"""

import operator
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.methods.occlusion.incremental.patch_maps import PatchedMaps, Starts, padded_base
from cnnlab.nets.layer_shapes import Size, pair

MAX_FRACTION = 0.7  # if more than this of the outputs must be made again, all are


class BaseCache:
    """What the calls of a pass make out of the whole image: computed in the first pass, kept for the next.

    A call is known by its function, by what it was called on, and by how many such calls came before it.

    Args:
        layout: of whole maps in memory: a model may look at one through views, which not every layout has.
        exact: must a zero be a zero, and not a difference of equals? False where nothing in the model minds.
    """

    def __init__(self, layout: torch.memory_format = torch.channels_last, exact: bool = False):
        self.layout, self.exact = layout, exact
        self._results: dict[tuple, object] = {}
        self._met: dict[tuple, int] = {}
        self._call: tuple = ()
        self.cells = 0  # numbers that were put together or computed in this pass: an estimate of the work
        self.multiply_adds = 0  # multiplications with weights in this pass

    def __len__(self) -> int:
        return len(self._results)

    def begin(self) -> None:
        """Another pass begins."""
        self._met.clear()
        self.cells = self.multiply_adds = 0

    def call(self, function: Callable, bases: list[Tensor]) -> None:
        """The next call of the pass: every group of windows goes through it."""
        known = (function, *map(id, bases))  # bases are kept, so no other tensor gets the id of one
        self._met[known] = self._met.get(known, 0) + 1
        self._call = (known, self._met[known])

    def memo(self, make: Callable[[], object], what: str = "result") -> object:
        """make(), which depends on the whole image only: called where this call is met first."""
        known = (*self._call, what)
        if known not in self._results:
            self._results[known] = make()
        return self._results[known]


def _reached(start: Starts, size: int, n: int, kernel: int, stride: int, padding: int, dilation: int):
    """Along one axis: which of n windows meet the cells from start on. The first for each, and how many.

    >>> _reached((2,), size=2, n=6, kernel=3, stride=1, padding=1, dilation=1)
    ((1,), 4)
    """
    before, last = padding - dilation * (kernel - 1), n - 1
    low = [min(max(-((-before - i) // stride), 0), last) for i in start]
    high = [min(max((i + size - 1 + padding) // stride, 0), last) for i in start]
    count = max(1, max(map(operator.sub, high, low)) + 1)
    return tuple(min(i, n - count) for i in low), count


class Window(NamedTuple):
    """A window that slides; each is (rows, columns)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)

    def meets(self, x: PatchedMaps, base: Tensor) -> tuple[Starts, Starts, tuple[int, int]]:
        """The cells of the base whose windows meet a patch of x: where they begin, and (rows, columns)."""
        (top, rows), (left, cols) = (
            _reached(start, size, n, *one)
            for start, size, n, *one in zip((x.top, x.left), x.size, base.shape[2:], *self, strict=True)
        )
        return top, left, (rows, cols)


class AffectedRegion(NamedTuple):
    """Where a window that slides meets a patch.

    Attributes:
        top, left, size: of the outputs that meet it.
        piece: the cells under those windows, with what is outside; or of all of the map.
        is_dense: is it all of the map, without what is outside?
    """

    top: Starts
    left: Starts
    size: tuple[int, int]
    piece: Callable[[], Tensor]
    is_dense: bool


def affected_region(
    cache: BaseCache, x: PatchedMaps, base: Tensor, window: Window, outside: float = 0.0
) -> AffectedRegion:
    """What must be computed again of the base: the region with its margin, or all of it."""
    top, left, size = window.meets(x, base)
    _ = x.values  # now: else a deep net is one chain of calls, deeper than Python allows
    if size[0] * size[1] > MAX_FRACTION * base.shape[2:].numel():
        cache.cells += x.base[0].numel() * len(x.top)
        corner = (0,) * len(x.top)
        return AffectedRegion(corner, corner, tuple(base.shape[2:]), x.dense, True)
    begins, spans, borders = [], [], []
    for first, count, n, cells, k, s, p, d in zip(
        (top, left), size, base.shape[2:], x.base.shape[2:], *window, strict=True
    ):
        begins.append(tuple(i * s - p for i in first))
        spans.append((count - 1) * s + d * (k - 1) + 1)
        borders.append((p, max(0, (n - 1) * s - p + d * (k - 1) + 1 - cells)))
    cache.cells += x.base.shape[1] * len(x.top) * spans[0] * spans[1]
    padded = cache.memo(lambda: padded_base(x.base, *borders, outside), "frame")
    return AffectedRegion(top, left, size, lambda: x.crop(*begins, *spans, padded), False)


def max_pool2d(
    cache: BaseCache,
    function: Callable,
    input: PatchedMaps,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> PatchedMaps | None:
    if return_indices:
        return None
    kernel, padding, dilation = both(kernel_size), both(padding), both(dilation)
    stride = both(stride) if stride else kernel  # torch takes [] for None, too

    def run_whole(maps: Tensor) -> Tensor:
        return function(maps, kernel, stride, padding, dilation, ceil_mode)

    base = cache.memo(lambda: run_whole(input.base))
    part = affected_region(cache, input, base, Window(kernel, stride, padding, dilation), outside=-torch.inf)

    def make() -> Tensor:
        piece = part.piece()
        return run_whole(piece) if part.is_dense else function(piece, kernel, stride, 0, dilation)

    return PatchedMaps(base, make, *part[:3])


def avg_pool2d(
    cache: BaseCache,
    function: Callable,  # noqa: ARG001
    input: PatchedMaps,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> PatchedMaps | None:
    kernel, padding = both(kernel_size), both(padding)
    stride = both(stride) if stride else kernel

    def pool(x: Tensor, divisor: int | None) -> Tensor:
        return F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor)

    def run_whole(maps: Tensor) -> Tensor:
        return pool(maps, divisor_override)

    def make() -> tuple[Tensor, Tensor]:
        # By what each sum is divided: near the border it may be less, by the options.
        ones = torch.ones_like(input.base[:, :1])
        return run_whole(input.base), run_whole(ones) / pool(ones, 1)

    base, factor = cache.memo(make)
    part = affected_region(cache, input, base, Window(kernel, stride, padding))

    def run() -> Tensor:
        if part.is_dense:
            return run_whole(part.piece())
        factors = padded_base(factor).pieces(part.top, part.left, *part.size)
        return F.avg_pool2d(part.piece(), kernel, stride, divisor_override=1) * factors

    return PatchedMaps(base, run, *part[:3])


def both(size: Size) -> tuple[int, int]:
    """torch takes 3, (3,) and (3, 3) for the same."""
    return pair(size if isinstance(size, int) or len(size) == 2 else size[0])
