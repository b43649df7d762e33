"""Deep dream: what a layer sees in a photo, made stronger; first in the large, then in the small.

Type: (model, photo, objective) -> Rendered. At each octave the photo is brought to a size, the details found
so far are enlarged and laid on it, and the picture goes up the slope of the objective. What a unit sees has a
fixed size in pixels: in a small picture it is a large thing.

Paper: Mordvintsev, Olah & Tyka, Inceptionism: going deeper into neural networks, 2015.
"""

import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.methods.dream.objective import Objective
from cnnlab.methods.dream.objective_gradient import Watch, fitting, refuse_no_picture
from cnnlab.methods.dream.render import Progress, Rendered
from cnnlab.methods.dream.transforms import Warp, jitter
from cnnlab.methods.model_runner import Passes


def deep_dream(
    model: nn.Module,
    image: Tensor,
    objective: Objective,
    *,
    octaves: int = 4,
    scale: float = 1.4,
    steps: int = 10,
    rate: float = 0.01,
    moves: int = 8,
    seed: int = 0,
    film: bool = True,
    progress: Progress | None = None,
) -> Rendered:
    """A photo in which the network sees more and more of what it sees.

    Args:
        model: any network that takes pictures of these sizes; it runs in eval mode.
        image: (N, C, H, W) in [0, 1].
        objective: usually layer(name); see `objectives`.
        octaves: sizes, each `scale` times as large as the one before; the last is that of the photo.
        scale: above 1.
        steps: at each octave. 0 gives the photo back.
        rate: how far a pixel goes in a step, on average; 1 is from black to white.
        moves: the picture is moved by up to so many pixels before each look.
        seed: of the moves.
        film: keep the picture after each octave, enlarged to the photo's size?
        progress: called after each step with (steps done, all steps, pictures, mean value). True stops.

    Returns:
        Rendered, of the photo's size; when it was stopped, also by Ctrl+C, with the picture so far. Its
        history has one row for each step of all octaves.

    Raises:
        LookupError: no such layer or class.
        ValueError: numbers out of range, an octave that is too small for the network, or no slope.
    """
    began = time.perf_counter()
    _check(objective, image, octaves, scale, steps, rate)
    photo, sizes = image.detach().clone(), _sizes(image, octaves, scale)
    total, history, strip, stopped = steps * octaves, [], [], "finished"
    with Watch(model, objective) as watch:
        photo = fitting(model, photo)  # a copy that was not born in the caller's inference mode
        moved = torch.zeros(len(photo), dtype=torch.bool, device=photo.device)
        picture = base = _resized(photo, sizes[0])
        try:
            for octave, size in enumerate(sizes):
                larger = _resized(photo, size)
                carried = larger + _resized(picture - base, size, clamp=False) if octave else larger
                # Both at once: an interruption finds a picture with the base that it was made on.
                base, picture = larger, carried.clamp_(0, 1)
                warp = Warp([jitter(min(moves, min(size) // 4))], size, seed=seed + octave)
                for _ in range(steps):
                    leaf = picture.clone().requires_grad_()
                    try:
                        move = warp.draw()
                        values, slope, awake, _ = watch.look(leaf, lambda x, w=warp, m=move: w.view(x, m))
                    except RuntimeError as error:
                        if octaves == 1 or size != sizes[0] or history:
                            raise
                        raise ValueError(_TOO_SMALL.format(*size, error)) from error
                    moved |= awake
                    length = slope.abs().mean(dim=(1, 2, 3), keepdim=True)
                    length = length.clamp(min=torch.finfo(slope.dtype).tiny)
                    picture = (picture + rate * slope / length).clamp_(0, 1)
                    history.append(values)
                    if progress is not None:
                        now = _resized(picture, sizes[-1])
                        if progress(len(history), total, now, float(values.mean())) is True:
                            stopped = "stopped" if len(history) < total else "finished"
                            break
                if film:
                    strip.append((len(history), _resized(picture, sizes[-1])))
                if stopped != "finished":
                    break
        except KeyboardInterrupt:
            stopped = "interrupted"
        if picture.shape != photo.shape:  # not at the last octave yet: its details, on the photo itself
            picture = (photo + _resized(picture - base, sizes[-1], clamp=False)).clamp_(0, 1)
        record = torch.stack(history) if history else photo.new_zeros(0, len(photo))
        passes = Passes(watch.passes * len(photo), watch.passes * len(photo))
    if history and stopped == "finished" and not moved.any():
        raise ValueError(f"{objective} has no slope at this picture: the layer says nothing to it")
    seconds = time.perf_counter() - began
    return Rendered(picture, record, strip, stopped, moved, seconds, passes)


_TOO_SMALL = "the network cannot take a picture of {} x {}: take fewer octaves, or a larger photo ({})"


def _sizes(image: Tensor, octaves: int, scale: float) -> list[tuple[int, int]]:
    """(rows, columns) of each octave, the smallest first."""
    rows, columns = image.shape[2:]
    powers = [scale**-k for k in reversed(range(octaves))]
    sizes = [(max(1, round(rows * power)), max(1, round(columns * power))) for power in powers]
    if min(sizes[0]) < 8:
        raise ValueError(
            f"the smallest octave would be {sizes[0][0]} x {sizes[0][1]} pixels: take fewer octaves"
        )
    return sizes


def _resized(picture: Tensor, size: tuple[int, int], *, clamp: bool = True) -> Tensor:
    """Always a fresh tensor."""
    if tuple(picture.shape[2:]) == tuple(size):
        return picture.clone()
    out = F.interpolate(picture, size=size, mode="bicubic", antialias=True, align_corners=False)
    return out.clamp_(0, 1) if clamp else out


def _check(objective: object, image: object, octaves: int, scale: float, steps: int, rate: float) -> None:
    if not isinstance(objective, Objective):
        raise TypeError(f"an objective is made by layer(…), channel(…) and the like; {objective!r} is none")
    refuse_no_picture(image, "the photo")
    for name, number, least in (("octaves", octaves, 1), ("steps", steps, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"{name} is a whole number, {least} or more, not {number!r}")
    if not 1 < scale < float("inf"):
        raise ValueError(f"scale is above 1, not {scale}")
    if not 0 < rate < float("inf"):
        raise ValueError(f"rate is a number above 0, not {rate}")
    if objective.batch not in (None, len(image)):
        raise ValueError(f"the objective is about {objective.batch} pictures, and here are {len(image)}")
