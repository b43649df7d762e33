"""The right answers of lecture 08 (dropout), and the mistakes that its checks know by name."""

import torch

from cnnlab.course.references import Exercise, Mistake


def stop_early(losses, patience):
    """Losses after each epoch, int -> (the last epoch that is trained, the best one), both from 1."""
    return _stop(losses, patience)


def dropout(x, noise, rate):
    """Any shape, uniform noise of the same shape, number -> like x: zero where noise is below the rate."""
    return x * (noise >= rate) / (1 - rate)


def dropout_backward(g, kept, rate):
    """The gradient from above, what was kept, number -> the gradient below."""
    return g * kept / (1 - rate)


def mean_and_variance(answers):
    """(S, K), S answers for K classes -> (K,) their mean and (K,) their variance."""
    mean = answers.mean(dim=0)
    return mean, (answers - mean).square().mean(dim=0)


def drop(x, kept, rate):
    """Any shape, True and False of the same shape, number -> like x: what stays is enlarged."""
    return x * kept / (1 - rate)


def _stop(losses, patience, *, first=1, against="best", late=0, keeps="best", in_a_row=True, equal=False):
    """The rule, and what goes wrong with it."""
    best, lowest, waited = 0, float("inf"), 0
    before = float("inf")
    for epoch, loss in enumerate(losses, first):
        if loss < lowest or (equal and loss <= lowest):
            lowest, best = loss, epoch
            waited = 0 if in_a_row and against == "best" else waited
        elif against == "best":
            waited += 1
        if against == "last":
            waited = 0 if loss < before else waited + 1
        before = loss
        if waited >= patience + late:
            return epoch, best if keeps == "best" else epoch
    last = first + len(losses) - 1
    return last, best if keeps == "best" else last


# --- cases: three that fit in the head, smallest first, and one random one ---


def _curves():
    seeded = torch.Generator().manual_seed(3)
    fallen = [2.0 / (1 + k) for k in range(8)]
    risen = (0.25 + 0.05 * torch.arange(12) + 0.02 * torch.rand(12, generator=seeded)).tolist()
    return [
        ([3.0, 2.0, 2.5], 1),
        ([3.0, 2.0, 2.5, 2.4, 1.0], 2),
        ([3.0, 1.0, 1.5, 0.9, 1.2, 1.1, 1.3], 3),
        ([3.0, 1.0, 2.0], 2),  # it ends with the curve
        ([2.0, 2.0, 2.0, 1.0], 2),  # no lower is no better
        (fallen + risen, 4),
    ]


def _dropped():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([4.0, 4.0, 4.0, 4.0]), torch.tensor([0.1, 0.3, 0.6, 0.9]), 0.5),
        (torch.tensor([3.0, -6.0]), torch.tensor([0.2, 0.3]), 0.25),
        (torch.tensor([1.0, 2.0]), torch.tensor([0.4, 0.0]), 0.0),
        (torch.randn(2, 3, 4, generator=seeded), torch.rand(2, 3, 4, generator=seeded), 0.3),
    ]


def _gradients():
    seeded = torch.Generator().manual_seed(1)
    return [
        (torch.tensor([1.0, 2.0]), torch.tensor([True, False]), 0.5),
        (torch.tensor([3.0, -6.0, 0.0]), torch.tensor([True, True, False]), 0.25),
        (torch.tensor([[8.0, 4.0]]), torch.tensor([[False, True]]), 0.75),
        (torch.randn(3, 5, generator=seeded), torch.rand(3, 5, generator=seeded) >= 0.3, 0.3),
    ]


def _answers():
    seeded = torch.Generator().manual_seed(2)
    return [
        (torch.tensor([[1.0, 0.0], [0.0, 1.0]]),),
        (torch.tensor([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8]]),),
        (torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0]]),),
        (torch.randn(7, 4, generator=seeded).softmax(dim=1),),
    ]


