"""The right answers of lecture 10 (adversarial noise), and the mistakes that its checks know by name."""

import torch

from cnnlab.course.references import Exercise, Mistake
from cnnlab.course.references.scores import Score


def fgsm(loss, image, eps):
    """One step of eps in every pixel, up the loss: a function, (1, C, H, W), number -> (1, C, H, W)."""
    return _stepped(loss, image, eps)


def largest_drop(gradient, eps, norm):
    """(1, C, H, W), number, "linf" or "l2" -> number: by how much a linear logit can fall within eps."""
    return eps * (gradient.abs().sum() if norm == "linf" else gradient.square().sum().sqrt())


def project(moved, original, eps, norm):
    """(N, C, H, W) twice, number, norm -> (N, C, H, W): the change cut down to eps, then in [0, 1]."""
    return _projected(moved, original, eps, norm)


def fast_sign(gradient_of, image, eps, mean, std):
    """FGSM on a network that normalises outside: eps counts in [0, 1], so it is divided, too."""
    x = (image - mean) / std
    moved = x + eps / std * gradient_of(x).sign()
    return (moved * std + mean).clamp(0, 1)


def _gradient(loss, image):
    leaf = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(loss(leaf), leaf)[0]


def _stepped(loss, image, eps, *, sign=1, signs=True, clipped=True):
    gradient = _gradient(loss, image)
    moved = image + sign * eps * (gradient.sign() if signs else gradient)
    return moved.clamp(0, 1) if clipped else moved


def _projected(moved, original, eps, norm, *, together=False, always=False, clipped=True):
    change = moved - original
    if norm == "linf":
        change = change.clamp(-eps, eps)
    else:
        length = change.norm() if together else change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        shrink = eps / length.clamp(min=1e-12)
        change = change * (shrink if always else shrink.clamp(max=1))
    return (original + change).clamp(0, 1) if clipped else original + change


def _lined_up(moved, original, eps):
    change = moved - original
    length = change.flatten(1).norm(dim=1)
    return (original + change * (eps / length.clamp(min=1e-12)).clamp(max=1)).clamp(0, 1)


def _normalised(gradient_of, image, eps, mean, std, *, step=None, back=True, clipped=True):
    x = (image - mean) / std
    moved = x + (eps / std if step is None else step) * gradient_of(x).sign()
    moved = moved * std + mean if back else moved
    return moved.clamp(0, 1) if clipped else moved


# --- cases: three that fit in the head, smallest first, and one random picture ---


