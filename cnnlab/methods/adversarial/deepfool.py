"""How near is the nearest border to another class? Step to it as if the network were linear, again and again.

Type: (model, images) -> AttackResult. Nobody gives an eps: the size of the change is the answer. Between
class c and class k the border of a linear network lies at f_k = f_c, at a distance of |f_k - f_c| / |w_k -
w_c|, along w_k - w_c; the nearest of these borders is stepped to.

Paper: Moosavi-Dezfooli, Fawzi & Frossard, DeepFool, 2016.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, run
from cnnlab.methods.adversarial.classifier import Attempt, Classifier, Evaluation
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.model_runner import input_gradients
from cnnlab.methods.targets import Target
from cnnlab.validation import check_integer


def deepfool(
    model: nn.Module,
    images: Tensor,
    *,
    steps: int = 50,
    overshoot: float = 0.02,
    candidates: int = 10,
    labels: Target | None = None,
    batch: int = 64,
    progress: Progress | None = None,
) -> AttackResult:
    """The smallest change in l2, nearly, with which the network says something else.

    It leads away from what the network says itself. An image is left alone from the step on at which it is
    fooled, and one that is wrong from the start is not touched.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        steps: at most so many; most images need 2 to 5.
        overshoot: the change is made longer by this share, to be beyond the border, not on it.
        candidates: other classes that are tried, those with the highest logits; each costs a backward pass
            per step, and the room of an image.
        labels: the true classes, or None: what the network says itself.
        batch: images per pass.
        progress: called with (steps done, all steps of all batches); True stops.

    Returns:
        AttackResult; l2 is the distance. Where it did not get there in so many steps, success is False.

    Raises:
        LookupError, ValueError: as `fgsm`; steps or candidates below 1, overshoot below 0.

    >>> from cnnlab.nets import models
    >>> result = deepfool(models.load("photonet"), torch.rand(1, 3, 64, 64))
    >>> result.success, bool(result.l2 < 2)
    (tensor([True]), True)

    Paper: Moosavi-Dezfooli, Fawzi & Frossard, 2016.
    """
    classifier = Classifier(model, images, labels, None)
    steps = check_integer(steps, "steps is a whole number, 1 or more")
    candidates = check_integer(candidates, "candidates is a whole number, 1 or more")
    if isinstance(overshoot, bool) or not isinstance(overshoot, int | float) or not 0 <= overshoot < 10:
        raise ValueError(f"overshoot is a share from 0 on, as 0.02, not {overshoot!r}")

    def walk(classifier: Classifier, rows: slice) -> Iterator[Attempt]:
        original, all_rows = classifier.images[rows], torch.arange(len(images))[rows]
        with torch.no_grad():
            logits = classifier.logits(original, all_rows)
        last = first = classifier.evaluate_logits(logits, all_rows)
        classes = _candidate_classes(logits, classifier.labels[rows], candidates)
        noise, perturbed = torch.zeros_like(original), original.clone()  # the noise without the overshoot
        zero_gradient = torch.zeros(len(original), dtype=torch.bool)
        active = (~classifier.reached(first, all_rows)).nonzero()[:, 0]
        if not len(active):  # all were wrong from the start
            yield Attempt(perturbed, first, first, zero_gradient)
        for taken in range(steps):
            if not len(active):
                break
            start, active_rows = original[active], all_rows[active]
            # From the border itself, not from beyond it: the overshoot would eat up the last steps.
            step, no_step = _step_to_boundary(classifier, start + noise[active], active_rows, classes[active])
            if not taken:
                zero_gradient[active] = no_step.cpu()
            # What leaves [0, 1] is cut off, and the next step starts from what is left.
            noise[active] = (start + noise[active] + step).clamp_(0, 1) - start
            now = (start + (1 + overshoot) * noise[active]).clamp_(0, 1)
            evaluation = classifier.evaluate(now, active_rows)
            # New ones: what was given before is not to change, should the next step be cut short.
            perturbed = _replace_rows(perturbed, active, now)
            last = _replace_evaluation(last, active, evaluation)
            yield Attempt(perturbed, first, last, zero_gradient)
            active = active[~classifier.reached(evaluation, active_rows) & ~no_step.cpu()]

    return run(classifier, walk, steps, batch=batch, progress=progress)


def _candidate_classes(logits: Tensor, labels: Tensor, candidates: int) -> Tensor:
    """(B, 1 + candidates) class numbers: the label, then the others with the highest logits."""
    label = labels.to(logits.device)[:, None]
    others = logits.scatter(1, label, -torch.inf).topk(min(candidates, logits.shape[1] - 1), dim=1)
    return torch.cat([label, others.indices], dim=1)


def _step_to_boundary(
    classifier: Classifier, images: Tensor, rows: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor]:  # (B, C, H, W), (B,)
    """The shortest step to a border, of the network as it is linear at these images; is there none?"""
    leaf = images.detach().requires_grad_()
    values = classifier.logits(leaf, rows).gather(1, classes)  # (B, 1 + candidates)
    classifier.backwards += values.numel()
    gradients = input_gradients(values, leaf)
    values = values.detach()
    # On the border itself nothing is left to go. So at least so far that rounding does not take it back.
    least = torch.finfo(leaf.dtype).eps * leaf[0].numel() ** 0.5
    best, shortest = torch.zeros_like(images), values.new_full((len(images),), torch.inf)
    for k in range(1, values.shape[1]):
        across = gradients[k] - gradients[0]
        direction = norms.steepest_ascent(across, "l2")
        gap, steep = values[:, 0] - values[:, k], (across * direction).sum(dim=(1, 2, 3))
        distance = torch.where(steep > 0, (gap.abs() / steep).clamp(min=least), torch.inf)
        nearer = distance < shortest
        step = norms.per_image(torch.where(nearer, distance, 0)) * direction
        best = torch.where(norms.per_image(nearer), step, best)
        shortest = torch.where(nearer, distance, shortest)
    return best, shortest.isinf()


def _replace_rows(old: Tensor, rows: Tensor, new: Tensor) -> Tensor:
    """A copy, with other rows at these positions."""
    return old.index_copy(0, rows.to(old.device), new)


def _replace_evaluation(old: Evaluation, rows: Tensor, new: Evaluation) -> Evaluation:
    """What was seen of all, with a newer look at some."""
    return Evaluation(
        *(_replace_rows(one, rows, other) for one, other in zip(old[:3], new[:3], strict=True)), None
    )
