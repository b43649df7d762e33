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

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.methods.patches import Patches
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

    def once(self, make: Callable[[], object]) -> object:
        """make(), which depends on the whole picture only: called where this call is met first."""
        if self._call not in self._results:
            self._results[self._call] = make()
        return self._results[self._call]


def _reached(start: Tensor, size: int, n: int, kernel: int, stride: int, padding: int, dilation: int):
    """Along one axis: which of n windows meet the cells from start on. (P,) the first, and how many.

    >>> _reached(torch.tensor([2]), size=2, n=6, kernel=3, stride=1, padding=1, dilation=1)
    (tensor([1]), 4)
    """
    low = -((dilation * (kernel - 1) - padding - start).div(stride, rounding_mode="floor"))
    high = (start + size - 1 + padding).div(stride, rounding_mode="floor")
    low, high = low.clamp(0, n - 1), high.clamp(0, n - 1)
    count = max(1, int((high - low).max()) + 1)
    return low.clamp(max=n - count), count


def _slide(
    kept: Kept,
    x: Patches,
    base: Tensor,
    run: Callable[..., Tensor],
    run_whole: Callable[[Tensor], Tensor],
    kernel: Size,
    stride: Size,
    padding: Size,
    dilation: Size = 1,
    outside: float = 0.0,
) -> Patches:
    """A window that slides: `run` on the region with its margin, without padding; or `run_whole` on all."""
    tops, counts, spans = [], [], []
    for axis, (start, k, s, p, d) in enumerate(
        zip((x.top, x.left), *map(pair, (kernel, stride, padding, dilation)), strict=True)
    ):
        first, count = _reached(start, x.values.shape[2 + axis], base.shape[2 + axis], k, s, p, d)
        tops.append((first, first * s - p))
        counts.append(count)
        spans.append((count - 1) * s + d * (k - 1) + 1)
    if counts[0] * counts[1] > SHARE * base.shape[2:].numel():
        kept.cells += x.base[0].numel() * len(x.top)
        corner = torch.zeros_like(x.top)
        return Patches(base, run_whole(x.crop(corner, corner, *x.base.shape[2:])), corner, corner)
    (top, from_row), (left, from_col) = tops
    piece = x.crop(from_row, from_col, *spans, outside)
    kept.cells += piece.numel()
    return Patches(base, run(piece, top, left, *counts), top, left)


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

    def make() -> tuple[Tensor, Tensor]:
        filters = weight.contiguous(memory_format=torch.channels_last)
        return function(input.base, filters, bias, stride, padding, dilation, groups), filters

    base, filters = kept.once(make)

    def run(piece: Tensor, *_: object) -> Tensor:
        return function(piece, filters, bias, stride, 0, dilation, groups)

    def run_whole(maps: Tensor) -> Tensor:
        return function(maps, filters, bias, stride, padding, dilation, groups)

    return _slide(kept, input, base, run, run_whole, tuple(weight.shape[2:]), stride, sides, dilation)


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

    def run(piece: Tensor, *_: object) -> Tensor:
        return function(piece, kernel, stride, 0, dilation)

    base = kept.once(lambda: run_whole(input.base))
    return _slide(kept, input, base, run, run_whole, kernel, stride, padding, dilation, outside=-torch.inf)


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

    def run(piece: Tensor, top: Tensor, left: Tensor, rows: int, cols: int) -> Tensor:
        row = top[:, None, None] + torch.arange(rows, device=top.device)[:, None]  # (P, rows, 1)
        col = left[:, None, None] + torch.arange(cols, device=top.device)  # (P, 1, cols)
        return F.avg_pool2d(piece, kernel, stride, divisor_override=1) * factor[0, 0][row, col][:, None]

    return _slide(kept, input, base, run, run_whole, kernel, stride, padding)


def _both(size: Size) -> tuple[int, int]:
    """torch takes 3, (3,) and (3, 3) for the same."""
    return pair(size if isinstance(size, int) or len(size) == 2 else size[0])
