"""How near is the nearest border to another class? Step to it as if the network were linear, again and again.

Type: (model, images) -> Attacked. Nobody gives an eps: the size of the change is the answer. Between class c
and class k the border of a linear network lies at f_k = f_c, at a distance of |f_k - f_c| / |w_k - w_c|,
along w_k - w_c; the nearest of these borders is stepped to.

Paper: Moosavi-Dezfooli, Fawzi & Frossard, DeepFool, 2016.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, run
from cnnlab.methods.adversarial.classifier import Look, Trial, Victim
from cnnlab.methods.adversarial.result import Attacked
from cnnlab.methods.model_runner import backward
from cnnlab.methods.targets import Target
from cnnlab.validation import whole


def deepfool(
    model: nn.Module,
    images: Tensor,
    *,
    steps: int = 50,
    overshoot: float = 0.02,
    candidates: int = 10,
    labels: Target | None = None,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Attacked:
    """The smallest change in l2, nearly, with which the network says something else.

    It leads away from what the network says itself. A picture is left alone from the step on at which it is
    fooled, and one that is wrong from the start is not touched.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        steps: at most so many; most pictures need 2 to 5.
        overshoot: the change is made longer by this share, to be beyond the border, not on it.
        candidates: other classes that are tried, those with the highest logits; each costs a backward pass
            per step, and the room of a picture.
        labels: the true classes, or None: what the network says itself.
        chunk: pictures per pass.
        progress: called with (steps done, all steps of all chunks); True stops.

    Returns:
        Attacked; l2 is the distance. Where it did not get there in so many steps, success is False.

    Raises:
        LookupError, ValueError: as `fgsm`; steps or candidates below 1, overshoot below 0.

    >>> from cnnlab.nets import models
    >>> found = deepfool(models.load("photonet"), torch.rand(1, 3, 64, 64))
    >>> found.success, bool(found.l2 < 2)
    (tensor([True]), True)

    Paper: Moosavi-Dezfooli, Fawzi & Frossard, 2016.
    """
    victim = Victim(model, images, labels, None)
    steps = whole(steps, "steps is a whole number, 1 or more")
    candidates = whole(candidates, "candidates is a whole number, 1 or more")
    if isinstance(overshoot, bool) or not isinstance(overshoot, int | float) or not 0 <= overshoot < 10:
        raise ValueError(f"overshoot is a share from 0 on, as 0.02, not {overshoot!r}")

    def walk(victim: Victim, rows: slice) -> Iterator[Trial]:
        original, every = victim.images[rows], torch.arange(len(images))[rows]
        with torch.no_grad():
            logits = victim.logits(original, every)
        last = first = victim.read(logits, every)
        near = _rivals(logits, victim.labels[rows], candidates)
        way, pictures = torch.zeros_like(original), original.clone()  # the way without the overshoot
        no_slope = torch.zeros(len(original), dtype=torch.bool)
        busy = (~victim.reached(first, every)).nonzero()[:, 0]
        if not len(busy):  # all were wrong from the start
            yield Trial(pictures, first, first, no_slope)
        for taken in range(steps):
            if not len(busy):
                break
            start, some = original[busy], every[busy]
            # From the border itself, not from beyond it: the overshoot would eat up the last steps.
            step, nowhere = _to_the_border(victim, start + way[busy], some, near[busy])
            if not taken:
                no_slope[busy] = nowhere.cpu()
            # What leaves [0, 1] is cut off, and the next step starts from what is left.
            way[busy] = (start + way[busy] + step).clamp_(0, 1) - start
            now = (start + (1 + overshoot) * way[busy]).clamp_(0, 1)
            look = victim.look(now, some)
            # New ones: what was given before is not to change, should the next step be cut short.
            pictures, last = _put(pictures, busy, now), _seen(last, busy, look)
            yield Trial(pictures, first, last, no_slope)
            busy = busy[~victim.reached(look, some) & ~nowhere.cpu()]

    return run(victim, walk, steps, chunk=chunk, progress=progress)


def _rivals(logits: Tensor, labels: Tensor, candidates: int) -> Tensor:
    """(B, 1 + candidates) class numbers: the label, then the others with the highest logits."""
    label = labels.to(logits.device)[:, None]
    others = logits.scatter(1, label, -torch.inf).topk(min(candidates, logits.shape[1] - 1), dim=1)
    return torch.cat([label, others.indices], dim=1)


def _to_the_border(
    victim: Victim, pictures: Tensor, rows: Tensor, near: Tensor
) -> tuple[Tensor, Tensor]:  # (B, C, H, W), (B,)
    """The shortest step to a border, of the network as it is linear at these pictures; is there none?"""
    leaf = pictures.detach().requires_grad_()
    values = victim.logits(leaf, rows).gather(1, near)  # (B, 1 + candidates)
    victim.backwards += values.numel()
    slopes = backward(values, leaf)
    values = values.detach()
    # On the border itself nothing is left to go. So at least so far that rounding does not take it back.
    least = torch.finfo(leaf.dtype).eps * leaf[0].numel() ** 0.5
    best, shortest = torch.zeros_like(pictures), values.new_full((len(pictures),), torch.inf)
    for k in range(1, values.shape[1]):
        across = slopes[k] - slopes[0]
        direction = norms.steepest(across, "l2")
        gap, steep = values[:, 0] - values[:, k], (across * direction).sum(dim=(1, 2, 3))
        distance = torch.where(steep > 0, (gap.abs() / steep).clamp(min=least), torch.inf)
        nearer = distance < shortest
        step = norms.per_picture(torch.where(nearer, distance, 0)) * direction
        best = torch.where(norms.per_picture(nearer), step, best)
        shortest = torch.where(nearer, distance, shortest)
    return best, shortest.isinf()


def _put(old: Tensor, places: Tensor, new: Tensor) -> Tensor:
    """A copy, with other rows at these places."""
    return old.index_copy(0, places.to(old.device), new)


def _seen(old: Look, places: Tensor, new: Look) -> Look:
    """What was seen of all, with a newer look at some."""
    return Look(*(_put(one, places, other) for one, other in zip(old[:3], new[:3], strict=True)), None)
