"""Cover a part of the picture and see how far the score falls: the one explanation that is an experiment.

Type: (model, image, target) -> Drops, one number for each window: f(x) - f(x with this window covered).
Positive: the model needs what is there; negative: it does better without it. `heatmap` gives each pixel the
mean over the windows that cover it. The cover matters: a grey square is a picture, too, and no training
picture had one; so try another `fill`, such as a blurred picture.

A window changes only a region of each map, and only that is computed again (`regions`, `layer_rules`).
Paper: M. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 4.2.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.attribution import Attribution
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.occlusion.runner import sweep
from cnnlab.methods.occlusion.windows import Windows, cover, windows
from cnnlab.methods.targets import Asked, Target, ask
from cnnlab.nets.layer_shapes import Size
from cnnlab.probing import Unit

Progress = Callable[[int, int], object]


class Drops(NamedTuple):
    """How far the score falls with each window covered. Where several classes were asked, T stands first.

    Attributes:
        values: (rows, cols), f(x) - f(x with the window covered), zero where the picture is like the fill;
            nan where it was stopped before.
        score: f(x), a tensor without axes, or (T,).
        target: the class number, or (T,); of a unit zero.
        windows: where they lie: `.size`, `.stride` and `.picture`, each (rows, columns).
        how: "incremental" or "batches".
        reason: why it was not incremental, else empty.
        work: multiplications with weights, in passes of one whole picture.
        seconds: wall clock.
    """

    values: Tensor
    score: Tensor
    target: Tensor
    windows: Windows
    how: str
    reason: str
    work: float
    seconds: float

    def heatmap(self) -> Tensor:
        """The mean over the windows that cover a pixel: (1, 1, H, W); of several classes (1, T, 1, H, W)."""
        spread = self.windows.per_pixel(self.values)
        return spread[None, None] if spread.dim() == 2 else spread[None, :, None]


class Scan(NamedTuple):
    """The answers of a model to one picture with every window covered: of all classes, so that another class
    costs nothing.

    Attributes:
        outputs: (rows, cols, K) logits of all K classes, or K = 1, the mean of the unit; nan where it was
            stopped before.
        whole: (K,) of the picture itself.
        done: (rows, cols) false where it was stopped before.
        windows, how, reason, work, seconds: as in `Drops`.
    """

    outputs: Tensor
    whole: Tensor
    done: Tensor
    windows: Windows
    how: str
    reason: str
    work: float
    seconds: float

    def drops(self, target: int | Tensor = 0, of: str = "logit") -> Drops:
        """How far the score of a class falls; nothing is computed but a difference.

        Args:
            target: class number, or (T,) several; of a scan of a unit leave it out.
            of: "logit" or "probability".

        Raises:
            LookupError: no such class, or no such `of`.
            TypeError: not the number of a class.
            ValueError: an answer is not finite, or a probability of what is no class.
        """
        if isinstance(target, str | Unit):
            raise TypeError(f"a scan knows its classes by number, not {target!r}: see model.classes")
        several = isinstance(target, Tensor) and target.dim() > 0
        one = target[None] if several and target.dim() == 1 else target
        numbers = ask(nn.Identity(), self.whole.new_zeros(1, 1, 1, 1), one, of).numbers[0]  # checked, (T,)
        if of == "probability" and len(self.whole) == 1:
            raise ValueError("a single answer, such as of a unit, has no probability: leave of='logit'")
        grid = self.outputs.shape[:2]
        answers = torch.cat([self.whole[None], self.outputs.flatten(0, 1)])  # (1 + windows, K)
        known = torch.cat([self.done.new_ones(1), self.done.flatten()])
        asked = Asked(numbers.expand(int(known.sum()), -1), None, of, several=True)
        scores = answers.new_full((len(answers), len(numbers)), torch.nan)
        scores[known] = asked.read(answers[known])
        score = scores[0]
        values = (score - scores[1:]).T.reshape(-1, *grid)  # (T, rows, cols)
        if not several:
            values, score, numbers = values[0], score[0], numbers[0]
        return Drops(values, score, numbers, *self[3:])


def drops(
    model: nn.Module,
    image: Tensor,
    target: Target,
    *,
    window: Size = 8,
    stride: Size | None = None,
    fill: float | Tensor = 0.0,
    of: str = "logit",
    batch: int | None = None,
    progress: Progress | None = None,
    how: str = "auto",
) -> Drops:
    """How far the score falls when a window covers a part of the picture, for every place of the window.

    The windows start at 0, stride, 2 * stride, …; the last one is cut at the border.

    Args:
        model: any network; it runs in eval mode. One that mixes the pictures of a batch gets them one by one.
        image: (1, C, H, W) in [0, 1].
        target: a class, several as (1, T), or a `Unit`: see `cnnlab.methods.targets`.
        window: pixels, one number or (rows, columns).
        stride: from one window to the next, at most the window; None: half a window.
        fill: what covers the picture: a number, a colour (C,), or a picture of its shape.
        of: "logit" or "probability".
        batch: windows per pass; None: as many as 50 MB hold of the largest layer.
        progress: called with (windows done, windows in all) after every pass. If it returns True, it stops
            there, and the values of the other windows are nan.
        how: "incremental" computes again only what a window can reach, "batches" whole pictures; "auto" takes
            the one that is estimated to be faster. Their numbers are the same to rounding.

    Returns:
        Drops; its `reason` says why it was not incremental.

    Raises:
        LookupError: no such class, layer or way.
        TypeError: a target or fill of another kind.
        ValueError: more than one picture, a wrong shape, a window that does not fit, a model whose answer is
            not finite, that is random, or that cannot be run incrementally where that was asked for.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    >>> _ = nn.init.ones_(net[1].weight)
    >>> drops(net, torch.ones(1, 1, 4, 4), 0, window=2, stride=2).values
    tensor([[4., 4.],
            [4., 4.]])
    """
    asked = ask(model, image, target, of)
    found = scan(
        model,
        image,
        asked.unit,
        window=window,
        stride=stride,
        fill=fill,
        batch=batch,
        progress=progress,
        how=how,
    )
    return found.drops(asked.numbers[0] if asked.several else int(asked.numbers[0]), of)


def heatmap(
    model: nn.Module,
    image: Tensor,
    target: Target,
    *,
    window: Size = 8,
    stride: Size | None = None,
    fill: float | Tensor = 0.0,
    of: str = "logit",
    batch: int | None = None,
    progress: Progress | None = None,
    how: str = "auto",
) -> Attribution:
    """A map of the drops on the pixels: each pixel the mean over the windows that cover it.

    Args:
        All as in `drops`.

    Returns:
        Attribution with map (1, 1, H, W), of several classes (1, T, 1, H, W). It has no reference, for a drop
        is no part of the score: their sum means nothing. `passes` is the work, in whole pictures.

    Raises:
        LookupError, TypeError, ValueError: as `drops`.
    """
    found = drops(
        model,
        image,
        target,
        window=window,
        stride=stride,
        fill=fill,
        of=of,
        batch=batch,
        progress=progress,
        how=how,
    )
    passes = Passes(forward=math.ceil(found.work))
    return Attribution(found.heatmap(), found.target[None], found.score[None], None, passes, found.seconds)


def scan(
    model: nn.Module,
    image: Tensor,
    unit: Unit | None = None,
    *,
    window: Size = 8,
    stride: Size | None = None,
    fill: float | Tensor = 0.0,
    batch: int | None = None,
    progress: Progress | None = None,
    how: str = "auto",
) -> Scan:
    """The answers with every window covered, of all classes at once.

    Args:
        model, image: as in `drops`.
        unit: the mean of its map, or its value at one place; None: the classes.
        window, stride, fill, batch, progress, how: as in `drops`.

    Returns:
        Scan; its `drops(number)` are those of a class.

    Raises:
        LookupError, TypeError, ValueError: as `drops`; a class in place of a unit.
    """
    if not isinstance(unit, Unit | None):
        raise TypeError(
            f"a scan is of a Unit or of all classes, not of {unit!r}: for a class, "
            "scan(model, image).drops(number)"
        )
    ask(model, image, 0 if unit is None else unit)
    if len(image) != 1:
        raise ValueError(f"windows cover one picture (1, C, H, W), not {len(image)}: call once for each")
    grid = windows(image, window, stride)
    found = sweep(model, image, unit, grid, cover(image, fill), batch=batch, progress=progress, how=how)
    outputs = found.outputs.unflatten(0, grid.grid)  # (windows, K) -> (rows, cols, K)
    done = found.done.unflatten(0, grid.grid)
    return Scan(outputs, found.whole, done, grid, *found[3:])
