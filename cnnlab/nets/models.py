"""The networks of the course, by name: small ones that are embedded, and torchvision's famous ones.

Every network takes images (N, C, H, W) in [0, 1] and gives logits (N, classes); its first layer normalises,
and every layer has a name. `load` gives trained weights, `build` random ones.
"""

import torch
from torch import nn

from cnnlab.data import shapes
from cnnlab.data.loading import tiny_imagenet
from cnnlab.errors import unknown
from cnnlab.nets import pretrained, small, weight_files

# Built without arguments, except `widths` where a network has some.
_SMALL = {
    "simpleconvnet": small.simpleconvnet,
    "encoder": small.encoder,
    "photonet": lambda **sizes: small.photonet(tuple(tiny_imagenet.CLASSES.values()), **sizes),
    "shapesnet": lambda **sizes: small.shapesnet(shapes.CLASSES, **sizes),
}
# What each was trained on, and the weight file; the first is what `load` takes if nothing else is asked for.
_TRAINED_ON = {
    "simpleconvnet": {"digits": "simpleconvnet-digits", "mnist": "simpleconvnet-mnist"},
    "encoder": {"digits": "encoder-digits", "mnist": "encoder-mnist"},
    "photonet": {"tiny_imagenet": "photonet"},
    "shapesnet": {"scenes": "shapesnet", "watermarked": "shapesnet-watermarked"},
}


def names() -> list[str]:
    """All networks, the embedded ones first.

    >>> names()[:4]
    ['simpleconvnet', 'encoder', 'photonet', 'shapesnet']
    """
    return [*_SMALL, *pretrained.NAMES]


def build(name: str, *, seed: int = 0, **sizes) -> nn.Module:
    """A network with random weights.

    Args:
        name: as in `names`.
        seed: other numbers give other weights; the global random state is left alone.
        **sizes: of the embedded networks: see `cnnlab.nets.small`.

    Returns:
        The network in eval mode. `.classes` are the names of its outputs, `.input_size` is (C, H, W).

    Raises:
        LookupError: there is no such network.
        ValueError: sizes for a network of torchvision.
    """
    if name not in names():
        raise unknown("network", name, names())
    if sizes and name not in _SMALL:
        raise ValueError(f"'{name}' has one size; {', '.join(sizes)} cannot be chosen")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (_SMALL[name](**sizes) if name in _SMALL else pretrained.build(name)).eval()


def load(name: str, trained_on: str | None = None, *, channels: int | None = None) -> nn.Module:
    """A network with trained weights.

    Args:
        name: as in `names`.
        trained_on: "digits" (embedded with scikit-learn) or "mnist" for simpleconvnet and encoder; "scenes"
            or "watermarked" (it cheats: see `cnnlab.methods.evaluation.clever_hans`) for shapesnet; each
            other network has one set of weights.
        channels: of the images that it will be shown, where only such networks will do: 1 or 3.

    Returns:
        The network in eval mode, a fresh one at every call. `.classes` are the names of its outputs,
        `.input_size` is (C, H, W).

    Raises:
        LookupError: there is no such network, or it was not trained on that.
        ValueError: it takes images with another number of channels; names those that fit.
        OSError: a weight file is missing, cut short or altered; says which, and how to get it again.
        ConnectionError: torchvision's weights are not on this machine, and there is no network.

    >>> load("simpleconvnet").classes
    ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    if name not in names():
        raise unknown("network", name, names())
    known = tuple(_TRAINED_ON.get(name, ("imagenet",)))
    if trained_on is not None and trained_on not in known:
        raise unknown(f"'{name}' trained on", trained_on, known, plural=f"'{name}' was trained on")
    _refuse_other_channels(name, channels)
    if name in pretrained.NAMES:
        return pretrained.load(name)
    file = weight_file(name, trained_on)
    state = weight_files.load(file)
    model = build(name, **weight_files.manifest()[file]["sizes"])
    model.load_state_dict(state)
    return model


def _refuse_other_channels(name: str, channels: int | None) -> None:
    if channels is None:
        return
    takes = {each: build(each).input_size[0] if each in _SMALL else 3 for each in (*_SMALL, name)}
    if channels != takes[name]:
        kinds = {1: "grey images", 3: "colour images"}
        fit = ", ".join(each for each, number in takes.items() if number == channels)
        raise ValueError(
            f"'{name}' takes {kinds[takes[name]]}, but here are {kinds.get(channels, channels)}. "
            f"Networks that take them: {fit}"
        )


def weight_file(name: str, trained_on: str | None = None) -> str:
    """The name of the weight file of an embedded network, as the manifest has it."""
    known = _TRAINED_ON[name]
    return known[trained_on or next(iter(known))]
