"""What each kind of function makes of maps that differ only in a patch: the table of the rules.

Type: (kept, function, its arguments with Patches in place of tensors) -> Patches, or None: no rule for it.
`sliding` has convolutions and pools. Here are pointwise functions, on the region alone; sums and
concatenations, on the smallest rectangle around the regions that meet; and the list of all.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.methods import sliding
from cnnlab.methods.patches import Patches
from cnnlab.methods.sliding import SHARE, Kept

Rule = Callable[..., Patches | None]


def _batch_norm(kept: Kept, function: Callable, input: Patches, *rest: object, **named: object):
    # F.batch_norm(input, mean, var, weight, bias, training, …) and
    # torch.batch_norm(input, weight, bias, mean, var, training, …): in both it is the fifth of the rest.
    training = rest[4] if len(rest) > 4 else named.get("training", False)
    if training:
        return None  # it mixes the pictures of a batch
    base = kept.once(lambda: function(input.base, *rest, **named))
    kept.cells += input.values.numel()
    return input._replace(base=base, values=function(input.values, *rest, **named))


def _prelu(kept: Kept, function: Callable, input: Patches, weight: Tensor) -> Patches:
    base = kept.once(lambda: function(input.base, weight))
    return input._replace(base=base, values=function(input.values, weight))


def _pointwise(kept: Kept, function: Callable, *args: object, **named: object) -> Patches | None:
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

    base = kept.once(lambda: call(bases))
    values = call(iter(pieces))
    kept.cells += values.numel()
    return Patches(base, values, top, left)


def _cat(kept: Kept, function: Callable, tensors: list, dim: int = 0) -> Patches | None:
    if dim not in (1, -3) or not all(isinstance(part, Patches) for part in tensors):
        return None
    if len({part.base.shape[2:] for part in tensors}) != 1:
        return None
    pieces, top, left = _around(tensors)
    base = kept.once(lambda: function([part.base for part in tensors], 1))
    values = function(pieces, 1)
    kept.cells += values.numel()
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
    kept: Kept,  # noqa: ARG001
    function: Callable,  # noqa: ARG001
    input: Patches,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,  # noqa: ARG001
) -> Patches | None:
    return input if not training or p == 0 else None


def _unchanged(kept: Kept, function: Callable, input: Patches, **named: object) -> Patches:  # noqa: ARG001
    return input


def _pad(
    kept: Kept,
    function: Callable,
    input: Patches,
    pad: list[int],
    mode: str = "constant",
    value: float | None = None,
) -> Patches | None:
    if mode != "constant" or len(pad) not in (2, 4) or min(pad) < 0:
        return None
    base = kept.once(lambda: function(input.base, pad, mode, value))
    top = pad[2] if len(pad) == 4 else 0
    return Patches(base, input.values, input.top + top, input.left + pad[0])


def _getitem(kept: Kept, function: Callable, input: Patches, index: object) -> Patches | None:
    """x[:, 2:5]: some of the channels."""
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(i, slice) for i in index)):
        return None
    if index[0] != slice(None):
        return None
    base = kept.once(lambda: function(input.base, index).contiguous())
    return input._replace(base=base, values=function(input.values, index))


_NAMED = {
    "conv2d": sliding.conv2d,
    "max_pool2d": sliding.max_pool2d,
    "avg_pool2d": sliding.avg_pool2d,
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
