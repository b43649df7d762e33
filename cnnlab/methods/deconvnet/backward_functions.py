"""The way back through what has no weights: shapes, sums, concatenations, constant factors, dropout at rest.

Type: (the arguments of a torch function) -> [(a tensor that went in, signal after -> signal before)]. All of
them are linear, so the way back is the transposed map: parts of a sum each get the whole signal, parts of a
concatenation each their part. `backward_layers` has the rules of the layers, and the list of all.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Way = Callable[[Tensor], Tensor]
Ways = list[tuple[Tensor, Way]]


class NoWayBack(ValueError):
    """Why a signal cannot pass this call."""


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Ways:  # noqa: ARG001
    if training and p:
        raise NoWayBack("on the way is a dropout that is on in eval mode too: its result is random")
    return unchanged(input)


def unchanged(input: Tensor, *_: object, **__: object) -> Ways:
    return [(input, same)]


def same(g: Tensor) -> Tensor:
    """The way back through what changes nothing: the signal itself."""
    return g


def reshaped(input: Tensor, *_: object, **__: object) -> Ways:
    shape = input.shape
    return [(input, lambda g: g.reshape(shape))]


def getitem(input: Tensor, index: object) -> Ways:
    """x[:, 2:5], x[..., None]: what was not taken gets no signal."""
    parts = index if isinstance(index, tuple) else (index,)
    if not all(part is None or part is ... or isinstance(part, int | slice) for part in parts):
        raise NoWayBack("on the way is getitem by a tensor or a list, which may take a number twice: no rule")
    shape = input.shape

    def put_back(g: Tensor) -> Tensor:
        whole = g.new_zeros(shape)
        whole[index] = g
        return whole

    return [(input, put_back)]


def pad(input: Tensor, pad: list[int], mode: str = "constant", value: float | None = None) -> Ways:  # noqa: ARG001
    if mode != "constant":
        raise NoWayBack(f"on the way is padding with mode {mode!r}: only padding with zeros has a rule")
    return [(input, lambda g: F.pad(g, [-n for n in pad]))]


def cat(tensors: list[Tensor], dim: int = 0) -> Ways:
    parts = [part.shape[dim] for part in tensors]
    starts = [sum(parts[:k]) for k in range(len(parts))]
    return [
        (part, lambda g, start=start, n=n: g.narrow(dim, start, n))
        for part, start, n in zip(tensors, starts, parts, strict=True)
    ]


def _times(term: object, factor: float | Tensor, beside: object) -> Ways:
    """The way to one of two terms that were combined by + or *: either may have been repeated to fit."""
    if not isinstance(term, Tensor):
        return []
    shape = term.shape
    repeated = isinstance(beside, Tensor) and torch.broadcast_shapes(shape, beside.shape) != shape
    if isinstance(factor, int | float) and factor == 1:
        return [(term, (lambda g: g.sum_to_size(shape)) if repeated else same)]
    return [(term, lambda g: (g * factor).sum_to_size(shape))]


def add(input: Tensor, other: Tensor | float, alpha: float = 1) -> Ways:
    return _times(input, 1, other) + _times(other, alpha, input)


def sub(input: Tensor, other: Tensor | float, alpha: float = 1) -> Ways:
    return _times(input, 1, other) + _times(other, -alpha, input)


def rsub(input: Tensor, other: Tensor | float) -> Ways:
    return sub(other, input)


def mul(input: Tensor, other: Tensor | float) -> Ways:
    return _times(input, other, other) + _times(other, input, input)


def div(input: Tensor, other: Tensor | float) -> Ways:
    return _times(input, 1 / other, other)


def neg(input: Tensor) -> Ways:
    return _times(input, -1, input)
