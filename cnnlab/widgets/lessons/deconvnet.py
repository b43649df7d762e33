"""The widgets of lecture 05: project a unit to the pixels, by three rules, and walk down layer by layer."""

import functools

import numpy as np
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing import filter_images, sheets
from cnnlab.drawing.raster import pixels
from cnnlab.methods import deconvnet, top
from cnnlab.methods.deconvnet import top_projections
from cnnlab.probing import relu_rules
from cnnlab.widgets import ImageInput, cached, explore

_SIDE = 64  # pixels
_PAGE = 256  # pixels on the page


def project():
    """Choose a picture, a unit and a rule: what of the picture made the unit fire at its strongest place."""
    return explore(
        project_view,
        title="Which pixels made it fire?",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        layer=list(cached.stage_names("photonet")),
        channel=(0, 191),
        rule=list(relu_rules.NAMED),
        tops=lambda held: {"channel": cached.channels("photonet", held["layer"]) - 1},
        start={"layer": "relu3", "rule": "deconvnet", "channel": 54},
        presets={rule: {"rule": rule} for rule in relu_rules.NAMED},
        alt="a picture and the projection of a unit",
    )


def project_view(image: Tensor, layer: str, channel: int, rule: str) -> dict:
    """The strongest place of a unit, and its projection.

    Args:
        image: (1, 3, S, S).
        layer, channel: of photonet.
        rule: "deconvnet", "gradient" or "guided".

    Returns:
        The picture with the receptive field framed, the projection, both cut to the field, and numbers.
    """
    model = cached.net("photonet")
    unit = deconvnet.strongest_unit(model, image, layer, channel)
    signal = deconvnet.project(model, image, unit, rule)
    field = cached.field("photonet", layer)
    box = field.rectangle(unit.row, unit.col)
    value = unit.activation(cached.record("photonet", layer, image))[0].item()
    said = f"{unit}: its activation is {value:.3f}"
    if value == 0:
        said += "\nA silent unit has nothing to project. Take another channel or picture."
    else:
        against = (signal < 0).float().sum().item() / max((signal != 0).sum().item(), 1)
        said += f"\n{against:.0%} of the colour values that are not zero are negative; grey is zero"
        said += "; darker there means more" if rule == "gradient" else ""
    part, seen = (
        field.crop(one, unit.row, unit.col, outside=out) for one, out in ((signal, 0.0), (image, 0.5))
    )
    return {
        "the strongest place": pixels.boxed(pixels.grey(image[0]), box, 4),
        f"projected by '{rule}'": _large(filter_images.centred(signal[0])),
        "what it sees": _large(pixels.grey(seen[0])),
        "what it used": _large(filter_images.centred(part[0])),
        "": said,
    }


def walk():
    """Walk a projection down, one layer at a time."""
    last = len(_walked("cat", "relu4", 54)) - 1
    return explore(
        walk_view,
        title="Down to the pixels, layer by layer",
        image=list(photos.names()),
        layer=list(cached.stage_names("photonet")[1:]),
        channel=(0, 191),
        step=(0, last),
        tops=lambda held: {
            "channel": cached.channels("photonet", held["layer"]) - 1,
            "step": len(_walked(held["image"], held["layer"], 0)) - 1,
        },
        start={"image": "cat", "layer": "relu4", "channel": 54},
        presets={"start": {"step": 0}},
        alt="the signal on its way from a unit to the pixels",
    )


def walk_view(image: str, layer: str, channel: int, step: int) -> dict:
    """The signal at one layer of the way down.

    Args:
        image: the name of a photo.
        layer, channel: the unit of photonet, at its strongest place.
        step: 0 is the unit's own layer, the last are the pixels.

    Returns:
        The signal summed over the channels of that layer, the picture, and where the walk is.
    """
    steps = _walked(image, layer, channel)
    here = steps[step]
    names = [one.layer for one in steps]
    total = here.signal[0].sum(dim=0)  # (h, w)
    alive = int((here.signal != 0).sum())
    path = " > ".join(f"[{name}]" if k == step else name for k, name in enumerate(names))
    last = step == len(steps) - 1
    shown = _large(filter_images.centred(here.signal[0])) if last else pixels.signed(total)
    return {
        "the photo": pixels.enlarge(pixels.grey(photos.load(image, _SIDE)[0]), 4),
        "the pixels"
        if last
        else f"arriving at {here.layer}, {here.signal.shape[1]} channels added up": shown,
        "": f"{path}\n{alive} of {here.signal.numel()} numbers are not zero; "
        f"from {here.signal.min():.2g} to {here.signal.max():.2g}",
    }


def sheet(*, n: int = 600, seed: int = 0):
    """Choose a unit: its nine strongest pieces, each beside what of it the unit used.

    Args:
        n: how many pictures are scanned, the first time that a layer is chosen.
        seed: of the pictures.
    """
    layers = [f"{name}, {layer}" for name in cached.NETS for layer in cached.stage_names(name)]
    return explore(
        functools.partial(sheet_view, n=n, seed=seed),
        title="Nine pieces and their projections",
        layer=layers,
        channel=(0, 191),
        rule=list(relu_rules.NAMED),
        tops=lambda held: {"channel": cached.channels(*held["layer"].split(", ")) - 1},
        start={"layer": "photonet, relu3", "rule": "deconvnet", "channel": 43},
        alt="the strongest pieces of a unit, and their projections",
    )


def sheet_view(layer: str, channel: int, rule: str, *, n: int = 600, seed: int = 0) -> dict:
    """Nine pieces of pictures, and what of each made the unit fire.

    Args:
        layer: "photonet, relu3".
        channel: of the layer.
        rule: "deconvnet", "gradient" or "guided".
        n, seed: as in `sheet`.
    """
    name, inner = layer.split(", ")
    whole = cached.scan(layer, n, seed)
    found = whole.ranks(0, 9)
    images, field = cached.data(name, n, seed).images, cached.field(name, inner)
    pieces = top.patches(images, found, field, channels=[channel], outside=0.5)[0]
    used = top_projections.project_top_patches(
        cached.net(name), images, found, field, channels=[channel], rule=rule
    )[0]
    return {
        "nine pieces": sheets.nine(pieces),
        "what it used of them (each on its own scale)": sheets.nine(used, centred=True),
        "": f"channel {channel} of {layer}, activations {found.values[channel, 0]:.2f} to "
        f"{found.values[channel, -1]:.2f}; zero is grey",
    }


def _large(drawn: np.ndarray) -> np.ndarray:
    """As large on the page as the photo."""
    return pixels.enlarge(drawn, max(1, _PAGE // drawn.shape[1]))


@functools.lru_cache(maxsize=8)
def _walked(image: str, layer: str, channel: int) -> list[deconvnet.Step]:
    model, photo = cached.net("photonet"), photos.load(image, _SIDE)
    return deconvnet.layer_by_layer(
        model, photo, deconvnet.strongest_unit(model, photo, layer, channel), steps=True
    )
