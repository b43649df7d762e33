"""Cover a part of the image and see how far the score falls: the one explanation that is an experiment.

Type: (model, image, target) -> Drops, one number for each window: f(x) - f(x with this window covered).
Positive: the model needs what is there; negative: it does better without it. `heatmap` gives each pixel the
mean over the windows that cover it. The cover matters: a grey square is an image, too, and no training
image had one; so try another `fill`, such as a blurred image.

A window changes only a region of each map, and only that is computed again (`incremental`).

Paper: M. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 4.2.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.attribution import Attribution
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.occlusion.runner import run_windows
from cnnlab.methods.occlusion.windows import Windows, fill_image, windows
from cnnlab.methods.targets import ResolvedTarget, Target, resolve
from cnnlab.nets.layer_shapes import Size
from cnnlab.probing import Unit

Progress = Callable[[int, int], object]


class Drops(NamedTuple):
    """How far the score falls with each window covered. Where several classes were asked, T stands first.

    Attributes:
        values: (rows, cols), f(x) - f(x with the window covered), zero where the image is like the fill;
            nan where it was stopped before.
        score: f(x), a tensor without axes, or (T,).
        target: the class number, or (T,); of a unit zero.
        windows: where they lie: `.size`, `.stride` and `.image_size`, each (rows, columns).
        engine: "incremental" or "batches".
        reason: why it was not incremental, else empty.
        work: multiplications with weights, in passes of one whole image.
        seconds: wall clock.
    """

    values: Tensor
    score: Tensor
    target: Tensor
    windows: Windows
    engine: str
    reason: str
    work: float
    seconds: float

    def per_pixel(self) -> Tensor:
        """The mean over the windows that cover a pixel: (1, 1, H, W); of several classes (1, T, 1, H, W)."""
        spread = self.windows.per_pixel(self.values)
        return spread[None, None] if spread.dim() == 2 else spread[None, :, None]


class Scan(NamedTuple):
    """The answers of a model to one image with every window covered: of all classes, so that another class
    costs nothing.

    Attributes:
        outputs: (rows, cols, K) logits of all K classes, or K = 1, the mean of the unit; nan where it was
            stopped before.
        unoccluded: (K,) of the image itself.
        done: (rows, cols) false where it was stopped before.
        windows, engine, reason, work, seconds: as in `Drops`.
    """

    outputs: Tensor
    unoccluded: Tensor
    done: Tensor
    windows: Windows
    engine: str
    reason: str
    work: float
    seconds: float

    def drops(self, target: int | Tensor = 0, output: str = "logit") -> Drops:
        """How far the score of a class falls; nothing is computed but a difference.

        Args:
            target: class number, or (T,) several; of a scan of a unit leave it out.
            output: "logit" or "probability".

        Raises:
            LookupError: no such class, or no such `output`.
            TypeError: not the number of a class.
            ValueError: an answer is not finite, or a probability of what is no class.
        """
        if isinstance(target, str | Unit):
            raise TypeError(f"a scan knows its classes by number, not {target!r}: see model.classes")
        multi = isinstance(target, Tensor) and target.dim() > 0
        one = target[None] if multi and target.dim() == 1 else target
        # Checked, (T,).
        indices = resolve(nn.Identity(), self.unoccluded.new_zeros(1, 1, 1, 1), one, output).indices[0]
        if output == "probability" and len(self.unoccluded) == 1:
            raise ValueError("a single answer, such as of a unit, has no probability: leave output='logit'")
        grid = self.outputs.shape[:2]
        answers = torch.cat([self.unoccluded[None], self.outputs.flatten(0, 1)])  # (1 + windows, K)
        known = torch.cat([self.done.new_ones(1), self.done.flatten()])
        resolved = ResolvedTarget(indices.expand(int(known.sum()), -1), None, output, multi=True)
        scores = answers.new_full((len(answers), len(indices)), torch.nan)
        scores[known] = resolved.read(answers[known])
        score = scores[0]
        values = (score - scores[1:]).T.reshape(-1, *grid)  # (T, rows, cols)
        if not multi:
            values, score, indices = values[0], score[0], indices[0]
        return Drops(values, score, indices, *self[3:])


def drops(
    model: nn.Module,
    image: Tensor,
    target: Target,
    *,
    window: Size = 8,
    stride: Size | None = None,
    fill: float | Tensor = 0.0,
    output: str = "logit",
    batch: int | None = None,
    progress: Progress | None = None,
    engine: str = "auto",
) -> Drops:
    """How far the score falls when a window covers a part of the image, for every position of the window.

    The windows start at 0, stride, 2 * stride, …; the last one is cut at the border.

    Args:
        model: any network; it runs in eval mode. One that mixes the images of a batch gets them one by one.
        image: (1, C, H, W) in [0, 1].
        target: a class, several as (1, T), or a `Unit`: see `cnnlab.methods.targets`.
        window: pixels, one number or (rows, columns).
        stride: from one window to the next, at most the window; None: half a window.
        fill: what covers the image: a number, a colour (C,), or an image of its shape.
        output: "logit" or "probability".
        batch: windows per pass; None: as many as 50 MB hold of the largest layer.
        progress: called with (windows done, windows in all) after every pass. If it returns True, it stops
            there, and the values of the other windows are nan.
        engine: "incremental" computes again only what a window can reach, "batches" whole images; "auto"
            takes the one that is estimated to be faster. Their numbers are the same to rounding.

    Returns:
        Drops; its `reason` says why it was not incremental.

    Raises:
        LookupError: no such class, layer or engine.
        TypeError: a target or fill of another kind.
        ValueError: more than one image, a wrong shape, a window that does not fit, a model whose answer is
            not finite, that is random, or that cannot be run incrementally where that was asked for.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    >>> _ = nn.init.ones_(net[1].weight)
    >>> drops(net, torch.ones(1, 1, 4, 4), 0, window=2, stride=2).values
    tensor([[4., 4.],
            [4., 4.]])
    """
    resolved = resolve(model, image, target, output)
    found = scan(
        model,
        image,
        resolved.unit,
        window=window,
        stride=stride,
        fill=fill,
        batch=batch,
        progress=progress,
        engine=engine,
    )
    return found.drops(resolved.indices[0] if resolved.multi else int(resolved.indices[0]), output)


def heatmap(
    model: nn.Module,
    image: Tensor,
    target: Target,
    *,
    window: Size = 8,
    stride: Size | None = None,
    fill: float | Tensor = 0.0,
    output: str = "logit",
    batch: int | None = None,
    progress: Progress | None = None,
    engine: str = "auto",
) -> Attribution:
    """A map of the drops on the pixels: each pixel the mean over the windows that cover it.

    Args:
        All as in `drops`.

    Returns:
        Attribution with map (1, 1, H, W), of several classes (1, T, 1, H, W). It has no reference, for a drop
        is no part of the score: their sum means nothing. `passes` is the work, in whole images.

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
        output=output,
        batch=batch,
        progress=progress,
        engine=engine,
    )
    passes = Passes(forward=math.ceil(found.work))
    return Attribution(found.per_pixel(), found.target[None], found.score[None], None, passes, found.seconds)


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
    engine: str = "auto",
) -> Scan:
    """The answers with every window covered, of all classes at once.

    Args:
        model, image: as in `drops`.
        unit: the mean of its map, or its value at one position; None: the classes.
        window, stride, fill, batch, progress, engine: as in `drops`.

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
    resolve(model, image, 0 if unit is None else unit)
    if len(image) != 1:
        raise ValueError(f"windows cover one image (1, C, H, W), not {len(image)}: call once for each")
    grid = windows(image, window, stride)
    found = run_windows(
        model, image, unit, grid, fill_image(image, fill), batch=batch, progress=progress, engine=engine
    )
    outputs = found.outputs.unflatten(0, grid.grid)  # (windows, K) -> (rows, cols, K)
    done = found.done.unflatten(0, grid.grid)
    return Scan(outputs, found.unoccluded, done, grid, *found[3:])
