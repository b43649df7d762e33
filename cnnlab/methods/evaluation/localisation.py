"""How much of a map lies where the truth is? On synthetic scenes we know it, pixel by pixel.

Type: (maps, masks) -> (N,), the share of the POSITIVE attribution that lies inside the mask. A map that knows
nothing gets the mask's share of the image, and the image itself taken for a map gets a little more: a
method that does not beat |input| has said nothing about the network. The pointing game (does the strongest
pixel lie inside?) is nearly always won, so it does not tell methods apart.

Papers: J. Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016 (the pointing game);
L. Arras et al., CLEVR-XAI, Information Fusion 2022 (the share, there "relevance mass accuracy").
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from cnnlab.methods.evaluation.maps import random_maps, sum_channels


def relevance_mass(maps: Tensor, masks: Tensor, *, empty: float | None = None) -> Tensor:
    """The part of each map's positive attribution that lies inside its mask.

    The channels of a pixel are added up first, with their signs; then what is below zero is left out.

    Args:
        maps: (N, C, H, W), signed, on the pixels.
        masks: (N, H, W) bool, as those of `shapes.scenes`.
        empty: what a map without a positive value counts as, for averages over many images; None refuses.

    Returns:
        (N,) float64 from 0 to 1.

    Raises:
        ValueError: shapes that do not fit, a number that is not finite, or a map without a positive value.
        TypeError: masks that are not bool.

    >>> maps = torch.tensor([[3.0, 1.0], [-9.0, 0.0]])[None, None]
    >>> relevance_mass(maps, torch.tensor([[[True, False]] * 2])).item()
    0.75
    """
    size = _size(masks)
    positive = sum_channels(maps, size).clamp(min=0)
    total = positive.sum(dim=(1, 2))
    if empty is None and not (total > 0).all():
        which = int((total <= 0).nonzero()[0])
        most = sum_channels(maps)[which].max().item()
        raise ValueError(
            f"map {which} has no positive value (its largest is {most:.3g}), so there is nothing to take a "
            "share of: nothing speaks for this class. Explain the class that the network says, or give empty="
        )
    inside = (positive * masks).sum(dim=(1, 2))
    return torch.where(total > 0, inside / total, 0.0 if empty is None else empty)


def mask_area(masks: Tensor) -> Tensor:
    """(N, H, W) -> (N,) the share of the image that a mask covers: the `relevance_mass` of noise.

    >>> mask_area(torch.tensor([[[True, False], [False, False]]])).tolist()
    [0.25]
    """
    _size(masks)
    return masks.double().mean(dim=(1, 2))


def chance_mass(masks: Tensor, *, draws: int = 20, seed: int = 0) -> Tensor:
    """The share of maps of noise, measured. It is near `mask_area`; how near says how sure one share is.

    Args:
        masks: (N, H, W) bool.
        draws: maps for each mask, over which the mean is taken.
        seed: of the noise.

    Returns:
        (N,) float64.
    """
    _size(masks)
    if draws < 1:
        raise ValueError(f"draws is 1 or more, not {draws}")
    found = [relevance_mass(random_maps(masks[:, None], seed=seed + k), masks) for k in range(draws)]
    return torch.stack(found).mean(dim=0)


def input_baseline(images: Tensor, masks: Tensor) -> Tensor:
    """(N, C, H, W), (N, H, W) -> (N,) the share of |input|: the image as a map, bright is positive."""
    return relevance_mass(images.abs(), masks, empty=0.0)


def table(
    maps: Mapping[str, Tensor], images: Tensor, masks: Tensor, *, empty: float | None = None, seed: int = 0
) -> dict[str, float]:
    """The mean share of several methods on the same scenes, after the two lines that they must beat.

    Args:
        maps: name -> (N, C, H, W), on the pixels.
        images: (N, C, H, W), what was explained.
        masks: (N, H, W) bool, the truth.
        empty: as in `relevance_mass`.
        seed: of the noise.

    Returns:
        "random", "|input|" and then each method -> the mean over all images, from 0 to 1.

    Raises:
        ValueError: as `relevance_mass`; the name of the method comes first.
    """
    found = {
        "random": chance_mass(masks, seed=seed).mean().item(),
        "|input|": input_baseline(images, masks).mean().item(),
    }
    for name, each in maps.items():
        if name in found:
            raise ValueError(f"{name!r} is the name of a line to compare with: call the method otherwise")
        try:
            found[name] = relevance_mass(each, masks, empty=empty).mean().item()
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from error
    return found


def _size(masks: Tensor) -> tuple[int, int, int]:
    """(N, H, W), after the masks were checked."""
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool:
        given = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise TypeError(f"masks are bool (N, H, W), not {given}: compare with a threshold")
    if masks.dim() != 3 or not masks.numel():
        raise ValueError(f"masks are (N, H, W), at least one; not {tuple(masks.shape)}")
    return tuple(masks.shape)
