"""The right answers of lecture 04 (top-9 patches), and the mistakes that its checks know by name."""

import torch
import torch.nn.functional as F

from cnnlab.course.references import Exercise, Mistake


def receptive_field(layers):
    """[(kernel, stride), ...] -> (size, jump) of a unit of the last layer."""
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size, jump


def merge(values, indices, more_values, more_indices, k):
    """(m,), (m,), (n,), (n,), k -> values (k,) and pictures (k,) of the k best, the best first."""
    best = torch.cat([values, more_values]).topk(k)
    return best.values, torch.cat([indices, more_indices])[best.indices]


def crop(image, top, left, size):
    """(C, H, W) -> (C, size, size), zero where there is no picture."""
    padded = F.pad(image, (size, size, size, size))
    return padded[:, top + size : top + 2 * size, left + size : left + 2 * size].clone()


def strongest(batches, k):
    """A list of (n,) -> values (k,) and the numbers (k,) of the pictures in the whole data set."""
    every = torch.cat(list(batches))
    best = every.topk(min(k, len(every)))
    return best.values, best.indices


# --- cases: three that fit in the head, smallest first, and one random shape ---


def _stacks():
    return [
        ([(3, 1)],),
        ([(3, 1), (3, 1)],),
        ([(2, 2), (3, 1)],),
        ([(7, 1), (2, 2), (5, 1), (2, 2), (3, 1)],),
        ([(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1)],),
    ]


def _rankings():
    seeded = torch.Generator().manual_seed(0)
    few = torch.randperm(40, generator=seeded)
    first, second = (torch.randn(n, generator=seeded).sort(descending=True).values for n in (9, 12))
    return [
        (torch.tensor([5.0]), torch.tensor([0]), torch.tensor([7.0]), torch.tensor([1]), 1),
        (torch.tensor([5.0, 1.0]), torch.tensor([3, 8]), torch.tensor([4.0, 2.0]), torch.tensor([12, 10]), 3),
        (torch.empty(0), torch.tensor([], dtype=torch.int64), torch.tensor([0.5, -1.0]), torch.arange(2), 2),
        (first, few[:9], second, few[9:21], 9),
    ]


def _windows():
    seeded = torch.Generator().manual_seed(0)
    small = torch.arange(1.0, 10.0).reshape(1, 3, 3)
    return [
        (small, 0, 1, 2),
        (small, -1, -1, 2),
        (small, 2, 1, 3),
        (small, -1, 0, 5),
        (torch.rand(3, 6, 8, generator=seeded), 3, -2, 5),
    ]


def _batches():
    seeded = torch.Generator().manual_seed(0)
    return [
        ([torch.tensor([1.0, 3.0])], 1),
        ([torch.tensor([1.0, 2.0]), torch.tensor([5.0, 0.0])], 2),
        ([torch.tensor([4.0, 1.0, 3.0]), torch.tensor([2.0])], 3),
        ([torch.tensor([0.5]), torch.tensor([0.1, 0.9, 0.4]), torch.tensor([0.7, 0.2])], 3),
        (list(torch.randn(23, generator=seeded).split(6)), 9),
    ]


# --- the usual mistakes, each as somebody writes it ---


def _whole_kernels(layers):
    size, jump = 0, 1
    for kernel, stride in layers:
        size += kernel * jump
        jump *= stride
    return size, jump


