"""The right answers of lecture 06a (saliency), and the mistakes that its checks know by name."""

import torch

from cnnlab.course.references import Exercise, Mistake
from cnnlab.course.references.scores import PRODUCT, SQUARE, linear, small_net


def gradient_map(score, image):
    """A function of a picture, (1, C, H, W) -> (1, C, H, W): what a little more of each pixel adds."""
    return _gradient(score, image)


def integrated_gradients(score, image, baseline, steps):
    """(x - x') times the mean gradient at the middles of `steps` equal pieces of the straight way."""
    return _integrated(score, image, baseline, steps)


def occlusion(score, image, window, fill):
    """Drop of the score for every window, side by side: (1, C, H, W), int, number -> (rows, cols)."""
    return _drops(score, image, window, fill)


def grad_cam(maps, gradients):
    """(C, h, w), (C, h, w) -> (h, w): maps, each times the mean of its gradient, added up, rectified."""
    return _grad_cam(maps, gradients)


def path_average(gradients, image, baseline):
    """(n, C, H, W), (1, C, H, W), (1, C, H, W) -> (1, C, H, W)."""
    return (image - baseline) * gradients.mean(dim=0, keepdim=True)


def _gradient(score, image):
    leaf = image.detach().clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(score(leaf), leaf)[0]


def _integrated(score, image, baseline, steps, *, offset=0.5, factor=True, start=0.0):
    """The sum over points on the way, and what becomes of it if a part is left out."""
    total = torch.zeros_like(image)
    for k in range(steps):
        a = start + (k + offset) / steps * (1 - start)
        total += _gradient(score, baseline + a * (image - baseline))
    return (image - baseline) * total / steps if factor else total / steps


def _drops(score, image, window, fill, *, step=None, what="drop", shared=False):
    with torch.no_grad():
        whole, step = score(image), step or window
        rows = []
        covered = image.clone()
        for top in range(0, image.shape[2], step):
            row = []
            for left in range(0, image.shape[3], step):
                covered = covered if shared else image.clone()
                covered[:, :, top : top + window, left : left + window] = fill
                there = score(covered)
                row.append({"drop": whole - there, "rise": there - whole, "score": there}[what])
            rows.append(torch.stack(row))
    return torch.stack(rows)


def _covers_the_input(score, image, window, fill):
    whole, rows = score(image), []
    for top in range(0, image.shape[2], window):
        row = []
        for left in range(0, image.shape[3], window):
            image[:, :, top : top + window, left : left + window] = fill
            row.append(whole - score(image))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def _grad_cam(maps, gradients, *, weights=None, rectified=True, start=0.0):
    weights = gradients.mean(dim=(1, 2)) if weights is None else weights
    total = start + (weights[:, None, None] * maps).sum(dim=0)
    return total.clamp(min=0) if rectified else total


def _image(seed=1, size=(1, 2, 5, 6)):
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


# --- cases: three that fit in the head, smallest first, and one random network ---


def _gradients():
    return [
        (linear(torch.tensor([[[[2.0, -3.0]]]])), torch.tensor([[[[0.5, 0.25]]]])),
        (SQUARE, torch.tensor([[[[1.0, -2.0], [0.5, 0.0]]]])),
        (PRODUCT, torch.tensor([[[[3.0, -1.0]]]])),
        (small_net(), _image()),
    ]


def _paths():
    pair = torch.tensor([[[[3.0, -1.0]]]])
    return [
        (linear(torch.tensor([[[[2.0, -3.0]]]])), pair, torch.tensor([[[[1.0, 0.0]]]]), 1),
        (SQUARE, torch.tensor([[[[1.0, -2.0], [0.5, 0.0]]]]), torch.full((1, 1, 2, 2), 0.5), 2),
        (PRODUCT, pair, torch.zeros(1, 1, 1, 2), 4),
        (small_net(), _image(), torch.full((1, 2, 5, 6), 0.3), 7),
    ]


