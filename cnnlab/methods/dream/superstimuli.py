"""A picture for every channel of a layer: icons, by which the layer can be read.

Type: (model, layer) -> Icons. Many channels climb at once, each with a picture of its own.

Papers: Erhan et al. 2009; Olah et al., The building blocks of interpretability, Distill 2018.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.dream import objectives
from cnnlab.methods.dream.objective import Objective
from cnnlab.methods.dream.objective_gradient import answer, shape_of
from cnnlab.methods.dream.render import climb
from cnnlab.methods.dream.transforms import Transform
from cnnlab.probing import layer as find
from cnnlab.validation import check_integer

OBJECTIVES = {"channel": objectives.channel, "neuron": objectives.neuron}
# (pictures done, all pictures, the latest pictures (n, C, H, W), mean value) -> True to stop.
Progress = Callable[[int, int, Tensor, float], object]


class Icons(NamedTuple):
    """Pictures, each for one of a list of things.

    Attributes:
        pictures: (n, C, H, W) in [0, 1], as far as it went.
        channels: (n,) which channel each is for.
        values: (n,) the objective at the last step.
        moved: (n,) bool; False: the channel never had a true slope, and the picture says nothing about it.
        stopped: "finished", "stopped" or "interrupted".
    """

    pictures: Tensor
    channels: Tensor
    values: Tensor
    moved: Tensor
    stopped: str


def superstimuli(
    model: nn.Module,
    layer: str,
    *,
    channels: Sequence[int] | None = None,
    objective: str = "channel",
    size: int | tuple[int, int] | None = None,
    steps: int = 64,
    transforms: str | Sequence[Transform] = "standard",
    rate: float = 0.1,
    batch: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> Icons:
    """The pictures that the channels of a layer like best. All start from the same noise.

    Args:
        model: any network; it runs in eval mode, and only as far as the layer.
        layer: its name.
        channels: which; left out, all.
        objective: "channel", the mean over the map, or "neuron", its middle.
        size, steps, transforms, rate, seed: as in `render`.
        batch: channels per pass: time and memory. The pictures stay the same but for rounding, which a long
            climb can enlarge.
        progress: called after each step with (pictures done, all pictures, the pictures at work, their mean
            value). True stops.

    Returns:
        Icons; when it was stopped, also by Ctrl+C, those finished and those that were at work.

    Raises:
        LookupError: no such layer or objective.
        ValueError: no such channel, or numbers out of range.
    """
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)
    find(model, layer)
    there = _channels(model, layer, size)
    wanted = list(range(there)) if channels is None else _numbers(channels)
    if not wanted or not all(0 <= each < there for each in wanted):
        raise ValueError(f"{layer} has the channels 0 to {there - 1}; these are not all among them: {wanted}")

    def about(rows: slice) -> Objective:
        return OBJECTIVES[objective](layer, wanted[rows])

    options = {"size": size, "steps": steps, "transforms": transforms, "rate": rate, "seed": seed}
    found = in_batches(model, about, len(wanted), batch, progress, **options)
    return found._replace(channels=torch.tensor(wanted)[found.channels])


def in_batches(
    model: nn.Module,
    about: Callable[[slice], Objective],
    count: int,
    batch: int,
    progress: Progress | None,
    *,
    size: int | tuple[int, int] | None,
    steps: int,
    transforms: str | Sequence[Transform],
    rate: float,
    seed: int,
) -> Icons:
    """Pictures for objectives 0 to count - 1, so many at a time; about(rows) is what rows climb."""
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch is a whole number, 1 or more, not {batch!r}")
    parts, stopped, enough = [], "finished", False
    for first in range(0, count, batch):
        rows = slice(first, min(first + batch, count))

        def told(_done: int, _all: int, pictures: Tensor, value: float, first: int = first) -> object:
            nonlocal enough
            done = first + (len(pictures) if _done == _all else 0)
            enough = progress(done, count, pictures, value) is True
            return enough

        try:
            found = climb(
                model,
                about(rows),
                size=size,
                steps=steps,
                start="noise",
                parametrise="fourier",
                transforms=transforms,
                fill="mirror",
                rate=rate,
                batch=None,
                redirect=8,
                seed=seed,
                film=0,
                progress=None if progress is None else told,
                alike=True,
            )
        except KeyboardInterrupt:  # before its first step: what is finished stays
            if not parts:
                raise
            stopped = "interrupted"
            break
        last = found.history[-1] if len(found.history) else found.pictures.new_zeros(len(found.pictures))
        parts.append((found.pictures, torch.arange(rows.start, rows.stop), last, found.moved))
        if found.stopped != "finished" or (enough and rows.stop < count):
            stopped = "stopped" if enough else found.stopped
            break
    return Icons(*(torch.cat(each) for each in zip(*parts, strict=True)), stopped)


def _numbers(channels: Sequence[int]) -> list[int]:
    """Whole numbers; of Python, numpy or a tensor."""
    return [check_integer(each, "a channel is a whole number, 0 or more", least=0) for each in channels]


def _channels(model: nn.Module, layer: str, size: int | tuple[int, int] | None) -> int:
    """How many channels a layer puts out, for pictures of this size; nothing behind it is run."""
    shape = shape_of(model, size, "noise")
    return answer(model, torch.full((1, *shape), 0.5), layer).shape[1]
