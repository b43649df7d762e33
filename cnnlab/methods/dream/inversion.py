"""How much of a picture does a layer still know? Another picture, from noise, that looks the same to it.

Type: (model, image, layer) -> Inverted. What the layer threw away, the new picture does not have; whatever
is smooth takes its place.

Paper: Mahendran & Vedaldi, Understanding deep image representations by inverting them, 2015.
"""

from typing import NamedTuple

from torch import Tensor, nn

from cnnlab.methods.dream import objectives
from cnnlab.methods.dream.objective import Objective, Seen, term
from cnnlab.methods.dream.objective_gradient import answer, refuse_no_picture
from cnnlab.methods.dream.parametrisation import Fourier, Pixel
from cnnlab.methods.dream.render import Progress, Rendered, climb


class Inverted(NamedTuple):
    """A picture that a layer takes for another.

    Attributes:
        pictures: (N, C, H, W) in [0, 1].
        error: (N,) the squared distance of the layer's answers to the two, by the square of the first.
        rendered: how it came about, see `Rendered`.
    """

    pictures: Tensor
    error: Tensor
    rendered: Rendered


def invert(
    model: nn.Module,
    image: Tensor,
    layer: str,
    *,
    steps: int = 256,
    smooth: float = 0.1,
    rate: float = 0.05,
    parametrise: str | Pixel | Fourier = "fourier",
    seed: int = 0,
    film: int = 8,
    progress: Progress | None = None,
) -> Inverted:
    """A picture made from noise so that a layer answers to it as to the given one.

    Args:
        model: any network; it runs in eval mode, and only as far as the layer.
        image: (N, C, H, W) in [0, 1].
        layer: its name.
        steps, rate, parametrise, seed, film, progress: as in `render`.
        smooth: the weight of total variation.

    Returns:
        Inverted; when it was stopped, with the pictures so far.

    Raises:
        LookupError: no such layer.
        ValueError: the picture is not in [0, 1], the layer answers nothing but zeros to it, or has no slope
            at the noise at the start.

    Paper: Mahendran & Vedaldi 2015.
    """
    if not 0 <= smooth < float("inf"):
        raise ValueError(f"smooth is a number, 0 or more, not {smooth}")
    refuse_no_picture(image)
    wanted = answer(model, image, layer)
    objective = -resembling(layer, wanted)
    if smooth:
        objective = objective - smooth * objectives.total_variation()
    found = climb(
        model,
        objective,
        size=tuple(image.shape[2:]),
        steps=steps,
        start="noise",
        parametrise=parametrise,
        transforms=(),
        fill="mirror",
        rate=rate,
        batch=len(image),
        redirect=0,
        seed=seed,
        film=film,
        progress=progress,
    )
    if len(found.history) and found.stopped == "finished" and not found.moved.any():
        raise ValueError(
            f"nothing was rendered: {layer} has no slope at the noise from which the climb starts. Try "
            "another seed, or an earlier layer"
        )
    error = _distance(answer(model, found.pictures, layer), wanted)
    return Inverted(found.pictures, error, found)


def resembling(layer: str, wanted: Tensor) -> Objective:
    """The squared distance of a layer's answers from those wanted, by the square of these.

    Args:
        layer: its name.
        wanted: (B, …), what the layer puts out for the picture to be resembled.
    """
    if not (wanted.flatten(1).abs().amax(dim=1) > 0).all():
        raise ValueError(f"{layer} answers nothing but zeros to this picture: there is nothing to match")
    wanted = wanted.detach().clone()

    def value(seen: Seen) -> Tensor:
        there = seen.layers[layer]
        if there.shape != wanted.shape:
            raise ValueError(f"{layer} puts out {tuple(there.shape)}; wanted is {tuple(wanted.shape)}")
        return _distance(there, wanted.clone())  # not one that was born in the caller's inference mode

    return term(f"distance at {layer}", value, layer, batch=len(wanted))


def _distance(there: Tensor, wanted: Tensor) -> Tensor:
    return (there - wanted).flatten(1).square().sum(dim=1) / wanted.flatten(1).square().sum(dim=1)
