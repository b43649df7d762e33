"""Why do small changes work? Because many of them add up: eps times the sum of all gradients.

Type: (model, images, eps) -> LinearApproximation: by how much the logit of a class should fall if the network
were linear, and by how much it falls. Each pixel moves by no more than eps, but there are very many pixels;
noise of the same size adds up to little, because its signs agree with those of the gradient only by chance.

Paper: Goodfellow, Shlens & Szegedy, Explaining and harnessing adversarial examples, 2015, section 3.
"""

import time
from typing import NamedTuple

from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.classifier import class_per_image
from cnnlab.methods.attribution import scores
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.saliency.gradient import gradient
from cnnlab.methods.targets import Target, resolve, top_classes


class LinearApproximation(NamedTuple):
    """What was predicted, and what was measured, for each image.

    Attributes:
        labels: (N,) the class whose logit it is about.
        logit: (N,) of the image itself.
        predicted: (N,) eps * |g|_1 of the gradient g; of "l2" eps * |g|_2.
        within: (N,) what is left of it in [0, 1], where no pixel can leave: minus the sum of g times the
            change that was made.
        measured: (N,) logit before minus logit after this change.
        passes: through the network.
        seconds: wall clock.
    """

    labels: Tensor
    logit: Tensor
    predicted: Tensor
    within: Tensor
    measured: Tensor
    passes: Passes
    seconds: float


def linear_approximation(
    model: nn.Module,
    images: Tensor,
    eps: float | Tensor,
    *,
    labels: Target | None = None,
    norm: str = "linf",
    batch: int = 64,
) -> LinearApproximation:
    """Predict how far a logit falls when the image goes down its gradient by eps; then do it, and measure.

    Of a linear model, `within` is `measured`, and where no pixel is cut off both are `predicted`. It is not
    quite `fgsm`, which follows the gradient of the loss: that of all logits together.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        eps: the size of the step, as 8/255; or (N,).
        labels: the classes: a number, a name, or (N,) numbers. None: what the network says.
        norm: "linf" or "l2".
        batch: images per pass.

    Returns:
        LinearApproximation; positive is a fall.

    Raises:
        LookupError: no such class or norm.
        ValueError: as `fgsm`.

    >>> import torch
    >>> from cnnlab.nets import models
    >>> result = linear_approximation(models.load("photonet"), torch.rand(1, 3, 64, 64), 0.1 / 255)
    >>> bool((result.measured / result.within - 1).abs() < 0.1)
    True

    Paper: Goodfellow, Shlens & Szegedy, 2015.
    """
    began = time.perf_counter()
    norms.check_unit_range(images)
    radius = norms.per_image(norms.check_eps(eps, images, norm))
    labelled = labels is not None
    if not labelled:
        labels = top_classes(model, images, 1, batch=batch)[:, 0]
    numbers = class_per_image(model, images, labels, "labels")
    resolved = resolve(model, images, numbers)
    result = gradient(model, images, numbers, batch=batch)
    original = images.detach()
    step = norms.steepest_ascent(result.map, norm)
    change = (original - radius * step).clamp_(0, 1) - original
    after = scores(
        model, original + change, resolved, resolved.independent_batch_size(model, images, batch, len(images))
    )
    n = len(images) * (2 if labelled else 3)
    return LinearApproximation(
        numbers,
        result.score,
        (radius * step * result.map).sum(dim=(1, 2, 3)),
        -(change * result.map).sum(dim=(1, 2, 3)),
        result.score - after[:, 0],
        Passes(n, len(images)),
        time.perf_counter() - began,
    )
