"""The right answers of lecture 07 (deep dream), and the mistakes that its checks know by name."""

import torch

from cnnlab.course.references import Exercise, Mistake
from cnnlab.course.references.scores import Score


def ascend(objective, image, rate):
    """One step up: a function of a picture, (1, C, H, W), number -> (1, C, H, W)."""
    return _step(objective, image, rate)


def total_variation(image):
    """(1, C, H, W) -> number: how much neighbours differ, side by side and one above the other."""
    return _variation(image)


def jitter(image, down, right):
    """(1, C, H, W), int, int -> (1, C, H, W): moved; what leaves on one side comes in on the other."""
    return image.roll((down, right), dims=(2, 3))


def class_objective(logits, target, image, strength):
    """(1, K), int, (1, C, H, W), number -> number: the logit less strength times the sum of squares."""
    return logits[0, target] - strength * (image**2).sum()


def jittered_gradient(gradient_of, image, down, right):
    """The gradient at the moved picture, moved back: function, (1, C, H, W), int, int -> (1, C, H, W)."""
    return gradient_of(image.roll((down, right), dims=(2, 3))).roll((-down, -right), dims=(2, 3))


def _gradient(objective, image):
    leaf = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(objective(leaf), leaf)[0]


def _step(objective, image, rate, *, sign=1, normalised=True, clipped=True, signs=False):
    gradient = _gradient(objective, image)
    if normalised:
        gradient = gradient / gradient.norm()
    gradient = gradient.sign() if signs else gradient
    moved = image + sign * rate * gradient
    return moved.clamp(0, 1) if clipped else moved


def _variation(image, *, squared=False, signed=False, around=False, axes=(2, 3)):
    total = torch.zeros(())
    for axis in axes:
        step = image.roll(-1, dims=axis) - image if around else image.diff(dim=axis)
        total = total + (step if signed else step**2 if squared else step.abs()).sum()
    return total


def _lost(image, down, right):
    moved = torch.zeros_like(image)
    height, width = image.shape[2:]
    rows, columns = (slice(max(0, by), side + min(0, by)) for by, side in ((down, height), (right, width)))
    from_rows, from_columns = (
        slice(max(0, -by), side + min(0, -by)) for by, side in ((down, height), (right, width))
    )
    moved[:, :, rows, columns] = image[:, :, from_rows, from_columns]
    return moved


# --- cases: three that fit in the head, smallest first, and one random picture ---


def _image(seed=1, size=(1, 3, 5, 6)):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def _steps():
    weight = torch.randn(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    return [
        (_objective("3 * picture.sum()", lambda x: 3 * x.sum()), torch.tensor([[[[0.2, 0.4, 0.5]]]]), 0.2),
        (_objective("-(picture ** 2).sum()", lambda x: -(x**2).sum()), torch.tensor([[[[0.6, 0.8]]]]), 0.5),
        (_objective("picture.sum()", lambda x: x.sum()), torch.tensor([[[[0.9, 0.1, 0.5, 1.0]]]]), 1.0),
        (_objective("(weights * picture).sum()", lambda x: (weight * x).sum()), _image(), 2.0),
    ]


def _objective(text, function):
    return Score(text, function, name="objective(picture)")


def _images():
    return [
        (torch.tensor([[[[0.0, 1.0]]]]),),
        (torch.tensor([[[[0.5], [0.0], [1.0]]]]),),
        (torch.tensor([[[[0.0, 0.5], [1.0, 0.0]]]]),),
        (_image(),),
    ]


def _moves():
    return [
        (torch.tensor([[[[1.0, 2.0, 3.0]]]]), 0, 1),
        (torch.tensor([[[[1.0], [2.0], [3.0]]]]), 1, 0),
        (torch.arange(6.0).reshape(1, 1, 2, 3), 1, -1),
        (_image(), 2, 3),
    ]


def _classes():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[2.0, 5.0]]), 1, torch.zeros(1, 1, 1, 2), 0.1),
        (torch.tensor([[2.0, 5.0]]), 0, torch.ones(1, 1, 2, 2), 0.5),
        (torch.tensor([[-1.0, 0.0, 3.0]]), 2, torch.tensor([[[[0.5, 1.0]]]]), 2.0),
        (torch.randn(1, 7, generator=seeded), 4, _image(), 0.05),
    ]


def _jittered():
    ramp = torch.arange(4.0).reshape(1, 1, 1, 4)
    weight = torch.randn(1, 3, 5, 6, generator=torch.Generator().manual_seed(2))
    here = Score("x * [0, 1, 2, 3]", lambda image: image * ramp, name="gradient_of(x)")
    square = Score("x ** 2", lambda image: image**2, name="gradient_of(x)")
    return [
        (here, torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]]), 0, 1),
        (here, torch.tensor([[[[1.0, 2.0, 0.0, 1.0]]]]), 0, -1),
        (square, torch.arange(6.0).reshape(1, 1, 2, 3), 1, 2),
        (Score("weights * x", lambda image: weight * image, name="gradient_of(x)"), _image(), 3, 2),
    ]


