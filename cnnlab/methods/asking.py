"""May a model be asked in this way, and how many pictures at a time?

Type: with passing(model, images): model(images) says in words why a pass fails, and refuses a model that
draws lots. sharing(model, …) -> how many pictures may share a pass: as many as asked for, or one where the
answer to a picture depends on the others, which would give a wrong map without a word.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import index

import torch
from torch import Tensor, nn

from cnnlab.methods.watch import Watch
from cnnlab.probing import undisturbed

_FEW = 32  # numbers that Python looks at as fast as torch does


@contextmanager
def passing(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Around a pass of the model.

    Raises:
        ValueError: the pictures do not fit the first layer, the weights allow no way back, or the model draws
            random numbers in eval mode, so that each pass would give another map.
    """
    drawn = _lots()
    try:
        yield
    except RuntimeError as error:
        if "nference tensor" in str(error):
            raise ValueError(
                "weights that were made in torch.inference_mode() cannot be explained: make the model outside"
            ) from error
        _name_misfit(model, images, error)
        raise
    if _lots() != drawn:
        raise ValueError(
            "the model draws random numbers in eval mode, so its answer is another one each time: is there "
            "an F.dropout without training=self.training?"
        )


def sharing(
    model: nn.Module, images: Tensor, answer: Callable[[Tensor], object], *, batch: int, count: int
) -> int:
    """How many pictures may share a pass: `batch`, or 1.

    A calm, dark copy of the first picture is asked alone, and beside one with far brighter and far darker
    pixels: whatever is taken over a whole batch (its largest pixel, its mean, is any above 0.9?) is another
    there. One pass of one picture and one of two; none, if every pass has one picture anyway.

    Args:
        model: whose passes they are.
        images: (N, C, H, W), checked.
        answer: (P, C, H, W) -> what the model makes of them; a row for each.
        batch: asked for.
        count: pictures to go through the model.

    Raises:
        ValueError: a batch below 1, or a model that answers another way each time.
    """
    batch = whole(batch, "a pass takes 1 picture or more")
    if min(batch, count) == 1:
        return batch
    calm = 0.03 + 0.05 * images[:1].detach()
    wild = 80 * torch.arange(calm.numel(), device=calm.device).remainder(2).view(calm.shape) - 20 + calm
    with undisturbed(model, grad=False):
        with Watch() as watch:
            alone = answer(calm.clone())
        if watch.asked:  # if x.max() > 0.9: …, which may be decided by another picture
            return 1
        try:
            beside = answer(torch.cat([wild, calm]))
        except Exception:  # whatever it is: it is made for one picture, and is asked for one
            return 1
        if not isinstance(alone, Tensor) or _same(alone, beside):
            return batch
        if not _same(alone, answer(calm.clone())):
            raise ValueError(
                "the model answers another way each time: something in it is random in eval mode"
            )
    return 1


def whole(value: object, wanted: str, least: int = 1) -> int:
    """A whole number, of Python or numpy or a tensor.

    >>> whole(True, "steps is a whole number, 1 or more")
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


def finite(numbers: Tensor) -> bool:
    """Is none of these real numbers infinite or nan? Many by their sum, which is quick, if that is finite."""
    if numbers.numel() < _FEW:
        return all(map(math.isfinite, numbers.flatten().tolist()))
    total = float(numbers.detach().sum())
    return total - total == 0 or bool(numbers.isfinite().all())


def distributions(probabilities: Tensor) -> Tensor:
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


def _same(alone: Tensor, other: object) -> bool:
    """Is the last row of the other that of the picture alone, to rounding?"""
    if not isinstance(other, Tensor) or other.shape[1:] != alone.shape[1:]:
        return False
    one, other = alone[-1], other[-1]
    size = one[one.isfinite()].abs().amax() if one.isfinite().any() else torch.zeros(())
    near = torch.finfo(one.dtype).eps ** 0.5 * float(size)
    return bool(torch.allclose(other, one, rtol=0, atol=near, equal_nan=True))


def _lots() -> bytes:
    """The state of the random numbers; unseen by a Watch, which asks what the model does."""
    with torch._C.DisableTorchFunction():
        return torch.get_rng_state().numpy().tobytes()


def _name_misfit(model: nn.Module, images: Tensor, error: Exception) -> None:
    for name, part in model.named_modules():
        if isinstance(part, nn.Conv2d):
            if part.in_channels != images.shape[1] or part.weight.dtype != images.dtype:
                raise ValueError(
                    f"pictures {tuple(images.shape)} of {images.dtype} do not fit {name or 'the model'!r}, "
                    f"the first convolution, which takes {part.in_channels} channels of {part.weight.dtype}"
                ) from error
            return
