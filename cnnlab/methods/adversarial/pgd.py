"""Projected gradient descent: many small steps along the slope, brought back within eps after each.

Type: (model, images, eps) -> Attacked. The strongest of the plain attacks: what withstands it, from several
random starts, has some claim to be robust near these pictures.

Paper: Madry et al., Towards deep learning models resistant to adversarial attacks, 2018.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, flat, run
from cnnlab.methods.adversarial.classifier import Look, Trial, Victim
from cnnlab.methods.adversarial.result import Attacked
from cnnlab.methods.targets import Target
from cnnlab.validation import whole

STARTS = ("random", "picture")


def pgd(
    model: nn.Module,
    images: Tensor,
    eps: float | Tensor,
    *,
    norm: str = "linf",
    steps: int = 10,
    alpha: float | Tensor | None = None,
    start: str = "random",
    seed: int = 0,
    labels: Target | None = None,
    target: Target | None = None,
    loss: str = "cross-entropy",
    chunk: int = 64,
    progress: Progress | None = None,
) -> Attacked:
    """Pictures changed by many steps, at most by eps.

    Of the pictures after each step, the best one is kept: one that reached its goal before one that did not,
    and among these the one with the highest loss (towards a target, the lowest).

    Args:
        model, images, eps, labels, target, norm, loss, chunk: as in `fgsm`.
        steps: how many, 1 or more.
        alpha: the size of a step, also (N,); None: 2.5 * eps / steps, so the edge is reached from any start.
        start: "random", anywhere within eps; or "picture". Of the start "picture", one step with alpha=eps is
            `fgsm`.
        seed: of the start.
        progress: called with (steps done, all steps of all chunks); True stops, and so does Ctrl+C: the
            best pictures so far are kept.

    Returns:
        Attacked.

    Raises:
        LookupError: no such class, norm, loss or start.
        ValueError: as `fgsm`; steps below 1.

    >>> from cnnlab.data import digits
    >>> from cnnlab.nets import models
    >>> data = digits.load("test")
    >>> found = pgd(models.load("simpleconvnet"), data.images[:50], 0.2, labels=data.labels[:50])
    >>> found.share > 0.6, bool((found.linf < 0.2 + 1e-6).all())
    (True, True)

    Paper: Madry et al., 2018.
    """
    victim = Victim(model, images, labels, target, loss)
    steps = whole(steps, "steps is a whole number, 1 or more")
    if start not in STARTS:
        raise unknown("start", start, STARTS)
    eps, generator = norms.amounts(eps, images, norm), norms.chance(seed)
    alpha = 2.5 * eps / steps if alpha is None else norms.amounts(alpha, images, norm, what="alpha")

    def climb(victim: Victim, rows: slice) -> Iterator[Trial]:
        original, room, best = victim.images[rows], eps[rows], None
        now, first = original, None
        if start == "random":
            first = victim.look(original, rows)
            far = norms.drawn(original, norm, generator, inside=True)
            now = original + norms.per_picture(room) * far
            now = norms.within(now, original, room, norm)
        no_slope = torch.ones(len(original), dtype=torch.bool)
        for step in range(steps):
            look = victim.slopes(now, rows)
            first = look if first is None else first
            no_slope = no_slope & flat(look).cpu()
            if step:
                best = _better(victim, rows, best, now, look)
            stride = norms.per_picture(alpha[rows]) * norms.steepest(look.slope, norm)
            now = norms.within(now + stride, original, room, norm)
            if step + 1 < steps:
                pictures, last = best if best is not None else (now, None)
                yield Trial(pictures, first, last, no_slope)
        pictures, last = _better(victim, rows, best, now, victim.look(now, rows))
        yield Trial(pictures, first, last, no_slope)

    return run(victim, climb, steps, chunk=chunk, progress=progress)


def _better(
    victim: Victim, rows: slice, best: tuple[Tensor, Look] | None, now: Tensor, look: Look
) -> tuple[Tensor, Look]:
    """Of each picture the better one of two."""
    look = look._replace(slope=None)
    if best is None:
        return now, look
    pictures, old = best
    reached, had = victim.reached(look, rows).to(now.device), victim.reached(old, rows).to(now.device)
    take = (reached & ~had) | ((reached == had) & (look.gain >= old.gain))
    chosen = Look(
        torch.where(take.cpu(), look.answers, old.answers),
        torch.where(take, look.loss, old.loss),
        torch.where(take, look.gain, old.gain),
        None,
    )
    return torch.where(norms.per_picture(take), now, pictures), chosen
