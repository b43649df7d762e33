"""The right answers of lecture 02 (filters), and the mistakes that its checks know by name."""

import torch

from cnnlab.course.references import Exercise, Mistake
from cnnlab.methods.analysis.filters import gabor


def for_display(weight):
    """(C, K, K) -> numbers in [0, 1]: zero becomes 0.5, the strongest weight 0 or 1."""
    strongest = weight.abs().max()
    return 0.5 + 0.5 * weight / strongest if strongest > 0 else torch.full_like(weight, 0.5)


def correlation(weight):
    """(F, C, K, K) -> (F, F): the correlation of each two filters."""
    flat = weight.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    flat = flat / flat.norm(dim=1, keepdim=True)
    return flat @ flat.T


_STEPS = {0: (0, 1), 45: (-1, 1), 90: (1, 0), 135: (1, 1)}  # rows down, columns to the right


def _differences(kernel, step):
    """Every weight minus its neighbour one step away."""
    rows, columns = kernel.shape
    down, right = step
    here = kernel[max(0, -down) : rows - max(0, down), : columns - right]
    there = kernel[max(0, down) : rows - max(0, -down), right:]
    return there - here


def orientation(kernel):
    """(K, K) -> 0, 45, 90 or 135: along this direction the weights change least."""
    energy = {}
    for angle, (down, right) in _STEPS.items():
        change = _differences(kernel, (down, right))
        energy[angle] = (change**2).mean().item() / (down**2 + right**2)
    return min(energy, key=energy.get)


def as_images(weight):
    """(F, 3, K, K) -> (F, K, K, 3): the channels go last, every weight keeps its place."""
    return weight.permute(0, 2, 3, 1)


# --- cases: three that fit in the head, smallest first, and one random shape ---


def _filters():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[[-1.0, 2.0]]]),),
        (torch.tensor([[[0.0, 1.0]], [[0.0, -4.0]]]),),
        (torch.zeros(3, 2, 2),),
        (torch.randn(3, 5, 5, generator=seeded),),
    ]


def _banks():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[[[1.0, 2.0]]], [[[3.0, 1.0]]]]),),
        (torch.tensor([[[[1.0, 2.0, 3.0]]], [[[10.0, 10.0, 40.0]]], [[[0.0, 5.0, 1.0]]]]),),
        (torch.arange(8.0).reshape(2, 1, 2, 2).cos() + 2,),
        (torch.randn(5, 3, 4, 4, generator=seeded) + 0.5,),
    ]


def _kernels():
    line = torch.zeros(3, 3)
    line[1] = 1.0
    # Both diagonals are here: rows count downwards, so it is easy to take one for the other.
    tilted = [gabor(7, angle, 5, phase=60) for angle in (45, 135, 90, 0)]
    # Where the halving, the mean and the square decide, one after the other.
    halved = torch.tensor([[0.0, 3, 1], [0, 3, 3], [3, 3, 1]])
    averaged = torch.tensor([[1.0, 0, 3], [1, 1, 3], [0, 2, 2]])
    squared = torch.tensor([[3.0, 3, 1], [1, 0, 0], [3, 2, 0]])
    close = [halved, averaged, squared]
    simple = [line, line.T, torch.eye(3), torch.eye(4).flip(1)]
    return [(kernel,) for kernel in (*simple, *close, *tilted)]


def _colour_banks():
    seeded = torch.Generator().manual_seed(0)
    return [
        (torch.arange(12.0).reshape(1, 3, 2, 2),),
        (torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]]]),),
        (torch.arange(24.0).reshape(2, 3, 2, 2),),
        (torch.randn(4, 3, 5, 5, generator=seeded),),
    ]


def _min_max(weight):
    low, high = weight.min(), weight.max()
    return (weight - low) / (high - low)


def _per_channel(weight):
    return 0.5 + 0.5 * weight / weight.abs().amax(dim=(1, 2), keepdim=True)


def _cosine(weight):
    flat = weight.flatten(1)
    flat = flat / flat.norm(dim=1, keepdim=True)
    return flat @ flat.T


def _covariance(weight):
    flat = weight.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    return flat @ flat.T


def _mean_over_filters(weight):
    flat = weight.flatten(1)
    flat = flat - flat.mean(dim=0)
    flat = flat / flat.norm(dim=1, keepdim=True)
    return flat @ flat.T


