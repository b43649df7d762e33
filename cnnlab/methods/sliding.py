"""How far a change reaches through a window that slides, a convolution or a pool, and what it makes there.

Type: (kept, function, its arguments with Patches in place of a tensor) -> Patches, or None: no rule for it. A
cell of the output changes only if its own window meets a changed cell. So the changed region is taken with a
margin as wide as the window, and the function runs on that, without padding; once the region is most of the
map, on all of it. `layer_rules` has the rules of everything else, and the list of all.

Along one axis, a picture of 6 cells, of which a window covers the cells 2 and 3, under a kernel of 3 cells
with padding 1: the outputs 1 to 4 meet them, so 4 are computed again, from the 6 cells 0 to 5.

    cells             0 1 # # 4 5
    outputs           . # # # # .
    their windows     0-2, 1-3, 2-4, 3-5
"""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.methods import winograd
from cnnlab.methods.patches import Patches, Starts, framed
from cnnlab.nets.fitting import Size, pair

SHARE = 0.7  # a region that is more than this of the map is not worth the trouble


class Kept:
    """What the calls of a pass make out of the whole picture: computed in the first pass, kept for the next.

    A call is known by its function, by what it was called on, and by how many such calls came before it.

    Args:
        layout: of whole maps in memory: a model may look at one through views, which not every layout has.
    """

    def __init__(self, layout: torch.memory_format = torch.channels_last):
        self.layout = layout
        self._results: dict[tuple, object] = {}
        self._met: dict[tuple, int] = {}
        self._call: tuple = ()
        self.cells = 0  # numbers that were put together or computed in this pass: an estimate of the work

    def __len__(self) -> int:
        return len(self._results)

    def begin(self) -> None:
        """Another pass begins."""
        self._met.clear()
        self.cells = 0

    def call(self, function: Callable, bases: list[Tensor]) -> None:
        """The next call of the pass: every group of windows goes through it."""
        known = (function, *map(id, bases))  # bases are kept, so no other tensor gets the id of one
        self._met[known] = self._met.get(known, 0) + 1
        self._call = (known, self._met[known])

    def once(self, make: Callable[[], object], what: str = "result") -> object:
        """make(), which depends on the whole picture only: called where this call is met first."""
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


class _Reach(NamedTuple):
    """Where a window that slides meets a patch.

    Attributes:
        top, left, size: of the outputs that meet it.
        piece: the cells under those windows, with what is outside; or of all of the map.
        whole: is it all of the map, without what is outside?
    """

    top: Starts
    left: Starts
    size: tuple[int, int]
    piece: Callable[[], Tensor]
    whole: bool


def _reach(
    kept: Kept,
    x: Patches,
    base: Tensor,
    kernel: Size,
    stride: Size,
    padding: Size,
    dilation: Size = 1,
    outside: float = 0.0,
) -> _Reach:
    """What must be computed again of the base: the region with its margin, or all of it."""
    starts, counts, begins, spans, borders = [], [], [], [], []
    for axis, (start, k, s, p, d) in enumerate(
        zip((x.top, x.left), *map(pair, (kernel, stride, padding, dilation)), strict=True)
    ):
        n, cells = base.shape[2 + axis], x.base.shape[2 + axis]
        first, count = _reached(start, x.size[axis], n, k, s, p, d)
        starts.append(first)
        counts.append(count)
        begins.append(tuple(i * s - p for i in first))
        spans.append((count - 1) * s + d * (k - 1) + 1)
        borders.append((p, max(0, (n - 1) * s - p + d * (k - 1) + 1 - cells)))
    _ = x.values  # now: else a deep net is one chain of calls, deeper than Python allows
    if counts[0] * counts[1] > SHARE * base.shape[2:].numel():
        kept.cells += x.base[0].numel() * len(x.top)
        corner = (0,) * len(x.top)
        return _Reach(corner, corner, tuple(base.shape[2:]), x.whole, True)
    kept.cells += x.base.shape[1] * len(x.top) * spans[0] * spans[1]
    frame = kept.once(lambda: framed(x.base, *borders, outside), "frame")
    return _Reach(*starts, tuple(counts), lambda: x.crop(*begins, *spans, frame), False)


