"""The image that a unit likes best: start from noise, and climb.

Type: (model, objective) -> Rendered. Each step moves the image a little at random, looks at it once, and
goes up the gradient of the objective, in the numbers of which the image is made.

Papers: Erhan et al., Visualizing higher-layer features of a deep network, 2009; Olah, Mordvintsev & Schubert,
Feature visualization, Distill 2017; Kingma & Ba, Adam, 2015.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.dream import transforms
from cnnlab.methods.dream.objective_algebra import Objective
from cnnlab.methods.dream.objective_gradient import ObjectiveGradient, image_shape
from cnnlab.methods.dream.parametrisation import Fourier, Pixel, get_parametrisation
from cnnlab.methods.dream.transforms import Transform, Warp
from cnnlab.methods.model_runner import Passes
from cnnlab.nets.adam import Adam

# (steps done, all steps, images (B, C, H, W), mean value of the objective) -> True to stop.
Progress = Callable[[int, int, Tensor, float], object]


class Rendered(NamedTuple):
    """An image, and how it came about.

    Attributes:
        images: (B, C, H, W) in [0, 1].
        history: (steps done, B), the value of the objective before each step, of the image as it was moved.
        frames: a few (steps done, images (B, C, H, W)), from the start to the end.
        stopped: "finished"; "stopped" by progress; "interrupted" by Ctrl+C.
        had_gradient: (B,) bool; False: the objective never had a gradient, but for what ReLUs were asked to
            let through in the first steps; the image shows little more than its start.
        seconds: wall clock.
        passes: through the network.
    """

    images: Tensor
    history: Tensor
    frames: list[tuple[int, Tensor]]
    stopped: str
    had_gradient: Tensor
    seconds: float
    passes: Passes


class GradientScale:
    """Gradients brought to a size at which Adam's 1e-8 is nothing, by one factor for each image.

    So 1e-9 times an objective gives the same image. The factor is that of the first gradient above zero.
    """

    def __init__(self):
        self.factor: Tensor | None = None
        self.is_known = False

    def __call__(self, gradient: Tensor) -> Tensor:
        if not self.is_known:
            # By a power of two: no number is rounded. In float64, where the smallest gradients have room.
            size = gradient.flatten(1).abs().amax(dim=1).double()
            factor = torch.where(size > 0, torch.exp2(-torch.log2(size.clamp(min=1e-300)).round()), 0.0)
            factor = factor.clamp(max=torch.finfo(gradient.dtype).max).to(gradient.dtype)
            factor = factor.view(-1, *[1] * (gradient.dim() - 1))
            self.factor = factor if self.factor is None else torch.where(self.factor > 0, self.factor, factor)
            self.is_known = bool((self.factor > 0).all())
        return gradient * self.factor


def render(
    model: nn.Module,
    objective: Objective,
    *,
    size: int | tuple[int, int] | None = None,
    steps: int = 64,
    start: str | Tensor = "noise",
    parametrisation: str | Pixel | Fourier = "fourier",
    transforms: str | Sequence[Transform] = "standard",
    padding_mode: str = "mirror",
    learning_rate: float = 0.1,
    n_images: int | None = None,
    redirect_steps: int = 8,
    seed: int = 0,
    n_frames: int = 8,
    progress: Progress | None = None,
) -> Rendered:
    """Images that make an objective large.

    A ReLU that is off passes no gradient. In the first steps, where none comes through to an image, it is let
    through ReLUs where it would open them, see `objective_gradient.redirected_relu`; this look costs a second
    pass.

    Args:
        model: any network; it runs in eval mode, and only as far as the objective looks.
        objective: such as channel("relu3", 43) - 0.5 * total_variation(); see `objectives`.
        size: side in pixels, or (rows, columns); left out, that of `start`, or the model's own, or 64.
        steps: how many; 0 gives the start.
        start: "noise", soft clouds; or an image (1 or n_images, C, H, W) in [0, 1].
        parametrisation: "fourier" or "pixel", or one with options: see `images`.
        transforms: how the image is moved before each look: "standard", or a list such as [jitter(4)], or
            () for not at all. All images of a batch are moved alike.
        padding_mode: what is seen beyond the border: "mirror", "edge" or "grey".
        learning_rate: of Adam.
        n_images: how many images; left out, as many as the objective is about, or one.
        redirect_steps: in how many of the first steps ReLUs are asked to let a gradient through, of images
            that have none. 0: always the true gradient.
        seed: of the noise and the moves. An image does not depend on how many others come after it, but
            for rounding, which a long climb can enlarge.
        n_frames: how many images the filmstrip keeps.
        progress: called after each step with (steps done, all steps, images, mean value). True stops.

    Returns:
        Rendered; when it was stopped, also by Ctrl+C, with the image so far.

    Raises:
        LookupError: no such layer, class, parametrisation or padding mode.
        TypeError: what was given is no objective.
        ValueError: sizes that do not fit, or numbers that are not finite; the objective has no gradient at
            any of the images, so that nothing was rendered.

    >>> from cnnlab.methods.dream.objectives import channel
    >>> from cnnlab.nets import models
    >>> result = render(models.load("photonet"), channel("relu2", 5), size=32, steps=4)
    >>> result.images.shape, result.stopped, bool(result.history[3] > result.history[0])
    (torch.Size([1, 3, 32, 32]), 'finished', True)
    """
    result = ascend(
        model,
        objective,
        size=size,
        steps=steps,
        start=start,
        parametrisation=parametrisation,
        transforms=transforms,
        padding_mode=padding_mode,
        learning_rate=learning_rate,
        n_images=n_images,
        redirect_steps=redirect_steps,
        seed=seed,
        n_frames=n_frames,
        progress=progress,
    )
    if len(result.history) and not result.had_gradient.any() and result.stopped == "finished":
        raise ValueError(
            f"nothing was rendered: {objective} has no gradient at any image that was tried. The unit may be "
            "dead. Try another seed, an image that excites it as start, or the layer before its ReLU."
        )
    return result


def ascend(
    model: nn.Module,
    objective: Objective,
    *,
    size: int | tuple[int, int] | None,
    steps: int,
    start: str | Tensor,
    parametrisation: str | Pixel | Fourier,
    transforms: str | Sequence[Transform],
    padding_mode: str,
    learning_rate: float,
    n_images: int | None,
    redirect_steps: int,
    seed: int,
    n_frames: int,
    progress: Progress | None,
    alike: bool = False,
) -> Rendered:
    """`render`, but images that nothing moved are handed back with the others.

    Args:
        alike: all images of the batch start from the same noise.
    """
    began = time.perf_counter()
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    space = get_parametrisation(parametrisation)
    _check(objective, steps, learning_rate, n_frames, redirect_steps, progress)
    n_images = _n_images(objective, n_images, start)
    shape = image_shape(model, size, start)
    like = next((w for w in model.parameters() if w.is_floating_point()), torch.zeros(()))
    # Half precision has no room for a small gradient's square: only the network works in it.
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    with ObjectiveGradient(model, objective) as objective_gradient:
        if isinstance(start, str):
            generator = torch.Generator().manual_seed(seed)
            parameters = space.start(1 if alike else n_images, shape, generator)
            parameters = parameters.expand(n_images, *parameters.shape[1:]) if alike else parameters
        else:
            parameters = space.from_image(start.detach().to(like.device, dtype).expand(n_images, -1, -1, -1))
        parameters = parameters.to(like.device, dtype).clone()
        warp = Warp(_chain(transforms, shape), shape[1:], seed=seed, padding_mode=padding_mode)
        adam = Adam(parameters, learning_rate)
        frame_steps = {round(steps * k / (n_frames - 1)) for k in range(n_frames - 1)}
        history, frames, stopped = [], [], "finished"
        had_gradient = torch.zeros(n_images, dtype=torch.bool, device=like.device)
        redirected, scale, all_had_gradient = had_gradient.clone(), GradientScale(), False
        try:
            for step in range(steps):
                move = warp.draw()
                image = space.to_image(parameters, shape[1:]).requires_grad_()
                evaluation = objective_gradient.evaluate(
                    image,
                    lambda x, m=move: warp.view(x, m),
                    redirect=step < redirect_steps,
                    check_gradient=not all_had_gradient,
                )
                if not all_had_gradient:
                    had_gradient |= evaluation.has_gradient
                    all_had_gradient = bool(had_gradient.all())
                if evaluation.redirected is not None:
                    redirected |= evaluation.redirected
                if step in frame_steps:
                    frames.append((step, image.detach().clone()))
                history.append(evaluation.values)
                adam.step(scale(space.backward(evaluation.gradient, image.detach())))
                if progress is not None:
                    now, value = space.to_image(parameters, shape[1:]), float(evaluation.values.mean())
                    if progress(step + 1, steps, now, value) is True and step + 1 < steps:
                        stopped = "stopped"
                        break
        except KeyboardInterrupt:
            stopped = "interrupted"
        if len(history) <= redirect_steps:  # it had no time to wake what sleeps
            had_gradient |= redirected
        last = space.to_image(parameters, shape[1:]).contiguous()
        if not last.isfinite().all():
            raise ValueError(
                f"the last step led to numbers that are not finite: less learning_rate than {learning_rate}?"
            )
        if n_frames:
            frames.append((len(history), last.clone()))
        record = torch.stack(history) if history else last.new_zeros(0, n_images)
        looks = objective_gradient.passes * n_images
    seconds = time.perf_counter() - began
    return Rendered(last, record, frames, stopped, had_gradient, seconds, Passes(looks, looks))


def _check(
    objective: object, steps: int, learning_rate: float, n_frames: int, redirect_steps: int, progress: object
) -> None:
    if not isinstance(objective, Objective):
        raise TypeError(f"an objective is made by channel(…), logit(…) and the like; {objective!r} is none")
    for name, number in (("steps", steps), ("n_frames", n_frames), ("redirect_steps", redirect_steps)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"{name} is a whole number, 0 or more, not {number!r}")
    if (
        isinstance(learning_rate, bool)
        or not isinstance(learning_rate, int | float)
        or not 0 < learning_rate < 1e6
    ):
        raise ValueError(f"learning_rate is a number above 0, not {learning_rate!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is a function of (done, all, images, value), not {progress!r}")


def _n_images(objective: Objective, n_images: int | None, start: str | Tensor) -> int:
    """As many images as objective, batch and start agree on."""
    given = len(start) if isinstance(start, Tensor) and start.dim() == 4 and len(start) > 1 else None
    wanted = {
        "the objective is about": objective.n_images,
        "n_images is": n_images,
        "start has": given,
    }
    known = {name: number for name, number in wanted.items() if number is not None}
    if len(set(known.values())) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in known.items())
        raise ValueError(f"how many images? {listed}: these must agree")
    number = next(iter(known.values()), 1)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"n_images is a whole number, 1 or more, not {number!r}")
    return number


def _chain(wanted: str | Sequence[Transform], shape: tuple[int, int, int]) -> Sequence[Transform]:
    if isinstance(wanted, str):
        if wanted != "standard":
            raise ValueError(f"transforms are 'standard', or a list such as [jitter(4)]; not {wanted!r}")
        return transforms.standard(min(shape[1:]))
    if not isinstance(wanted, Sequence):
        raise TypeError(f"transforms are 'standard', or a list such as [jitter(4)]; not {wanted!r}")
    return wanted
