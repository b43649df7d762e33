"""An image for every channel of a layer: icons, by which the layer can be read.

Type: (model, layer) -> ChannelImages. Many channels climb at once, each with an image of its own.

Papers: Erhan et al. 2009; Olah et al., The building blocks of interpretability, Distill 2018.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.dream import objectives
from cnnlab.methods.dream.objective_algebra import Objective
from cnnlab.methods.dream.objective_gradient import image_shape, layer_output
from cnnlab.methods.dream.render import ascend
from cnnlab.methods.dream.transforms import Transform
from cnnlab.probing import layer as find
from cnnlab.validation import check_integer

OBJECTIVES = {"channel": objectives.channel, "neuron": objectives.neuron}
# (images done, all images, the latest images (n, C, H, W), mean value) -> True to stop.
Progress = Callable[[int, int, Tensor, float], object]


class ChannelImages(NamedTuple):
    """Images, each for one of a list of things.

    Attributes:
        images: (n, C, H, W) in [0, 1], as far as it went.
        channels: (n,) which channel each is for.
        values: (n,) the objective at the last step.
        had_gradient: (n,) bool; False: the channel never had a true gradient, and the image says nothing
            about it.
        stopped: "finished", "stopped" or "interrupted".
    """

    images: Tensor
    channels: Tensor
    values: Tensor
    had_gradient: Tensor
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
    learning_rate: float = 0.1,
    batch: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> ChannelImages:
    """The images that the channels of a layer like best. All start from the same noise.

    Args:
        model: any network; it runs in eval mode, and only as far as the layer.
        layer: its name.
        channels: which; left out, all.
        objective: "channel", the mean over the map, or "neuron", its middle.
        size, steps, transforms, learning_rate, seed: as in `render`.
        batch: channels per pass: time and memory. The images stay the same but for rounding, which a long
            climb can enlarge.
        progress: called after each step with (images done, all images, the images at work, their mean
            value). True stops.

    Returns:
        ChannelImages; when it was stopped, also by Ctrl+C, those finished and those that were at work.

    Raises:
        LookupError: no such layer or objective.
        ValueError: no such channel, or numbers out of range.
    """
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)
    find(model, layer)
    n_channels = _n_channels(model, layer, size)
    chosen = list(range(n_channels)) if channels is None else _check_channels(channels)
    if not chosen or not all(0 <= each < n_channels for each in chosen):
        raise ValueError(
            f"{layer} has the channels 0 to {n_channels - 1}; these are not all among them: {chosen}"
        )

    def objective_of(rows: slice) -> Objective:
        return OBJECTIVES[objective](layer, chosen[rows])

    options = {
        "size": size,
        "steps": steps,
        "transforms": transforms,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    result = render_batches(model, objective_of, len(chosen), batch, progress, **options)
    return result._replace(channels=torch.tensor(chosen)[result.channels])


def render_batches(
    model: nn.Module,
    objective_of: Callable[[slice], Objective],
    count: int,
    batch: int,
    progress: Progress | None,
    *,
    size: int | tuple[int, int] | None,
    steps: int,
    transforms: str | Sequence[Transform],
    learning_rate: float,
    seed: int,
) -> ChannelImages:
    """Images for objectives 0 to count - 1, so many at a time; objective_of(rows) is what rows climb."""
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch is a whole number, 1 or more, not {batch!r}")
    parts, stopped, stop = [], "finished", False
    for first in range(0, count, batch):
        rows = slice(first, min(first + batch, count))

        def report(_done: int, _all: int, images: Tensor, value: float, first: int = first) -> object:
            nonlocal stop
            done = first + (len(images) if _done == _all else 0)
            stop = progress(done, count, images, value) is True
            return stop

        try:
            result = ascend(
                model,
                objective_of(rows),
                size=size,
                steps=steps,
                start="noise",
                parametrisation="fourier",
                transforms=transforms,
                padding_mode="mirror",
                learning_rate=learning_rate,
                n_images=None,
                redirect_steps=8,
                seed=seed,
                n_frames=0,
                progress=None if progress is None else report,
                alike=True,
            )
        except KeyboardInterrupt:  # before its first step: what is finished stays
            if not parts:
                raise
            stopped = "interrupted"
            break
        last = result.history[-1] if len(result.history) else result.images.new_zeros(len(result.images))
        parts.append((result.images, torch.arange(rows.start, rows.stop), last, result.had_gradient))
        if result.stopped != "finished" or (stop and rows.stop < count):
            stopped = "stopped" if stop else result.stopped
            break
    return ChannelImages(*(torch.cat(each) for each in zip(*parts, strict=True)), stopped)


def _check_channels(channels: Sequence[int]) -> list[int]:
    """Whole numbers; of Python, numpy or a tensor."""
    return [check_integer(each, "a channel is a whole number, 0 or more", least=0) for each in channels]


def _n_channels(model: nn.Module, layer: str, size: int | tuple[int, int] | None) -> int:
    """How many channels a layer puts out, for images of this size; nothing behind it is run."""
    shape = image_shape(model, size, "noise")
    return layer_output(model, torch.full((1, *shape), 0.5), layer).shape[1]
