"""The widgets of lecture 06b: the truth framed, weights shuffled from the top, pixels taken away."""

import functools

import torch
from torch import Tensor

from cnnlab.data import photos, shapes
from cnnlab.drawing import maps
from cnnlab.drawing.raster import pixels, plots
from cnnlab.methods import targets
from cnnlab.methods.evaluation import (
    all_methods,
    deletion,
    localisation,
    model_randomisation,
    rank_correlation,
)
from cnnlab.methods.evaluation.maps import random_maps
from cnnlab.nets import models
from cnnlab.widgets import ImageInput, cached, explore

_LARGE = 3  # how much a picture of 64 pixels is enlarged: three stand on a slide
_NETS = {"network A": "scenes", "network B": "watermarked"}  # the honest one, and the one that cheats
_SCENES = 24
_STEPS = 32
_WALKS = {"strongest taken away": deletion.deletion, "strongest put in": deletion.insertion}


def truth_browser(*, seed: int = 200):
    """Choose a scene, a network and a method: how much of the map lies on what decides?

    Args:
        seed: of the scenes.
    """
    return explore(
        functools.partial(truth_view, seed=seed),
        title="Does the map lie on what decides?",
        scene=(0, _SCENES - 1),
        network=list(_NETS),
        method=list(all_methods.METHODS),
        start={"method": "integrated gradients, from grey", "scene": 1},
        alt="a scene, and a map with the deciding thing framed",
    )


def truth_view(scene: int, network: str, method: str, *, seed: int = 200) -> dict:
    """A map beside the truth.

    Args:
        scene: its number.
        network: "network A", the honest one, or "network B", which cheats.
        method: one of `all_methods.METHODS`.
        seed: as in `truth_browser`.

    Returns:
        The scene, the map with the deciding thing and the mark framed, and the share inside each.
    """
    found, net = _scenes(seed), _net(_NETS[network])
    image, label = found.images[scene : scene + 1], found.labels[scene : scene + 1]
    flat = _explained(network, method, scene, seed)[0, 0]
    limit = pixels.strong(flat.abs())
    drawn = pixels.enlarge(pixels.signed(flat, limit), _LARGE)
    lines = []
    for name in ("deciding", "watermark"):
        mask = found.masks[name][scene : scene + 1]
        edge = maps.border(mask[0].numpy().repeat(_LARGE, axis=0).repeat(_LARGE, axis=1))
        drawn[edge] = pixels.FRAME
        inside = localisation.relevance_mass(flat[None, None], mask, empty=0.0).item()
        said = {"deciding": "the largest thing", "watermark": "the mark in the corner"}[name]
        by_chance = localisation.mask_area(mask).item()
        lines.append(
            f"{inside:4.0%} of what is positive lies on {said}; of noise it would be {by_chance:.0%}"
        )
    with torch.no_grad():
        says = shapes.CLASSES[int(net(image).argmax())]
    right = shapes.CLASSES[int(label)]
    return {
        f"a {right}": pixels.enlarge(pixels.grey(image[0]), _LARGE),
        f"{method}, to ±{limit:.2g}": drawn,
        "": f"the network says {says}\n" + "\n".join(lines),
    }


def shuffled():
    """Shuffle the weights layer by layer, from the last one on: does the map notice?"""
    depth = len(model_randomisation.weight_layers_top_down(cached.net("photonet"), torch.zeros(1, 3, 64, 64)))
    return explore(
        shuffled_view,
        title="Shuffle the weights from the top",
        image=ImageInput(tuple(photos.names()), size=64, value="cat"),
        method=list(all_methods.METHODS),
        shuffled=(0, depth),
        start={"method": "guided backprop"},
        presets={"trained": {"shuffled": 0}, "all shuffled": {"shuffled": depth}},
        alt="the map of the trained network and that of the network with shuffled weights",
    )


def shuffled_view(image: Tensor, method: str, shuffled: int) -> dict:
    """The map before and after.

    Args:
        image: (1, 3, S, S).
        method: one of `all_methods.METHODS`.
        shuffled: how many layers, from the last one on.

    Returns:
        The picture, both maps, each on its own scale, and how alike they are.
    """
    model = cached.net("photonet")
    number = targets.top_classes(model, image, 1)[:, 0]
    layers = list(model_randomisation.weight_layers_top_down(model, image))
    explain = all_methods.get_method(method)
    before = explain(model, image, number)
    after = explain(_shuffled(shuffled), image, number) if shuffled else before
    with torch.no_grad():
        chance = _shuffled(shuffled)(image).softmax(dim=1)[0, int(number)].item()
    alike = [
        rank_correlation.spearman(before, after, absolute=size, constant=0.0).item() for size in (False, True)
    ]
    done = ", ".join(layers[:shuffled]) or "none"
    shown = {
        f"{name}, to ±{pixels.strong(flat.abs()):.2g}": pixels.enlarge(
            pixels.signed(flat[0, 0], pixels.strong(flat.abs())), _LARGE
        )
        for name, flat in (("trained", before), (f"layers shuffled: {shuffled}", after))
    }
    return {
        "the picture": pixels.enlarge(pixels.grey(image[0]), _LARGE),
        **shown,
        "": f"shuffled: {done}\n{model.classes[int(number)]}: probability {chance:.0%}\n"
        f"rank correlation with the first map {alike[0]:+.2f}; of the sizes alone {alike[1]:+.2f}",
    }


