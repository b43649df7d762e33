"""The fast gradient sign method: one step along the gradient of the loss, as far as allowed.

Type: (model, images, eps) -> AttackResult. A network is nearly linear near an image; the change of size eps
that raises w·x most is eps times the sign of w, and raises it by eps times the sum of all |w|: little in each
pixel, much in all.

Paper: Goodfellow, Shlens & Szegedy, Explaining and harnessing adversarial examples, 2015.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, has_zero_gradient, run
from cnnlab.methods.adversarial.classifier import Attempt, Classifier
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.targets import Target


def fgsm(
    model: nn.Module,
    images: Tensor,
    eps: float | Tensor,
    *,
    labels: Target | None = None,
    target: Target | None = None,
    norm: str = "linf",
    loss: str = "cross-entropy",
    batch: int = 64,
    progress: Progress | None = None,
) -> AttackResult:
    """Images changed by one step of size eps.

    Args:
        model: any classifier that gives logits (N, classes); it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        eps: the size of the step, as 8/255; or (N,), one for each image.
        labels: the true classes: a number, a name, or (N,) numbers. None: what the network says itself.
        target: a class to lead to, in the same forms. None: away from the labels.
        norm: "linf", a step of eps in every pixel by the sign of the gradient; or "l2", along the gradient.
        loss: whose gradient: "cross-entropy"; or "log-odds", which has a gradient even where p is 1.
        batch: images per pass.
        progress: called with (batches done, all batches); True stops.

    Returns:
        AttackResult. An image whose gradient is zero stays as it is, and `zero_gradient` says so.

    Raises:
        LookupError: no such class, norm or loss.
        ValueError: images outside of [0, 1] or of a wrong shape; an eps below 0, or above any change there
            is; a gradient that is not finite; a model that is random in eval mode, or puts out no logits.

    >>> from cnnlab.data import digits
    >>> from cnnlab.nets import models
    >>> data = digits.load("test")
    >>> result = fgsm(models.load("simpleconvnet"), data.images[:50], 0.2, labels=data.labels[:50])
    >>> result.success_rate > 0.4
    True

    Paper: Goodfellow, Shlens & Szegedy, 2015.
    """
    classifier = Classifier(model, images, labels, target, loss)
    eps = norms.check_eps(eps, images, norm)

    def steps(classifier: Classifier, rows: slice) -> Iterator[Attempt]:
        original = classifier.images[rows]
        evaluation = classifier.evaluate_with_gradient(original, rows)
        perturbed = original + norms.per_image(eps[rows]) * norms.steepest_ascent(evaluation.gradient, norm)
        yield Attempt(perturbed.clamp_(0, 1), evaluation, zero_gradient=has_zero_gradient(evaluation))

    return run(classifier, steps, 1, batch=batch, progress=progress)


def random_noise(
    model: nn.Module,
    images: Tensor,
    eps: float | Tensor,
    *,
    norm: str = "linf",
    seed: int = 0,
    labels: Target | None = None,
    target: Target | None = None,
    batch: int = 64,
    progress: Progress | None = None,
) -> AttackResult:
    """The control: a change of the same size as that of `fgsm`, but a random one.

    Args:
        norm: "linf", every number moves by +eps or -eps; "l2", any direction, of length eps.
        seed: of the noise.
        model, images, eps, labels, target, batch, progress: as in `fgsm`.

    Returns:
        AttackResult, without backward passes.

    Raises:
        LookupError, ValueError: as `fgsm`.
    """
    classifier = Classifier(model, images, labels, target)
    eps, generator = norms.check_eps(eps, images, norm), norms.generator(seed)

    def steps(classifier: Classifier, rows: slice) -> Iterator[Attempt]:
        original = classifier.images[rows]
        evaluation = classifier.evaluate(original, rows)
        noise = norms.random_perturbation(original, norm, generator)
        perturbed = original + norms.per_image(eps[rows]) * noise
        yield Attempt(perturbed.clamp_(0, 1), evaluation)

    return run(classifier, steps, 1, batch=batch, progress=progress)