EXERCISES = (
    Exercise(
        id="07.1",
        title="one step up",
        function=ascend,
        cases=_steps,
        mistakes=(
            Mistake(
                "You go down: the gradient points up, so add it.",
                lambda o, x, r: _step(o, x, r, sign=-1),
            ),
            Mistake(
                "The step has the length of the gradient. Divide by its length first, so that `rate` is it.",
                lambda o, x, r: _step(o, x, r, normalised=False),
            ),
            Mistake(
                "The picture leaves the range from 0 to 1. Clamp it at the end.",
                lambda o, x, r: _step(o, x, r, clipped=False),
            ),
            Mistake(
                "You took the sign of the gradient: then weak pixels move as far as strong ones.",
                lambda o, x, r: _step(o, x, r, signs=True),
            ),
            Mistake(
                "You divided by the largest value. The length is slope.norm(): root of the sum of squares.",
                lambda o, x, r: (x + r * _gradient(o, x) / _gradient(o, x).abs().max()).clamp(0, 1),
            ),
        ),
    ),
    Exercise(
        id="07.2",
        title="total variation",
        function=total_variation,
        cases=_images,
        mistakes=(
            Mistake(
                "You squared the differences. Here their sizes are added.",
                lambda x: _variation(x, squared=True),
            ),
            Mistake(
                "Differences without their sizes cancel out: take abs().",
                lambda x: _variation(x, signed=True),
            ),
            Mistake(
                "The last column has no neighbour: with roll() it gets the first one. Use diff().",
                lambda x: _variation(x, around=True),
            ),
            Mistake(
                "Only side by side. Pixels have neighbours below, too.",
                lambda x: _variation(x, axes=(3,)),
            ),
            Mistake("That is the mean. Wanted is the sum.", lambda x: _variation(x) / x.numel()),
            Mistake(
                "You took the means of the differences. Wanted are their sums.",
                lambda x: x.diff(dim=2).abs().mean() + x.diff(dim=3).abs().mean(),
            ),
            Mistake(
                "Diagonal neighbours do not count here: only side by side, and one above the other.",
                lambda x: _variation(x) + (x[..., 1:, 1:] - x[..., :-1, :-1]).abs().sum(),
            ),
        ),
    ),
    Exercise(
        id="07.3",
        title="jitter",
        function=jitter,
        cases=_moves,
        mistakes=(
            Mistake(
                "It moves the other way: down and right are positive.",
                lambda x, d, r: jitter(x, -d, -r),
            ),
            Mistake(
                "Down and right are swapped: rows are axis 2, columns axis 3.",
                lambda x, d, r: jitter(x, r, d),
            ),
            Mistake(
                "What leaves on one side is lost. It comes in on the other.",
                lambda x, d, r: _lost(x, d, r),
            ),
            Mistake(
                "torch.roll took the third argument for an axis. Say roll((down, right), dims=(2, 3)).",
                lambda x, d, r: x.roll(d, r),
            ),
        ),
    ),
    Exercise(
        id="07.4",
        title="the objective of a class",
        function=class_objective,
        cases=_classes,
        mistakes=(
            Mistake(
                "You add the penalty. A large picture must cost something: subtract it.",
                lambda z, k, x, s: z[0, k] + s * (x**2).sum(),
            ),
            Mistake(
                "That is the probability. It can rise because other classes fall: take the logit.",
                lambda z, k, x, s: z.softmax(dim=1)[0, k] - s * (x**2).sum(),
            ),
            Mistake(
                "You took the mean of the squares. Wanted is their sum.",
                lambda z, k, x, s: z[0, k] - s * (x**2).mean(),
            ),
            Mistake(
                "That is the length of the picture, the root. Wanted is the sum of squares.",
                lambda z, k, x, s: z[0, k] - s * x.norm(),
            ),
        ),
    ),
    Exercise(
        id="07.bug",
        title="bug hunt: the picture that walks away",
        function=jittered_gradient,
        cases=_jittered,
        mistakes=(
            Mistake("The gradient is not moved back.", lambda g, x, d, r: g(jitter(x, d, r))),
            Mistake(
                "It is moved the same way twice. Back is the other way.",
                lambda g, x, d, r: jitter(g(jitter(x, d, r)), d, r),
            ),
            Mistake(
                "The picture is not moved any more: that is no jitter.",
                lambda g, x, _d, _r: g(x),
            ),
        ),
    ),
)
