"""The right answers of lecture 06b (believing maps), and the mistakes that its checks know by name."""

import torch

from cnnlab.course.references import Exercise, Mistake
from cnnlab.course.references.scores import Score


def share_inside(map_, mask):
    """(C, H, W), (H, W) of True and False -> number: the part of the positive attribution in the mask."""
    return _share(map_.sum(dim=0), mask)


def rank_correlation(one, other):
    """(H, W), (H, W) without equal numbers -> number from -1 to 1."""
    return _correlation(_ranks(one), _ranks(other))


def deletion(score, image, map_, steps, fill):
    """The score as the pixels go, the most important first: -> (steps + 1,)."""
    return _deletion(score, image, map_, steps, fill)


def summed_maps(maps, gradients):
    """(C, h, w), (C, h, w) -> (h, w): maps times the mean of their gradient, added up."""
    return (gradients.mean(dim=(1, 2))[:, None, None] * maps).sum(dim=0)


def evidence(logits, target):
    """(K,), int -> the number whose gradient the map is."""
    return logits[target]


def _share(values, mask):
    positive = values.clamp(min=0)
    return positive[mask].sum() / positive.sum()


def _ranks(values):
    return values.flatten().argsort().argsort().float()


def _correlation(one, other):
    one, other = one - one.mean(), other - other.mean()
    return (one * other).sum() / (one.norm() * other.norm())


def _deletion(score, image, map_, steps, fill, *, rising=False, shown=False, apart=False, whole=round):
    order = map_.flatten().argsort(descending=not rising)
    pixels = image.flatten(2)  # (1, C, HW)
    start, end = (torch.full_like(pixels, fill), pixels) if shown else (pixels, torch.full_like(pixels, fill))
    with torch.no_grad():
        scores = []
        for k in range(steps + 1):
            last = whole(k / steps * len(order))
            first = round((k - 1) / steps * len(order)) if apart and k else 0
            changed = start.clone()
            changed[:, :, order[first:last]] = end[:, :, order[first:last]]
            scores.append(score(changed.view_as(image)))
    return torch.stack(scores)


# --- cases ---


def _masked():
    seeded = torch.Generator().manual_seed(0)
    half = torch.tensor([[True, False], [True, False]])
    both = torch.tensor([[[2.0, -1.0], [1.0, 1.0]], [[-1.0, 3.0], [0.0, 0.0]]])
    return [
        (torch.tensor([[[3.0, 1.0]]]), torch.tensor([[True, False]])),
        (torch.tensor([[[2.0, 2.0], [-4.0, 1.0]]]), half),
        (both, half),
        (torch.randn(3, 6, 7, generator=seeded), torch.rand(6, 7, generator=seeded) > 0.8),
    ]


def _pairs():
    seeded = torch.Generator().manual_seed(0)
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    return [
        (a, a**3),
        (a, -a),
        (torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[2.0, 1.0, 3.0]])),  # argsort alone would say -1
        (a, torch.tensor([[10.0, 30.0], [20.0, 100.0]])),
        tuple(torch.randn(2, 6, 7, generator=seeded)),
    ]


