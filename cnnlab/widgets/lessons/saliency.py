"""The widgets of lecture 06a: every method, the way of integrated gradients, noise, and covers."""

import functools

import numpy as np
import torch
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing.raster import pixels, plots
from cnnlab.methods import occlusion, saliency, targets
from cnnlab.methods.attribution import Attribution
from cnnlab.methods.evaluation import all_methods, deletion
from cnnlab.probing import Unit
from cnnlab.widgets import ImageInput, cached, explore

_SIDE, _LARGE = 64, 3  # pixels of a picture, and by how much it is enlarged: three stand on a slide
_NET = "photonet"
_GUESSES = ("1st guess", "2nd guess", "3rd guess", "4th guess", "5th guess")
_FILLS = ("grey", "black", "white", "blurred")
POINTS, SAMPLES = 20, 12  # while a slider moves
_NOTHING = 1e-5  # of a score: less is rounding


def methods():
    """Choose a method, a class and a picture: which pixels speak for the class?"""
    return explore(
        methods_view,
        title="Which pixels decided the class?",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        method=list(all_methods.METHODS),
        target=[*_GUESSES, *cached.net(_NET).classes],
        start={"method": "integrated gradients"},
        alt="a picture, and which of its pixels speak for a class",
    )


def methods_view(image: Tensor, method: str, target: str) -> dict:
    """The map of a class, on the scale of the map of the first guess.

    Args:
        image: (1, 3, S, S).
        method: one of `all_methods.METHODS`.
        target: a class of photonet, or "1st guess" to "5th guess".

    Returns:
        The picture, the map, the picture where the map is positive, and numbers.
    """
    model = cached.net(_NET)
    guesses = targets.top_classes(model, image, len(_GUESSES))[0].tolist()
    number = guesses[_GUESSES.index(target)] if target in _GUESSES else model.classes.index(target)
    limit = _scale(_explained(method, _key(image), guesses[0]).map)
    answer = _explained(method, _key(image), number)
    flat = all_methods.to_pixels(answer.map, model, image)[0, 0]  # (S, S)
    with torch.no_grad():
        chance = model(image).softmax(dim=1)[0, number].item()
    total = f"sum of the map {answer.total.item():.2f}"
    if answer.difference is not None:
        total += f", f(x) - f(x') {answer.difference.item():.2f}"
    if answer.map.shape[2:] != image.shape[2:]:
        total += f" over {answer.map.shape[2]} x {answer.map.shape[3]} places, drawn smooth"
    if method == "occlusion":
        total = "a drop counts for every pixel of its window, so the sum of the map means nothing"
    said = [
        f"{model.classes[number]}: probability {chance:.0%}, logit {answer.score.item():.2f}",
        total,
        f"{answer.passes}, {1000 * answer.seconds:.0f} ms",
    ]
    if not answer.map.any():
        said.append(
            "The map is zero everywhere: no pixel differs from what the method compares it with, or nothing "
            "speaks for this class."
        )
    return {
        "the picture": pixels.enlarge(pixels.grey(image[0]), _LARGE),
        f"{method}, to ±{limit:.2g}": pixels.enlarge(pixels.signed(flat, limit), _LARGE),
        "what speaks for it": pixels.enlarge(pixels.overlay(image[0], flat.clamp(min=0), limit), _LARGE),
        "": "\n".join(said),
    }


def path():
    """The way of integrated gradients: how many points, and from which baseline?"""
    return explore(
        path_view,
        title="From nothing to the picture",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        points=(1, 50),
        baseline=["black", "white", "grey", "blurred"],
        start={"points": POINTS},
        presets={"1 point": {"points": 1}, "5": {"points": 5}, "50": {"points": 50}},
        alt="the score on the way from a baseline to a picture, and what each pixel brought",
    )


