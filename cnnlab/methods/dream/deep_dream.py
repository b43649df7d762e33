"""Deep dream: what a layer sees in a photo, made stronger; first in the large, then in the small.

Type: (model, photo, objective) -> Rendered. At each octave the photo is brought to a size, the details found
so far are enlarged and laid on it, and the image goes up the gradient of the objective. What a unit sees has
a fixed size in pixels: in a small image it is a large thing.

Paper: Mordvintsev, Olah & Tyka, Inceptionism: going deeper into neural networks, 2015.
"""

import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.methods.dream import transforms
from cnnlab.methods.dream.objective_algebra import Objective
from cnnlab.methods.dream.objective_gradient import ObjectiveGradient, check_image_input, prepare_image
from cnnlab.methods.dream.render import Progress, Rendered
from cnnlab.methods.dream.transforms import Warp
from cnnlab.methods.model_runner import Passes


def deep_dream(
    model: nn.Module,
    image: Tensor,
    objective: Objective,
    *,
    octaves: int = 4,
    scale: float = 1.4,
    steps: int = 10,
    step_size: float = 0.01,
    jitter: int = 8,
    seed: int = 0,
    keep_frames: bool = True,
    progress: Progress | None = None,
) -> Rendered:
    """A photo in which the network sees more and more of what it sees.

    Args:
        model: any network that takes images of these sizes; it runs in eval mode.
        image: (N, C, H, W) in [0, 1].
        objective: usually layer(name); see `objectives`.
        octaves: sizes, each `scale` times as large as the one before; the last is that of the photo.
        scale: above 1.
        steps: at each octave. 0 gives the photo back.
        step_size: how far a pixel goes in a step, on average; 1 is from black to white.
        jitter: the image is moved by up to so many pixels before each look.
        seed: of the jitter.
        keep_frames: keep the image after each octave, enlarged to the photo's size?
        progress: called after each step with (steps done, all steps, images, mean value). True stops.

    Returns:
        Rendered, of the photo's size; when it was stopped, also by Ctrl+C, with the image so far. Its
        history has one row for each step of all octaves.

    Raises:
        LookupError: no such layer or class.
        ValueError: numbers out of range, an octave that is too small for the network, or no gradient.
    """
    began = time.perf_counter()
    _check(objective, image, octaves, scale, steps, step_size)
    photo, sizes = image.detach().clone(), _sizes(image, octaves, scale)
    total, history, frames, stopped = steps * octaves, [], [], "finished"
    with ObjectiveGradient(model, objective) as objective_gradient:
        photo = prepare_image(model, photo)  # a copy that was not born in the caller's inference mode
        had_gradient = torch.zeros(len(photo), dtype=torch.bool, device=photo.device)
        current = base = _resized(photo, sizes[0])
        try:
            for octave, size in enumerate(sizes):
                larger = _resized(photo, size)
                carried = larger + _resized(current - base, size, clamp=False) if octave else larger
                # Both at once: an interruption finds an image with the base that it was made on.
                base, current = larger, carried.clamp_(0, 1)
                warp = Warp([transforms.jitter(min(jitter, min(size) // 4))], size, seed=seed + octave)
                for _ in range(steps):
                    leaf = current.clone().requires_grad_()
                    try:
                        move = warp.draw()
                        values, gradient, has_gradient, _ = objective_gradient.evaluate(
                            leaf, lambda x, w=warp, m=move: w.view(x, m)
                        )
                    except RuntimeError as error:
                        if octaves == 1 or size != sizes[0] or history:
                            raise
                        raise ValueError(_TOO_SMALL.format(*size, error)) from error
                    had_gradient |= has_gradient
                    length = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
                    length = length.clamp(min=torch.finfo(gradient.dtype).tiny)
                    current = (current + step_size * gradient / length).clamp_(0, 1)
                    history.append(values)
                    if progress is not None:
                        now = _resized(current, sizes[-1])
                        if progress(len(history), total, now, float(values.mean())) is True:
                            stopped = "stopped" if len(history) < total else "finished"
                            break
                if keep_frames:
                    frames.append((len(history), _resized(current, sizes[-1])))
                if stopped != "finished":
                    break
        except KeyboardInterrupt:
            stopped = "interrupted"
        if current.shape != photo.shape:  # not at the last octave yet: its details, on the photo itself
            current = (photo + _resized(current - base, sizes[-1], clamp=False)).clamp_(0, 1)
        record = torch.stack(history) if history else photo.new_zeros(0, len(photo))
        passes = Passes(objective_gradient.passes * len(photo), objective_gradient.passes * len(photo))
    if history and stopped == "finished" and not had_gradient.any():
        raise ValueError(f"{objective} has no gradient at this image: the layer says nothing to it")
    seconds = time.perf_counter() - began
    return Rendered(current, record, frames, stopped, had_gradient, seconds, passes)


_TOO_SMALL = "the network cannot take an image of {} x {}: take fewer octaves, or a larger photo ({})"


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


def _resized(image: Tensor, size: tuple[int, int], *, clamp: bool = True) -> Tensor:
    """Always a fresh tensor."""
    if tuple(image.shape[2:]) == tuple(size):
        return image.clone()
    out = F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False)
    return out.clamp_(0, 1) if clamp else out


def _check(
    objective: object, image: object, octaves: int, scale: float, steps: int, step_size: float
) -> None:
    if not isinstance(objective, Objective):
        raise TypeError(f"an objective is made by layer(…), channel(…) and the like; {objective!r} is none")
    check_image_input(image, "the photo")
    for name, number, least in (("octaves", octaves, 1), ("steps", steps, 0)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"{name} is a whole number, {least} or more, not {number!r}")
    if not 1 < scale < float("inf"):
        raise ValueError(f"scale is above 1, not {scale}")
    if not 0 < step_size < float("inf"):
        raise ValueError(f"step_size is a number above 0, not {step_size}")
    if objective.n_images not in (None, len(image)):
        raise ValueError(f"the objective is about {objective.n_images} images, and here are {len(image)}")
