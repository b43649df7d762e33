"""How far a change reaches through a layer, and what it makes there: a rule for each kind of layer.

Type: (path, function, its arguments with Patches in place of tensors) -> Patches, or None: no rule for it. A
cell of the output changes only if its own window meets a changed cell. So a convolution or a pool is computed
on the changed region with a margin, pointwise functions on the region alone, and where two meet, a sum or a
concatenation, on the smallest rectangle around both. Once that is most of the map, on all of it.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.methods.patches import Patches
from cnnlab.nets.fitting import Size, pair

SHARE = 0.7  # a region that is more than this of the map is not worth the trouble


class Path:
    """What the calls of a pass make out of the whole picture: computed in the first pass, kept for the next.

    A call is known by its function, by what it was called on, and by how many such calls came before it.
    """

    def __init__(self):
        self._kept: dict[tuple, object] = {}
        self._met: dict[tuple, int] = {}
        self._call: tuple = ()
        self.cells = 0  # numbers that were put together or computed in this pass: an estimate of the work

    def __len__(self) -> int:
        return len(self._kept)

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
        """make(), which depends on the whole picture only: called where the call is met for the first time."""
        if self._call not in self._kept:
            self._kept[self._call] = make()
        return self._kept[self._call]


Rule = Callable[..., Patches | None]


def _reached(start: Tensor, size: int, n: int, kernel: int, stride: int, padding: int, dilation: int):
    """Along one axis: which of n windows meet the cells from start on. (P,) the first, and how many."""
    low = -((dilation * (kernel - 1) - padding - start).div(stride, rounding_mode="floor"))
    high = (start + size - 1 + padding).div(stride, rounding_mode="floor")
    low, high = low.clamp(0, n - 1), high.clamp(0, n - 1)
    count = max(1, int((high - low).max()) + 1)
    return low.clamp(max=n - count), count


def _slide(
    path: Path,
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
        path.cells += x.base[0].numel() * len(x.top)
        corner = torch.zeros_like(x.top)
        return Patches(base, run_whole(x.crop(corner, corner, *x.base.shape[2:])), corner, corner)
    (top, from_row), (left, from_col) = tops
    piece = x.crop(from_row, from_col, *spans, outside)
    path.cells += piece.numel()
    return Patches(base, run(piece, top, left, *counts), top, left)


def _conv2d(
    path: Path,
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

    base, filters = path.once(make)

    def run(piece: Tensor, *_: object) -> Tensor:
        return function(piece, filters, bias, stride, 0, dilation, groups)

    def run_whole(maps: Tensor) -> Tensor:
        return function(maps, filters, bias, stride, padding, dilation, groups)

    return _slide(path, input, base, run, run_whole, tuple(weight.shape[2:]), stride, sides, dilation)


def _max_pool2d(
    path: Path,
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

    base = path.once(lambda: run_whole(input.base))
    return _slide(path, input, base, run, run_whole, kernel, stride, padding, dilation, outside=-torch.inf)


def _avg_pool2d(
    path: Path,
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

    base, factor = path.once(make)

    def run(piece: Tensor, top: Tensor, left: Tensor, rows: int, cols: int) -> Tensor:
        row = top[:, None, None] + torch.arange(rows, device=top.device)[:, None]  # (P, rows, 1)
        col = left[:, None, None] + torch.arange(cols, device=top.device)  # (P, 1, cols)
        return F.avg_pool2d(piece, kernel, stride, divisor_override=1) * factor[0, 0][row, col][:, None]

    return _slide(path, input, base, run, run_whole, kernel, stride, padding)


def _batch_norm(path: Path, function: Callable, input: Patches, *rest: object, **named: object):
    training = rest[4] if len(rest) > 4 else named.get("training", False)
    if training:
        return None  # it mixes the pictures of a batch
    base = path.once(lambda: function(input.base, *rest, **named))
    path.cells += input.values.numel()
    return input._replace(base=base, values=function(input.values, *rest, **named))


def _prelu(path: Path, function: Callable, input: Patches, weight: Tensor) -> Patches:
    base = path.once(lambda: function(input.base, weight))
    return input._replace(base=base, values=function(input.values, weight))


def _pointwise(path: Path, function: Callable, *args: object, **named: object) -> Patches | None:
    """Every cell by itself; other tensors only if they are the same for all places."""
    given = [part for part in (*args, *named.values()) if isinstance(part, Patches)]
    others = [part for part in (*args, *named.values()) if isinstance(part, Tensor)]
    if any(part.shape[-2:].numel() != 1 or part.dim() == 4 and len(part) != 1 for part in others):
        return None
    if len({part.base.shape[2:] for part in given}) != 1 or any(part.dim() > 4 for part in others):
        return None
    pieces, top, left = _around(given)
    bases = iter(part.base for part in given)

    def call(parts: object) -> Tensor:
        first = [next(parts) if isinstance(part, Patches) else part for part in args]
        return function(*first, **{k: next(parts) if isinstance(v, Patches) else v for k, v in named.items()})

    base = path.once(lambda: call(bases))
    values = call(iter(pieces))
    path.cells += values.numel()
    return Patches(base, values, top, left)


def _cat(path: Path, function: Callable, tensors: list, dim: int = 0) -> Patches | None:
    if dim not in (1, -3) or not all(isinstance(part, Patches) for part in tensors):
        return None
    if len({part.base.shape[2:] for part in tensors}) != 1:
        return None
    pieces, top, left = _around(tensors)
    base = path.once(lambda: function([part.base for part in tensors], 1))
    values = function(pieces, 1)
    path.cells += values.numel()
    return Patches(base, values, top, left)


def _around(given: list[Patches]) -> tuple[list[Tensor], Tensor, Tensor]:
    """Pieces of all, cut to the smallest rectangles around the patches of all; and where those begin."""
    starts, sizes = [], []
    for axis, n in enumerate(given[0].base.shape[2:]):
        begins = [(part.top, part.left)[axis] for part in given]
        ends = [start + part.values.shape[2 + axis] for start, part in zip(begins, given, strict=True)]
        low, high = torch.stack(begins).amin(dim=0), torch.stack(ends).amax(dim=0)
        sizes.append(int((high - low).max()))
        starts.append(low.clamp(max=n - sizes[-1]))
    if sizes[0] * sizes[1] > SHARE * given[0].base.shape[2:].numel():
        sizes, starts = given[0].base.shape[2:], [torch.zeros_like(start) for start in starts]
    return [part.crop(*starts, *sizes) for part in given], *starts


def _dropout(
    path: Path,  # noqa: ARG001
    function: Callable,  # noqa: ARG001
    input: Patches,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,  # noqa: ARG001
) -> Patches | None:
    return input if not training or p == 0 else None


def _unchanged(path: Path, function: Callable, input: Patches, **named: object) -> Patches:  # noqa: ARG001
    return input


def _pad(
    path: Path,
    function: Callable,
    input: Patches,
    pad: list[int],
    mode: str = "constant",
    value: float | None = None,
) -> Patches | None:
    if mode != "constant" or len(pad) not in (2, 4) or min(pad) < 0:
        return None
    base = path.once(lambda: function(input.base, pad, mode, value))
    top = pad[2] if len(pad) == 4 else 0
    return Patches(base, input.values, input.top + top, input.left + pad[0])


def _getitem(path: Path, function: Callable, input: Patches, index: object) -> Patches | None:
    """x[:, 2:5]: some of the channels."""
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(i, slice) for i in index)):
        return None
    if index[0] != slice(None):
        return None
    base = path.once(lambda: function(input.base, index).contiguous())
    return input._replace(base=base, values=function(input.values, index))


def _both(size: Size) -> tuple[int, int]:
    """torch takes 3, (3,) and (3, 3) for the same."""
    return pair(size if isinstance(size, int) or len(size) == 2 else size[0])


_NAMED = {
    "conv2d": _conv2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "prelu": _prelu,
    "cat concat concatenate": _cat,
    "pad": _pad,
    "dropout dropout2d alpha_dropout feature_alpha_dropout": _dropout,
    "clone contiguous": _unchanged,
    "__getitem__": _getitem,
}
_POINTWISE = (
    "relu relu6 leaky_relu elu selu celu gelu silu mish softplus softsign sigmoid logsigmoid tanh hardtanh "
    "hardswish hardsigmoid threshold clamp clamp_min clamp_max abs neg negative exp log sqrt rsqrt square "
    "pow add sub subtract rsub mul multiply div divide true_divide maximum minimum sin cos erf "
    "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __neg__ __pow__ __abs__"
)
_HOMES = (F, torch, Tensor, torch._C._nn)
RULES: dict[Callable, Rule] = {
    getattr(home, name): rule
    for names, rule in [*_NAMED.items(), (_POINTWISE, _pointwise)]
    for name in names.split()
    for home in _HOMES
    if hasattr(home, name)
}
# What works in place does the same, and then the old tensor holds the result.
IN_PLACE: dict[Callable, Callable] = {
    getattr(home, name + "_"): getattr(home, name)
    for name in [*" ".join(_NAMED).split(), *_POINTWISE.split()]
    for home in _HOMES
    if not name.startswith("__") and hasattr(home, name) and hasattr(home, name + "_")
} | {
    getattr(Tensor, f"__i{name}__"): getattr(Tensor, f"__{name}__")
    for name in ("add", "sub", "mul", "truediv")
}