def _energies(kernel, swap=None, halve=True, add_up=torch.mean, power=2):
    energy = {}
    for angle, (down, right) in _STEPS.items():
        change = add_up(_differences(kernel, (down, right)).abs() ** power).item()
        energy[(swap or {}).get(angle, angle)] = change / (down**2 + right**2 if halve else 1)
    return energy


def _least(**how):
    """The direction that a student finds who does it that way."""

    def direction(kernel):
        energy = _energies(kernel, **how)
        return min(energy, key=energy.get)

    return direction


def _across(kernel):
    energy = _energies(kernel)
    return max(energy, key=energy.get)


def _divided_by_count(weight):
    flat = weight.flatten(1)
    flat = (flat - flat.mean(dim=1, keepdim=True)) / flat.shape[1]
    return flat @ flat.T


EXERCISES = (
    Exercise(
        id="02.1",
        title="a filter for display",
        function=for_display,
        cases=_filters,
        mistakes=(
            Mistake(
                "You stretched the smallest weight to 0 and the largest to 1. Then zero has another grey "
                "in every filter. Divide by the largest absolute value, so that zero is always 0.5.",
                _min_max,
            ),
            Mistake(
                "You scaled each channel on its own. That changes the filter's colour. One number for "
                "all channels.",
                _per_channel,
            ),
            Mistake(
                "Half of the range is missing: the weights go from -1 to 1 now. Halve them and add 0.5.",
                lambda weight: weight / weight.abs().max().clamp(min=1e-12),
            ),
            Mistake(
                "You cut off what is outside [0, 1]. All negative weights are black then. Scale, and "
                "shift to 0.5.",
                lambda weight: weight.clamp(0, 1),
            ),
            Mistake(
                "A filter of zeros gives 0 / 0, which is no number. It should be grey: 0.5 everywhere.",
                lambda weight: 0.5 + 0.5 * weight / weight.abs().max(),
            ),
        ),
    ),
    Exercise(
        id="02.2",
        title="the direction of a filter's lines",
        function=orientation,
        cases=_kernels,
        mistakes=(
            Mistake(
                "That is the direction ACROSS the lines: there the weights change most. Along the lines "
                "they change least.",
                _across,
            ),
            Mistake(
                "45 and 135 are swapped. Rows count downwards: one step up and to the right is (-1, +1).",
                _least(swap={45: 135, 135: 45}),
            ),
            Mistake(
                "0 and 90 are swapped. The neighbour to the right, along 0 degrees, is in the next column.",
                _least(swap={0: 90, 90: 0}),
            ),
            Mistake(
                "The diagonals are not halved. Their neighbours are farther away, so more changes there.",
                _least(halve=False),
            ),
            Mistake(
                "You added up the squares. There are fewer diagonal pairs than others: take the mean.",
                _least(add_up=torch.sum),
            ),
            Mistake(
                "You took the absolute differences. Square them: one large step counts more than two small.",
                _least(power=1),
            ),
        ),
    ),
    Exercise(
        id="02.3",
        title="the correlation of filters",
        function=correlation,
        cases=_banks,
        mistakes=(
            Mistake(
                "That is the cosine: the means are still in. Subtract each filter's own mean first.", _cosine
            ),
            Mistake(
                "That is the covariance: strong filters get large numbers. Divide each filter by its "
                "length.",
                _covariance,
            ),
            Mistake(
                "You subtracted the mean over the filters. Each filter has a mean of its own: dim=1.",
                _mean_over_filters,
            ),
            Mistake(
                "You divided by how many weights a row has. Its length as a vector is the square root of the "
                "sum of its squares: norm(dim=1).",
                _divided_by_count,
            ),
        ),
    ),
    Exercise(
        id="02.bug",
        title="bug hunt: filters as pictures",
        function=as_images,
        cases=_colour_banks,
        mistakes=(
            Mistake(
                "Still reshape: it fills the new shape in the order of memory, and mixes places with "
                "colours. permute moves the axes.",
                lambda weight: weight.reshape(weight.shape[0], weight.shape[2], weight.shape[3], 3),
            ),
            Mistake(
                "Rows and columns are swapped: permute(0, 2, 3, 1), not (0, 3, 2, 1).",
                lambda weight: weight.permute(0, 3, 2, 1),
            ),
            Mistake(
                "The colours are in the wrong order: blue comes first.",
                lambda weight: weight.permute(0, 2, 3, 1).flip(-1),
            ),
        ),
    ),
)
