"""Take the important pixels away, and the class should go: deletion and insertion curves.

Type: (model, images, target, maps) -> Curve: the score while pixels are replaced in falling order of their
attribution. Deletion starts with the image and ends with the fill; a good map makes it fall early, so the
area under it is small. Insertion starts with the fill; there a large area is good. Both ask the network about
images that it has never seen, so read them against `maps.random_maps`, never alone.

Papers: V. Petsiuk, A. Das & K. Saenko, RISE, BMVC 2018; W. Samek et al., Evaluating the visualization of what
a deep neural network has learned, IEEE TNNLS 2017 (deletion is called "region perturbation" there).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.methods import targets
from cnnlab.methods.evaluation.maps import sum_channels
from cnnlab.nets import kernels
from cnnlab.probing import preserved
from cnnlab.validation import check_integer


class Curve(NamedTuple):
    """Scores along the way; N images, S steps.

    Attributes:
        fractions: (S + 1,) the share of the pixels that was deleted, or inserted, from 0 to 1.
        scores: (N, S + 1) the probability or the logit.
    """

    fractions: Tensor
    scores: Tensor

    @property
    def area(self) -> Tensor:
        """(N,) the area under each curve, by trapezoids: the mean score along the way."""
        return torch.trapezoid(self.scores, self.fractions.to(self.scores), dim=1)


def deletion(
    model: nn.Module,
    images: Tensor,
    target: targets.Target,
    maps: Tensor,
    *,
    output: str = "probability",
    fill: float | Tensor = 0.5,
    steps: int = 32,
    batch: int = 64,
) -> Curve:
    """The score while the strongest pixels are replaced first.

    Pixels with the same attribution, as in the blocks of a coarse map, go in reading order.

    Args:
        model: any network; it runs in eval mode.
        images: (N, C, H, W).
        target: one class or unit for each image; see `cnnlab.methods.targets`.
        maps: (N, C, H, W), signed, on the pixels; the channels are added up, negative pixels come last.
        output: "probability" or "logit"; a unit has only its activation, "logit".
        fill: what takes a pixel's place: a number, a colour (C,), or images (N, C, H, W), as `blurred`.
        steps: between none and all of the pixels.
        batch: images per pass.

    Raises:
        ValueError: maps, fill or steps that do not fit the images, or several classes for one image.
        LookupError, TypeError: a wrong target.
    """
    return _walk(model, images, target, maps, output, fill, steps, batch, insert=False)


def insertion(
    model: nn.Module,
    images: Tensor,
    target: targets.Target,
    maps: Tensor,
    *,
    output: str = "probability",
    fill: float | Tensor | None = None,
    steps: int = 32,
    batch: int = 64,
) -> Curve:
    """The score while the strongest pixels are put into the fill first.

    Without ties the curve is that of `deletion` with the sign of the maps and the way turned round.

    Args:
        fill: None is the image, `blurred`: on a plain ground single pixels are shapes of their own, and on
            scenes noise then beats every map. All else as in `deletion`.
    """
    given = blurred(images) if fill is None and isinstance(images, Tensor) and images.dim() == 4 else fill
    return _walk(model, images, target, maps, output, given, steps, batch, insert=True)


def blurred(images: Tensor, *, sigma: float = 5.0) -> Tensor:
    """(N, C, H, W) -> like images, smoothed: a fill without edges, that keeps the colours.

    Args:
        images: at least one pixel wide.
        sigma: of the bell curve, in pixels, above 0. Beyond the border the outermost pixels go on.
    """
    targets.check_images(images)
    bell = kernels.gaussian(sigma).sum(dim=0).to(images)  # (K, K), a bell times a bell -> (K,)
    reach, channels = len(bell) // 2, images.shape[1]
    across = bell.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    padded = F.pad(images.detach(), [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, across, groups=channels), across.transpose(2, 3), groups=channels)


def _walk(model, images, target, maps, output, fill, steps, batch, *, insert: bool) -> Curve:
    resolved = targets.resolve(model, images, target, output)
    if resolved.multi:
        raise ValueError("a curve follows one class for each image: give (N,) class numbers")
    n, pixels = len(images), images.shape[2] * images.shape[3]
    values = sum_channels(maps, (n, *images.shape[2:])).flatten(1)  # (N, P)
    steps = check_integer(steps, said := f"steps are 1 to {pixels}, the number of pixels")
    if steps > pixels:
        raise ValueError(f"{said}, not {steps}")
    other = _as_images(fill, images)
    # The position of each pixel in the order; a stable sort keeps equals in reading order.
    position = values.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    position = position.view(n, 1, *images.shape[2:]).to(images.device)
    counts = torch.tensor([round(step * pixels / steps) for step in range(steps + 1)])
    scores = []
    batch = resolved.independent_batch_size(model, images, batch, n * (steps + 1))
    with preserved(model, grad=False):
        own = images.detach()
        every = torch.arange(n * (steps + 1))
        for part in every.split(batch):
            rows, taken = part // (steps + 1), counts[part % (steps + 1)]
            gone = position[rows] < taken.view(-1, 1, 1, 1).to(position.device)  # (B, 1, H, W)
            changed = torch.where(gone != insert, other[rows], own[rows])
            scores.append(resolved.rows(rows).scores(model, changed.contiguous())[:, 0])
    return Curve(counts / pixels, torch.cat(scores).view(n, steps + 1))


def _as_images(fill: float | Tensor, images: Tensor) -> Tensor:
    """The fill as (N, C, H, W)."""
    try:
        value = torch.as_tensor(fill, dtype=images.dtype, device=images.device).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"a fill is a number, a colour or images, not {fill!r}") from error
    if not value.isfinite().all():
        raise ValueError("the fill holds a number that is not finite (nan or inf)")
    if value.dim() == 1 and len(value) == images.shape[1]:
        value = value.view(1, -1, 1, 1)
    elif value.dim() and value.shape not in (images.shape, (1, *images.shape[1:]), images.shape[1:]):
        raise ValueError(
            f"the fill is a number, a colour ({images.shape[1]},) or images {tuple(images.shape)}, not "
            f"{tuple(value.shape)}"
        )
    return value.expand_as(images)
