"""Noise that a network is sure about: a picture of nothing, taken for anything that is asked for.

Type: (model, target) -> Attacked. The softmax divides all of its certainty among the classes that it knows.
It cannot say "none of these", and far from all pictures that it has seen it is as sure as anywhere.

Paper: Nguyen, Yosinski & Clune, Deep neural networks are easily fooled, 2015.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from cnnlab.errors import unknown
from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, flat, run
from cnnlab.methods.adversarial.classifier import Trial, Victim
from cnnlab.methods.adversarial.result import Attacked
from cnnlab.methods.targets import Target
from cnnlab.validation import whole

STARTS = ("noise", "grey")


def fooling(
    model: nn.Module,
    target: Target,
    *,
    shape: Sequence[int] | None = None,
    steps: int = 100,
    alpha: float = 1 / 255,
    sure: float = 0.99,
    start: str = "noise",
    seed: int = 0,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Attacked:
    """A picture that starts as noise, and is changed until the network is sure that it shows the target.

    Each step moves every number by alpha, along the sign of the slope. So what it starts from stays visible.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        target: a class by number or name; or (N,) numbers, for N pictures.
        shape: (C, H, W). None: the model's own `input_size`.
        steps: at most so many.
        alpha: the size of a step.
        sure: at this probability a picture is left alone.
        start: "noise", every number drawn from [0, 1]; or "grey", 0.5 everywhere.
        seed: of the noise.
        chunk, progress: as in `pgd`.

    Returns:
        Attacked, towards the target: `originals` are the starts, `probability` is what the network gives it.

    Raises:
        LookupError: no such class or start.
        TypeError: no target, or one of another kind.
        ValueError: the shape is not known, or none; as `fgsm`.

    >>> from cnnlab.nets import models
    >>> found = fooling(models.load("simpleconvnet"), "8")
    >>> bool(found.probability > 0.9), bool(found.linf < 0.2)
    (True, True)

    Paper: Nguyen, Yosinski & Clune, 2015.
    """
    steps = whole(steps, "steps is a whole number, 1 or more")
    if start not in STARTS:
        raise unknown("start", start, STARTS)
    if isinstance(sure, bool) or not isinstance(sure, int | float) or not 0 < sure <= 1:
        raise ValueError(f"sure is a probability above 0, not {sure!r}")
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    if target is None:
        raise TypeError("target is the class that the picture is led to, by number or name; not None")
    shape = _three(getattr(model, "input_size", None) if shape is None else shape)
    count = len(target) if isinstance(target, torch.Tensor) and target.dim() else 1
    weight = next((w for w in model.parameters() if w.is_floating_point()), torch.zeros(()))
    generator = norms.chance(seed)
    with torch.inference_mode(False):
        drawn = [torch.rand(shape, generator=generator) for _ in range(count)]
        images = torch.stack(drawn) if start == "noise" else torch.full((count, *shape), 0.5)
        images = images.to(weight.device, weight.dtype)
    stride = norms.amounts(alpha, images[:1], "linf", what="alpha")
    victim = Victim(model, images, None, target)

    def climb(victim: Victim, rows: slice) -> Iterator[Trial]:
        now, first = victim.images[rows], None
        no_slope = torch.ones(len(now), dtype=torch.bool)
        for _ in range(steps):
            look = victim.slopes(now, rows)
            first = look if first is None else first
            no_slope = no_slope & flat(look).cpu()
            going = look.loss > -torch.tensor(sure).log().item()
            if not going.any():
                yield Trial(now, first, look._replace(slope=None), no_slope)
                break
            step = norms.per_picture(going) * stride * look.slope.sign()
            now = (now + step).clamp_(0, 1)
            yield Trial(now, first, None, no_slope)

    return run(victim, climb, steps, chunk=chunk, progress=progress)


def _three(shape: Sequence[int] | None) -> tuple[int, ...]:
    """(C, H, W), each 1 or more."""
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 3:
        said = "this model does not say its own" if shape is None else f"not {shape!r}"
        raise ValueError(f"the shape of a picture is (C, H, W): {said}")
    return tuple(whole(size, "the shape of a picture is (C, H, W), each 1 or more") for size in shape)
