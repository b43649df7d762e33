"""Noise that a network is sure about: an image of nothing, taken for anything that is asked for.

Type: (model, target) -> AttackResult. The softmax divides all of its certainty among the classes that it
knows. It cannot say "none of these", and far from all images that it has seen it is as sure as anywhere.

Paper: Nguyen, Yosinski & Clune, Deep neural networks are easily fooled, 2015.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from cnnlab.errors import unknown
from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, has_zero_gradient, run
from cnnlab.methods.adversarial.classifier import Attempt, Classifier
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.targets import Target
from cnnlab.validation import check_integer

STARTS = ("noise", "grey")


def fooling_images(
    model: nn.Module,
    target: Target,
    *,
    shape: Sequence[int] | None = None,
    steps: int = 100,
    step_size: float = 1 / 255,
    sure: float = 0.99,
    start: str = "noise",
    seed: int = 0,
    batch: int = 64,
    progress: Progress | None = None,
) -> AttackResult:
    """An image that starts as noise, and is changed until the network is sure that it shows the target.

    Each step moves every number by step_size, along the sign of the gradient. So what it starts from stays
    visible.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        target: a class by number or name; or (N,) numbers, for N images.
        shape: (C, H, W). None: the model's own `input_size`.
        steps: at most so many.
        step_size: of a step.
        sure: at this probability an image is left alone.
        start: "noise", every number drawn from [0, 1]; or "grey", 0.5 everywhere.
        seed: of the noise.
        batch, progress: as in `pgd`.

    Returns:
        AttackResult, towards the target: `originals` are the starts, `probability` is what the network gives
        it.

    Raises:
        LookupError: no such class or start.
        TypeError: no target, or one of another kind.
        ValueError: the shape is not known, or none; as `fgsm`.

    >>> from cnnlab.nets import models
    >>> result = fooling_images(models.load("simpleconvnet"), "8")
    >>> bool(result.probability > 0.9), bool(result.linf < 0.2)
    (True, True)

    Paper: Nguyen, Yosinski & Clune, 2015.
    """
    steps = check_integer(steps, "steps is a whole number, 1 or more")
    if start not in STARTS:
        raise unknown("start", start, STARTS)
    if isinstance(sure, bool) or not isinstance(sure, int | float) or not 0 < sure <= 1:
        raise ValueError(f"sure is a probability above 0, not {sure!r}")
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    if target is None:
        raise TypeError("target is the class that the image is led to, by number or name; not None")
    shape = _check_shape(getattr(model, "input_size", None) if shape is None else shape)
    count = len(target) if isinstance(target, torch.Tensor) and target.dim() else 1
    weight = next((w for w in model.parameters() if w.is_floating_point()), torch.zeros(()))
    generator = norms.generator(seed)
    with torch.inference_mode(False):
        drawn = [torch.rand(shape, generator=generator) for _ in range(count)]
        images = torch.stack(drawn) if start == "noise" else torch.full((count, *shape), 0.5)
        images = images.to(weight.device, weight.dtype)
    step_size = norms.check_eps(step_size, images[:1], "linf", what="step_size")
    classifier = Classifier(model, images, None, target)

    def climb(classifier: Classifier, rows: slice) -> Iterator[Attempt]:
        now, first = classifier.images[rows], None
        zero_gradient = torch.ones(len(now), dtype=torch.bool)
        for _ in range(steps):
            evaluation = classifier.evaluate_with_gradient(now, rows)
            first = evaluation if first is None else first
            zero_gradient = zero_gradient & has_zero_gradient(evaluation).cpu()
            going = evaluation.loss > -torch.tensor(sure).log().item()
            if not going.any():
                yield Attempt(now, first, evaluation._replace(gradient=None), zero_gradient)
                break
            step = norms.per_image(going) * step_size * evaluation.gradient.sign()
            now = (now + step).clamp_(0, 1)
            yield Attempt(now, first, None, zero_gradient)

    return run(classifier, climb, steps, batch=batch, progress=progress)


def _check_shape(shape: Sequence[int] | None) -> tuple[int, ...]:
    """(C, H, W), each 1 or more."""
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 3:
        said = "this model does not say its own" if shape is None else f"not {shape!r}"
        raise ValueError(f"the shape of an image is (C, H, W): {said}")
    return tuple(check_integer(size, "the shape of an image is (C, H, W), each 1 or more") for size in shape)