def path_view(image: Tensor, points: int, baseline: str) -> dict:
    """Integrated gradients for the class that photonet names.

    Args:
        image: (1, 3, S, S).
        points: on the way.
        baseline: "black", "white", "grey" or "blurred".

    Returns:
        The baseline, the picture, the shares, the score at each point, and whether they add up.
    """
    model, start = cached.net(_NET), filled(image, baseline)
    number = targets.top_classes(model, image, 1)[:, 0]
    answer = saliency.integrated_gradients(model, image, number, steps=points, baseline=start)
    scores, limit = _scores(_key(image), int(number), baseline), _scale(answer.map)
    low = min(scores)
    return {
        "from the baseline": _framed(pixels.enlarge(pixels.grey(start[0]), _LARGE)),
        "to the picture": pixels.enlarge(pixels.grey(image[0]), _LARGE),
        f"shares, to ±{limit:.2g}": pixels.enlarge(pixels.signed(answer.map[0].sum(dim=0), limit), _LARGE),
        f"the score on the way: {low:.1f} (no bar) to {max(scores):.1f} at most": plots.bar_chart(
            [score - low for score in scores], width=240
        ),
        "": f"{model.classes[int(number)]}: f(x) - f(x') = {answer.score.item():.2f} - "
        f"{_bracketed(answer.reference.item())} = {answer.difference.item():.2f}\n"
        f"sum of the shares {answer.total.item():.2f}, gap {answer.gap.item():+.3f}",
    }


def _framed(drawn: np.ndarray) -> np.ndarray:
    """With a grey edge: on a white page a white picture looks as if there were none."""
    drawn = drawn.copy()
    drawn[[0, -1]] = drawn[:, [0, -1]] = 160
    return drawn


def _bracketed(number: float) -> str:
    return f"{number:.2f}" if number >= 0 else f"({number:.2f})"


def smooth():
    """SmoothGrad: how much noise, and how often?"""
    return explore(
        smooth_view,
        title="The mean of many noisy gradients",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="coffee"),
        sigma=(0.0, 0.5, 0.02),
        samples=(1, 40),
        start={"sigma": 0.1, "samples": SAMPLES},
        presets={
            "no noise": {"sigma": 0.0},
            "one sample": {"sigma": 0.1, "samples": 1},
            "40 samples": {"sigma": 0.1, "samples": 40},
        },
        alt="a picture with noise, and the mean gradient of many such pictures",
    )


def smooth_view(image: Tensor, sigma: float, samples: int) -> dict:
    """SmoothGrad for the class that photonet names.

    Args:
        image: (1, 3, S, S).
        sigma: of the noise, where 1 is the way from black to white.
        samples: how many noisy pictures.

    Returns:
        One noisy picture, the plain gradient, the mean gradient, and how alike neighbours of each are.
    """
    model = cached.net(_NET)
    number = targets.top_classes(model, image, 1)[:, 0]
    plain = saliency.gradient(model, image, number).map[0].sum(dim=0)
    mean = saliency.smoothgrad(model, image, number, sigma=sigma, samples=samples).map[0].sum(dim=0)
    noise = sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return {
        "one of the noisy pictures": pixels.enlarge(pixels.grey((image + noise)[0].clamp(0, 1)), _LARGE),
        f"gradient, to ±{_scale(plain):.2g}": pixels.enlarge(pixels.signed(plain, _scale(plain)), _LARGE),
        f"SmoothGrad, to ±{_scale(mean):.2g}": pixels.enlarge(pixels.signed(mean, _scale(mean)), _LARGE),
        "": f"{model.classes[int(number)]}: correlation of a pixel with the next {_alike(plain):.2f} in "
        f"the gradient, {_alike(mean):.2f} in SmoothGrad",
    }


def covering():
    """Occlusion: choose what is explained, the window, how far it moves and what fills it."""
    return explore(
        covering_view,
        title="Cover a part and ask again",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        target=[*_GUESSES[:3], *(f"{layer}, channel {c}" for layer, c in (("relu3", 43), ("relu5", 48)))],
        window=(4, 32),
        stride=(4, 16),
        fill=list(_FILLS),
        start={"window": 16, "stride": 8},
        presets={"small": {"window": 4, "stride": 4}, "large": {"window": 32, "stride": 8}},
        alt="a picture with a covered window, and how much each window was worth",
    )


