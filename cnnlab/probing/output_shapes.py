"""The shape of the output of each layer, and a few layers that stand for the whole network."""

import torch
from torch import Tensor, nn

from cnnlab.probing.hooks import on_forward
from cnnlab.probing.model_state import eval_mode
from cnnlab.probing.units import layer, layers


def representative_layers(model: nn.Module, image: Tensor, most: int = 5) -> list[str]:
    """A few layers with maps, from the first to the last, for sheets that show how the layers differ.

    Args:
        model: any network. Asked are its own children: ReLUs, or where there are few of these, blocks.
        image: (N, C, H, W), an image that it takes.
        most: how many.

    Returns:
        At most so many names, evenly spread, the first and the last among them.

    Raises:
        ValueError: no layer of the network puts out maps.

    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten())
    >>> representative_layers(model, torch.zeros(1, 1, 6, 6))
    ['1']
    """
    if most < 1:
        raise ValueError(f"most is 1 or more, not {most}")
    there = shapes(model, image)
    maps = [
        name
        for name, _ in model.named_children()
        if len(there.get(name, ())) == 4 and min(there[name][2:]) > 1
    ]
    found = [name for name in maps if isinstance(layer(model, name), nn.ReLU)]
    if len(found) < min(most, 3):  # residual and fire nets keep their ReLUs inside of blocks
        whole = [name for name in maps if next(layer(model, name).children(), None) is not None]
        found = [name for name in maps if name in found or name in whole]
    if not found:
        found = maps
    if not found:
        raise ValueError(f"no layer of this network puts out maps. Layers: {', '.join(there)}")
    count = min(most, len(found))
    return [found[round(k * (len(found) - 1) / max(count - 1, 1))] for k in range(count)]


def shapes(model: nn.Module, image: Tensor) -> dict[str, tuple[int, ...]]:
    """What comes out of each layer for this image, in the order in which the layers finish.

    Args:
        model: any network; it runs once in eval mode, and its own mode is put back.
        image: (N, C, H, W).

    Returns:
        name -> shape. Layers that do not run, or put out something other than one tensor, are left out; of a
        layer that runs several times, the last shape.

    >>> shapes(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()), torch.zeros(1, 3, 6, 6))
    {'0': (1, 8, 4, 4), '1': (1, 128)}
    """
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor):
            found.pop(name, None)
            found[name] = tuple(output.shape)

    with torch.no_grad(), torch.random.fork_rng(devices=[]), eval_mode(model):
        with on_forward(model, layers(model), note):
            model(image.detach().clone())
    return found
