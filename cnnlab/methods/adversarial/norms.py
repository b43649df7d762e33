"""How much may an image be changed, and which way within that is the best, or a random one?

Type: (change, norm, eps) -> change. "linf": no number may move by more than eps. "l2": the root of the sum of
all squares is at most eps. Whatever the norm, images stay in [0, 1].

For the same eps the two are far apart: an image of 64x64 in three colours whose every number moves by
8/255 has moved by 3.5 in the other norm.
"""

import math

import torch
from torch import Tensor

from cnnlab.errors import unknown
from cnnlab.methods.targets import check_images
from cnnlab.validation import all_finite, check_integer

NORMS = ("linf", "l2")


def norm(change: Tensor, norm: str) -> Tensor:
    """How large each change is.

    >>> change = torch.tensor([[[[0.3, -0.4]]]])
    >>> norm(change, "linf").item(), norm(change, "l2").item()
    (0.4000000059604645, 0.5)

    Args:
        change: (N, C, H, W).
        norm: "linf" or "l2".

    Returns:
        (N,)
    """
    flat = change.flatten(1)
    return flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)


def steepest_ascent(gradient: Tensor, norm: str) -> Tensor:
    """The change of size 1 along which the gradient rises most: its sign, or the gradient made as long as 1.

    Args:
        gradient: (N, C, H, W).
        norm: "linf" or "l2".

    Returns:
        (N, C, H, W); zero where the gradient is zero.
    """
    if norm == "linf":
        return gradient.sign()
    largest = per_image(gradient.flatten(1).abs().amax(dim=1))
    # In two steps: the square of a small gradient would be zero.
    gradient = gradient / torch.where(largest > 0, largest, 1)
    return gradient / per_image(gradient.flatten(1).norm(dim=1).clamp(min=1))


def project(perturbed: Tensor, original: Tensor, eps: Tensor, norm: str) -> Tensor:
    """The image nearest to `perturbed` that is allowed: first no further than eps, then in [0, 1].

    Args:
        perturbed, original: (N, C, H, W).
        eps: (N,).
        norm: "linf" or "l2".

    Returns:
        (N, C, H, W). (Of "l2", the two steps one after the other: allowed, but not always the nearest.)
    """
    if norm == "linf":  # in one go, and to the last digit
        radius = per_image(eps)
        return torch.minimum(torch.maximum(perturbed, original - radius), original + radius).clamp_(0, 1)
    return (original + clip_norm(perturbed - original, eps, norm)).clamp_(0, 1)


def clip_norm(change: Tensor, eps: Tensor, norm: str) -> Tensor:
    """A change that is too large, cut off ("linf") or shortened ("l2") to eps.

    Args:
        change: (N, C, H, W).
        eps: (N,).
        norm: "linf" or "l2".

    Returns:
        (N, C, H, W)
    """
    radius = per_image(eps)
    if norm == "linf":
        return torch.minimum(torch.maximum(change, -radius), radius)
    size = per_image(change.flatten(1).norm(dim=1))
    return change * torch.where(size > radius, radius / torch.where(size > 0, size, 1), 1)


def random_perturbation(
    images: Tensor, norm: str, generator: torch.Generator, *, inside: bool = False
) -> Tensor:
    """Random changes of size 1: every number +1 or -1, or any direction alike.

    Args:
        images: (N, C, H, W), whose shape, type and device are taken.
        norm: "linf" or "l2".
        generator: where the random numbers come from.
        inside: of size up to 1 instead, any of them alike.

    Returns:
        (N, C, H, W). Drawn one image after the other: how many come in one go does not matter.
    """
    make = _uniform_inside if inside else _uniform_on_boundary
    made = [make(images.shape[1:], norm, images.dtype, generator) for _ in images]
    return torch.stack(made).to(images.device)


def _uniform_on_boundary(
    shape: tuple[int, ...], norm: str, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    if norm == "linf":
        return torch.randint(0, 2, shape, generator=generator).to(dtype) * 2 - 1
    normal = torch.randn(shape, generator=generator, dtype=dtype)
    return normal / normal.norm()


def _uniform_inside(
    shape: tuple[int, ...], norm: str, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    if norm == "linf":
        return torch.rand(shape, generator=generator, dtype=dtype) * 2 - 1
    # Of a ball of n dimensions, the share r**n lies nearer than r.
    far = torch.rand((), generator=generator, dtype=torch.float64) ** (1 / math.prod(shape))
    return _uniform_on_boundary(shape, norm, dtype, generator) * far.to(dtype)


def check_unit_range(images: Tensor) -> None:
    """Refuse what cannot be attacked in [0, 1].

    Raises:
        ValueError: no images (N, C, H, W); a number that is not finite, or outside of [0, 1].
    """
    check_images(images)
    if not all_finite(images):
        raise ValueError("an image holds a number that is not finite (nan or inf)")
    low, high = images.detach().aminmax()
    if low < 0 or high > 1:
        raise ValueError(
            f"images to attack are in [0, 1], these go from {low:.3g} to {high:.3g}: divide by 255, or "
            "make the normalisation a layer of the model"
        )


def check_eps(eps: float | Tensor, images: Tensor, norm: str, *, what: str = "eps") -> Tensor:
    """One eps for each image, checked; or another size, which errors call by its name.

    Raises:
        LookupError: no such norm.
        ValueError: eps is no number from 0 on, not one for each image, or larger than any change there is.

    >>> check_eps(0.5, torch.zeros(2, 1, 4, 4), "linf")
    tensor([0.5000, 0.5000])
    """
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    try:
        # A number of Python's must not pass through float32 on its way to float64.
        sizes = torch.as_tensor(eps, dtype=images.dtype, device=images.device).detach()
        is_bool = isinstance(eps, bool | str) or isinstance(eps, Tensor) and eps.dtype == torch.bool
        is_valid = not is_bool and sizes.dim() < 2 and sizes.numel() in (1, len(images))
    except (TypeError, ValueError, RuntimeError):
        is_valid = False
    if not is_valid:
        given = tuple(eps.shape) if isinstance(eps, Tensor) else eps
        raise ValueError(f"{what} is a number, or (N,) of them for N = {len(images)} images, not {given!r}")
    if not bool((sizes >= 0).all()):
        raise ValueError(f"{what} is 0 or more, not {float(sizes.min())}")
    largest = 1.0 if norm == "linf" else math.prod(images.shape[1:]) ** 0.5
    if float(sizes.max()) > largest:
        raise ValueError(
            f"{what} is in units of images in [0, 1], as 8/255; {float(sizes.max()):g} is more than the "
            f"largest change there is, {largest:g} in {norm}"
        )
    return sizes.expand(len(images)).clone()


def generator(seed: int) -> torch.Generator:
    """Random numbers of one's own."""
    return torch.Generator().manual_seed(check_integer(seed, "seed is a whole number", -(2**63)))


def per_image(numbers: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1)"""
    return numbers.view(-1, 1, 1, 1)
