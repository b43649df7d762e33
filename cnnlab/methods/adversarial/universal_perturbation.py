"""One noise for all images: added to any of them, it fools most.

Type: (model, images, eps) -> UniversalPerturbation. The gradients of many images are added up, and the noise
goes along with what they have in common. It was made without the images that it fools later on.

Papers: Moosavi-Dezfooli et al., Universal adversarial perturbations, 2017; the steps by gradient are those of
Shafahi et al., Universal adversarial training, 2020.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import SharedProgress, SharedStep, evaluated, optimise_shared
from cnnlab.methods.adversarial.classifier import Classifier
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import Target
from cnnlab.validation import check_integer


class UniversalPerturbation(NamedTuple):
    """One noise, and what it does.

    Attributes:
        noise: (1, C, H, W), at most eps.
        result: of the images that it was made with, as `AttackResult`.
        history: for each step the share of its batch that got another name by the noise as it was before the
            step; what was wrong by itself counts as well.
        passes: through the network, those for the result included.
        seconds: wall clock.
        stopped: "finished"; "stopped" by progress; "interrupted" by Ctrl+C.
    """

    noise: Tensor
    result: AttackResult
    history: list[float]
    passes: Passes
    seconds: float
    stopped: str

    @property
    def success_rate(self) -> float:
        """Of its own images, as many are fooled. For an honest figure, apply it to others."""
        return self.result.success_rate

    def apply(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], with the noise added and cut off at 0 and 1.

        Raises:
            ValueError: images outside of [0, 1], or of another shape than the noise.
        """
        norms.check_unit_range(images)
        if images.shape[1:] != self.noise.shape[1:]:  # one colour of noise would fit three, without a word
            raise ValueError(
                f"this noise is for images of {tuple(self.noise.shape[1:])}, not {tuple(images.shape[1:])}"
            )
        return (images.detach() + self.noise).clamp_(0, 1)


def universal_perturbation(
    model: nn.Module,
    images: Tensor,
    eps: float,
    *,
    norm: str = "linf",
    epochs: int = 5,
    batch: int = 32,
    step_size: float | None = None,
    seed: int = 0,
    labels: Target | None = None,
    target: Target | None = None,
    progress: SharedProgress | None = None,
) -> UniversalPerturbation:
    """Make one noise for all of these images, in steps.

    A step goes along the sum of the gradients of the log odds, of the images of a batch that the noise does
    not fool yet: each has the same say, however sure the network is.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        images: (N, C, H, W) in [0, 1]; the more, the better it works on others.
        eps: the size of the noise.
        norm: "linf" or "l2".
        epochs: how often each image is seen.
        batch: images per step; one, if the model's answer to an image depends on the others.
        step_size: of a step; None: eps / 5.
        seed: of the order of the images.
        labels: the true classes, or None: what the network says itself.
        target: a class to lead all images to, or None.
        progress: called after each step with (steps done, all, noise (1, C, H, W), share of the batch that
            it fooled). True stops, and so does Ctrl+C.

    Returns:
        UniversalPerturbation.

    Raises:
        LookupError, ValueError: as `fgsm`; epochs or batch below 1; not one image had a gradient.
    """
    began = time.perf_counter()
    classifier = Classifier(model, images, labels, target, "log-odds")
    radius = norms.check_eps(eps, images[:1], norm)
    step_size = (
        radius / 5 if step_size is None else norms.check_eps(step_size, images[:1], norm, what="step_size")
    )
    epochs = check_integer(epochs, "epochs is a whole number, 1 or more")
    batch = classifier.resolved.independent_batch_size(
        model, classifier.images, check_integer(batch, "batch is 1 image or more"), len(images)
    )
    random = norms.generator(seed)

    none = torch.zeros_like(classifier.images[:1])

    def climb() -> Iterator[SharedStep]:
        noise = none
        if labels is None:  # what it says of the images without any noise
            for rows in torch.arange(len(images)).split(batch):
                classifier.evaluate(classifier.images[rows], rows)
        order = (torch.randperm(len(images), generator=random).split(batch) for _ in range(epochs))
        for rows in (rows for parts in order for rows in parts):
            evaluation = classifier.evaluate_with_gradient(
                (classifier.images[rows] + noise).clamp_(0, 1), rows
            )
            fooled = classifier.reached(evaluation, rows)
            common = evaluation.gradient[~fooled.to(evaluation.gradient.device)].sum(dim=0, keepdim=True)
            noise = norms.clip_norm(noise + step_size * norms.steepest_ascent(common, norm), radius, norm)
            yield SharedStep(fooled, evaluation.gradient, noise)

    count = epochs * -(-len(images) // batch)
    noise, history, stopped = optimise_shared(classifier, climb(), count, none, progress, what="noise")
    changed = (classifier.images + noise).clamp_(0, 1)
    result = evaluated(model, images, changed, labels=labels, target=target, batch=batch)
    stopped = result.stopped if stopped == "finished" else stopped
    passes = Passes(classifier.forwards + result.passes.forward, classifier.backwards)
    return UniversalPerturbation(noise, result, history, passes, time.perf_counter() - began, stopped)
