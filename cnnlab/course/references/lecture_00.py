"""The right answers of lecture 00 (start here), and the mistakes that its checks know by name."""

import torch

from cnnlab.course.references import Exercise, Mistake


def grey(image):
    """(3, H, W) -> (H, W): the mean over the colours."""
    return image.mean(dim=0)


def probabilities(scores):
    """(K,) -> (K,): e to the power of each score, over the sum of these."""
    weights = scores.exp()
    return weights / weights.sum()


def brightest(image):
    """(H, W) -> (row, column) of the largest value."""
    position = image.argmax().item()
    return position // image.shape[1], position % image.shape[1]


def _images():
    seeded = torch.Generator().manual_seed(0)
    one = torch.tensor([0.0, 0.5, 1.0]).reshape(3, 1, 1)
    red = torch.zeros(3, 2, 3)
    red[0] = 0.9
    steps = torch.arange(27.0).reshape(3, 3, 3) / 27
    return [(one,), (red,), (steps,), (torch.rand(3, 5, 7, generator=seeded),)]


def _scores():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([3.0]),),
        (torch.tensor([1.0, 3.0]),),
        (torch.tensor([2.0, 0.0, -6.0]),),
        (torch.randn(7, generator=seeded),),
    ]


def _one_bright_spot():
    cases = []
    for height, width, row, column in ((2, 2, 0, 1), (2, 3, 1, 0), (4, 2, 2, 1)):
        image = torch.zeros(height, width)
        image[row, column] = 1.0
        cases.append((image,))
    seeded = torch.Generator().manual_seed(1)
    below_zero = torch.tensor([[-5.0, 0.0, 1.0]])  # feature maps have negative values, too
    return [*cases, (below_zero,), (torch.rand(5, 8, generator=seeded),)]


EXERCISES = (
    Exercise(
        id="00.1",
        title="a colour picture becomes grey",
        function=grey,
        cases=_images,
        mistakes=(
            Mistake(
                "You added the colours. A mean also divides by 3, so that grey stays in [0, 1].",
                lambda image: image.sum(dim=0),
            ),
            Mistake(
                "You took the mean over the columns (the last dimension). The colours are dimension 0.",
                lambda image: image.mean(dim=-1),
            ),
            Mistake("You kept one colour only. Grey is the mean of all three.", lambda image: image[0]),
            Mistake(
                "You kept the colour dimension: (1, H, W) where (H, W) is wanted. Leave keepdim out.",
                lambda image: image.mean(dim=0, keepdim=True),
            ),
        ),
    ),
    Exercise(
        id="00.2",
        title="scores become probabilities",
        function=probabilities,
        cases=_scores,
        mistakes=(
            Mistake(
                "You divided the scores by their sum. Scores may be negative: take e to their power first.",
                lambda scores: scores / scores.sum(),
            ),
            Mistake(
                "These are the weights. Divide each by the sum of all, so that they add up to 1.",
                lambda scores: scores.exp(),
            ),
            Mistake(
                "You divided by the largest weight. Then the largest is always 1. Divide by the sum.",
                lambda scores: scores.exp() / scores.exp().max(),
            ),
            Mistake(
                "You took e to the power of the shares. First e to the power of each score, then the "
                "shares.",
                lambda scores: (scores / scores.sum()).exp(),
            ),
            Mistake(
                "2 to the power of the scores is not e to the power of the scores: scores.exp().",
                lambda scores: 2**scores / (2**scores).sum(),
            ),
        ),
    ),
    Exercise(
        id="00.bug",
        title="bug hunt: where is the brightest pixel?",
        function=brightest,
        cases=_one_bright_spot,
        mistakes=(
            Mistake(
                "You divided by the height. A flat index counts along the rows, so a new row starts "
                "after every `width` pixels: divide by the width.",
                lambda image: (
                    image.argmax().item() // image.shape[0],
                    image.argmax().item() % image.shape[0],
                ),
            ),
            Mistake(
                "Row and column are swapped: the row comes first.", lambda image: brightest(image)[::-1]
            ),
            Mistake(
                "You count from 1. Rows and columns of a tensor count from 0.",
                lambda image: tuple(index + 1 for index in brightest(image)),
            ),
            Mistake(
                "That is the darkest pixel: argmin where argmax is meant.",
                lambda image: brightest(-image),
            ),
            Mistake(
                "You take the strongest value, whatever its sign. -5 is darker than 1.",
                lambda image: brightest(image.abs()),
            ),
        ),
    ),
)
