"""How a model is run for a method: guarded passes, images that may share a pass, batches, gradients.

Type: with guarded_forward(model, images): model(images) says in words why a pass fails, and refuses a model
that is random in eval mode. independent_batch_size(model, …) -> how many images may share a pass: as many as
asked for, or one where the output for an image depends on the others, which would silently give a wrong map.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cnnlab.probing import preserved
from cnnlab.validation import all_finite, check_integer


class Passes(NamedTuple):
    """How often images went through the network; ten images in one batch are ten.

    Attributes:
        forward, backward: times one image.
    """

    forward: int = 0
    backward: int = 0

    def __str__(self) -> str:
        return f"{self.forward} forward, {self.backward} backward"


@contextmanager
def guarded_forward(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Around a pass of the model.

    Raises:
        ValueError: the images do not fit the first layer, the weights allow no way back, or the model draws
            random numbers in eval mode, so that each pass would give another map.
    """
    rng_state = _rng_state()
    try:
        yield
    except RuntimeError as error:
        if "nference tensor" in str(error):
            raise ValueError(
                "weights that were made in torch.inference_mode() cannot be explained: make the model outside"
            ) from error
        _name_misfit(model, images, error)
        raise
    if _rng_state() != rng_state:
        raise ValueError(
            "the model draws random numbers in eval mode, so its answer is another one each time: is there "
            "an F.dropout without training=self.training?"
        )


def independent_batch_size(
    model: nn.Module, images: Tensor, answer: Callable[[Tensor], object], *, batch: int, count: int
) -> int:
    """How many images may share a pass: `batch`, or 1.

    A calm, dark copy of the first image is asked alone, and beside one with far brighter and far darker
    pixels: whatever is taken over a whole batch (its largest pixel, its mean, is any above 0.9?) is another
    there. One pass of one image and one of two; none, if every pass has one image anyway.

    Args:
        model: whose passes they are.
        images: (N, C, H, W), checked.
        answer: (P, C, H, W) -> what the model makes of them; a row for each.
        batch: asked for.
        count: images to go through the model.

    Raises:
        ValueError: a batch below 1, or a model that answers another way each time.
    """
    batch = check_integer(batch, "a pass takes 1 image or more")
    if min(batch, count) == 1:
        return batch
    probe = 0.03 + 0.05 * images[:1].detach()
    contrast = (
        80 * torch.arange(probe.numel(), device=probe.device).remainder(2).view(probe.shape) - 20 + probe
    )
    with preserved(model, grad=False):
        with ValueReads() as reads:
            alone = answer(probe.clone())
        if reads.reads_values:  # if x.max() > 0.9: …, which may be decided by another image
            return 1
        try:
            paired = answer(torch.cat([contrast, probe]))
        except Exception:  # whatever it is: it is made for one image, and is asked for one
            return 1
        if not isinstance(alone, Tensor) or _same(alone, paired):
            return batch
        if not _same(alone, answer(probe.clone())):
            raise ValueError(
                "the model answers another way each time: something in it is random in eval mode"
            )
    return 1


def _same(alone: Tensor, other: object) -> bool:
    """Is the last row of the other that of the image alone, to rounding?"""
    if not isinstance(other, Tensor) or other.shape[1:] != alone.shape[1:]:
        return False
    one, other = alone[-1], other[-1]
    size = one[one.isfinite()].abs().amax() if one.isfinite().any() else torch.zeros(())
    near = torch.finfo(one.dtype).eps ** 0.5 * float(size)
    return bool(torch.allclose(other, one, rtol=0, atol=near, equal_nan=True))


def _rng_state() -> bytes:
    """The state of the random numbers; unseen by a Watch, which asks what the model does."""
    with torch._C.DisableTorchFunction():
        return torch.get_rng_state().numpy().tobytes()


def _name_misfit(model: nn.Module, images: Tensor, error: Exception) -> None:
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d):
            if part.in_channels != images.shape[1] or part.weight.dtype != images.dtype:
                raise ValueError(
                    f"images {tuple(images.shape)} of {images.dtype} do not fit {name or 'the model'!r}, "
                    f"the first convolution, which takes {part.in_channels} channels of {part.weight.dtype}"
                ) from error
            return


def input_gradients(scores: Tensor, source: Tensor) -> list[Tensor]:
    """The gradient of each of (B, T) scores: T tensors of the shape of their source. Ends at the source.

    Raises:
        ValueError: the scores do not depend on the source, or a gradient is not finite.
    """
    found = []
    for t in range(scores.shape[1]):
        down = None
        if scores.requires_grad:
            later = t + 1 < scores.shape[1]
            (down,) = torch.autograd.grad(scores[:, t].sum(), source, retain_graph=later, allow_unused=True)
        if down is None:
            raise ValueError(
                "the score does not depend on the image by operations that a gradient can go back through"
            )
        if not all_finite(down):
            raise ValueError("the gradient is not finite (nan or inf): look at the weights")
        found.append(down.contiguous())
    return found


def batches(images: Tensor, batch: int) -> Iterator[slice]:
    """Rows of so many images at a time."""
    batch = check_integer(batch, "a pass takes 1 image or more")
    return (slice(first, first + batch) for first in range(0, len(images), batch))


class ValueReads(TorchFunctionMode):
    """Inside the block, does a pass read numbers out of its tensors to decide how to go on?

    Such a model cannot run several images together: there may be one decision for all.

    Attributes:
        reads_values: the first function by which a number left the tensors (`if x.sum() > 0:`), or "".
    """

    def __init__(self):
        super().__init__()
        self.reads_values = ""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        output = func(*args, **(kwargs or {}))
        if func in _READS:
            self.reads_values = self.reads_values or func.__name__
        return output


_READS = {
    getattr(home, name)
    for name in (
        "__bool__ __int__ __float__ __complex__ __index__ __contains__ __array__ __dlpack__ "
        "item tolist numpy equal allclose is_nonzero"
    ).split()
    for home in (torch, Tensor)
    if hasattr(home, name)
}
