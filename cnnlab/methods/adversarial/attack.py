"""An attack goes through all images: a batch at a time, watched, stoppable, and with the model frozen.

Type: (classifier, steps of an attack) -> AttackResult. The steps are a generator: given a batch of images, it
gives what it has after each step. So whatever stops it, there is something to keep.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.classifier import Attempt, Classifier, Evaluation
from cnnlab.methods.adversarial.result import AttackResult, concatenate
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import Target
from cnnlab.probing import frozen
from cnnlab.validation import check_integer

Progress = Callable[[int, int], object]
# (steps done, all steps, what is made, share of the last images on which it worked) -> True to stop.
SharedProgress = Callable[[int, int, Tensor, float], object]
Steps = Callable[[Classifier, slice], Iterator[Attempt]]


def run(
    classifier: Classifier, steps: Steps, n_steps: int, *, batch: int, progress: Progress | None
) -> AttackResult:
    """An attack on all images, a batch at a time.

    Args:
        classifier: what is attacked.
        steps: of the attack.
        n_steps: how many steps there are at most for a batch.
        batch: images per pass; one, if the model's answer to an image depends on the others.
        progress: called with (steps done, all steps of all batches). True stops: what was reached so far is
            kept, and the rest of the images stays as it is.

    Raises:
        ValueError, LookupError: as `Classifier` and `model_runner.guarded_forward`.
    """
    began = time.perf_counter()
    check_callable(progress)
    model, images = classifier.model, classifier.images
    batch = classifier.resolved.independent_batch_size(
        model, images, check_integer(batch, "batch is 1 image or more"), len(images)
    )
    rows = [slice(first, first + batch) for first in range(0, len(images), batch)]
    parts, attempt, stopped = [], None, "finished"
    with frozen(model, channels_last=False):
        try:
            for k, batch_rows in enumerate(rows):
                done = 0
                for latest in steps(classifier, batch_rows):
                    attempt, done = latest, done + 1
                    stopped = _report(progress, k * n_steps + done, len(rows) * n_steps)
                    if stopped != "finished":
                        break
                if stopped == "finished" and done < n_steps:
                    stopped = _report(progress, (k + 1) * n_steps, len(rows) * n_steps)
                if stopped != "finished":
                    break
                part = classifier.result(attempt, batch_rows)
                attempt = None  # not to be taken for the next batch's
                parts.append(part)
        except KeyboardInterrupt:
            stopped = "interrupted"
        if stopped != "finished":
            for k, batch_rows in enumerate(rows[len(parts) :]):
                parts.append(
                    classifier.result(
                        attempt if k == 0 and attempt is not None else _unchanged(classifier, batch_rows),
                        batch_rows,
                    )
                )
    passes = Passes(classifier.forwards, classifier.backwards)
    return concatenate(parts, images, passes, time.perf_counter() - began, stopped)


def check_callable(progress: object) -> None:
    """Refuse, before anything runs, what cannot be called then.

    Raises:
        TypeError: it is no function.
    """
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is a function, called after each step, not {progress!r}")


def has_zero_gradient(evaluation: Evaluation) -> Tensor:
    """(B,) bool: is the gradient zero for all pixels?"""
    return ~evaluation.gradient.flatten(1).any(dim=1)


def _unchanged(classifier: Classifier, rows: slice) -> Attempt:
    evaluation = classifier.evaluate(classifier.images[rows], rows)
    return Attempt(classifier.images[rows].clone(), evaluation, evaluation)


def _report(progress: Progress | None, done: int, total: int) -> str:
    stop = progress is not None and progress(done, total) is True and done < total
    return "stopped" if stop else "finished"


class SharedStep(NamedTuple):
    """One step.

    Attributes:
        reached: (B,) bool, of the images of this step: had it worked before the step?
        gradient: (B, C, H, W).
        made: as it is after the step.
    """

    reached: Tensor
    gradient: Tensor
    made: Tensor


def optimise_shared(
    classifier: Classifier,
    steps: Iterator[SharedStep],
    count: int,
    made: Tensor,
    progress: SharedProgress | None,
    *,
    what: str,
) -> tuple[Tensor, list[float], str]:
    """Go through the steps, with the model frozen.

    Args:
        classifier: what is attacked.
        steps: of the attack.
        count: how many there are.
        made: as it is before the first step.
        progress: called after each step. True stops, and so does Ctrl+C.
        what: its name, for an error.

    Returns:
        What was made; for each step the share of its images on which it worked before; and "finished",
        "stopped" or "interrupted".

    Raises:
        TypeError: progress is no function.
        ValueError: not one image had a gradient.
    """
    check_callable(progress)
    history, had_gradient, stopped = [], False, "finished"
    with frozen(classifier.model, channels_last=False):
        try:
            for step in steps:
                made = step.made
                history.append(float(step.reached.double().mean()))
                had_gradient |= bool(step.gradient.any())
                if progress is not None and progress(len(history), count, made.clone(), history[-1]) is True:
                    stopped = "stopped" if len(history) < count else stopped
                    break
        except KeyboardInterrupt:
            stopped = "interrupted"
    if history and not had_gradient:
        raise ValueError(f"no image had a gradient to follow, so no {what} was made: the network hides it")
    return made, history, stopped


def evaluated(
    model: nn.Module,
    originals: Tensor,
    images: Tensor,
    *,
    labels: Target | None = None,
    target: Target | None = None,
    batch: int = 64,
    progress: Progress | None = None,
) -> AttackResult:
    """What a network says before and after a change.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        originals, images: (N, C, H, W) in [0, 1].
        labels: the true classes, or None: what the network says of the originals.
        target: the class that the change was to lead to, or None.
        batch, progress: as in `fgsm`.

    Returns:
        AttackResult.

    Raises:
        LookupError, ValueError: as `fgsm`; not as many images as originals, or of another shape.
    """
    norms.check_unit_range(images)
    classifier = Classifier(model, originals, labels, target)
    if images.shape != originals.shape:
        raise ValueError(
            f"each image has its original: of {tuple(originals.shape)} they are {tuple(images.shape)}"
        )
    changed = images.detach()

    def steps(classifier: Classifier, rows: slice) -> Iterator[Attempt]:
        yield Attempt(changed[rows].clone(), classifier.evaluate(classifier.images[rows], rows))

    return run(classifier, steps, 1, batch=batch, progress=progress)
