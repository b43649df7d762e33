"""Coarse maps: which layer has the last ones, and where on the image their cells lie.

Type: (model, images) -> the name of a layer; (maps (N, 1, h, w), model, layer) -> (N, 1, H, W). A cell of a
late layer looks at a window of pixels, and its place on the image is the middle of that window. Where
convolutions are not padded, or windows stride, that is not where the cell would land if its map were
stretched over the image.
"""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from cnnlab.methods.model_runner import guarded_forward
from cnnlab.methods.targets import check_images
from cnnlab.probing import Recorder, layer as find, layers, preserved, receptive
from cnnlab.probing.hooks import on_forward

# They bring any map to one size for the dense layers: no position to look at.
_FITTING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


# They work on the last axis: what comes out of them is (N, h, w, C), or tokens x tokens.
_ALONG_THE_LAST = (nn.Linear, nn.LayerNorm, nn.Softmax)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d, nn.FractionalMaxPool2d)


class MapLayerFinder:
    """Listens to a pass, and knows the layer with the last maps when it is over.

    Four axes make no maps: in a net whose channels stand last, or of tokens x tokens, the last two are not
    rows and columns. Maps are as large as those of a convolution or pool before, or the same in small.
    """

    def __init__(self, model: nn.Module):
        self.runs: dict[str, int] = {}
        self.maps: list[tuple[str, bool]] = []  # names as the layers finished; are these maps?
        self._model = model
        self._known: set[tuple[int, int, int]] = set()  # (N, h, w) of convolutions and pools

    def on_output(self, name: str, output: object) -> None:
        self.runs[name] = self.runs.get(name, 0) + 1
        part = find(self._model, name)
        if not isinstance(output, Tensor) or output.dim() != 4 or isinstance(part, _FITTING):
            return
        positions = (len(output), *output.shape[2:])
        if (
            isinstance(part, _POOLS)
            or (weight := getattr(part, "weight", None)) is not None
            and weight.dim() == 4
        ):
            self._known.add(positions)
        if positions[1] * positions[2] > 1:
            sure = not isinstance(part, _ALONG_THE_LAST) and any(
                _alike(positions, one) for one in self._known
            )
            self.maps.append((name, sure))

    def last(self, before: str | None = None) -> str:
        """The last layer with more than one position; one that runs several times has no single map.

        Args:
            before: a layer that does not count, nor what is inside it.
        """
        once = [
            (name, sure)
            for name, sure in self.maps
            if self.runs[name] == 1 and not (before and (name + ".").startswith(before + "."))
        ]
        if not once:
            where = "no layer of this network" if before is None else f"no layer before {before!r}"
            raise ValueError(
                f"{where} puts out maps (N, C, h, w) with several places, once a pass. "
                f"Layers: {', '.join(self.runs)}"
            )
        name, sure = once[-1]
        if not sure:
            raise ValueError(
                f"layer {name!r} puts out four axes, and it cannot be told whether these are maps "
                "(N, C, h, w): their size is not that of a convolution or pool before. Name one: layer=…"
            )
        return name


def _alike(positions: tuple[int, int, int], known: tuple[int, int, int]) -> bool:
    """The same number of images, and as many rows and columns or in proportion fewer."""
    (n, rows, cols), (images, height, width) = positions, known
    smaller = rows <= height and cols <= width
    return n == images and smaller and abs(rows * width - cols * height) <= max(height, width)


def last_feature_maps(model: nn.Module, images: Tensor, *, before: str | None = None) -> str:
    """The last layer with maps, before they are averaged, flattened or brought to a fixed size.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> last_feature_maps(net, torch.zeros(1, 3, 8, 8))
    '1'

    Args:
        model: any network; it runs once, in eval mode.
        images: (N, C, H, W), of which the first is used.
        before: the last one that runs before this layer; None: of the whole network.

    Raises:
        LookupError: no such layer.
        ValueError: no layer that runs once puts out maps, or it cannot be told whether they are maps.
    """
    check_images(images)
    with preserved(model, grad=False), ExitStack() as stack:
        finder = MapLayerFinder(model)
        stack.enter_context(on_forward(model, layers(model), finder.on_output))
        if before is not None:
            stack.enter_context(Recorder(model, before, stop=True))
        with guarded_forward(model, images):
            model(images[:1].detach().clone(memory_format=torch.contiguous_format))
    return finder.last(before)


def upsample_to_image(maps: Tensor, model: nn.Module, layer: str, size: tuple[int, int]) -> Tensor:
    """Coarse maps brought to the image: each cell's value stands at the middle of what the cell sees.

    Between the middles it is interpolated along rows and columns; beyond the outermost ones the value stays.

    Args:
        maps: (N, 1, h, w), or (N, T, 1, h, w), on the grid of the layer.
        model: the network that they come from.
        layer: whose maps they are; see `last_feature_maps`.
        size: (H, W) of the images.

    Returns:
        (N, 1, H, W) or (N, T, 1, H, W), signed as the maps.

    Raises:
        LookupError: no such layer.
        ValueError: the maps are not on the layer's grid, or what its units see cannot be told.
    """
    if not isinstance(maps, Tensor) or maps.dim() not in (4, 5):
        given = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(f"maps are (N, 1, h, w) or (N, T, 1, h, w), such as Attribution.map; not {given}")
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise ValueError(f"size is (H, W) of the images, not {size!r}")
    seen = receptive.field(model, layer, tuple(size))
    if tuple(maps.shape[-2:]) != seen.grid:
        raise ValueError(
            f"{layer} has a grid of {seen.grid[0]}x{seen.grid[1]} cells for images of "
            f"{size[0]}x{size[1]}, and the maps have {maps.shape[-2]}x{maps.shape[-1]}"
        )
    rows, cols = (
        _blend(*axis).to(maps)
        for axis in zip(seen.image_size, seen.grid, seen.start, seen.stride, seen.size, strict=True)
    )
    return rows @ maps @ cols.T  # (H, h) @ (h, w) @ (w, W)


def _blend(pixels: int, cells: int, first: int, stride: int, size: int) -> Tensor:
    """(pixels, cells) the share of each cell in each pixel, along one axis."""
    middle = first + (size - 1) / 2  # of the first cell's window
    at = (torch.arange(pixels, dtype=torch.float64) - middle).div(stride).clamp(0, cells - 1)
    return (1 - (at[:, None] - torch.arange(cells)).abs()).clamp(min=0)
