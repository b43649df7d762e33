"""Projected gradient descent: many small steps along the gradient, brought back within eps after each.

Type: (model, images, eps) -> AttackResult. The strongest of the plain attacks: what withstands it, from
several random starts, has some claim to be robust near these images.

Paper: Madry et al., Towards deep learning models resistant to adversarial attacks, 2018.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, has_zero_gradient, run
from cnnlab.methods.adversarial.classifier import Attempt, Classifier, Evaluation
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.targets import Target
from cnnlab.validation import check_integer

STARTS = ("random", "image")


def pgd(
    model: nn.Module,
    images: Tensor,
    eps: float | Tensor,
    *,
    norm: str = "linf",
    steps: int = 10,
    step_size: float | Tensor | None = None,
    start: str = "random",
    seed: int = 0,
    labels: Target | None = None,
    target: Target | None = None,
    loss: str = "cross-entropy",
    batch: int = 64,
    progress: Progress | None = None,
) -> AttackResult:
    """Images changed by many steps, at most by eps.

    Of the images after each step, the best one is kept: one that reached its goal before one that did not,
    and among these the one with the highest loss (towards a target, the lowest).

    Args:
        model, images, eps, labels, target, norm, loss, batch: as in `fgsm`.
        steps: how many, 1 or more.
        step_size: of a step, also (N,); alpha in the paper. None: 2.5 * eps / steps, so the edge is
            reached from any start.
        start: "random", anywhere within eps; or "image". Of the start "image", one step with step_size=eps is
            `fgsm`.
        seed: of the start.
        progress: called with (steps done, all steps of all batches); True stops, and so does Ctrl+C: the
            best images so far are kept.

    Returns:
        AttackResult.

    Raises:
        LookupError: no such class, norm, loss or start.
        ValueError: as `fgsm`; steps below 1.

    >>> from cnnlab.data import digits
    >>> from cnnlab.nets import models
    >>> data = digits.load("test")
    >>> result = pgd(models.load("simpleconvnet"), data.images[:50], 0.2, labels=data.labels[:50])
    >>> result.success_rate > 0.6, bool((result.linf < 0.2 + 1e-6).all())
    (True, True)

    Paper: Madry et al., 2018.
    """
    classifier = Classifier(model, images, labels, target, loss)
    steps = check_integer(steps, "steps is a whole number, 1 or more")
    if start not in STARTS:
        raise unknown("start", start, STARTS)
    eps, generator = norms.check_eps(eps, images, norm), norms.generator(seed)
    step_size = (
        2.5 * eps / steps if step_size is None else norms.check_eps(step_size, images, norm, what="step_size")
    )

    def climb(classifier: Classifier, rows: slice) -> Iterator[Attempt]:
        original, radius, best = classifier.images[rows], eps[rows], None
        now, first = original, None
        if start == "random":
            first = classifier.evaluate(original, rows)
            offset = norms.random_perturbation(original, norm, generator, inside=True)
            now = original + norms.per_image(radius) * offset
            now = norms.project(now, original, radius, norm)
        zero_gradient = torch.ones(len(original), dtype=torch.bool)
        for step in range(steps):
            evaluation = classifier.evaluate_with_gradient(now, rows)
            first = evaluation if first is None else first
            zero_gradient = zero_gradient & has_zero_gradient(evaluation).cpu()
            if step:
                best = _better(classifier, rows, best, now, evaluation)
            update = norms.per_image(step_size[rows]) * norms.steepest_ascent(evaluation.gradient, norm)
            now = norms.project(now + update, original, radius, norm)
            if step + 1 < steps:
                perturbed, last = best if best is not None else (now, None)
                yield Attempt(perturbed, first, last, zero_gradient)
        perturbed, last = _better(classifier, rows, best, now, classifier.evaluate(now, rows))
        yield Attempt(perturbed, first, last, zero_gradient)

    return run(classifier, climb, steps, batch=batch, progress=progress)


def _better(
    classifier: Classifier,
    rows: slice,
    best: tuple[Tensor, Evaluation] | None,
    now: Tensor,
    evaluation: Evaluation,
) -> tuple[Tensor, Evaluation]:
    """Of each image the better one of two."""
    evaluation = evaluation._replace(gradient=None)
    if best is None:
        return now, evaluation
    images, old = best
    reached = classifier.reached(evaluation, rows).to(now.device)
    had = classifier.reached(old, rows).to(now.device)
    take = (reached & ~had) | ((reached == had) & (evaluation.gain >= old.gain))
    chosen = Evaluation(
        torch.where(take.cpu(), evaluation.predictions, old.predictions),
        torch.where(take, evaluation.loss, old.loss),
        torch.where(take, evaluation.gain, old.gain),
        None,
    )
    return torch.where(norms.per_image(take), now, images), chosen
