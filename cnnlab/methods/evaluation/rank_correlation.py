"""Do two maps put the pixels in the same order? Spearman's rank correlation, for each image.

Type: (maps, maps) -> (N,): 1 the same order, 0 nothing in common, -1 the reverse. Ranks, since a map has no
unit: twice the gradient is the same explanation. Equal pixels share the mean of their ranks.
Paper: C. Spearman, The proof and measurement of association between two things, 1904.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from cnnlab.methods.evaluation.maps import sum_channels


def spearman(one: Tensor, other: Tensor, *, absolute: bool = False, constant: float | None = None) -> Tensor:
    """The rank correlation of two maps of the same image, over its pixels.

    Args:
        one, other: (N, C, H, W), signed; C may differ, for the channels are added up first.
        absolute: by how much a pixel matters, not for or against.
        constant: what counts where a map has one value everywhere, so no order; None refuses.

    Returns:
        (N,) float64 from -1 to 1.

    Raises:
        ValueError: maps of different size, a number that is not finite, or a map with one value everywhere.

    >>> a = torch.tensor([1.0, 2, 3, 4]).view(1, 1, 2, 2)
    >>> spearman(a, a**3).item(), spearman(a, -a).item(), spearman(a, -a, absolute=True).item()
    (1.0, -1.0, 1.0)
    """
    first = sum_channels(one)
    second = sum_channels(other, first.shape)
    return (
        (_standard(first, absolute, constant) * _standard(second, absolute, constant))
        .sum(dim=1)
        .where(~(_flat(first, absolute) | _flat(second, absolute)), constant if constant is not None else 0.0)
    )


def spearman_matrix(
    maps: Mapping[str, Tensor], *, absolute: bool = False, constant: float | None = None
) -> Tensor:
    """How much all methods agree with one another.

    Args:
        maps: name -> (N, C, H, W), of the same images and the same size.
        absolute, constant: as in `spearman`.

    Returns:
        (M, M) float64 in the order of the names, the mean over the images; ones on the diagonal.

    Raises:
        ValueError: as `spearman`, with the name of the method first; or no maps at all.
    """
    if not maps:
        raise ValueError("a table needs the maps of at least one method")
    size, rows, flat = None, [], []
    for name, each in maps.items():
        try:
            found = sum_channels(each, size)
            rows.append(_standard(found, absolute, constant))
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from error
        size = size or tuple(found.shape)
        flat.append(_flat(found, absolute))
    every = torch.stack(rows, dim=1)  # (N, M, P)
    agree = every @ every.transpose(1, 2)  # (N, M, M)
    if constant is not None:
        no_order = torch.stack(flat, dim=1)  # (N, M)
        agree = torch.where(no_order[:, :, None] | no_order[:, None, :], constant, agree)
    return agree.mean(dim=0).fill_diagonal_(1.0)


def ranks(values: Tensor) -> Tensor:
    """(N, P) -> (N, P) the rank of each value in its row, from 1; equal values share the mean of their ranks.

    >>> ranks(torch.tensor([[0.3, 0.1, 0.3, 0.9]])).tolist()
    [[2.5, 1.0, 2.5, 4.0]]
    """
    values = values.contiguous()
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values)  # how many are smaller
    up_to = torch.searchsorted(ordered, values, right=True)  # how many are not larger
    return (below + up_to + 1).double() / 2


def _standard(pixels: Tensor, absolute: bool, constant: float | None) -> Tensor:
    """(N, H, W) -> (N, P) ranks with mean 0 and length 1, so that a product of two is their correlation."""
    flat = _flat(pixels, absolute)
    if constant is None and flat.any():
        which = int(flat.nonzero()[0])
        value = pixels[which].flatten()[0].item()
        raise ValueError(
            f"map {which} is {value:.3g} everywhere, so its pixels have no order to compare; give constant= "
            "to say what counts then"
        )
    found = ranks((pixels.abs() if absolute else pixels).flatten(1))
    found = found - found.mean(dim=1, keepdim=True)
    return found / found.norm(dim=1, keepdim=True).clamp(min=1e-300)


def _flat(pixels: Tensor, absolute: bool) -> Tensor:
    """(N, H, W) -> (N,) bool: one value everywhere."""
    values = (pixels.abs() if absolute else pixels).flatten(1)
    return values.amax(dim=1) == values.amin(dim=1)