def _one_step_too_many(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size += kernel * jump
        jump *= stride
    return size, jump


def _jump_first(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        jump *= stride
        size += (kernel - 1) * jump
    return size, jump


def _no_jump(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size += kernel - 1
        jump *= stride
    return size, jump


def _strides_added(layers):
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump += stride - 1
    return size, jump


def _images_left_behind(values, indices, more_values, more_indices, k):
    best = torch.cat([values, more_values]).topk(k)
    return best.values, torch.cat([indices, more_indices])[:k]


def _smallest(values, indices, more_values, more_indices, k):
    best = torch.cat([values, more_values]).topk(k, largest=False)
    return best.values, torch.cat([indices, more_indices])[best.indices]


def _unsorted(values, indices, more_values, more_indices, k):
    return torch.cat([values, more_values])[:k], torch.cat([indices, more_indices])[:k]


def _positions(values, indices, more_values, more_indices, k):  # noqa: ARG001
    best = torch.cat([values, more_values]).topk(k)
    return best.values, best.indices


def _moved_inside(image, top, left, size):
    top, left = (max(0, min(at, n - size)) for at, n in zip((top, left), image.shape[1:], strict=True))
    return image[:, top : top + size, left : left + size]


def _cut_short(image, top, left, size):
    return image[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]


def _edges_repeated(image, top, left, size):
    padded = F.pad(image[None], (size, size, size, size), mode="replicate")[0]
    return padded[:, top + size : top + 2 * size, left + size : left + 2 * size].clone()


def _at_the_corner(image, top, left, size):
    part, window = _cut_short(image, top, left, size), torch.zeros(len(image), size, size)
    window[:, : part.shape[1], : part.shape[2]] = part
    return window


def _numbers(batches, k, offset):
    """The search, with the number of the batch's first picture given by `offset(count of batches, batch)`."""
    values, indices = torch.empty(0), torch.empty(0, dtype=torch.int64)
    for count, batch in enumerate(batches):
        values = torch.cat([values, batch])
        indices = torch.cat([indices, offset(count, batch) + torch.arange(len(batch))])
        best = values.topk(min(k, len(values)))
        values, indices = best.values, indices[best.indices]
    return values, indices


EXERCISES = (
    Exercise(
        id="04.1",
        title="the receptive field",
        function=receptive_field,
        cases=_stacks,
        mistakes=(
            Mistake(
                "You add whole kernels. One pixel of each is there already: (kernel - 1) * jump.",
                _whole_kernels,
            ),
            Mistake(
                "You add kernel * jump. One of its steps is there already: (kernel - 1) * jump.",
                _one_step_too_many,
            ),
            Mistake(
                "The jump changes too early. The kernel counts in steps of the layer before: first the "
                "size, then "
                "the jump.",
                _jump_first,
            ),
            Mistake("You leave the jump out: after a stride of 2, one step is two pixels.", _no_jump),
            Mistake("Strides multiply: after two strides of 2, neighbours are 4 pixels apart.",
                    _strides_added),
            Mistake(
                "You go through the layers from the last to the first. The first one comes first.",
                lambda layers: receptive_field(layers[::-1]),
            ),
        ),
    ),
    Exercise(
        id="04.2",
        title="merge two rankings",
        function=merge,
        cases=_rankings,
        mistakes=(
            Mistake(
                "The values are right, but the pictures did not move with them. Index them by "
                ".topk(k).indices.",
                _images_left_behind,
            ),
            Mistake("Those are the smallest. topk takes the largest by itself.", _smallest),
            Mistake("You kept the first k as they stood. The second ranking may hold larger ones.",
                    _unsorted),
            Mistake("Those are places in the long list. Look up which picture stands there.", _positions),
        ),
    ),
    Exercise(
        id="04.3",
        title="cut out a window",
        function=crop,
        cases=_windows,
        mistakes=(
            Mistake(
                "You moved the window until it lay inside. Then the unit's middle is no longer in its "
                "middle.",
                _moved_inside,
            ),
            Mistake("The window is smaller where the picture ends. It must keep its size: fill with "
                    "zeros.", _cut_short),
            Mistake(
                "A plain slice with a negative start counts from the end of the picture. Cut the part that "
                "is there, and put it into a window of zeros.",
                lambda image, top, left, size: image[:, top : top + size, left : left + size],
            ),
            Mistake("You repeat the edge of the picture. What is not there is zero.", _edges_repeated),
            Mistake(
                "You put the rest into the corner of the window. If rows are missing above, it starts "
                "further down.",
                _at_the_corner,
            ),
        ),
    ),
    Exercise(
        id="04.bug",
        title="bug hunt: the strongest pictures",
        function=strongest,
        cases=_batches,
        mistakes=(
            Mistake(
                "The numbers start from 0 in every batch.",
                lambda batches, k: _numbers(batches, k, lambda *_: 0),
            ),
            Mistake(
                "You count the batches times the length of this one. The last batch may be shorter: add "
                "up the lengths.",
                lambda batches, k: _numbers(batches, k, lambda count, batch: count * len(batch)),
            ),
            Mistake(
                "You add how many batches came before, not how many pictures.",
                lambda batches, k: _numbers(batches, k, lambda count, _: count),
            ),
        ),
    ),
)
