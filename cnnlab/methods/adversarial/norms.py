"""How much may a picture be changed, and which way within that is the best, or a random one?

Type: (change, norm, eps) -> change. "linf": no number may move by more than eps. "l2": the root of the sum of
all squares is at most eps. Whatever the norm, pictures stay in [0, 1].

For the same eps the two are far apart: a picture of 64x64 in three colours whose every number moves by
8/255 has moved by 3.5 in the other norm.
"""

import math

import torch
from torch import Tensor

from cnnlab.errors import unknown
from cnnlab.methods.targets import pictures
from cnnlab.validation import finite, whole

NORMS = ("linf", "l2")


def sizes(change: Tensor, norm: str) -> Tensor:
    """How large each change is.

    >>> change = torch.tensor([[[[0.3, -0.4]]]])
    >>> sizes(change, "linf").item(), sizes(change, "l2").item()
    (0.4000000059604645, 0.5)

    Args:
        change: (N, C, H, W).
        norm: "linf" or "l2".

    Returns:
        (N,)
    """
    flat = change.flatten(1)
    return flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)


def steepest(slope: Tensor, norm: str) -> Tensor:
    """The change of size 1 along which the slope rises most: its sign, or the slope made as long as 1.

    Args:
        slope: (N, C, H, W).
        norm: "linf" or "l2".

    Returns:
        (N, C, H, W); zero where the slope is zero.
    """
    if norm == "linf":
        return slope.sign()
    largest = per_picture(slope.flatten(1).abs().amax(dim=1))
    # In two steps: the square of a small slope would be zero.
    slope = slope / torch.where(largest > 0, largest, 1)
    return slope / per_picture(slope.flatten(1).norm(dim=1).clamp(min=1))


def within(moved: Tensor, original: Tensor, eps: Tensor, norm: str) -> Tensor:
    """The picture nearest to `moved` that is allowed: first no further than eps, then in [0, 1].

    Args:
        moved, original: (N, C, H, W).
        eps: (N,).
        norm: "linf" or "l2".

    Returns:
        (N, C, H, W). (Of "l2", the two steps one after the other: allowed, but not always the nearest.)
    """
    if norm == "linf":  # in one go, and to the last digit
        room = per_picture(eps)
        return torch.minimum(torch.maximum(moved, original - room), original + room).clamp_(0, 1)
    return (original + shrunk(moved - original, eps, norm)).clamp_(0, 1)


def shrunk(change: Tensor, eps: Tensor, norm: str) -> Tensor:
    """A change that is too large, cut off ("linf") or shortened ("l2") to eps.

    Args:
        change: (N, C, H, W).
        eps: (N,).
        norm: "linf" or "l2".

    Returns:
        (N, C, H, W)
    """
    room = per_picture(eps)
    if norm == "linf":
        return torch.minimum(torch.maximum(change, -room), room)
    size = per_picture(sizes(change, "l2"))
    return change * torch.where(size > room, room / torch.where(size > 0, size, 1), 1)


def drawn(images: Tensor, norm: str, generator: torch.Generator, *, inside: bool = False) -> Tensor:
    """Random changes of size 1: every number +1 or -1, or any direction alike.

    Args:
        images: (N, C, H, W), whose shape, type and device are taken.
        norm: "linf" or "l2".
        generator: where the random numbers come from.
        inside: of size up to 1 instead, any of them alike.

    Returns:
        (N, C, H, W). Drawn one picture after the other: how many come in one go does not matter.
    """
    make = _inside if inside else _drawn
    made = [make(images.shape[1:], norm, images.dtype, generator) for _ in images]
    return torch.stack(made).to(images.device)


def _drawn(shape: tuple[int, ...], norm: str, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if norm == "linf":
        return torch.randint(0, 2, shape, generator=generator).to(dtype) * 2 - 1
    normal = torch.randn(shape, generator=generator, dtype=dtype)
    return normal / normal.norm()


def _inside(shape: tuple[int, ...], norm: str, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    if norm == "linf":
        return torch.rand(shape, generator=generator, dtype=dtype) * 2 - 1
    # Of a ball of n dimensions, the share r**n lies nearer than r.
    far = torch.rand((), generator=generator, dtype=torch.float64) ** (1 / math.prod(shape))
    return _drawn(shape, norm, dtype, generator) * far.to(dtype)


def refuse(images: Tensor) -> None:
    """Refuse what cannot be attacked in [0, 1].

    Raises:
        ValueError: no pictures (N, C, H, W); a number that is not finite, or outside of [0, 1].
    """
    pictures(images)
    if not finite(images):
        raise ValueError("a picture holds a number that is not finite (nan or inf)")
    low, high = images.detach().aminmax()
    if low < 0 or high > 1:
        raise ValueError(
            f"pictures to attack are in [0, 1], these go from {low:.3g} to {high:.3g}: divide by 255, or "
            "make the normalisation a layer of the model"
        )


def amounts(eps: float | Tensor, images: Tensor, norm: str, *, what: str = "eps") -> Tensor:
    """One eps for each picture, checked; or another size, which errors call by its name.

    Raises:
        LookupError: no such norm.
        ValueError: eps is no number from 0 on, not one for each picture, or larger than any change there is.

    >>> amounts(0.5, torch.zeros(2, 1, 4, 4), "linf")
    tensor([0.5000, 0.5000])
    """
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    try:
        # A number of Python's must not pass through float32 on its way to float64.
        found = torch.as_tensor(eps, dtype=images.dtype, device=images.device).detach()
        truth = isinstance(eps, bool | str) or isinstance(eps, Tensor) and eps.dtype == torch.bool
        good = not truth and found.dim() < 2 and found.numel() in (1, len(images))
    except (TypeError, ValueError, RuntimeError):
        good = False
    if not good:
        said = tuple(eps.shape) if isinstance(eps, Tensor) else eps
        raise ValueError(f"{what} is a number, or (N,) of them for N = {len(images)} pictures, not {said!r}")
    if not bool((found >= 0).all()):
        raise ValueError(f"{what} is 0 or more, not {float(found.min())}")
    most = 1.0 if norm == "linf" else math.prod(images.shape[1:]) ** 0.5
    if float(found.max()) > most:
        raise ValueError(
            f"{what} is in units of pictures in [0, 1], as 8/255; {float(found.max()):g} is more than the "
            f"largest change there is, {most:g} in {norm}"
        )
    return found.expand(len(images)).clone()


def chance(seed: int) -> torch.Generator:
    """Random numbers of one's own."""
    return torch.Generator().manual_seed(whole(seed, "seed is a whole number", -(2**63)))


def per_picture(numbers: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1)"""
    return numbers.view(-1, 1, 1, 1)
