"""How much does each pixel of the receptive field count? Less and less from the middle to the edge.

Type: (model, images, layer) -> (h, w), the weight of every pixel of the field, together 1. The theoretical
field says which pixels CAN change a unit; this says how much they DO: the mean size of the gradient of the
unit in the middle of the map, over images and channels.
Paper: W. Luo et al., Understanding the effective receptive field in deep CNNs, NIPS 2016.
"""

import torch
from torch import Tensor, nn

from cnnlab.probing import Recorder, preserved, receptive


def effective_receptive_field(
    model: nn.Module, images: Tensor, layer: str, *, seed: int = 0, batch: int = 16
) -> Tensor:
    """The weight of every pixel of a layer's receptive field.

    The channels are added up with random signs, a new draw for each image, so one pass back serves all of
    them and none hides another.

    Args:
        model: any network; it runs in eval mode.
        images: (N, C, H, W), square, on which it is measured; large enough that the field of the unit in the
            middle lies inside.
        layer: with maps.
        seed: of the signs.
        batch: images per pass.

    Returns:
        (h, w), h and w the size of the field; zero or more, and the sum is 1.

    Raises:
        LookupError: the model has no such layer.
        ValueError: the field of the unit in the middle reaches beyond the image, or no gradient arrives.
    """
    if images.dim() != 4 or not len(images) or not images.isfinite().all():
        raise ValueError(f"images are (N, C, H, W), one or more, all finite, not {tuple(images.shape)}")
    seen = receptive.field(model, layer, tuple(images.shape[2:]))
    row, col = (n // 2 for n in seen.grid)
    box = seen.rectangle(row, col, clip=False)
    if box.top < 0 or box.left < 0 or box.bottom > seen.image_size[0] or box.right > seen.image_size[1]:
        raise ValueError(
            f"{layer} sees {seen.size[0]}x{seen.size[1]} pixels, which do not fit into images of "
            f"{seen.image_size[0]}x{seen.image_size[1]}: take larger images or an earlier layer"
        )
    generator = torch.Generator().manual_seed(seed)
    with preserved(model, grad=True):
        total = torch.zeros(seen.image_size, dtype=torch.float64)
        for part in images.split(batch):
            leaf = part.detach().clone().requires_grad_()
            with Recorder(model, layer, stop=True, grad=True) as acts:
                model(leaf.clone())  # a first layer that works in place must not touch the leaf
            middle = acts[layer][:, :, row, col]  # (N, C)
            signs = torch.randint(2, middle.shape, generator=generator).to(middle) * 2 - 1
            (gradient,) = torch.autograd.grad((middle * signs).sum(), leaf)
            total += gradient.abs().sum(dim=(0, 1)).double().cpu()
    if not total.isfinite().all():
        raise ValueError(f"the gradient of {layer} is not finite: look at the weights")
    if not total.sum() > 0:
        raise ValueError(f"no gradient arrives from {layer}: its middle is silent on all of these images")
    weights = total[box.top : box.bottom, box.left : box.right]
    return (weights / weights.sum()).float()


def central_mass(weights: Tensor, side: float = 0.5) -> float:
    """How much of the weight lies in the middle of the field.

    Args:
        weights: what `effective_receptive_field` returns.
        side: of the square in the middle, as a part of the field's side; its area is side * side.

    Returns:
        From 0 to 1. A field that counts all its pixels alike has about side * side.

    >>> central_mass(torch.full((4, 4), 1 / 16))
    0.25
    """
    if not 0 < side <= 1:
        raise ValueError(f"side is a part of the whole, above 0 up to 1, not {side}")
    # Pixels that the border of the square cuts through count by the part that lies inside.
    parts = []
    for n in weights.shape:
        edge = torch.arange(n + 1, dtype=torch.float64).clamp(n * (1 - side) / 2, n * (1 + side) / 2)
        parts.append(edge.diff())
    inside = weights.double() * parts[0][:, None] * parts[1]
    return (inside.sum() / weights.double().sum()).item()
