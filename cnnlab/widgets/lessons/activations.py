"""The widgets of lecture 03: look into every layer, at every place, and at the neighbours of a picture."""

import functools

import numpy as np
from torch import Tensor

from cnnlab.data import photos
from cnnlab.drawing.raster import pixels, plots
from cnnlab.methods.analysis import activations
from cnnlab.widgets import ImageInput, cached, explore

_SIDE = 64  # pixels: what the networks were trained on
_SHEET = 420  # pixels on the page for a sheet of maps
_ASKED = 14  # pieces to ask about: one of each photo


def browser(net: str = "photonet"):
    """Look into the layers: every map of a layer, and one of them large.

    Args:
        net: an embedded network for colour pictures: "photonet" or "shapesnet".
    """
    layers = _layers(net)
    return explore(
        functools.partial(browser_view, net=net),
        title="Look into the layers",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        layer=layers,
        channel=(0, max(cached.channels(net, layer) for layer in layers) - 1),
        tops=lambda held: {"channel": cached.channels(net, held["layer"]) - 1},
        start={"layer": "relu1"},
        presets={name: {"layer": name} for name in layers if name.startswith("relu")},
        alt="what a layer makes of a picture",
    )


def browser_view(image: Tensor, layer: str, channel: int, *, net: str = "photonet") -> dict:
    """The picture, all maps of a layer on one scale, and one map large.

    Args:
        image: (1, 3, S, S).
        layer: of the network.
        channel: which map is shown large.
        net: the embedded network.

    Returns:
        Three pictures and two lines of text. The chosen map is framed on the sheet.
    """
    maps = cached.record(net, layer, image)[0]  # (C, h, w)
    if not 0 <= channel < len(maps):
        raise ValueError(f"{layer} has the channels 0 to {len(maps) - 1}, not {channel}")
    signed = bool((maps < 0).any())
    limit = maps.abs().max().clamp(min=1e-12).item()
    drawn = [
        _framed(each) if k == channel else _padded(each) for k, each in enumerate(_small(maps, signed, limit))
    ]
    sheet = pixels.tile(drawn, columns=_columns(len(drawn)), gap=0)
    one = maps[channel]
    zero = (one == 0).float().mean().item()
    said = f"{layer}: {len(maps)} maps of {maps.shape[1]} x {maps.shape[2]}, all on one scale, to {limit:.2f}"
    said += f"\nmap {channel}: from {one.min():.2f} to {one.max():.2f}; {zero:.0%} of it is zero"
    large = _drawn(one, signed, max(one.abs().max().item(), 1e-12))
    return {
        "the picture": pixels.grey(image[0]),
        f"all maps of {layer}": pixels.enlarge(sheet, max(1, _SHEET // sheet.shape[1])),
        f"map {channel}, on its own scale": large,
        "": said,
    }


def positions(net: str = "photonet"):
    """Walk over a picture: the activation vector of each place, as bars.

    Args:
        net: as in `browser`.
    """
    return explore(
        functools.partial(positions_view, net=net),
        title="Walk over the picture",
        image=ImageInput(tuple(photos.names()), size=_SIDE, value="cat"),
        layer=[layer for layer in _layers(net) if layer.startswith("relu")],
        row=(0, _SIDE - 1),
        column=(0, _SIDE - 1),
        start={"layer": "relu4", "row": 24, "column": 20},
        alt="a place of the picture, and the activations there",
    )


def positions_view(image: Tensor, layer: str, row: int, column: int, *, net: str = "photonet") -> dict:
    """What a place sees of the picture, and the activations of all channels there.

    Args:
        image: (1, 3, S, S).
        layer: of the network.
        row, column: a pixel of the picture.
        net: the embedded network.

    Returns:
        The picture with the receptive field framed, one bar per channel, and the strongest channels in words.
    """
    maps = cached.record(net, layer, image)[0]
    side = image.shape[-1]
    here = row * maps.shape[1] // side, column * maps.shape[2] // side
    vector = maps[:, here[0], here[1]]  # (C,)
    shown = pixels.boxed(pixels.grey(image[0]), cached.field(net, layer, side).rectangle(*here), 4)
    shown[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = (255, 255, 255)  # where the reader stands
    order = vector.argsort(descending=True)[:5].tolist()
    strongest = ", ".join(f"{channel} ({vector[channel]:.2f})" for channel in order if vector[channel] > 0)
    silent = (vector == 0).float().mean().item()
    said = f"place {here} of {maps.shape[1]} x {maps.shape[2]} in {layer}: {silent:.0%} are silent"
    said += f"\nstrongest channels: {strongest or 'none'}"
    limit = max(maps.max().item(), 1e-12)
    return {
        "white: the place; frame: what it sees": shown,
        f"{len(vector)} activations, up to {limit:.2f}": plots.bar_chart(vector, limit),
        "": said,
    }


def nearest(net: str = "photonet", *, bank: int = 240, seed: int = 0):
    """Pictures that are alike, as each layer sees them.

    Args:
        net: as in `browser`.
        bank: among how many pieces of the embedded photos to look.
        seed: of the pieces.
    """
    layers = [activations.IMAGE, *(layer for layer in _layers(net) if layer.startswith("relu")), "gap"]
    return explore(
        functools.partial(nearest_view, net=net, bank=bank, seed=seed),
        title="Who is whose neighbour?",
        piece=(0, _ASKED - 1),
        layer=layers,
        start={"piece": 3},
        alt="a piece of a photo and its nearest neighbours",
    )


def nearest_view(piece: int, layer: str, *, net: str = "photonet", bank: int = 240, seed: int = 0) -> dict:
    """A piece of a photo, the five pieces nearest to it in a layer, and where all of them come from.

    Args:
        piece: which of the pieces that are not in the bank.
        layer: of the network, or "image" for the pixels themselves.
        net, bank, seed: as in `nearest`.

    Returns:
        Six pictures, and how many neighbours come from the same photo.
    """
    asked, among = _pieces(_ASKED, seed + 1), _pieces(bank, seed)
    index = _neighbours(net, layer, bank, seed).index[piece]  # (5,)
    drawn = [pixels.enlarge(pixels.grey(image), 2) for image in (asked.images[piece], *among.images[index])]
    own = asked.classes[asked.labels[piece]]
    names = [among.classes[label] for label in among.labels[index]]
    same = sum(name == own for name in names)
    by = "the pixels" if layer == activations.IMAGE else layer
    said = f"from {', '.join(names)}\n{same} of {len(names)} are pieces of the same photo"
    return {
        f"a piece of '{own}'": drawn[0],
        f"its neighbours by {by}, the nearest first": pixels.tile(drawn[1:], columns=len(names)),
        "": said,
    }


def _columns(n: int) -> int:
    return next(columns for columns in (4, 8, 12, 16, 24) if columns >= (n / 2) ** 0.5 * 1.4 or columns == 24)


def _drawn(values: Tensor, signed: bool, limit: float) -> np.ndarray:
    return pixels.signed(values, limit) if signed else pixels.magnitude(values, limit)


def _small(maps: Tensor, signed: bool, limit: float) -> list[np.ndarray]:
    """All maps as pixels, tiny ones enlarged, so that a frame around one is not wider than the map."""
    n, height, width = maps.shape
    # One call for all of them: to look up the colours map by map would take ten times as long.
    drawn = _drawn(maps.reshape(n * height, width), signed, limit).reshape(n, height, width, 3)
    factor = max(1, 24 // height)
    return list(drawn.repeat(factor, axis=1).repeat(factor, axis=2))


def _padded(drawn: np.ndarray) -> np.ndarray:
    return np.pad(drawn, ((2, 2), (2, 2), (0, 0)), constant_values=255)


def _framed(drawn: np.ndarray) -> np.ndarray:
    page = _padded(drawn)
    return pixels.outline(page, 0, 0, *page.shape[:2], thick=2)


@functools.cache
def _layers(net: str) -> list[str]:
    """All layers with maps: the first, which only normalises, and those after the last map are left out."""
    names = [name for name, _ in cached.net(net).named_children()]
    return names[names.index("conv1") : names.index("gap")]


@functools.cache
def _pieces(n: int, seed: int):
    return photos.crops(size=_SIDE, n=n, seed=seed)


@functools.cache
def _neighbours(net: str, layer: str, bank: int, seed: int) -> activations.Neighbours:
    asked, among = _pieces(_ASKED, seed + 1).images, _pieces(bank, seed).images
    return activations.neighbours(cached.net(net), asked, among, [layer])[layer]
