"""Integrated gradients: the gradients on the way from a baseline to the image, added up, give the score.

Type: (model, images, target, baseline) -> Attribution whose sum is f(x) - f(x'). The gradient at the image
alone may be zero where a unit is saturated; on the way there it was not. With x_a = x' + a (x - x'):

    map = (x - x') * mean over a from 0 to 1 of the gradient at x_a

Paper: Sundararajan, Taly & Yan, Axiomatic attribution for deep networks, ICML 2017.
"""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.attribution import (
    Attribution,
    Progress,
    collect,
    scores,
    scores_and_gradients,
    weighted_mean,
)
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import Target, resolve
from cnnlab.probing.memory_format import frozen_for_many_passes
from cnnlab.validation import check_integer

RULES = ("midpoint", "gauss-legendre")
Baseline = float | Sequence[float] | Tensor


class Path(NamedTuple):
    """What happens on the way from the baseline to the image. Of (N, T) targets (N, T, K), not (N, K).

    Attributes:
        at: (K,) from 0, the baseline, to 1, the image.
        scores: (N, K) f at these points.
        gradients: (N, K) how fast f rises there, for one whole way.
        sizes: (N, K) the mean size of the gradient, over pixels and channels; near zero: saturated.
        sums: (N, K) the gradients added up so far (trapezoids), from 0: what scores - f(x') should be.
    """

    at: Tensor
    scores: Tensor
    gradients: Tensor
    sizes: Tensor
    sums: Tensor


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.0,
    steps: int = 50,
    rule: str = "midpoint",
    output: str = "logit",
    batch: int = 16,
    progress: Progress | None = None,
) -> Attribution:
    """The gradients along the straight way from a baseline to the image, times the way.

    A pixel that is as in the baseline gets nothing, whatever the network makes of it. So the baseline is a
    part of the question: "compared to what?"

    Args:
        model: any network; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        target: see `targets`.
        baseline: a grey value, a colour (C,), an image (C, H, W), or images (1 or N, C, H, W).
        steps: points on the way.
        rule: "midpoint" of equal steps, or "gauss-legendre": exact for smooth gradients with fewer points.
        output: "logit" or "probability".
        batch: points per pass, over all images. The memory depends on it alone, not on `steps`.
        progress: called with (points done, all points) after each pass. True stops: the points are taken in
            an order that spreads them over the way, so a rough answer remains. `gap` says how rough.

    Returns:
        Attribution with a map (N, C, H, W) and the reference f(x'). `gap` is what is missing to completeness.

    Raises:
        LookupError, ValueError: as `gradient`; no such rule, or a baseline of a wrong shape or not finite.
    """
    began = time.perf_counter()
    resolved = resolve(model, images, target, output)
    points, weights = _points(rule, steps)
    spread = torch.arange(len(points)).mul(0.6180339887).remainder(1).argsort()  # any first few lie evenly
    points, weights = points[spread], weights[spread]
    base = baseline_images(images, baseline)
    forward = backward = 0

    def at(image: Tensor, point: Tensor) -> Tensor:
        nonlocal forward, backward
        resolved_here = resolved.rows(image)
        _, down, _ = scores_and_gradients(model, _between(base, images, image, points[point]), resolved_here)
        forward, backward = forward + len(image), backward + resolved_here.indices.numel()
        return down

    batch = resolved.independent_batch_size(model, images, batch, len(images) * len(points))
    with frozen_for_many_passes(model, images, batch):
        ends = scores(model, torch.cat([base, images.detach()]), resolved.rows(_twice(images)), batch)
        reference, score = ends.chunk(2)
        maps = weighted_mean(len(images), weights, at, batch=batch, progress=progress)
    maps *= (images.detach() - base)[:, None]
    return collect(resolved, maps, score, reference, Passes(forward + 2 * len(images), backward), began)


def path(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    baseline: Baseline = 0.0,
    steps: int = 50,
    output: str = "logit",
    batch: int = 16,
) -> Path:
    """Scores and gradients on the way from the baseline to the image, at steps + 1 points.

    Args, Raises: as `integrated_gradients`.

    Returns:
        Path.
    """
    resolved = resolve(model, images, target, output)
    steps = check_integer(steps, "steps is a whole number, 1 or more")
    base = baseline_images(images, baseline)
    at = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    way = (images.detach() - base)[:, None]
    batch = resolved.independent_batch_size(model, images, batch, len(images) * len(at))
    found = []
    everything = torch.arange(len(images) * len(at))
    for rows in everything.split(batch):
        image, point = rows // len(at), rows % len(at)
        values, down, _ = scores_and_gradients(
            model, _between(base, images, image, at[point]), resolved.rows(image)
        )
        each = (values, (down * way[image]).sum(dim=(2, 3, 4)), down.abs().mean(dim=(2, 3, 4)))
        found.append(torch.stack(each))  # (3, B, T)
    together = torch.cat(found, dim=1).unflatten(1, (len(images), len(at))).transpose(2, 3)  # (3, N, T, K)
    values, rises, sizes = together if resolved.multi else together.squeeze(2)
    trapezoids = (rises[..., 1:] + rises[..., :-1]) / (2 * steps)
    sums = torch.cat([torch.zeros_like(rises[..., :1]), trapezoids.cumsum(dim=-1)], dim=-1)
    return Path(at.to(values), values, rises, sizes, sums)


def baseline_images(images: Tensor, baseline: Baseline) -> Tensor:
    """The baseline of each image, (N, C, H, W); a view of one where they share it.

    >>> baseline_images(torch.rand(2, 3, 4, 4), (0.5, 0.0, 1.0))[1, :, 0, 0]
    tensor([0.5000, 0.0000, 1.0000])
    """
    try:
        given = torch.as_tensor(baseline, dtype=images.dtype, device=images.device).detach()
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"a baseline is a number, a colour or images, not {type(baseline).__name__}"
        ) from error
    known = [(), tuple(images.shape[1:2]), tuple(images.shape[1:]), (1, *images.shape[1:]), images.shape]
    if tuple(given.shape) not in known:
        raise ValueError(
            f"a baseline is a number, a colour ({images.shape[1]},), an image {known[2]} or images "
            f"{tuple(images.shape)}; not {tuple(given.shape)}"
        )
    if not given.isfinite().all():
        raise ValueError("the baseline holds a number that is not finite (nan or inf)")
    return (given[:, None, None] if given.dim() == 1 else given).expand_as(images)


def _points(rule: str, steps: int) -> tuple[Tensor, Tensor]:
    """Where on the way from 0 to 1, and with what weights; these add up to 1."""
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    steps = check_integer(steps, "steps is a whole number, 1 or more")
    if rule == "gauss-legendre":
        return _gauss_legendre(steps)
    points = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    return points, torch.full_like(points, 1 / steps)


@lru_cache(maxsize=32)
def _gauss_legendre(steps: int) -> tuple[Tensor, Tensor]:
    points, weights = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(steps))
    return (points + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]


def _between(base: Tensor, images: Tensor, image: Tensor, at: Tensor) -> Tensor:
    first, last = base[image], images.detach()[image]
    return first + at.to(first).view(-1, 1, 1, 1) * (last - first)


def _twice(images: Tensor) -> Tensor:
    return torch.arange(len(images)).repeat(2)