EXERCISES = (
    Exercise(
        id="08.1",
        title="when to stop",
        function=stop_early,
        cases=_curves,
        mistakes=(
            Mistake(
                "You count epochs from 0. The first one is epoch 1.",
                lambda losses, p: _stop(losses, p, first=0),
            ),
            Mistake(
                "You compare with the epoch before. What counts is the lowest loss so far: a curve that "
                "zigzags upwards would never stop.",
                lambda losses, p: _stop(losses, p, against="last"),
            ),
            Mistake(
                "The best epoch is the one with the lowest loss, not the one at which you stop: its weights "
                "are kept.",
                lambda losses, p: _stop(losses, p, keeps="last"),
            ),
            Mistake(
                "You wait one epoch too long: stop as soon as `patience` epochs have brought nothing.",
                lambda losses, p: _stop(losses, p, late=1),
            ),
            Mistake(
                "A new lowest loss starts the waiting again. Count epochs in a row.",
                lambda losses, p: _stop(losses, p, in_a_row=False),
            ),
            Mistake(
                "A loss as low as the lowest is no new lowest one: it does not start the waiting again.",
                lambda losses, p: _stop(losses, p, equal=True),
            ),
            Mistake(
                "You have looked at the whole curve. When you stop, the rest was never trained.",
                lambda losses, p: (_stop(losses, p)[0], 1 + min(range(len(losses)), key=losses.__getitem__)),
            ),
        ),
    ),
    Exercise(
        id="08.2",
        title="dropout, forward",
        function=dropout,
        cases=_dropped,
        mistakes=(
            Mistake(
                "What stays is not enlarged: the mean falls. Divide by 1 - rate.",
                lambda x, u, p: x * (u >= p),
            ),
            Mistake(
                "You divide by the rate. What stays has the share 1 - rate.",
                lambda x, u, p: x * (u >= p) / p if p else x * torch.inf,
            ),
            Mistake(
                "You drop what should stay: `rate` is the share that goes.",
                lambda x, u, p: x * (u < p) / (1 - p),
            ),
            Mistake(
                "You make what stays smaller. Multiplying by 1 - rate is for testing, in the old form of "
                "dropout; here divide.",
                lambda x, u, p: x * (u >= p) * (1 - p),
            ),
            Mistake(
                "A unit stays if its number is at least the rate. You drop it where they are equal: `>=`.",
                lambda x, u, p: x * (u > p) / (1 - p),
            ),
            Mistake(
                "All of x was enlarged, and nothing dropped.",
                lambda x, _u, p: x / (1 - p),
            ),
        ),
    ),
    Exercise(
        id="08.3",
        title="dropout, backward",
        function=dropout_backward,
        cases=_gradients,
        mistakes=(
            Mistake(
                "The gradient goes through as if nothing had been dropped. A unit that was silent did "
                "nothing for the loss, and hears nothing.",
                lambda g, _k, _p: g.clone(),
            ),
            Mistake(
                "What was kept had been enlarged on the way forward: its gradient is enlarged, too.",
                lambda g, k, _p: g * k,
            ),
            Mistake(
                "You take the units that were dropped. `kept` is True where a unit stayed.",
                lambda g, k, p: g * ~k / (1 - p),
            ),
            Mistake(
                "The backward pass does not undo the forward one. Both divide by 1 - rate.",
                lambda g, k, p: g * k * (1 - p),
            ),
            Mistake(
                "You divide by the rate. On the way forward, what stayed was divided by 1 - rate.",
                lambda g, k, p: g * k / p,
            ),
            Mistake(
                "You multiply by the rate. On the way forward, what stayed was divided by 1 - rate.",
                lambda g, k, p: g * k * p,
            ),
        ),
    ),
    Exercise(
        id="08.4",
        title="the mean and the variance of many answers",
        function=mean_and_variance,
        cases=_answers,
        mistakes=(
            Mistake(
                "The mean is right. Of the variance you took the root: that is the standard deviation.",
                lambda a: (a.mean(dim=0), a.std(dim=0, unbiased=False)),
            ),
            Mistake(
                "The mean is right. torch.var divides by S - 1; here divide by S: unbiased=False.",
                lambda a: (a.mean(dim=0), a.var(dim=0)),
            ),
            Mistake(
                "The mean is right. For the variance take the squares of the distances, not their sizes.",
                lambda a: (a.mean(dim=0), (a - a.mean(dim=0)).abs().mean(dim=0)),
            ),
            Mistake(
                "You took one mean of everything. Each class has a mean of its own, over the answers: dim=0.",
                lambda a: (a.mean(), a.var(unbiased=False)),
            ),
            Mistake(
                "You went over the classes. Each class has a mean of its own, over the answers: dim=0.",
                lambda a: (a.mean(dim=1), a.var(dim=1, unbiased=False)),
            ),
            Mistake(
                "The mean is right. The mean of the squares is not yet the variance: take off the square of "
                "the mean.",
                lambda a: (a.mean(dim=0), a.square().mean(dim=0)),
            ),
        ),
    ),
    Exercise(
        id="08.bug",
        title="bug hunt: right at one half",
        function=drop,
        cases=_gradients,
        mistakes=(
            Mistake("What stays is divided by the rate, and not by 1 - rate.", lambda x, k, p: x * k / p),
            Mistake("Now nothing is enlarged: the mean falls.", lambda x, k, _p: x * k),
            Mistake("Now what stays gets smaller. Divide by 1 - rate.", lambda x, k, p: x * k * (1 - p)),
            Mistake("Now it is right at one half alone. Which share stays?", lambda x, k, _p: x * k / 0.5),
            Mistake(
                "You divide by the share that happened to stay in this draw. Divide by the share that is "
                "expected to stay.",
                lambda x, k, _p: x * k / k.float().mean(),
            ),
        ),
    ),
)
