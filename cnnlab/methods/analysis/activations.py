"""What becomes of a data set, layer by layer: how empty, how near to others, how readable.

Type: (model, images, layers) -> one number per layer, or one list per layer. Everything streams: activations
are kept for one batch at a time (`neighbours` keeps those of its queries, and every distance to them).
Images and model stay as they are.
Papers: X. Glorot, A. Bordes, Y. Bengio, Deep sparse rectifier neural networks, 2011 (sparsity);
G. Alain, Y. Bengio, Understanding intermediate layers using linear classifier probes, 2016 (readable).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.probing import Recorder, eval_mode

IMAGE = "image"  # the name of the input itself, where a layer's name is expected


class Neighbours(NamedTuple):
    """The nearest images to each of some images, at one layer.

    Attributes:
        index: (Q, k) int64, positions in the bank, the nearest first.
        distance: (Q, k) Euclidean distance of the activations, divided by the length of the query's.
    """

    index: Tensor
    distance: Tensor


def sparsity(model: nn.Module, images: Tensor, layers: Sequence[str], *, batch: int = 16) -> dict[str, float]:
    """How many of the activations are exactly zero, for each layer.

    Args:
        model: any network; it runs in eval mode.
        images: (N, C, H, W).
        layers: usually the ReLUs: elsewhere an exact zero is rare.
        batch: images per pass.

    Returns:
        layer -> share from 0 to 1, over all images, channels and positions.

    Raises:
        LookupError: the model has no such layer.
        ValueError: there are no images, or a pixel is not finite.
    """
    zeros, total = dict.fromkeys(layers, 0), dict.fromkeys(layers, 0)
    for seen in _passes(model, images, layers, batch):
        for name in layers:
            zeros[name] += (seen[name] == 0).sum().item()
            total[name] += seen[name].numel()
    return {name: zeros[name] / total[name] for name in layers}


def neighbours(
    model: nn.Module,
    queries: Tensor,
    bank: Tensor,
    layers: Sequence[str],
    *,
    k: int = 5,
    batch: int = 16,
) -> dict[str, Neighbours]:
    """The images of a bank that are nearest to some images, as each layer sees them.

    Args:
        model: any network; it runs in eval mode.
        queries: (Q, C, H, W), few: their activations are kept.
        bank: (N, C, H, W), of the same size, as many as you like.
        layers: names, and "image" for the pixels themselves.
        k: how many.
        batch: images per pass.

    Returns:
        layer -> the k nearest. On ties the earlier one comes first.

    Raises:
        LookupError: the model has no such layer.
        ValueError: more neighbours are wanted than the bank has, or the sizes differ.
    """
    if queries.dim() != 4 or queries.shape[1:] != bank.shape[1:]:
        raise ValueError(f"images of one size are compared, not {tuple(queries.shape)}, {tuple(bank.shape)}")
    if not 1 <= k <= len(bank):
        raise ValueError(f"k is from 1 to {len(bank)}, the size of the bank, but it is {k}")
    asked = {name: [] for name in layers}
    for seen in _passes(model, queries, layers, batch):
        for name in layers:
            asked[name].append(seen[name].flatten(1))
    query = {name: torch.cat(parts) for name, parts in asked.items()}
    parts = {name: [] for name in layers}
    for seen in _passes(model, bank, layers, batch):
        for name in layers:
            # The faster way by products would lose the small distances to rounding.
            exact = "donot_use_mm_for_euclid_dist"
            parts[name].append(torch.cdist(query[name], seen[name].flatten(1), compute_mode=exact))
    found = {}
    for name in layers:
        scaled = torch.cat(parts[name], dim=1) / query[name].norm(dim=1, keepdim=True).clamp(min=1e-12)
        order = scaled.sort(dim=1, stable=True)
        found[name] = Neighbours(order.indices[:, :k], order.values[:, :k])
    return found


def colour_probe(
    model: nn.Module, train: Tensor, test: Tensor, layers: Sequence[str], *, batch: int = 16
) -> dict[str, float]:
    """How much of the image's colour can be read, at each position, from the activations at that position.

    A linear map from the C activations of a position to the mean colour of its cell of the image is fitted on
    `train` by least squares, and tried on `test`. One map serves all positions.

    Args:
        model: any network; it runs in eval mode.
        train, test: (N, 3 or 1, H, W), different images.
        layers: layers with maps.
        batch: images per pass. Every position is a row of the fit, in float64: small batches save much
            memory.

    Returns:
        layer -> share of the colour's variance that is explained on `test` (R squared): 1 all, 0 nothing.

    Raises:
        LookupError: the model has no such layer.
        ValueError: a layer has no maps, or all images have one and the same colour.
    """

    def rows(images: Tensor) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        for part, seen in zip(images.split(batch), _passes(model, images, layers, batch), strict=True):
            _need_maps(seen, layers)
            maps = {name: seen[name].permute(0, 2, 3, 1).flatten(0, 2) for name in layers}  # (N*h*w, C)
            cells = {name: F.adaptive_avg_pool2d(part, seen[name].shape[2:]) for name in layers}
            yield maps, {name: cell.permute(0, 2, 3, 1).flatten(0, 2) for name, cell in cells.items()}

    fits = _least_squares(rows(train), layers)
    wrong, spread = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0.0)
    means = {name: fits[name][1] for name in layers}
    for maps, cells in rows(test):
        for name in layers:
            guess = _with_one(maps[name]) @ fits[name][0]
            wrong[name] += (cells[name].double() - guess).square().sum().item()
            spread[name] += (cells[name].double() - means[name]).square().sum().item()
    if not all(spread.values()):
        raise ValueError("the colours do not differ at all: there is nothing to read")
    return {name: 1 - wrong[name] / spread[name] for name in layers}


def class_probe(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    layers: Sequence[str],
    *,
    batch: int = 16,
) -> dict[str, float]:
    """How often the class can be read from the activations, averaged over all positions, by a linear map.

    Args:
        model: any network; it runs in eval mode.
        train, test: (images (N, C, H, W), labels (N,)), different images.
        layers: layers with maps.
        batch: images per pass.

    Returns:
        layer -> share of `test` that is right, when the largest of the fitted outputs is taken for the class.

    Raises:
        LookupError: the model has no such layer.
        ValueError: a layer has no maps, or there are not as many labels as images.
    """
    for images, labels in (train, test):
        if labels.shape != (len(images),):
            raise ValueError(f"{len(images)} images need as many labels, not {tuple(labels.shape)}")
    classes = int(train[1].max()) + 1

    def rows(images: Tensor, labels: Tensor) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        for part, seen in zip(labels.split(batch), _passes(model, images, layers, batch), strict=True):
            _need_maps(seen, layers)
            # A label that `train` never showed cannot be read: it counts as wrong.
            target = F.one_hot(part.clamp(max=classes - 1), classes)
            yield {name: seen[name].flatten(2).mean(dim=2) for name in layers}, dict.fromkeys(layers, target)

    fits = _least_squares(rows(*train), layers)
    right = dict.fromkeys(layers, 0)
    for (features, _), part in zip(rows(*test), test[1].split(batch), strict=True):
        for name in layers:
            right[name] += ((_with_one(features[name]) @ fits[name][0]).argmax(dim=1) == part).sum().item()
    return {name: right[name] / len(test[1]) for name in layers}


def _least_squares(rows, layers: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """For each layer the map (C + 1, T) and the targets' mean (T,), from streamed sums alone, in float64.

    A ten-thousandth of the mean square is added on the diagonal: channels that are always zero stay harmless.
    """
    squares, products, sums, counts = {}, {}, {}, {}
    for features, targets in rows:
        for name in layers:
            x, y = _with_one(features[name]), targets[name].double()
            squares[name] = squares.get(name, 0) + x.T @ x
            products[name] = products.get(name, 0) + x.T @ y
            sums[name] = sums.get(name, 0) + y.sum(dim=0)
            counts[name] = counts.get(name, 0) + len(y)
    fits = {}
    for name in layers:
        a = squares[name]
        ridge = 1e-4 * a.diagonal().mean() * torch.eye(len(a), dtype=a.dtype)
        fits[name] = torch.linalg.solve(a + ridge, products[name]), sums[name] / counts[name]
    return fits


def _with_one(x: Tensor) -> Tensor:
    return F.pad(x.double(), (0, 1), value=1.0)  # (N, C) -> (N, C + 1): the last weight is the bias


def _passes(
    model: nn.Module, images: Tensor, layers: Sequence[str], batch: int
) -> Iterator[dict[str, Tensor]]:
    """For every batch: layer -> activations. "image" stands for the batch itself."""
    if not len(images):
        raise ValueError("there are no images")
    inner = [name for name in dict.fromkeys(layers) if name != IMAGE]
    for first, part in enumerate(images.split(batch)):
        if not part.isfinite().all():
            raise ValueError("an image holds a number that is not finite (nan or inf)")
        seen = {IMAGE: part} if IMAGE in layers else {}
        if inner:
            # The first batch runs to the end: a module called again later would otherwise go unnoticed.
            with eval_mode(model), torch.no_grad(), Recorder(model, *inner, stop=first > 0) as acts:
                model(part)
            seen |= {name: acts[name] for name in inner}
        yield seen


def _need_maps(seen: dict[str, Tensor], layers: Sequence[str]) -> None:
    for name in layers:
        if seen[name].dim() != 4:
            raise ValueError(
                f"'{name}' has no maps: it gives {tuple(seen[name].shape)}, not (N, C, H, W). "
                f"Take a layer before the flattening."
            )
