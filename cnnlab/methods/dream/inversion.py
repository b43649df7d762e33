"""How much of an image does a layer still know? Another image, from noise, that looks the same to it.

Type: (model, image, layer) -> Inverted. What the layer threw away, the new image does not have; whatever
is smooth takes its place.

Paper: Mahendran & Vedaldi, Understanding deep image representations by inverting them, 2015.
"""

from typing import NamedTuple

from torch import Tensor, nn

from cnnlab.methods.dream import objectives
from cnnlab.methods.dream.objective_algebra import Objective, Seen, term
from cnnlab.methods.dream.objective_gradient import check_image_input, layer_output
from cnnlab.methods.dream.parametrisation import Fourier, Pixel
from cnnlab.methods.dream.render import Progress, Rendered, ascend


class Inverted(NamedTuple):
    """An image that a layer takes for another.

    Attributes:
        images: (N, C, H, W) in [0, 1].
        error: (N,) the squared distance of the layer's answers to the two, by the square of the first.
        rendered: how it came about, see `Rendered`.
    """

    images: Tensor
    error: Tensor
    rendered: Rendered


def invert(
    model: nn.Module,
    image: Tensor,
    layer: str,
    *,
    steps: int = 256,
    smooth: float = 0.1,
    learning_rate: float = 0.05,
    parametrisation: str | Pixel | Fourier = "fourier",
    seed: int = 0,
    n_frames: int = 8,
    progress: Progress | None = None,
) -> Inverted:
    """An image made from noise so that a layer answers to it as to the given one.

    Args:
        model: any network; it runs in eval mode, and only as far as the layer.
        image: (N, C, H, W) in [0, 1].
        layer: its name.
        steps, learning_rate, parametrisation, seed, n_frames, progress: as in `render`.
        smooth: the weight of total variation.

    Returns:
        Inverted; when it was stopped, with the images so far.

    Raises:
        LookupError: no such layer.
        ValueError: the image is not in [0, 1], the layer answers nothing but zeros to it, or has no gradient
            at the noise at the start.

    Paper: Mahendran & Vedaldi 2015.
    """
    if not 0 <= smooth < float("inf"):
        raise ValueError(f"smooth is a number, 0 or more, not {smooth}")
    check_image_input(image)
    target = layer_output(model, image, layer)
    objective = -feature_distance(layer, target)
    if smooth:
        objective = objective - smooth * objectives.total_variation()
    result = ascend(
        model,
        objective,
        size=tuple(image.shape[2:]),
        steps=steps,
        start="noise",
        parametrisation=parametrisation,
        transforms=(),
        padding_mode="mirror",
        learning_rate=learning_rate,
        n_images=len(image),
        redirect_steps=0,
        seed=seed,
        n_frames=n_frames,
        progress=progress,
    )
    if len(result.history) and result.stopped == "finished" and not result.had_gradient.any():
        raise ValueError(
            f"nothing was rendered: {layer} has no gradient at the noise from which the climb starts. Try "
            "another seed, or an earlier layer"
        )
    error = _distance(layer_output(model, result.images, layer), target)
    return Inverted(result.images, error, result)


def feature_distance(layer: str, target: Tensor) -> Objective:
    """The squared distance of a layer's answers from those wanted, by the square of these.

    Args:
        layer: its name.
        target: (B, …), what the layer puts out for the image to be resembled.
    """
    if not (target.flatten(1).abs().amax(dim=1) > 0).all():
        raise ValueError(f"{layer} answers nothing but zeros to this image: there is nothing to match")
    target = target.detach().clone()

    def value(seen: Seen) -> Tensor:
        output = seen.layers[layer]
        if output.shape != target.shape:
            raise ValueError(f"{layer} puts out {tuple(output.shape)}; the target is {tuple(target.shape)}")
        return _distance(output, target.clone())  # not one that was born in the caller's inference mode

    return term(f"distance at {layer}", value, layer, n_images=len(target))


def _distance(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).flatten(1).square().sum(dim=1) / target.flatten(1).square().sum(dim=1)
