"""All methods on the same images, brought to the pixels, so that they can be laid side by side and tested.

Type: (model, images, target) -> name -> (N, 1, H, W), the colours added up. The settings are those of the
lectures: the same for all images, and modest, so that a table of eight methods takes seconds.
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods import saliency
from cnnlab.methods.attribution import Attribution
from cnnlab.methods.evaluation.maps import Explain
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.occlusion.occlusion import heatmap
from cnnlab.methods.targets import Target, check_images, resolve
from cnnlab.probing import Unit


def occlusion_maps(model: nn.Module, images: Tensor, target: Target, *, output: str = "logit") -> Attribution:
    """`occlusion.heatmap` of every image: windows of an eighth of each side, half over each other, in grey.

    Args:
        model, images, target, output: see `all_maps`; the target is one class for each image, or a unit.
    """
    resolved = resolve(model, images, target, output)
    if resolved.multi:
        raise ValueError("one class for each image, (N,), not several")
    window = tuple(min(side, max(2, side // 8)) for side in images.shape[2:])
    parts = [
        heatmap(
            model,
            images[k : k + 1],
            resolved.indices[k] if resolved.unit is None else resolved.unit,
            window=window,
            stride=tuple(max(1, side // 2) for side in window),
            fill=0.5,
            output=output,
        )
        for k in range(len(images))
    ]
    found = [torch.cat([getattr(part, name) for part in parts]) for name in ("map", "target", "score")]
    passes = Passes(forward=sum(part.passes.forward for part in parts))
    return Attribution(*found, None, passes, sum(part.seconds for part in parts))


# What a reader calls it -> (model, images, target, output=…) -> Attribution.
METHODS: dict[str, Callable[..., Attribution]] = {
    "gradient": saliency.gradient,
    "gradient x input": saliency.gradient_x_input,
    "integrated gradients": partial(saliency.integrated_gradients, steps=20),
    "integrated gradients, from grey": partial(saliency.integrated_gradients, steps=20, baseline=0.5),
    "SmoothGrad": partial(saliency.smoothgrad, samples=20),
    "guided backprop": saliency.guided_backprop,
    "Grad-CAM": saliency.grad_cam,
    "guided Grad-CAM": saliency.guided_grad_cam,
    "occlusion": occlusion_maps,
}


def all_maps(
    model: nn.Module, images: Tensor, target: Target, *, names: Iterable[str] = tuple(METHODS)
) -> dict[str, Tensor]:
    """The maps of several methods.

    Args:
        model: any network that all of these methods can explain; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        target: one for each image; see `targets`.
        names: of METHODS, in the order of the result.

    Returns:
        name -> (N, 1, H, W), signed and raw.

    Raises:
        LookupError: no such method. Anything that a method raises.
    """
    return {name: get_method(name)(model, images, target) for name in names}


def get_method(name: str) -> Explain:
    """A method as (model, images, target) -> (N, 1, H, W), on the pixels. Also with output=…, as `saliency`.

    Raises:
        LookupError: no such method.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)

    def explain(model: nn.Module, images: Tensor, target: Target, *, output: str = "logit") -> Tensor:
        return to_pixels(METHODS[name](model, images, target, output=output).map, model, images, target)

    return explain


def to_pixels(maps: Tensor, model: nn.Module, images: Tensor, target: Target | None = None) -> Tensor:
    """(N, C, H, W) or coarse (N, 1, h, w) -> (N, 1, H, W): colours added up, cells laid on what they see.

    Args:
        maps: signed; coarse ones on the grid of the last maps, or of the last before the layer of a Unit.
        model, images: that they explain.
        target: a Unit, if that was explained.
    """
    if not isinstance(maps, Tensor) or maps.dim() != 4:
        given = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(f"maps are (N, C, H, W), such as Attribution.map; not {given}")
    check_images(images)
    flat = maps.sum(dim=1, keepdim=True)
    if flat.shape[2:] == images.shape[2:]:
        return flat
    before = target.layer if isinstance(target, Unit) else None
    layer = saliency.last_feature_maps(model, images, before=before)
    return saliency.upsample_to_image(flat, model, layer, tuple(images.shape[2:]))
