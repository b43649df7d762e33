"""SmoothGrad: the mean of a map over noisy copies of the image.

Type: (model, images, target, method) -> Attribution. A network of ReLUs is a patchwork of flat pieces, and
its gradient jumps from piece to piece; the mean over a neighbourhood is the gradient of a network that is
smooth.
Paper: Smilkov et al., SmoothGrad: removing noise by adding noise, 2017.
"""

import inspect
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from cnnlab.methods.attribution import (
    Attribution,
    Progress,
    collect,
    scores,
    scores_and_gradients,
    weighted_mean,
)
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.saliency.gradient import gradient
from cnnlab.methods.targets import Target, resolve
from cnnlab.probing.memory_format import frozen_for_many_passes
from cnnlab.validation import check_integer

Method = Callable[..., Attribution]


def smoothgrad(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    method: Method = gradient,
    sigma: float = 0.15,
    samples: int = 25,
    seed: int = 0,
    output: str = "logit",
    batch: int = 16,
    progress: Progress | None = None,
) -> Attribution:
    """The mean of a method's maps over images to which normal noise was added.

    The noisy images are not cut off at 0 and 1, and the maps keep their signs.

    Args:
        model: any network; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        target: see `targets`.
        method: (model, images, target, output=…) -> Attribution, such as `gradient` or `guided_backprop`. To
            give it options, use functools.partial.
        sigma: the noise's standard deviation, where 1 is the way from black to white.
        samples: noisy copies of each image.
        seed: of the noise. All images get the same noise, so each map is as if asked for alone.
        output: "logit" or "probability".
        batch: noisy images per call of the method, whose own `batch` may split them further.
        progress: called with (samples done, all samples) after each pass. True stops: the mean is over the
            samples so far.

    Returns:
        Attribution with a map like the method's. Its score is that of the image without noise. There is no
        reference: completeness, where the method has it, holds for each noisy image only.

    Raises:
        LookupError, ValueError: as the method, and for sigma below 0 or less than one sample.
        TypeError: something other than a method.
    """
    began = time.perf_counter()
    resolved = resolve(model, images, target, output)
    if not isinstance(sigma, int | float | np.number) or not 0 <= sigma < float("inf"):
        raise ValueError(f"sigma is a number, 0 or more, not {sigma!r}")
    samples = check_integer(samples, "samples is a whole number, 1 or more")
    if not callable(method):
        raise TypeError(f"a method is a function such as saliency.guided_backprop, not {method!r}")
    generator = torch.Generator().manual_seed(check_integer(seed, "seed is a whole number", -(2**63)))
    batch = resolved.independent_batch_size(model, images, batch, len(images) * samples)
    noise: dict[int, Tensor] = {}  # of the samples that are at work
    forward = backward = 0

    def at(image: Tensor, sample: Tensor) -> Tensor:
        nonlocal forward, backward
        for old in [number for number in noise if number < sample[0]]:
            del noise[old]
        for number in sample.unique().tolist():  # in order, so the chunks do not matter
            if number not in noise:
                noise[number] = torch.randn(images.shape[1:], generator=generator, dtype=images.dtype)
        added = torch.stack([noise[number] for number in sample.tolist()]).to(images.device)
        noisy = added.mul_(sigma).add_(images.detach()[image])
        here = resolved.rows(image)
        if method is gradient:  # without its checks, which were made
            forward, backward = forward + len(noisy), backward + here.indices.numel()
            return scores_and_gradients(model, noisy, here)[1]
        found = _call_method(method, model, noisy, _target(here), output)
        forward, backward = forward + found.passes.forward, backward + found.passes.backward
        return found.map if resolved.multi else found.map[:, None]

    weights = torch.full((samples,), 1 / samples, dtype=torch.float64)
    with frozen_for_many_passes(model, images, batch):
        maps = weighted_mean(len(images), weights, at, batch=batch, progress=progress)
        score = scores(model, images, resolved, batch)
    return collect(resolved, maps, score, None, Passes(forward + len(images), backward), began)


def _call_method(
    method: Method, model: nn.Module, images: Tensor, target: Target, output: str
) -> Attribution:
    try:
        inspect.signature(method).bind(model, images, target, output=output)
    except TypeError as error:
        raise TypeError(
            f"a method is called with (model, images, target, output=…), as "
            f"saliency.guided_backprop; this one: {error}"
        ) from error
    found = method(model, images, target, output=output)
    if not isinstance(found, Attribution):
        raise TypeError(f"a method answers with an Attribution, not {type(found).__name__}")
    return found


def _target(resolved) -> Target:
    """A ResolvedTarget in the form in which a caller gives it."""
    if resolved.unit is not None:
        return resolved.unit
    return resolved.indices if resolved.multi else resolved.indices[:, 0]
