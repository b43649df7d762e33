"""What each kind of function makes of maps that differ only in a patch: the table of the rules.

Type: (cache, function, its arguments with PatchedMaps in place of tensors) -> PatchedMaps, or None: no rule
for it. `convolution_rules` has convolutions, `window_rules` pools. Here are pointwise functions, on the
region alone; sums and concatenations, on the smallest rectangle around the regions that meet; and the list of
all.
"""

import operator
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.methods.occlusion.incremental import convolution_rules, window_rules
from cnnlab.methods.occlusion.incremental.convolution_rules import Convolution
from cnnlab.methods.occlusion.incremental.patch_maps import PatchedMaps, Starts
from cnnlab.methods.occlusion.incremental.window_rules import MAX_FRACTION, BaseCache
from cnnlab.probing.at_rest import line

Rule = Callable[..., PatchedMaps | None]


def _batch_norm(cache: BaseCache, function: Callable, input: PatchedMaps, *rest: object, **named: object):
    # F.batch_norm(input, mean, var, weight, bias, training, …) and
    # torch.batch_norm(input, weight, bias, mean, var, training, …): in both it is the fifth of the rest.
    training = rest[4] if len(rest) > 4 else named.get("training", False)
    if training:
        return None  # it mixes the images of a batch
    base = cache.memo(lambda: function(input.base, *rest, **named))
    make = input.make
    if isinstance(make, Convolution) and function is F.batch_norm:
        filters, bias = cache.memo(lambda: _folded(make.filters, make.bias, *rest, **named), "folded")
        return input.become(base, make._replace(filters=filters, bias=bias, base=base))
    cache.cells += input.numel
    return input.become(base, lambda: function(input.values, *rest, **named))