def _covers():
    weight = torch.arange(1.0, 5.0).reshape(1, 1, 2, 2)
    return [
        (linear(weight), torch.tensor([[[[1.0, 1.0], [2.0, 0.5]]]]), 1, 0.0),
        (linear(weight.view(1, 2, 1, 2)), torch.ones(1, 2, 1, 2), 1, 0.0),
        (linear(torch.ones(1, 1, 3, 4)), torch.arange(12.0).reshape(1, 1, 3, 4), 2, 1.0),
        (SQUARE, torch.arange(16.0).reshape(1, 1, 4, 4) / 8, 2, 0.5),
        (small_net(), _image(), 2, 0.25),
    ]


def _maps():
    seeded = torch.Generator().manual_seed(0)
    maps = torch.tensor([[[1.0, 0.0], [2.0, 3.0]], [[4.0, 1.0], [0.0, 2.0]]])
    gradients = torch.tensor([[[1.0, 2.0], [3.0, 2.0]], [[-1.0, 0.0], [0.0, -1.0]]])
    return [
        (torch.tensor([[[2.0]]]), torch.tensor([[[3.0]]])),
        (maps, gradients),
        (maps, -gradients),
        (torch.rand(5, 4, 6, generator=seeded), torch.randn(5, 4, 6, generator=seeded)),
    ]


def _gathered():
    seeded = torch.Generator().manual_seed(0)
    ones = torch.ones(1, 1, 1, 2)
    return [
        (torch.tensor([[[[2.0, 4.0]]]]), 3 * ones, 1 * ones),
        (torch.tensor([[[[1.0, 0.0]]], [[[3.0, -2.0]]]]), torch.tensor([[[[0.5, -1.0]]]]), 0 * ones),
        (torch.zeros(2, 1, 1, 2), ones, 0 * ones),
        (torch.randn(6, 3, 4, 5, generator=seeded), *torch.rand(2, 1, 3, 4, 5, generator=seeded)),
    ]