class Convolution(NamedTuple):
    """A convolution that waits to be run: a batch norm after it may still change its filters.

    Attributes:
        run: (filters, bias) -> (P, K, h, w)
    """

    run: Callable[[Tensor, Tensor | None], Tensor]
    filters: Tensor
    bias: Tensor | None

    def __call__(self) -> Tensor:
        return self.run(self.filters, self.bias)


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
    if padding == "same":  # an odd cell goes to the bottom and the right
        sides = tuple(d * (k - 1) // 2 for d, k in zip(pair(dilation), weight.shape[2:], strict=True))
    else:
        sides = (0, 0) if padding == "valid" else _both(padding)
    stride, dilation = _both(stride), _both(dilation)

    base = kept.once(lambda: function(input.base, weight, bias, stride, padding, dilation, groups))
    reach = _reach(kept, input, base, tuple(weight.shape[2:]), stride, sides, dilation)
    # Rearranged once; only the latest, for a model may make new filters in each pass.
    last = kept.once(lambda: functools.lru_cache(maxsize=1)(_channels_last), "channels last")
    points = kept.once(lambda: functools.lru_cache(maxsize=1)(winograd.seen), "points")
    plain = stride == dilation == (1, 1) and groups == 1

    def run(filters: Tensor, bias: Tensor | None) -> Tensor:
        piece = reach.piece()
        if plain and winograd.pays(len(piece), filters, reach.size):
            return winograd.conv3x3(piece, points(filters), bias, sides if reach.whole else (0, 0))
        return function(piece, last(filters), bias, stride, padding if reach.whole else 0, dilation, groups)

    return Patches(base, Convolution(run, weight, bias), *reach[:3])


def max_pool2d(
    kept: Kept,
    function: Callable,
    input: Patches,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Patches | None:
    if return_indices:
        return None
    kernel, padding, dilation = _both(kernel_size), _both(padding), _both(dilation)
    stride = _both(stride) if stride else kernel  # torch takes [] for None, too

    def run_whole(maps: Tensor) -> Tensor:
        return function(maps, kernel, stride, padding, dilation, ceil_mode)

    base = kept.once(lambda: run_whole(input.base))
    reach = _reach(kept, input, base, kernel, stride, padding, dilation, outside=-torch.inf)

    def make() -> Tensor:
        piece = reach.piece()
        return run_whole(piece) if reach.whole else function(piece, kernel, stride, 0, dilation)

    return Patches(base, make, *reach[:3])


def avg_pool2d(
    kept: Kept,
    function: Callable,  # noqa: ARG001
    input: Patches,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Patches | None:
    kernel, padding = _both(kernel_size), _both(padding)
    stride = _both(stride) if stride else kernel

    def pool(x: Tensor, divisor: int | None) -> Tensor:
        return F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor)

    def run_whole(maps: Tensor) -> Tensor:
        return pool(maps, divisor_override)

    def make() -> tuple[Tensor, Tensor]:
        # By what each sum is divided: near the border it may be less, by the options.
        ones = torch.ones_like(input.base[:, :1])
        return run_whole(input.base), run_whole(ones) / pool(ones, 1)

    base, factor = kept.once(make)
    reach = _reach(kept, input, base, kernel, stride, padding)

    def run() -> Tensor:
        if reach.whole:
            return run_whole(reach.piece())
        factors = framed(factor).pieces(reach.top, reach.left, *reach.size)
        return F.avg_pool2d(reach.piece(), kernel, stride, divisor_override=1) * factors

    return Patches(base, run, *reach[:3])


def _channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def _both(size: Size) -> tuple[int, int]:
    """torch takes 3, (3,) and (3, 3) for the same."""
    return pair(size if isinstance(size, int) or len(size) == 2 else size[0])