def _image(seed=1, size=(1, 3, 5, 6)):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def _losses():
    weight = torch.randn(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    return [
        (Score("3 * image.sum()", lambda image: 3 * image.sum()), torch.tensor([[[[0.2, 0.4, 0.5]]]]), 0.1),
        (
            Score("(image ** 2).sum() - image.sum()", lambda image: (image**2).sum() - image.sum()),
            torch.tensor([[[[0.2, 0.8], [0.4, 0.5]]]]),  # at 0.5 the slope is zero
            0.05,
        ),
        (Score("image.sum()", lambda image: image.sum()), torch.tensor([[[[0.9, 0.1, 1.0]]]]), 0.25),
        (Score("(weights * image).sum()", lambda image: (weight * image).sum()), _image(), 8 / 255),
    ]


def _gradients():
    seeded = torch.Generator().manual_seed(3)
    return [
        (torch.tensor([[[[1.0, -2.0]]]]), 0.1, "linf"),
        (torch.tensor([[[[3.0, -4.0]]]]), 0.1, "l2"),
        (torch.tensor([[[[0.5, 0.0], [-1.0, 2.0]]]]), 0.2, "linf"),
        (torch.randn(1, 3, 4, 5, generator=seeded), 8 / 255, "linf"),
        (torch.randn(1, 3, 4, 5, generator=seeded), 0.5, "l2"),
    ]


def _moves():
    far = _image(5, (2, 3, 4, 5)) * 1.4 - 0.2
    lengths = torch.tensor([[[[0.5, 0.5]]], [[[0.5, 0.5]]]])
    return [
        (torch.tensor([[[[0.9, 0.45, 0.1]]]]), torch.full((1, 1, 1, 3), 0.5), 0.1, "linf"),
        (torch.tensor([[[[1.2, -0.1]]]]), torch.tensor([[[[0.95, 0.02]]]]), 0.1, "linf"),
        (torch.tensor([[[[0.8, 0.9]]], [[[0.53, 0.54]]]]), lengths, 0.25, "l2"),
        (far, _image(6, (2, 3, 4, 5)), 0.15, "linf"),
        (far, _image(6, (2, 3, 4, 5)), 0.6, "l2"),
    ]


def _normal():
    weight = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    up = Score("gradient_of(x) = 1 everywhere", lambda x: torch.ones_like(x))
    mean, std = torch.tensor([0.5, 0.46, 0.38]), torch.tensor([0.28, 0.27, 0.3])
    one = torch.full((1, 1, 1, 1), 0.5)
    return [
        (up, torch.tensor([[[[0.2, 0.4, 0.5]]]]), 0.1, one, one),
        (
            Score("gradient_of(x) = x", lambda x: x),
            torch.tensor([[[[0.2, 0.9]]]]),
            0.05,
            one,
            torch.full((1, 1, 1, 1), 0.25),
        ),
        (up, torch.tensor([[[[0.9, 1.0]]]]), 0.2, one, torch.full((1, 1, 1, 1), 0.2)),
        (
            Score("gradient_of(x) = weights * x", lambda x: weight * x),
            _image(7, (1, 3, 4, 5)),
            8 / 255,
            mean.view(1, 3, 1, 1),
            std.view(1, 3, 1, 1),
        ),
    ]


EXERCISES = (
    Exercise(
        id="10.1",
        title="the fast gradient sign method",
        function=fgsm,
        cases=_losses,
        mistakes=(
            Mistake(
                "You go down: then the network gets surer. The loss is to rise, so add.",
                lambda f, x, e: _stepped(f, x, e, sign=-1),
            ),
            Mistake(
                "You took the gradient itself. Its sign is wanted: every pixel moves by eps.",
                lambda f, x, e: _stepped(f, x, e, signs=False),
            ),
            Mistake(
                "Some numbers are below 0 or above 1: that is no picture any more. Clamp it at the end.",
                lambda f, x, e: _stepped(f, x, e, clipped=False),
            ),
            Mistake(
                "You give back the change. Wanted is the changed picture.",
                lambda f, x, e: e * _gradient(f, x).sign(),
            ),
            Mistake(
                "You made the gradient as long as eps. That is the step of the other norm, l2.",
                lambda f, x, e: (x + e * _gradient(f, x) / _gradient(f, x).norm()).clamp(0, 1),
            ),
            Mistake(
                "Where the slope is 0, you divide 0 by 0. sign() gives 0 there.",
                lambda f, x, e: (x + e * _gradient(f, x) / _gradient(f, x).abs()).clamp(0, 1),
            ),
            Mistake(
                "Does the picture in loss(...) ask for gradients? image.clone().requires_grad_() does.",
                lambda f, x, e: (x + e * torch.autograd.grad(f(x), x)[0].sign()).clamp(0, 1),
            ),
        ),
    ),
    Exercise(
        id="10.2",
        title="the largest drop of a logit",
        function=largest_drop,
        cases=_gradients,
        mistakes=(
            Mistake(
                "For linf you added the numbers with their signs: they cancel out. Take abs() first.",
                lambda g, e, n: e * g.sum() if n == "linf" else largest_drop(g, e, n),
            ),
            Mistake(
                "The norms are the wrong way round: a step in EVERY pixel adds up all |g|.",
                lambda g, e, n: largest_drop(g, e, "l2" if n == "linf" else "linf"),
            ),
            Mistake(
                "The sum of all |g| belongs to linf. For l2, the step of length eps goes along g.",
                lambda g, e, _n: largest_drop(g, e, "linf"),
            ),
            Mistake(
                "That is one pixel, the strongest. But all of them may move by eps at once.",
                lambda g, e, n: e * g.abs().max() if n == "linf" else largest_drop(g, e, n),
            ),
            Mistake(
                "You took the mean. Wanted is the sum: many small numbers add up.",
                lambda g, e, n: e * g.abs().mean() if n == "linf" else largest_drop(g, e, n),
            ),
            Mistake(
                "The length of g is the ROOT of the sum of squares.",
                lambda g, e, n: e * g.square().sum() if n == "l2" else largest_drop(g, e, n),
            ),
            Mistake(
                "A drop is counted as a positive number: by how much the logit falls.",
                lambda g, e, n: -largest_drop(g, e, n),
            ),
        ),
    ),
    Exercise(
        id="10.3",
        title="back into the budget",
        function=project,
        cases=_moves,
        mistakes=(
            Mistake(
                "Only [0, 1] is left of the budget. First cut the change down to eps.",
                lambda m, _x, _e, _n: m.clamp(0, 1),
            ),
            Mistake(
                "The change is cut, but the result may leave [0, 1]. Clamp it at the end.",
                lambda m, x, e, n: _projected(m, x, e, n, clipped=False),
            ),
            Mistake(
                "You cut the picture, not the change. The budget is about moved - original.",
                lambda m, x, e, n: m.clamp(-e, e) if n == "linf" else _projected(m, x, e, n),
            ),
            Mistake(
                "Changes that are short enough stay as they are. You made every one as long as eps.",
                lambda m, x, e, n: _projected(m, x, e, n, always=True),
            ),
            Mistake(
                "One length for the whole batch. Each picture has its own budget: flatten(1).",
                lambda m, x, e, n: _projected(m, x, e, n, together=True),
            ),
            Mistake(
                "For l2 the whole change is made shorter. You cut every number by itself.",
                lambda m, x, e, _n: _projected(m, x, e, "linf"),
            ),
            Mistake(
                "You give back the change. Wanted is the picture: original + change.",
                lambda m, x, e, n: _projected(m, x, e, n, clipped=False) - x,
            ),
            Mistake(
                "A change may be too large downwards, too: clamp it from -eps to eps.",
                lambda m, x, e, n: (
                    (x + (m - x).clamp(max=e)).clamp(0, 1) if n == "linf" else _projected(m, x, e, n)
                ),
            ),
            Mistake(
                "One length for each picture, (N,), lines up with the COLUMNS: view(-1, 1, 1, 1) first.",
                lambda m, x, e, n: _projected(m, x, e, n) if n == "linf" else _lined_up(m, x, e),
            ),
            Mistake(
                "First the budget, and [0, 1] only at the end: you clamped before, which turns the change.",
                lambda m, x, e, n: _projected(m.clamp(0, 1), x, e, n),
            ),
        ),
    ),
    Exercise(
        id="10.bug",
        title="bug hunt: the epsilon that shrank",
        function=fast_sign,
        cases=_normal,
        mistakes=(
            Mistake(
                "eps is added to normalised numbers.",
                lambda g, x, e, m, d: _normalised(g, x, e, m, d, step=e),
            ),
            Mistake(
                "Still too small: in normalised numbers a step of eps is eps DIVIDED by the deviation.",
                lambda g, x, e, m, d: _normalised(g, x, e, m, d, step=e * d),
            ),
            Mistake(
                "The mean is no part of a step: it moves the picture, not the change.",
                lambda g, x, e, m, d: _normalised(g, x, e, m, d, step=(e - m) / d),
            ),
            Mistake(
                "The result is still normalised: bring it back to [0, 1].",
                lambda g, x, e, m, d: _normalised(g, x, e, m, d, back=False, clipped=False),
            ),
            Mistake(
                "Now some numbers leave [0, 1]: clamp the picture after it was brought back.",
                lambda g, x, e, m, d: _normalised(g, x, e, m, d, clipped=False),
            ),
            Mistake(
                "You clamped while the picture was still normalised. First bring it back, then clamp.",
                lambda g, x, e, m, d: (
                    _normalised(g, x, e, m, d, back=False, clipped=False).clamp(0, 1) * d + m
                ),
            ),
            Mistake(
                "Ask for the gradient at the normalised picture: that is what this network sees.",
                lambda g, x, e, _m, _d: (x + e * g(x).sign()).clamp(0, 1),
            ),
        ),
    ),
)
