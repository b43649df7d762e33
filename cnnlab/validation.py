"""Checks of arguments that many functions share: whole numbers, finite tensors, probabilities."""

import math
from operator import index

import torch
from torch import Tensor

_FEW = 32  # numbers that Python looks at as fast as torch does


def check_integer(value: object, wanted: str, least: int = 1) -> int:
    """A whole number, of Python or numpy or a tensor.

    >>> check_integer(True, "steps is a whole number, 1 or more")
    Traceback (most recent call last):
    ValueError: steps is a whole number, 1 or more, not True
    """
    try:
        number = index(value)
    except (TypeError, ValueError, RuntimeError):
        number = None
    if number is None or number < least or isinstance(value, bool):
        raise ValueError(f"{wanted}, not {value!r}")
    return number


def all_finite(numbers: Tensor) -> bool:
    """Is none of these real numbers infinite or nan? Many by their sum, which is quick, if that is finite."""
    if numbers.numel() < _FEW:
        return all(map(math.isfinite, numbers.flatten().tolist()))
    total = float(numbers.detach().sum())
    return total - total == 0 or bool(numbers.isfinite().all())


def check_probabilities(probabilities: Tensor) -> Tensor:
    """(N, K) in float64, if each row is of probabilities.

    Raises:
        ValueError: another shape, or a row that is not.
    """
    if probabilities.dim() != 2 or not probabilities.numel() or not probabilities.is_floating_point():
        raise ValueError(
            f"probabilities are (N, K), floating point, not {tuple(probabilities.shape)} of "
            f"{probabilities.dtype}"
        )
    rows = probabilities.detach().double()
    near = max(1e-3, 10 * torch.finfo(probabilities.dtype).eps)  # half precision adds up to 1 only roughly
    if not (rows >= 0).all() or not ((rows.sum(dim=1) - 1).abs() <= near).all():
        raise ValueError(
            "each row is of probabilities: 0 or more, and 1 together. Logits need .softmax(dim=1)"
        )
    return rows
