"""Is this the same answer? Shapes first, then numbers; and if not, a sentence that says where it differs.

`(got, expected, tolerance) -> None or a sentence`.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def difference(got, expected, tolerance: float = 1e-5) -> str | None:
    """What is wrong with an answer.

    Args:
        got: the answer to judge.
        expected: the right one: a tensor, a network, a number, a text, or a tuple, list or dict of these.
        tolerance: how far a number may be off, absolute and relative.

    Returns:
        None if they are equal; else the first difference in words, shapes before values.
    """
    if got is None and expected is not None:
        return "it returned nothing (None). Is a `return` missing?"
    if isinstance(expected, Tensor):
        return _tensors(got, expected, tolerance)
    if isinstance(expected, nn.Module):
        return _networks(got, expected)
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping) or set(got) != set(expected):
            return f"expected a dict with the keys {sorted(map(str, expected))}, got {_kind(got)}"
        parts = ((f"[{key!r}]", got[key], expected[key]) for key in expected)
    elif isinstance(expected, tuple | list):
        if not isinstance(got, tuple | list):
            return f"expected {len(expected)} results in a tuple, got {_kind(got)}"
        if len(got) != len(expected):
            return f"expected {len(expected)} results, got {len(got)}"
        parts = ((f"[{k}]", *pair) for k, pair in enumerate(zip(got, expected, strict=True)))
    else:
        return _plain(got, expected, tolerance)
    for position, one, other in parts:
        if found := difference(one, other, tolerance):
            return f"in result {position}: {found}"
    return None


def _networks(got, expected: nn.Module) -> str | None:
    """A network may be given to an exercise; it must come out as it went in."""
    if type(got) is not type(expected):
        return f"expected a {type(expected).__name__}, got {_kind(got)}"
    there = dict(got.named_modules())
    for name, module in expected.named_modules():
        other, called = there.get(name), f"layer '{name}'" if name else "the network"
        if other is None:
            return f"{called} is gone"
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            more = len(getattr(other, hooks)) - len(getattr(module, hooks))
            if more > 0:
                return f"a hook is still on {called}: keep the handle, and call handle.remove()"
            if more < 0:
                return f"a hook that was on {called} is gone: remove only your own, by its handle"
        if other.training != module.training:
            return f"{called} is in {'train' if other.training else 'eval'} mode now, and was not before"
    now = {**dict(got.named_parameters()), **dict(got.named_buffers())}
    before = {**dict(expected.named_parameters()), **dict(expected.named_buffers())}
    for name, value in before.items():
        if name not in now:
            return f"its '{name}' is gone"
        if now[name].dtype != value.dtype or not torch.equal(now[name], value):
            return f"its '{name}' has changed"
        if now[name].requires_grad != value.requires_grad:
            return f"'{name}' {'asks' if now[name].requires_grad else 'no longer asks'} for a gradient now"
    return None


def _tensors(got, expected: Tensor, tolerance: float) -> str | None:
    if not isinstance(got, Tensor):
        # The cells below use the student's function: what is handed on must be what they expect.
        if not expected.dim() and isinstance(got, int | float):
            return f"expected a tensor with one number, got {_kind(got)}: leave out .item() or float()"
        return f"expected a tensor of shape {tuple(expected.shape)}, got {_kind(got)}"
    if got.layout != torch.strided or got.is_complex() or got.device != expected.device:
        return f"expected an ordinary tensor of real numbers, got {got.layout}, {got.dtype} on {got.device}"
    got = got.detach()
    if got.shape != expected.shape:
        return f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    if got.dtype != expected.dtype:
        wanted, given = (str(tensor.dtype).removeprefix("torch.") for tensor in (expected, got))
        return f"expected numbers of the type {wanted}, got {given}; convert them with .to(torch.{wanted})"
    close = torch.isclose(got.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True)
    if close.all():
        return None
    position = tuple((~close).nonzero()[0].tolist())
    where = f"at {list(position)} " if position else ""
    wrong = f" ({(~close).sum()} of {close.numel()} numbers differ)" if close.numel() > 1 else ""
    return f"{where}expected {expected[position].item():.6g}, got {got[position].item():.6g}{wrong}"


def _plain(got, expected, tolerance: float) -> str | None:
    if hasattr(got, "item") and getattr(got, "ndim", 1) == 0:  # a tensor or a NumPy number is a number, too
        if getattr(got, "is_meta", False):
            return f"expected {expected!r}, got a tensor without a value (on the device meta)"
        got = got.item()
    if isinstance(expected, bool) or not isinstance(expected, int | float):
        return None if got == expected else f"expected {expected!r}, got {_kind(got)}"
    if isinstance(got, bool) or not isinstance(got, int | float):
        return f"expected a number, got {_kind(got)}"
    if isinstance(expected, int) and not isinstance(got, int):
        return f"expected the whole number {expected}, got {got!r}: divide whole numbers with //, not with /"
    if math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance) or (
        got != got and expected != expected
    ):
        return None
    return f"expected {expected!r}, got {got!r}"


def _kind(value) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    try:
        text = repr(value)
    except Exception:  # a student's class may have a broken one
        text = "(cannot be printed)"
    return f"{type(value).__name__} {text if len(text) < 60 else text[:57] + '...'}"