def removal(*, seed: int = 200):
    """Take the strongest pixels away, or put them in: how fast does the class go, or come?

    Args:
        seed: of the scenes.
    """
    return explore(
        functools.partial(removal_view, seed=seed),
        title="Take the strongest pixels away",
        scene=(0, _SCENES - 1),
        method=[*all_methods.METHODS, "random"],
        walk=list(_WALKS),
        step=(0, _STEPS),
        start={"method": "integrated gradients", "step": 4},
        presets={"start": {"step": 0}, "an eighth": {"step": _STEPS // 8}, "end": {"step": _STEPS}},
        alt="a scene without its strongest pixels, and the probability at every step",
    )


def removal_view(scene: int, method: str, walk: str, step: int, *, seed: int = 200) -> dict:
    """The picture at one step, and the whole curve.

    Args:
        scene: its number.
        method: one of `all_methods.METHODS`, or "random".
        walk: "strongest taken away" or "strongest put in".
        step: 0 to 32; at 32 all pixels are gone, or there.
        seed: as in `removal`.

    Returns:
        The scene, the scene at this step, the probability at every step as bars, and the area.
    """
    found = _scenes(seed)
    image = found.images[scene : scene + 1]
    curve, order = _walked(scene, method, walk, seed)
    gone = order[: round(step / _STEPS * len(order))]
    away = walk == "strongest taken away"
    start, end = (image, torch.full_like(image, 0.5)) if away else (deletion.blurred(image), image)
    changed = start.flatten(2).clone()
    changed[:, :, gone] = end.flatten(2)[:, :, gone]
    return {
        f"a {shapes.CLASSES[int(found.labels[scene])]}": pixels.enlarge(pixels.grey(image[0]), _LARGE),
        f"{walk}: {len(gone)} of {len(order)} pixels": pixels.enlarge(
            pixels.grey(changed.view_as(image)[0]), _LARGE
        ),
        "probability at every step": plots.bar_chart(
            curve.scores[0].tolist(), 1.0, width=264, marked=(step, step)
        ),
        "": f"probability now {curve.scores[0, step].item():.0%}; "
        f"area under the curve {curve.area.item():.2f}: {'small' if away else 'large'} is good\n"
        f"{'nothing left' if away else 'nothing put in yet'}: the network says {_says(away, image)}",
    }


def _says(away: bool, image: Tensor) -> str:
    """The class of what a walk ends, or begins with, and how sure the network is: no picture has no class."""
    empty = torch.full_like(image, 0.5) if away else deletion.blurred(image)
    with torch.no_grad():
        chances = _net("scenes")(empty).softmax(dim=1)[0]
    return f"{shapes.CLASSES[int(chances.argmax())]}, {chances.max().item():.0%}"


@functools.cache
def _scenes(seed: int) -> shapes.Scenes:
    return shapes.scenes(_SCENES, seed=seed, watermark=1.0)


@functools.cache
def _net(trained_on: str):
    return models.load("shapesnet", trained_on)


@functools.lru_cache(maxsize=16)
def _shuffled(depth: int):
    return model_randomisation.cascading_randomisation(
        cached.net("photonet"), torch.zeros(1, 3, 64, 64), depth
    )


@functools.lru_cache(maxsize=64)
def _explained(network: str, method: str, scene: int, seed: int) -> Tensor:
    """(1, 1, H, W)."""
    found = _scenes(seed)
    image = found.images[scene : scene + 1]
    if method == "random":
        return random_maps(image[:, :1], seed=seed)
    return all_methods.get_method(method)(_net(_NETS[network]), image, found.labels[scene : scene + 1])


@functools.lru_cache(maxsize=64)
def _walked(scene: int, method: str, walk: str, seed: int) -> tuple[deletion.Curve, Tensor]:
    """The curve, and the order in which the pixels go."""
    found = _scenes(seed)
    image, label = found.images[scene : scene + 1], found.labels[scene : scene + 1]
    flat = _explained("network A", method, scene, seed)
    curve = _WALKS[walk](_net("scenes"), image, label, flat, steps=_STEPS)
    return curve, flat.flatten().argsort(descending=True, stable=True)
