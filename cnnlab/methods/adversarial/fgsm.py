"""The fast gradient sign method: one step along the slope of the loss, as far as allowed.

Type: (model, images, eps) -> Attacked. A network is nearly linear near a picture; the change of size eps
that raises w·x most is eps times the sign of w, and raises it by eps times the sum of all |w|: little in each
pixel, much in all.

Paper: Goodfellow, Shlens & Szegedy, Explaining and harnessing adversarial examples, 2015.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import Progress, flat, run
from cnnlab.methods.adversarial.classifier import Trial, Victim
from cnnlab.methods.adversarial.result import Attacked
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
    chunk: int = 64,
    progress: Progress | None = None,
) -> Attacked:
    """Pictures changed by one step of size eps.

    Args:
        model: any classifier that gives logits (N, classes); it runs in eval mode.
        images: (N, C, H, W) in [0, 1].
        eps: the size of the step, as 8/255; or (N,), one for each picture.
        labels: the true classes: a number, a name, or (N,) numbers. None: what the network says itself.
        target: a class to lead to, in the same forms. None: away from the labels.
        norm: "linf", a step of eps in every pixel by the sign of the slope; or "l2", along the slope.
        loss: whose slope: "cross-entropy"; or "odds", which has a slope even where p is 1.
        chunk: pictures per pass.
        progress: called with (chunks done, all chunks); True stops.

    Returns:
        Attacked. A picture whose slope is zero stays as it is, and `no_slope` says so.

    Raises:
        LookupError: no such class, norm or loss.
        ValueError: pictures outside of [0, 1] or of a wrong shape; an eps below 0, or above any change there
            is; a slope that is not finite; a model that is random in eval mode, or puts out no logits.

    >>> from cnnlab.data import digits
    >>> from cnnlab.nets import models
    >>> data = digits.load("test")
    >>> found = fgsm(models.load("simpleconvnet"), data.images[:50], 0.2, labels=data.labels[:50])
    >>> found.share > 0.4
    True

    Paper: Goodfellow, Shlens & Szegedy, 2015.
    """
    victim = Victim(model, images, labels, target, loss)
    eps = norms.amounts(eps, images, norm)

    def steps(victim: Victim, rows: slice) -> Iterator[Trial]:
        original = victim.images[rows]
        look = victim.slopes(original, rows)
        moved = original + norms.per_picture(eps[rows]) * norms.steepest(look.slope, norm)
        yield Trial(moved.clamp_(0, 1), look, no_slope=flat(look))

    return run(victim, steps, 1, chunk=chunk, progress=progress)


def random_noise(
    model: nn.Module,
    images: Tensor,
    eps: float | Tensor,
    *,
    norm: str = "linf",
    seed: int = 0,
    labels: Target | None = None,
    target: Target | None = None,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Attacked:
    """The control: a change of the same size as that of `fgsm`, but a random one.

    Args:
        norm: "linf", every number moves by +eps or -eps; "l2", any direction, of length eps.
        seed: of the noise.
        model, images, eps, labels, target, chunk, progress: as in `fgsm`.

    Returns:
        Attacked, without backward passes.

    Raises:
        LookupError, ValueError: as `fgsm`.
    """
    victim = Victim(model, images, labels, target)
    eps, generator = norms.amounts(eps, images, norm), norms.chance(seed)

    def steps(victim: Victim, rows: slice) -> Iterator[Trial]:
        original = victim.images[rows]
        look = victim.look(original, rows)
        moved = original + norms.per_picture(eps[rows]) * norms.drawn(original, norm, generator)
        yield Trial(moved.clamp_(0, 1), look)

    return run(victim, steps, 1, chunk=chunk, progress=progress)
