"""The embedded networks with the images that they were made for, and what widgets ask of them often.

Everything here is kept once it is made: a slider must not wait for what the last one knew.
"""

import functools

import torch
from torch import Tensor, nn

from cnnlab.data import datasets
from cnnlab.data.labelled import Labelled
from cnnlab.methods import top
from cnnlab.nets import icons as sheets, models
from cnnlab.probing import Recorder, receptive, representative_layers, shapes

# What a reader calls it -> the network, its images.
NETS = {
    "photonet": ("photonet", "photos"),
    "shapesnet": ("shapesnet", "scenes"),
    "digits net": ("simpleconvnet", "digits"),
}


@functools.cache
def net(name: str) -> nn.Module:
    """The network, loaded once: widgets only look at it."""
    return models.load(NETS[name][0])


@functools.cache
def stage_names(name: str) -> tuple[str, ...]:
    """Its layers that are worth a look, from the first to the last."""
    return tuple(representative_layers(net(name), torch.zeros(1, *net(name).input_size)))


@functools.cache
def channels(name: str, layer: str) -> int:
    """How many channels a layer has."""
    return shapes(net(name), torch.zeros(1, *net(name).input_size))[layer][1]


def record(name: str, layer: str, image: Tensor) -> Tensor:
    """What a layer makes of an image. The last answers are kept: a slider often asks for the same."""
    plain = image.detach().float()
    return _recorded(name, layer, plain.numpy().tobytes(), tuple(plain.shape)).clone()


@functools.lru_cache(maxsize=8)
def _recorded(name: str, layer: str, data: bytes, shape: tuple[int, ...]) -> Tensor:
    image = torch.frombuffer(bytearray(data), dtype=torch.float32).view(shape)
    with torch.no_grad(), Recorder(net(name), layer, stop=True) as acts:
        net(name)(image)
    return acts[layer]


@functools.cache
def data(name: str, n: int, seed: int) -> Labelled:
    """n of the images that it was made for."""
    return datasets.load(NETS[name][1], net(name).input_size, n=n, seed=seed)


@functools.cache
def field(name: str, layer: str, side: int | None = None) -> receptive.Field:
    """The receptive field of a layer, for images of this side; left out, of the network's own size."""
    return receptive.field(net(name), layer, net(name).input_size[1] if side is None else side)


@functools.lru_cache(maxsize=16)
def scan(layer: str, n: int, seed: int) -> top.Top:
    """Every channel's ranking, of "photonet, relu3": each image once, so it is a histogram, too."""
    name, inner = layer.split(", ")
    images = data(name, n, seed).images
    return top.scan(net(name), images, inner, k=len(images))


@functools.cache
def icons(net: str, layer: str) -> Tensor:
    """The shipped icons of a layer, one for each channel; the network by its name in `models`."""
    return sheets.load(net, layer)
