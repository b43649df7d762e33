"""What a model answers to images, each as if it were alone: one pass, and how many may share it.

Type: (model, images) -> (P, K) logits, or the mean of a unit. The reference is always one image in a
pass, its memory in torch's usual layout. Channels last is faster, and a batch is; but some models answer
otherwise then: `x / x.max()` mixes the images, and with the channels last `h.view(-1, 400)` fails and
`h.flatten(1).relu_()` means something else. So both are tried before they are trusted.
"""

import torch
from torch import Tensor, nn

from cnnlab.probing import Recorder, Unit

LAYOUTS = (torch.channels_last, torch.contiguous_format)  # the faster one first
RANDOM = (
    "the model answers the same image differently every time, so there is nothing to explain: something in "
    "it is random in eval mode. F.dropout without training=self.training?"
)


def output(model: nn.Module, unit: Unit | None, images: Tensor) -> Tensor:
    """(P, C, H, W) -> (P, K)

    Args:
        images: a tensor that the model may write into, or a `RegionTensor`.

    Raises:
        ValueError: the model does not give (P, K).
    """
    if unit is None:
        logits = model(images)
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(images):
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            wanted = f"({len(images)}, classes)"
            raise ValueError(f"a class can be explained where a model gives {wanted}, not {given}")
        return logits.detach().clone()
    with Recorder(model, unit.layer, stop=True) as acts:
        model(images)
    maps = acts.calls(unit.layer)[0]
    if hasattr(maps, "patch_storage"):  # a RegionTensor: of the other channels nothing is needed
        maps, unit = maps[:, unit.channel : unit.channel + 1], unit._replace(channel=0)
    values = unit.activation(maps)
    return values.reshape(len(values), -1).mean(dim=1, keepdim=True)


def allclose_to_rounding(one: Tensor, other: Tensor) -> bool:
    """To rounding: half of the digits of this type. What is not finite must be equal, nan to nan."""
    finite = other.isfinite()
    room = torch.finfo(one.dtype).eps ** 0.5 * float(other[finite].abs().max()) if finite.any() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=room, equal_nan=True)


def shared_layout(
    model: nn.Module, unit: Unit | None, images: Tensor, alone: Tensor
) -> torch.memory_format | None:
    """The layout in which images can share a pass, each with the answer that it has alone; None: in no one.

    Args:
        images: (P, C, H, W), a few.
        alone: (P, K), the answer to each of them, alone in its pass.

    Raises:
        ValueError: the model is random.
    """
    other = images[:1] * 10 + 5  # an odd one: brighter and darker than any image
    other[..., ::2] *= -1
    for layout in LAYOUTS:
        try:
            found = output(model, unit, torch.cat([other, images]).contiguous(memory_format=layout))
        except Exception:  # noqa: BLE001, S112 of the model's own code: it does not take such a batch
            continue
        if allclose_to_rounding(found[1:], alone):
            return layout
    if not allclose_to_rounding(output(model, unit, images[:1].clone()), alone[:1]):
        raise ValueError(RANDOM)
    return None
