"""The widgets of lecture 07: draw a picture while you watch, dream on a photo, read a place by icons."""

import torch
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing import sheets
from cnnlab.drawing.raster import pixels
from cnnlab.methods import dream
from cnnlab.nets import icons
from cnnlab.widgets import ImageInput, cached, explore
from cnnlab.widgets.lessons.live_feature_visualisation import Studio, studio

__all__ = ["Studio", "studio", "octaves", "octaves_view", "dictionary", "dictionary_view"]

_NET = "photonet"
_SIDE, _LARGE, _LARGER = 64, 3, 4  # pixels of a picture, and by how much it is enlarged
_ICONS = 6  # of a place


def octaves():
    """Deep dream on a photo: which layer, how many octaves and steps."""
    return explore(
        octaves_view,
        title="More of whatever you see",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        layer=list(cached.stage_names(_NET)),
        octaves=(1, 4),
        steps=(0, 20),
        start={"layer": "relu4", "octaves": 2, "steps": 6},
        presets={
            "the photo": {"octaves": 2, "steps": 0},
            "one octave": {"octaves": 1, "steps": 6},
            "four octaves": {"octaves": 4, "steps": 6},
            "much": {"octaves": 4, "steps": 20},
        },
        alt="a photo, and what a layer makes of it",
    )


def octaves_view(image: Tensor, layer: str, octaves: int, steps: int) -> dict:
    """A photo with more of what a layer sees in it.

    Args:
        image: (1, 3, S, S).
        layer: of photonet.
        octaves: sizes at which is dreamt.
        steps: at each octave.

    Returns:
        The photo, the dream, and how much more the layer answers.
    """
    found = dream.deep_dream(
        cached.net(_NET), image, dream.layer(layer), octaves=octaves, steps=steps, keep_frames=False
    )
    before, after = (
        cached.record(_NET, layer, each).square().mean().item() for each in (image, found.images)
    )
    return {
        "the photo": pixels.enlarge(pixels.grey(image[0]), _LARGER),
        "the dream": pixels.enlarge(pixels.grey(found.images[0]), _LARGER),
        "": f"mean square of {layer}: {before:.3g} for the photo, {after:.3g} for the dream\n"
        f"{octaves} x {steps} = {octaves * steps} steps",
    }


def dictionary():
    """Choose a place of a map: which channels answer there, and what does each of them ask for?"""
    layers = icons.layers(_NET)
    return explore(
        dictionary_view,
        title="A place, read by icons",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        layer=layers,
        row=(0, _SIDE - 1),
        column=(0, _SIDE - 1),
        tops=lambda held: dict.fromkeys(("row", "column"), cached.field(_NET, held["layer"]).grid[0] - 1),
        start={"layer": layers[-1], "row": 3, "column": 3},
        alt="a picture with a framed place, and the icons of the channels that answer there",
    )


def dictionary_view(image: Tensor, layer: str, row: int, column: int) -> dict:
    """The strongest channels at one place, as icons that are the larger the stronger the channel answers.

    Args:
        image: (1, 3, S, S).
        layer: of photonet, one with a sheet of icons.
        row, column: the place on its maps.

    Returns:
        The picture with what the place sees framed, the icons, and numbers.
    """
    found = dream.top_channels(cached.net(_NET), image, layer, row, column, k=_ICONS)
    box = cached.field(_NET, layer).rectangle(row, column)
    shown = {"what the place sees": pixels.boxed(pixels.grey(image[0]), box, _LARGE)}
    if not len(found.channels):
        return {**shown, "": f"{layer} is silent at this place"}
    # Where fewer channels answer, places stay empty.
    few = torch.ones(_ICONS, *cached.icons(_NET, layer).shape[1:])
    few[: len(found.channels)] = cached.icons(_NET, layer)[found.channels]
    strength, names = torch.zeros(_ICONS), [""] * _ICONS
    strength[: len(found.values)] = found.values
    for k, (channel, value) in enumerate(zip(found.channels.tolist(), found.values.tolist(), strict=True)):
        names[k] = f"{channel}: {value:.2f}"
    return {
        **shown,
        "channel and answer; the area is the answer": sheets.icons(few, strength, names),
        "": f"together {found.fraction.sum().item():.0%} of all that is positive there",
    }
