"""What a map says of each pixel, as one signed number: what every test of a map looks at.

Type: maps (N, C, H, W) -> (N, H, W). The channels are added up with their signs. A pixel whose red speaks for
the class and whose green speaks as much against it says nothing, and the sum over the image stays what the
method promised (for a complete method f(x) - f(x')).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cnnlab.methods.attribution import Attribution
from cnnlab.methods.targets import Target
from cnnlab.probing import preserved

# (model, images, target) -> maps: any method of saliency or occlusion, or your own.
Explain = Callable[[nn.Module, Tensor, Target], Tensor | Attribution]


def sum_channels(maps: Tensor, size: tuple[int, ...] | None = None) -> Tensor:
    """One signed number for each pixel, checked.

    Args:
        maps: (N, C, H, W), signed, with any number of channels.
        size: (N, H, W) that is wanted; None takes maps of any size.

    Returns:
        (N, H, W) in float64, so that a sum over thousands of pixels has no rounding worth a word.

    Raises:
        TypeError: something other than maps of floating point.
        ValueError: another shape, or a number that is not finite.

    >>> sum_channels(torch.tensor([0.5, -2.0, 1.0]).view(1, 3, 1, 1)).tolist()
    [[[-0.5]]]
    """
    if isinstance(maps, Attribution):
        raise TypeError("an Attribution was given where maps are wanted: hand over its .map")
    if not isinstance(maps, Tensor) or not maps.is_floating_point():
        given = maps.dtype if isinstance(maps, Tensor) else type(maps).__name__
        raise TypeError(f"maps are floating point numbers (N, C, H, W), not {given}")
    if maps.dim() != 4 or not maps.numel():
        raise ValueError(f"maps are (N, C, H, W), at least one; not {tuple(maps.shape)}")
    if size is not None and maps.shape[-2:] != size[-2:]:
        (rows, columns), (height, width) = maps.shape[-2:], size[-2:]
        raise ValueError(
            f"maps of {rows}x{columns} for images of {height}x{width}: bring them to the pixels first, as "
            "with saliency.upsample_to_image"
        )
    if size is not None and len(maps) != size[0]:
        raise ValueError(f"one map for each of {size[0]} images, not {len(maps)}")
    if not maps.isfinite().all():
        raise ValueError(
            "a map holds a number that is not finite (nan or inf): something was divided by zero"
        )
    return maps.detach().double().sum(dim=1)  # (N, C, H, W) -> (N, H, W)


def explain_with(explain: Explain, model: nn.Module, images: Tensor, target: Target) -> Tensor:
    """Ask a method for its maps, whether it answers with a tensor or with an Attribution.

    It finds the model in eval mode and gradients switched on; modes and random numbers come back after it.

    Raises:
        TypeError, ValueError: it answers with something other than one map for each image.
    """
    if not callable(explain):
        raise TypeError(f"a method is a function (model, images, target) -> maps, not {explain!r}")
    with preserved(model, grad=True):
        answer = explain(model, images, target)
    maps = answer.map if isinstance(answer, Attribution) else answer
    if isinstance(maps, Tensor) and maps.shape[:1] != images.shape[:1]:
        raise ValueError(f"{len(images)} images were given, but the method answered {tuple(maps.shape)}")
    sum_channels(maps)  # refuses all the rest
    return maps.detach()


def random_maps(images: Tensor, *, seed: int = 0) -> Tensor:
    """Maps that know nothing: noise around zero, the line that every method has to beat.

    Args:
        images: (N, C, H, W), only for their shape.
        seed: other numbers give other noise; the global random state is left alone.

    Returns:
        (N, 1, H, W) float32, both signs equally often.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(images), 1, *images.shape[-2:], generator=generator).to(images.device)