def _folded(
    filters: Tensor,
    offset: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,  # noqa: ARG001
    momentum: float = 0.1,  # noqa: ARG001
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """Filters and bias that do in one what a convolution and a batch norm after it do."""
    mean = running_mean if offset is None else running_mean - offset
    scale, shift = line(mean, running_var, weight, bias, eps)
    room = torch.empty_like(filters, memory_format=torch.channels_last)
    return torch.mul(filters, scale[:, None, None, None], out=room), shift


def _prelu(cache: BaseCache, function: Callable, input: PatchedMaps, weight: Tensor) -> PatchedMaps:
    base = cache.memo(lambda: function(input.base, weight))
    return input.become(base, function(input.values, weight))


def _relu(cache: BaseCache, function: Callable, input: PatchedMaps, inplace: bool = False) -> PatchedMaps:  # noqa: ARG001
    base = cache.memo(lambda: function(input.base))
    cache.cells += input.numel

    def values() -> Tensor:  # what is made here has not been given to anyone
        return function(input.values) if input.make is None else input.make().relu_()

    return input.become(base, values)


def _pointwise(cache: BaseCache, function: Callable, *args: object, **named: object) -> PatchedMaps | None:
    """Every cell by itself; other tensors only if they are the same for all positions."""
    given = [part for part in (*args, *named.values()) if isinstance(part, PatchedMaps)]
    others = [part for part in (*args, *named.values()) if isinstance(part, Tensor)]
    if any(part.shape[-2:].numel() != 1 or part.dim() == 4 and len(part) != 1 for part in others):
        return None
    if len({part.base.shape[2:] for part in given}) != 1 or any(part.dim() > 4 for part in others):
        return None

    def call(parts: list[Tensor]) -> Tensor:
        parts = iter(parts)
        first = [next(parts) if isinstance(part, PatchedMaps) else part for part in args]
        return function(
            *first, **{k: next(parts) if isinstance(v, PatchedMaps) else v for k, v in named.items()}
        )

    base = cache.memo(lambda: call([part.base for part in given]))
    return _together(cache, base, given, call)


def _cat(cache: BaseCache, function: Callable, tensors: list, dim: int = 0) -> PatchedMaps | None:
    if dim not in (1, -3) or not all(isinstance(part, PatchedMaps) for part in tensors):
        return None
    if len({part.base.shape[2:] for part in tensors}) != 1:
        return None
    base = cache.memo(lambda: function([part.base for part in tensors], 1))
    return _together(cache, base, tensors, lambda parts: function(parts, 1))


def _together(
    cache: BaseCache, base: Tensor, given: list[PatchedMaps], call: Callable[[list[Tensor]], Tensor]
) -> PatchedMaps:
    """What a function makes of pieces of all, cut to the smallest rectangles around the patches of all."""
    top, left, size = _around(given)
    cache.cells += len(top) * base.shape[1] * size[0] * size[1]
    for part in given:
        _ = part.values  # now, as in `window_rules`: else calls wait in a chain
    return PatchedMaps(base, lambda: call([part.crop(top, left, *size) for part in given]), top, left, size)


def _around(given: list[PatchedMaps]) -> tuple[Starts, Starts, tuple[int, int]]:
    """Where the smallest rectangles around the patches of all begin, and how large the largest is."""
    if len({(part.top, part.left, part.size) for part in given}) == 1:
        return given[0].top, given[0].left, given[0].size
    starts, sizes = [], []
    for axis, n in enumerate(given[0].base.shape[2:]):
        begins = [(part.top, part.left)[axis] for part in given]
        ends = [[i + part.size[axis] for i in start] for start, part in zip(begins, given, strict=True)]
        low, high = [min(each) for each in zip(*begins, strict=True)], map(max, *ends)
        sizes.append(max(map(operator.sub, high, low)))
        starts.append(tuple(min(i, n - sizes[-1]) for i in low))
    if sizes[0] * sizes[1] > MAX_FRACTION * given[0].base.shape[2:].numel():
        sizes, starts = given[0].base.shape[2:], [(0,) * len(start) for start in starts]
    return *starts, tuple(sizes)


def _dropout(
    cache: BaseCache,  # noqa: ARG001
    function: Callable,  # noqa: ARG001
    input: PatchedMaps,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,  # noqa: ARG001
) -> PatchedMaps | None:
    return input if not training or p == 0 else None


def _unchanged(cache: BaseCache, function: Callable, input: PatchedMaps, **named: object) -> PatchedMaps:  # noqa: ARG001
    return input


def _pad(
    cache: BaseCache,
    function: Callable,
    input: PatchedMaps,
    pad: list[int],
    mode: str = "constant",
    value: float | None = None,
) -> PatchedMaps | None:
    if mode != "constant" or len(pad) not in (2, 4) or min(pad) < 0:
        return None
    base = cache.memo(lambda: function(input.base, pad, mode, value))
    top = pad[2] if len(pad) == 4 else 0
    down, right = (tuple(i + by for i in at) for at, by in ((input.top, top), (input.left, pad[0])))
    return PatchedMaps(base, input.values, down, right)


def _getitem(cache: BaseCache, function: Callable, input: PatchedMaps, index: object) -> PatchedMaps | None:
    """x[:, 2:5]: some of the channels."""
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(i, slice) for i in index)):
        return None
    if index[0] != slice(None):
        return None
    base = cache.memo(lambda: function(input.base, index).contiguous())
    return input.become(base, function(input.values, index))


_NAMED = {
    "conv2d": convolution_rules.conv2d,
    "max_pool2d": window_rules.max_pool2d,
    "avg_pool2d": window_rules.avg_pool2d,
    "batch_norm": _batch_norm,
    "relu": _relu,
    "prelu": _prelu,
    "cat concat concatenate": _cat,
    "pad": _pad,
    "dropout dropout2d alpha_dropout feature_alpha_dropout": _dropout,
    "clone contiguous": _unchanged,
    "__getitem__": _getitem,
}
_POINTWISE = (
    "relu6 leaky_relu elu selu celu gelu silu mish softplus softsign sigmoid logsigmoid tanh hardtanh "
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
