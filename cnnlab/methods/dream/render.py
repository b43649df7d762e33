"""The picture that a unit likes best: start from noise, and climb.

Type: (model, objective) -> Rendered. Each step moves the picture a little at random, looks at it once, and
goes up the slope of the objective, in the numbers of which the picture is made.

Papers: Erhan et al., Visualizing higher-layer features of a deep network, 2009; Olah, Mordvintsev & Schubert,
Feature visualization, Distill 2017; Kingma & Ba, Adam, 2015.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.dream import parametrisation, transforms
from cnnlab.methods.dream.objective import Objective
from cnnlab.methods.dream.objective_gradient import Watch, shape_of
from cnnlab.methods.dream.transforms import Transform, Warp
from cnnlab.methods.model_runner import Passes
from cnnlab.nets.adam import Adam

# (steps done, all steps, pictures (B, C, H, W), mean value of the objective) -> True to stop.
Progress = Callable[[int, int, Tensor, float], object]


class Rendered(NamedTuple):
    """A picture, and how it came about.

    Attributes:
        pictures: (B, C, H, W) in [0, 1].
        history: (steps done, B), the value of the objective before each step, of the picture as it was moved.
        filmstrip: a few (steps done, pictures (B, C, H, W)), from the start to the end.
        stopped: "finished"; "stopped" by progress; "interrupted" by Ctrl+C.
        moved: (B,) bool; False: the objective never had a slope, but for what ReLUs were asked to let through
            in the first steps; the picture shows little more than its start.
        seconds: wall clock.
        passes: through the network.
    """

    pictures: Tensor
    history: Tensor
    filmstrip: list[tuple[int, Tensor]]
    stopped: str
    moved: Tensor
    seconds: float
    passes: Passes


class Scale:
    """Slopes brought to a size at which Adam's 1e-8 is nothing, by one factor for each picture.

    So 1e-9 times an objective gives the same picture. The factor is that of the first slope above zero.
    """

    def __init__(self):
        self.factor: Tensor | None = None
        self.known = False

    def __call__(self, slope: Tensor) -> Tensor:
        if not self.known:
            # By a power of two: no number is rounded. In float64, where the smallest slopes have room.
            size = slope.flatten(1).abs().amax(dim=1).double()
            found = torch.where(size > 0, torch.exp2(-torch.log2(size.clamp(min=1e-300)).round()), 0.0)
            found = found.clamp(max=torch.finfo(slope.dtype).max).to(slope.dtype)
            found = found.view(-1, *[1] * (slope.dim() - 1))
            self.factor = found if self.factor is None else torch.where(self.factor > 0, self.factor, found)
            self.known = bool((self.factor > 0).all())
        return slope * self.factor


def render(
    model: nn.Module,
    objective: Objective,
    *,
    size: int | tuple[int, int] | None = None,
    steps: int = 64,
    start: str | Tensor = "noise",
    parametrise: str | parametrisation.Pixel | parametrisation.Fourier = "fourier",
    transforms: str | Sequence[Transform] = "standard",
    fill: str = "mirror",
    rate: float = 0.1,
    batch: int | None = None,
    redirect: int = 8,
    seed: int = 0,
    film: int = 8,
    progress: Progress | None = None,
) -> Rendered:
    """Pictures that make an objective large.

    A ReLU that is off passes no slope. In the first steps, where none comes through to a picture, it is let
    through ReLUs where it would open them, see `watching.redirected`; this look costs a second pass.

    Args:
        model: any network; it runs in eval mode, and only as far as the objective looks.
        objective: such as channel("relu3", 43) - 0.5 * total_variation(); see `objectives`.
        size: side in pixels, or (rows, columns); left out, that of `start`, or the model's own, or 64.
        steps: how many; 0 gives the start.
        start: "noise", soft clouds; or a picture (1 or batch, C, H, W) in [0, 1].
        parametrise: "fourier" or "pixel", or one with options: see `pictures`.
        transforms: how the picture is moved before each look: "standard", or a list such as [jitter(4)], or
            () for not at all. All pictures of a batch are moved alike.
        fill: what is seen beyond the border: "mirror", "edge" or "grey".
        rate: of Adam.
        batch: how many pictures; left out, as many as the objective is about, or one.
        redirect: in how many of the first steps ReLUs are asked to let a slope through, of pictures that have
            none. 0: always the true slope.
        seed: of the noise and the moves. A picture does not depend on how many others come after it, but
            for rounding, which a long climb can enlarge.
        film: how many pictures the filmstrip keeps.
        progress: called after each step with (steps done, all steps, pictures, mean value). True stops.

    Returns:
        Rendered; when it was stopped, also by Ctrl+C, with the picture so far.

    Raises:
        LookupError: no such layer, class, parametrisation or fill.
        TypeError: what was given is no objective.
        ValueError: sizes that do not fit, or numbers that are not finite; the objective has no slope at any
            of the pictures, so that nothing was rendered.

    >>> from cnnlab.methods.dream.objectives import channel
    >>> from cnnlab.nets import models
    >>> found = render(models.load("photonet"), channel("relu2", 5), size=32, steps=4)
    >>> found.pictures.shape, found.stopped, bool(found.history[3] > found.history[0])
    (torch.Size([1, 3, 32, 32]), 'finished', True)
    """
    found = climb(
        model,
        objective,
        size=size,
        steps=steps,
        start=start,
        parametrise=parametrise,
        transforms=transforms,
        fill=fill,
        rate=rate,
        batch=batch,
        redirect=redirect,
        seed=seed,
        film=film,
        progress=progress,
    )
    if len(found.history) and not found.moved.any() and found.stopped == "finished":
        raise ValueError(
            f"nothing was rendered: {objective} has no slope at any picture that was tried. The unit may be "
            "dead. Try another seed, a picture that excites it as start, or the layer before its ReLU."
        )
    return found


def climb(
    model: nn.Module,
    objective: Objective,
    *,
    size: int | tuple[int, int] | None,
    steps: int,
    start: str | Tensor,
    parametrise: str | parametrisation.Pixel | parametrisation.Fourier,
    transforms: str | Sequence[Transform],
    fill: str,
    rate: float,
    batch: int | None,
    redirect: int,
    seed: int,
    film: int,
    progress: Progress | None,
    alike: bool = False,
) -> Rendered:
    """`render`, but pictures that nothing moved are handed back with the others.

    Args:
        alike: all pictures of the batch start from the same noise.
    """
    began = time.perf_counter()
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    space = parametrisation.named(parametrise)
    _check(objective, steps, rate, film, redirect, progress)
    batch = _how_many(objective, batch, start)
    shape = shape_of(model, size, start)
    like = next((w for w in model.parameters() if w.is_floating_point()), torch.zeros(()))
    # Half precision has no room for a small slope's square: only the network works in it.
    kind = torch.float64 if like.dtype == torch.float64 else torch.float32
    with Watch(model, objective) as watch:
        if isinstance(start, str):
            generator = torch.Generator().manual_seed(seed)
            numbers = space.start(1 if alike else batch, shape, generator)
            numbers = numbers.expand(batch, *numbers.shape[1:]) if alike else numbers
        else:
            numbers = space.numbers(start.detach().to(like.device, kind).expand(batch, -1, -1, -1))
        numbers = numbers.to(like.device, kind).clone()
        warp = Warp(_chain(transforms, shape), shape[1:], seed=seed, fill=fill)
        adam = Adam(numbers, rate)
        frames = {round(steps * k / (film - 1)) for k in range(film - 1)}
        history, strip, stopped = [], [], "finished"
        moved = torch.zeros(batch, dtype=torch.bool, device=like.device)
        opened, scale, all_moved = moved.clone(), Scale(), False
        try:
            for step in range(steps):
                move = warp.draw()
                picture = space.picture(numbers, shape[1:]).requires_grad_()
                look = watch.look(
                    picture,
                    lambda x, m=move: warp.view(x, m),
                    redirect=step < redirect,
                    ask_awake=not all_moved,
                )
                if not all_moved:
                    moved |= look.awake
                    all_moved = bool(moved.all())
                if look.opened is not None:
                    opened |= look.opened
                if step in frames:
                    strip.append((step, picture.detach().clone()))
                history.append(look.values)
                adam.step(scale(space.slope(look.slope, picture.detach())))
                if progress is not None:
                    now, value = space.picture(numbers, shape[1:]), float(look.values.mean())
                    if progress(step + 1, steps, now, value) is True and step + 1 < steps:
                        stopped = "stopped"
                        break
        except KeyboardInterrupt:
            stopped = "interrupted"
        if len(history) <= redirect:  # it had no time to wake what sleeps
            moved |= opened
        last = space.picture(numbers, shape[1:]).contiguous()
        if not last.isfinite().all():
            raise ValueError(f"the last step led to numbers that are not finite: a smaller rate than {rate}?")
        if film:
            strip.append((len(history), last.clone()))
        record = torch.stack(history) if history else last.new_zeros(0, batch)
        looks = watch.passes * batch
    seconds = time.perf_counter() - began
    return Rendered(last, record, strip, stopped, moved, seconds, Passes(looks, looks))


def _check(objective: object, steps: int, rate: float, film: int, redirect: int, progress: object) -> None:
    if not isinstance(objective, Objective):
        raise TypeError(f"an objective is made by channel(…), logit(…) and the like; {objective!r} is none")
    for name, number in (("steps", steps), ("film", film), ("redirect", redirect)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"{name} is a whole number, 0 or more, not {number!r}")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e6:
        raise ValueError(f"rate is a number above 0, not {rate!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is a function of (done, all, pictures, value), not {progress!r}")


def _how_many(objective: Objective, batch: int | None, start: str | Tensor) -> int:
    """As many pictures as objective, batch and start agree on."""
    given = len(start) if isinstance(start, Tensor) and start.dim() == 4 and len(start) > 1 else None
    wanted = {
        "the objective is about": objective.batch,
        "batch is": batch,
        "start has": given,
    }
    known = {name: number for name, number in wanted.items() if number is not None}
    if len(set(known.values())) > 1:
        said = ", ".join(f"{name} {number}" for name, number in known.items())
        raise ValueError(f"how many pictures? {said}: these must agree")
    number = next(iter(known.values()), 1)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"batch is a whole number, 1 or more, not {number!r}")
    return number


def _chain(wanted: str | Sequence[Transform], shape: tuple[int, int, int]) -> Sequence[Transform]:
    if isinstance(wanted, str):
        if wanted != "standard":
            raise ValueError(f"transforms are 'standard', or a list such as [jitter(4)]; not {wanted!r}")
        return transforms.standard(min(shape[1:]))
    if not isinstance(wanted, Sequence):
        raise TypeError(f"transforms are 'standard', or a list such as [jitter(4)]; not {wanted!r}")
    return wanted
