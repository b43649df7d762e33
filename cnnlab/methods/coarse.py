"""Coarse maps: which layer has the last ones, and where on the picture their cells lie.

Type: (model, images) -> the name of a layer; (maps (N, 1, h, w), model, layer) -> (N, 1, H, W). A cell of a
late layer looks at a window of pixels, and its place on the picture is the middle of that window. Where
convolutions are not padded, or windows stride, that is not where the cell would land if its map were
stretched over the picture.
"""

import torch
from torch import Tensor, nn

from cnnlab.probing import layers, receptive, undisturbed
from cnnlab.probing.hooks import listening

# They bring any map to one size for the dense layers: no place to look at.
_FITTING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


class Heard:
    """Listens to a pass, and knows the layer with the last maps when it is over."""

    def __init__(self, model: nn.Module):
        self.runs: dict[str, int] = {}
        self.maps: list[str] = []  # names in the order in which the layers finished
        self._fitting = {name for name, part in model.named_modules() if isinstance(part, _FITTING)}

    def hear(self, name: str, output: object) -> None:
        self.runs[name] = self.runs.get(name, 0) + 1
        if not isinstance(output, Tensor) or output.dim() != 4 or name in self._fitting:
            return
        if output.shape[2] * output.shape[3] > 1:
            self.maps.append(name)

    def last(self) -> str:
        """The last layer with more than one place; one that runs several times has no single map."""
        once = [name for name in self.maps if self.runs[name] == 1]
        if not once:
            raise ValueError(
                "no layer of this network puts out maps (N, C, h, w) with several places, once a pass. "
                f"Layers: {', '.join(self.runs)}"
            )
        return once[-1]


def last_maps(model: nn.Module, images: Tensor) -> str:
    """The last layer with maps, before they are averaged, flattened or brought to a fixed size.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> last_maps(net, torch.zeros(1, 3, 8, 8))
    '1'

    Args:
        model: any network; it runs once, in eval mode.
        images: (N, C, H, W), of which the first is used.

    Raises:
        ValueError: no layer that runs once puts out maps.
    """
    heard = Heard(model)
    with undisturbed(model, grad=False), listening(model, layers(model), heard.hear):
        model(images[:1].detach().clone())
    return heard.last()


def on_pixels(maps: Tensor, model: nn.Module, layer: str, size: tuple[int, int]) -> Tensor:
    """Coarse maps brought to the picture: each cell's value stands at the middle of what the cell sees.

    Between the middles it is interpolated along rows and columns; beyond the outermost ones the value stays.

    Args:
        maps: (N, 1, h, w), or (N, T, 1, h, w), on the grid of the layer.
        model: the network that they come from.
        layer: whose maps they are; see `last_maps`.
        size: (H, W) of the pictures.

    Returns:
        (N, 1, H, W) or (N, T, 1, H, W), signed as the maps.

    Raises:
        LookupError: no such layer.
        ValueError: the maps are not on the layer's grid, or what its units see cannot be told.
    """
    seen = receptive.field(model, layer, tuple(size))
    if tuple(maps.shape[-2:]) != seen.grid:
        raise ValueError(
            f"{layer} has a grid of {seen.grid[0]}x{seen.grid[1]} cells for pictures of "
            f"{size[0]}x{size[1]}, and the maps have {maps.shape[-2]}x{maps.shape[-1]}"
        )
    rows, cols = (
        _blend(*axis).to(maps)
        for axis in zip(seen.picture, seen.grid, seen.start, seen.stride, seen.size, strict=True)
    )
    return rows @ maps @ cols.T  # (H, h) @ (h, w) @ (w, W)


def _blend(pixels: int, cells: int, first: int, stride: int, size: int) -> Tensor:
    """(pixels, cells) the share of each cell in each pixel, along one axis."""
    middle = first + (size - 1) / 2  # of the first cell's window
    at = (torch.arange(pixels, dtype=torch.float64) - middle).div(stride).clamp(0, cells - 1)
    return (1 - (at[:, None] - torch.arange(cells)).abs()).clamp(min=0)