EXERCISES = (
    Exercise(
        id="06a.1",
        title="a gradient map",
        function=gradient_map,
        cases=_gradients,
        mistakes=(
            Mistake("That is the size of the gradient. Keep its sign.", lambda s, x: _gradient(s, x).abs()),
            Mistake(
                "That is gradient times input. Here the gradient alone is wanted.",
                lambda s, x: x * _gradient(s, x),
            ),
            Mistake(
                "That is divided by its largest number. Hand back raw numbers: only drawing scales.",
                lambda s, x: _gradient(s, x) / _gradient(s, x).abs().max(),
            ),
            Mistake(
                "You cut off what is negative. A pixel may well speak against the class.",
                lambda s, x: _gradient(s, x).clamp(min=0),
            ),
        ),
    ),
    Exercise(
        id="06a.2",
        title="integrated gradients",
        function=integrated_gradients,
        cases=_paths,
        mistakes=(
            Mistake(
                "You forgot (x - x'): the mean gradient says how steep the way is, not how far it goes.",
                lambda s, x, b, n: _integrated(s, x, b, n, factor=False),
            ),
            Mistake(
                "You start at x' itself: points 0, 1/n, ... Take the middles of the pieces.",
                lambda s, x, b, n: _integrated(s, x, b, n, offset=0.0),
            ),
            Mistake(
                "You stop at x itself: points 1/n, 2/n, ..., 1. Take the middles of the pieces.",
                lambda s, x, b, n: _integrated(s, x, b, n, offset=1.0),
            ),
            Mistake(
                "You multiply by x, not by (x - x'). That is the same only for a black baseline.",
                lambda s, x, b, n: x * _integrated(s, x, b, n, factor=False),
            ),
            Mistake(
                "That is the sum of the gradients, not their mean: divide by the number of steps.",
                lambda s, x, b, n: n * _integrated(s, x, b, n),
            ),
            Mistake(
                "The way goes from the baseline to the picture: (x - x'), not (x' - x).",
                lambda s, x, b, n: -_integrated(s, x, b, n),
            ),
            Mistake(
                "You leave out where the way begins: a point is x' + a * (x - x'), not a * (x - x').",
                lambda s, x, b, n: _integrated(lambda z: s(z - b), x, b, n),
            ),
            Mistake(
                "You walk from zero, not from the baseline: a point is x' + a * (x - x').",
                lambda s, x, b, n: (x - b) * _integrated(s, x, torch.zeros_like(x), n, factor=False),
            ),
        ),
    ),
    Exercise(
        id="06a.3",
        title="occlusion",
        function=occlusion,
        cases=_covers,
        mistakes=(
            Mistake(
                "The sign is turned round. A drop is the score before minus the score after.",
                lambda s, x, w, f: _drops(s, x, w, f, what="rise"),
            ),
            Mistake(
                "Those are the scores of the covered pictures. Wanted is how much each is lower.",
                lambda s, x, w, f: _drops(s, x, w, f, what="score"),
            ),
            Mistake(
                "The windows of the rounds before stay covered. Begin each round with a fresh copy.",
                lambda s, x, w, f: _drops(s, x, w, f, shared=True),
            ),
            Mistake(
                "Your function covers the picture that it was given: begin each round with image.clone().",
                _covers_the_input,
            ),
            Mistake(
                "The squares that are cut at the edge are left out. Go on to the last row and column.",
                lambda s, x, w, f: _drops(s, x, w, f)[: x.shape[2] // w, : x.shape[3] // w],
            ),
            Mistake(
                "You cover one colour only. All colours of a square go: [:, :, top : …].",
                lambda s, x, w, f: _drops(lambda z: s(torch.cat([z[:, :1], x[:, 1:]], dim=1)), x, w, f),
            ),
            Mistake("Rows and columns are swapped.", lambda s, x, w, f: _drops(s, x, w, f).T),
            Mistake(
                "You cover with black. The window gets `fill`.",
                lambda s, x, w, f: _drops(s, x, w, 0.0 if f else 1.0),
            ),
            Mistake(
                "You move on by one pixel. Here the windows stand side by side: the step is `window`.",
                lambda s, x, w, f: _drops(s, x, w, f, step=1 if w > 1 else 2),
            ),
        ),
    ),
    Exercise(
        id="06a.4",
        title="Grad-CAM",
        function=grad_cam,
        cases=_maps,
        mistakes=(
            Mistake(
                "The ReLU at the end is missing: Grad-CAM shows what speaks for the class.",
                lambda m, g: _grad_cam(m, g, rectified=False),
            ),
            Mistake(
                "You multiplied place by place. The weight of a map is ONE number: the mean of its gradient.",
                lambda m, g: (m * g).sum(dim=0).clamp(min=0),
            ),
            Mistake(
                "That is the sum of the gradient over all places, not the mean.",
                lambda m, g: _grad_cam(m, g, weights=g.sum(dim=(1, 2))),
            ),
            Mistake(
                "You rectified before the sum. A map may speak against the class: rectify at the end.",
                lambda m, g: _grad_cam(m, g, weights=g.mean(dim=(1, 2)).clamp(min=0)),
            ),
            Mistake(
                "That is the mean over the maps. The weighted maps are added up.",
                lambda m, g: _grad_cam(m, g) / len(m),
            ),
            Mistake("You left out the weights: all count alike.", lambda m, _: m.sum(dim=0).clamp(min=0)),
        ),
    ),
    Exercise(
        id="06a.bug",
        title="bug hunt: integrated gradients",
        function=path_average,
        cases=_gathered,
        mistakes=(
            Mistake("(x - x') is missing.", lambda g, _x, _b: g.mean(dim=0, keepdim=True)),
            Mistake("That is x, not x - x'.", lambda g, x, _: x * g.mean(dim=0, keepdim=True)),
            Mistake(
                "That is the sum of the gradients. It grows with the number of points.",
                lambda g, x, b: (x - b) * g.sum(dim=0, keepdim=True),
            ),
            Mistake("The way goes from x' to x.", lambda g, x, b: (b - x) * g.mean(dim=0, keepdim=True)),
        ),
    ),
)