def _orders():
    seeded = torch.Generator().manual_seed(0)
    line = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    weight = torch.randn(1, 2, 4, 5, generator=seeded)
    return [
        (Score("image.sum()", torch.sum), line, torch.tensor([[0.1, 0.4], [0.2, 0.3]]), 4, 0.0),
        (Score("image.sum()", torch.sum), line, torch.tensor([[4.0, -3.0], [-2.0, 1.0]]), 2, 0.5),
        (Score("image.max()", torch.max), line, line[0, 0], 2, 1.0),
        (
            Score("(weights * image).sum()", lambda image: (weight * image).sum()),
            torch.rand(1, 2, 4, 5, generator=seeded),
            torch.randn(4, 5, generator=seeded),
            3,  # a third of 20 pixels is rounded, not cut
            0.25,
        ),
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


def _logits():
    return [
        (torch.tensor([0.0, 0.0]), 0),
        (torch.tensor([1.0, 3.0, 2.0]), 1),
        (torch.tensor([12.0, 0.0, -1.0, 0.5]), 0),
        (torch.randn(6, generator=torch.Generator().manual_seed(0)), 4),
    ]


EXERCISES = (
    Exercise(
        id="06b.1",
        title="the share inside the mask",
        function=share_inside,
        cases=_masked,
        mistakes=(
            Mistake(
                "You took sizes. What speaks against the class is no reason for it: keep positive numbers.",
                lambda m, mask: m.sum(dim=0).abs()[mask].sum() / m.sum(dim=0).abs().sum(),
            ),
            Mistake(
                "You kept the negative numbers. Then shares can be below 0 or above 1.",
                lambda m, mask: m.sum(dim=0)[mask].sum() / m.sum(),
            ),
            Mistake(
                "That is the mean inside over the mean of all. Wanted is the sum inside over the sum of all.",
                lambda m, mask: m.sum(dim=0).clamp(min=0)[mask].mean() / m.sum(dim=0).clamp(min=0).mean(),
            ),
            Mistake(
                "You cut off the negative colours first. Add the colours of a pixel up, then cut.",
                lambda m, mask: _share(m.clamp(min=0).sum(dim=0), mask),
            ),
            Mistake(
                "Below the line stand the sizes of all numbers. There, too, only what is positive counts.",
                lambda m, mask: m.sum(dim=0).clamp(min=0)[mask].sum() / m.sum(dim=0).abs().sum(),
            ),
            Mistake("That is the share OUTSIDE the mask.", lambda m, mask: _share(m.sum(dim=0), ~mask)),
        ),
    ),
    Exercise(
        id="06b.2",
        title="rank correlation",
        function=rank_correlation,
        cases=_pairs,
        mistakes=(
            Mistake(
                "That is the correlation of the numbers. Put their ranks in their place first.",
                lambda a, b: _correlation(a.flatten(), b.flatten()),
            ),
            Mistake(
                "argsort says which pixel comes first, not which rank a pixel has: argsort().argsort().",
                lambda a, b: _correlation(a.flatten().argsort().float(), b.flatten().argsort().float()),
            ),
            Mistake(
                "You took sizes first. Then a map and its opposite would agree.",
                lambda a, b: _correlation(_ranks(a.abs()), _ranks(b.abs())),
            ),
            Mistake(
                "The mean of the ranks is not subtracted: then even opposites agree.",
                lambda a, b: (_ranks(a) * _ranks(b)).sum() / (_ranks(a).norm() * _ranks(b).norm()),
            ),
            Mistake(
                "argsort works along the last side only, each row by itself: flatten the maps first.",
                lambda a, b: _correlation(*(m.argsort().argsort().float() for m in (a, b))),
            ),
            Mistake(
                "Divide by the product of both lengths: without it the number is no correlation.",
                lambda a, b: ((_ranks(a) - _ranks(a).mean()) * (_ranks(b) - _ranks(b).mean())).sum(),
            ),
            Mistake("Keep the sign of the correlation.", lambda a, b: rank_correlation(a, b).abs()),
        ),
    ),
    Exercise(
        id="06b.3",
        title="a deletion curve",
        function=deletion,
        cases=_orders,
        mistakes=(
            Mistake(
                "The least important pixels go first. Sort by falling numbers.",
                lambda s, x, m, n, f: _deletion(s, x, m, n, f, rising=True),
            ),
            Mistake(
                "That is insertion: you begin with nothing and put pixels in.",
                lambda s, x, m, n, f: _deletion(s, x, m, n, f, shown=True),
            ),
            Mistake(
                "Pixels come back. What went in an earlier step stays away.",
                lambda s, x, m, n, f: _deletion(s, x, m, n, f, apart=True),
            ),
            Mistake(
                "The number of pixels is cut to a whole one, not rounded: round(k / steps * pixels).",
                lambda s, x, m, n, f: _deletion(s, x, m, n, f, whole=int),
            ),
            Mistake(
                "The last point is missing: range(steps + 1), for from 0 to steps there is one more.",
                lambda s, x, m, n, f: _deletion(s, x, m, n, f)[:-1],
            ),
            Mistake(
                "One colour only goes. All colours of a pixel do: pixels[:, :, …].",
                lambda s, x, *more: _deletion(lambda z: s(torch.cat([z[:, :1], x[:, 1:]], dim=1)), x, *more),
            ),
            Mistake(
                "The first point is missing: at step 0 the picture is whole.",
                lambda s, x, m, n, f: _deletion(s, x, m, n, f)[1:],
            ),
            Mistake(
                "Sorted by size: a pixel that speaks against the class goes first. Keep the sign.",
                lambda s, x, m, n, f: _deletion(s, x, m.abs(), n, f),
            ),
        ),
    ),
    Exercise(
        id="06b.bug",
        title="bug hunt: Grad-CAM",
        function=summed_maps,
        cases=_maps,
        mistakes=(
            Mistake("It begins with ones.", lambda m, g: torch.ones(m.shape[1:]) + summed_maps(m, g)),
            Mistake(
                "You multiplied place by place. The weight of a map is one number.",
                lambda m, g: (m * g).sum(dim=0),
            ),
            Mistake("The ReLU comes after this sum.", lambda m, g: summed_maps(m, g).clamp(min=0)),
            Mistake("The maps are added up without their weights.", lambda m, _: m.sum(dim=0)),
        ),
    ),
    Exercise(
        id="06b.bug2",
        title="bug hunt: the blank map",
        function=evidence,
        cases=_logits,
        mistakes=(
            Mistake("That is the probability.", lambda z, k: z.softmax(dim=0)[k]),
            Mistake(
                "That is the logarithm of the probability. For a sure network it is flat, too: at zero.",
                lambda z, k: z.log_softmax(dim=0)[k],
            ),
            Mistake("That is the largest logit. Take the one of the target.", lambda z, _: z.max()),
        ),
    ),
)