def covering_view(image: Tensor, target: str, window: int, stride: int, fill: str) -> dict:
    """How much the score falls where the picture is covered.

    Args:
        image: (1, 3, S, S).
        target: "1st guess" to "5th guess", or "relu3, channel 43": the mean of this map.
        window, stride: in pixels.
        fill: what is put in: "grey", "black", "white" or "blurred".

    Returns:
        The picture with the window that is worth most, the mean drop per pixel, and numbers.
    """
    model = cached.net(_NET)
    if target in _GUESSES:
        number, unit = targets.top_classes(model, image, 5)[0, _GUESSES.index(target)].item(), None
        called = model.classes[number]
    else:
        layer, channel = target.split(", channel ")
        number, unit, called = 0, Unit(layer, int(channel)), target
    shorter = "" if stride <= window else " (at most the window, or some pixels would never be covered)"
    stride = min(stride, window)
    found = _scanned(_key(image), unit, window, stride, fill)
    worth = found.drops(number)
    drops = worth.values  # (rows, cols)
    best = divmod(int(drops.argmax()), drops.shape[1])
    top, left = (stride * position for position in best)
    covered = image.clone()
    box = (slice(None), slice(None), slice(top, top + window), slice(left, left + window))
    covered[box] = filled(image, fill)[box]
    limit = pixels.strong(drops.abs())
    bottom, right = (min(edge + window, image.shape[-1]) for edge in (top, left))
    return {
        "the window that is worth most": pixels.boxed(
            pixels.grey(covered[0]), (top, left, bottom, right), _LARGE
        ),
        f"at each pixel the mean drop of its windows, to ±{limit:.2g}": pixels.enlarge(
            pixels.signed(worth.per_pixel()[0, 0], limit), _LARGE
        ),
        "": f"{called}: the best window takes {drops.max().item():.2f} of {worth.score.item():.2f} away; "
        f"{int((drops > _NOTHING * worth.score.abs()).sum())} of {drops.numel()} windows speak for it\n"
        f"{drops.numel()} windows at a stride of {stride}{shorter}\n"
        f"the work of {found.work:.0f} whole pictures, {1000 * found.seconds:.0f} ms; to ask again is free",
    }


def filled(image: Tensor, how: str) -> Tensor:
    """What stands for "nothing there": like the picture, (1, 3, S, S)."""
    if how == "blurred":
        return deletion.blurred(image)
    return torch.full_like(image, {"grey": 0.5, "black": 0.0, "white": 1.0}[how])


def _scale(maps: Tensor) -> float:
    """Where the colours end: the size that 1 % of the pixels exceed, the colours added up."""
    flat = maps.flatten(0, -4).sum(dim=1) if maps.dim() > 3 else maps
    return pixels.strong(flat.abs())


def _alike(flat: Tensor) -> float:
    """How alike neighbours are: the correlation of a map with itself, one pixel further."""
    return torch.corrcoef(torch.stack([flat[:, 1:].flatten(), flat[:, :-1].flatten()]))[0, 1].item()


def _key(image: Tensor) -> tuple[bytes, tuple[int, ...]]:
    """A picture by which an answer can be kept."""
    plain = image.detach().float().contiguous()
    return plain.numpy().tobytes(), tuple(plain.shape)


def _image(key: tuple[bytes, tuple[int, ...]]) -> Tensor:
    return torch.frombuffer(bytearray(key[0]), dtype=torch.float32).view(key[1])


@functools.lru_cache(maxsize=64)
def _explained(method: str, key: tuple, number: int) -> Attribution:
    return all_methods.METHODS[method](cached.net(_NET), _image(key), number)


@functools.lru_cache(maxsize=64)
def _scores(key: tuple, number: int, baseline: str) -> list[float]:
    """f at points of the way from the baseline to the picture."""
    image = _image(key)
    way = saliency.path(cached.net(_NET), image, number, baseline=filled(image, baseline), steps=2 * POINTS)
    return way.scores[0].tolist()


@functools.lru_cache(maxsize=16)
def _scanned(key: tuple, unit: Unit | None, window: int, stride: int, fill: str) -> occlusion.Scan:
    """The answers of all classes with every window covered: another one costs nothing. Or of a unit."""
    image = _image(key)
    return occlusion.scan(
        cached.net(_NET), image, unit, window=window, stride=stride, fill=filled(image, fill)
    )
