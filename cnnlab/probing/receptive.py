"""Which part of the image does a unit see?

Type: (model, layer, image size) -> Field. Going back through one layer of kernel k, stride s and padding p
turns the span [low, high] of what is seen into [low*s - p, high*s - p + k - 1]; where branches meet, their
spans unite. So the size grows by (k - 1) times the stride so far. The way back is read off the graph that
autograd keeps, so it holds for functional pools, sums and concatenations as for nn.Sequential.

Paper: Araujo, Norris & Sim, Computing receptive fields of convolutional neural networks, Distill 2019.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnlab.probing.hooks import Recorder
from cnnlab.probing.model_state import preserved
from cnnlab.probing.units import layer as find

_POINTWISE = set(
    "Relu LeakyRelu PreluKernel Elu Selu Gelu Silu Mish Softplus Sigmoid Tanh Hardtanh Hardswish Hardsigmoid "
    "Threshold Clamp ClampMin ClampMax Add Sub Mul Div Neg Abs Pow Exp Log Sqrt Rsqrt Clone Alias ToCopy Cat "
    "Unsqueeze Select Split SplitWithSizes NativeDropout".split()
)


class Rectangle(NamedTuple):
    """Rows top to bottom - 1, columns left to right - 1; what is below 0 or beyond the image is padding."""

    top: int
    left: int
    bottom: int
    right: int


class Field(NamedTuple):
    """The receptive field of a layer. Each attribute is a pair: (rows, columns).

    Attributes:
        size: pixels that a unit sees.
        stride: pixels from what one unit sees to what its neighbour sees.
        start: the first pixel that the unit at row 0, col 0 sees; negative: that much padding.
        image_size: the size of the image.
        grid: the size of the feature map.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]
    image_size: tuple[int, int]
    grid: tuple[int, int]

    def rectangle(self, row: int, col: int, *, clip: bool = True) -> Rectangle:
        """The pixels that the unit at this position sees.

        At the border of the image it is at most these: where the windows of an earlier layer leave out the
        last row, or that layer's own map is padded, a unit near the border sees a little less.

        Args:
            row, col: the position on the feature map, from 0.
            clip: only pixels of the image; if False also padding (negative, or beyond the edge).

        Raises:
            ValueError: for a position that is not on the map.
        """
        for axis, index, n in [("row", row, self.grid[0]), ("col", col, self.grid[1])]:
            if not 0 <= index < n:
                raise ValueError(f"no {axis} {index}: the feature map has {axis}s 0 to {n - 1}")
        top, left = (a + i * s for a, i, s in zip(self.start, (row, col), self.stride, strict=True))
        box = Rectangle(top, left, top + self.size[0], left + self.size[1])
        if not clip:
            return box
        (height, width) = self.image_size
        return Rectangle(max(0, top), max(0, left), min(height, box.bottom), min(width, box.right))

    def crop(self, images: Tensor, row: int, col: int, *, outside: float = 0.0) -> Tensor:
        """What the unit at this position sees of each image, always as large as the field.

        Args:
            images: (N, C, H, W) of the size that the field was made for.
            row, col: the position on the feature map.
            outside: the value to put where the unit sees padding; nan makes it visible.

        Returns:
            (N, C, *size), a copy.
        """
        if images.dim() != 4 or tuple(images.shape[-2:]) != self.image_size:
            raise ValueError(
                f"this field is for images (N, C, {self.image_size[0]}, {self.image_size[1]}), "
                f"not {tuple(images.shape)}: call field again with the new size"
            )
        whole, part = self.rectangle(row, col, clip=False), self.rectangle(row, col)
        seen = images[..., part.top : part.bottom, part.left : part.right]
        left, right = part.left - whole.left, whole.right - part.right
        top, bottom = part.top - whole.top, whole.bottom - part.bottom
        return F.pad(seen, (left, right, top, bottom), value=outside).clone()


def field(model: nn.Module, layer: str, image_size: int | tuple[int, ...]) -> Field:
    """The receptive field of the units of a layer.

    Where branches of different depth meet (residual, Inception) it is that of the union. Global average
    pooling counts as a window as large as its map.

    Args:
        model: any network; it runs once on an empty image, in eval mode.
        layer: its name; of a layer that runs several times, the first run.
        image_size: n for n x n pixels, (H, W), or (C, H, W) where the number of channels is not that of the
            first nn.Conv2d.

    Returns:
        Field(size, stride, start, image_size, grid).

    Raises:
        LookupError: for a wrong layer.
        ValueError: for a layer without rows and columns (every unit sees the whole image), or for an
            operation on the way whose windows differ from position to position or that is not known here.
    """
    find(model, layer)
    shape = _shape(model, image_size)
    anchor = next(model.parameters(), torch.zeros(()))
    with preserved(model, grad=True):
        image = torch.zeros(1, *shape, dtype=anchor.dtype, device=anchor.device, requires_grad=True)
        with Recorder(model, layer, stop=True, grad=True) as acts:
            model(image.clone())
        output = acts[layer]
    if output.dim() != 4:
        raise ValueError(
            f"layer {layer!r} has no rows and columns (output {tuple(output.shape)}): "
            "each of its units sees the whole image"
        )
    try:
        rows, cols = _walk_back(output, image)
    except _Untold as reason:
        raise ValueError(f"the receptive field of {layer!r} cannot be told: {reason}") from None
    return Field(
        (rows.high - rows.low + 1, cols.high - cols.low + 1),
        (rows.step, cols.step),
        (rows.low, cols.low),
        tuple(shape[1:]),
        tuple(output.shape[2:]),
    )


class _Span(NamedTuple):
    """Along one axis, the unit at index i sees pixels i*step + low to i*step + high."""

    step: int
    low: int
    high: int

    def through(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "_Span":
        low, high = self.low * stride - padding, self.high * stride - padding + dilation * (kernel - 1)
        return _Span(self.step * stride, low, high)

    def union(self, other: "_Span") -> "_Span":
        if self.step != other.step:
            raise _Untold(f"branches with strides {self.step} and {other.step} meet")
        return _Span(self.step, min(self.low, other.low), max(self.high, other.high))


class _Untold(Exception):
    """Why there is no answer; never leaves this file."""


def _shape(model: nn.Module, image_size: int | tuple[int, ...]) -> tuple[int, int, int]:
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(size) == 2:
        convs = (module.in_channels for module in model.modules() if isinstance(module, nn.Conv2d))
        size = (next(convs, 3), *size)
    if len(size) != 3 or min(size) < 1:
        raise ValueError(f"image_size must be n, (H, W) or (C, H, W), all at least 1, not {image_size}")
    return size


def _walk_back(output: Tensor, image: Tensor) -> tuple[_Span, _Span]:
    if output.grad_fn is None:
        raise _Untold("it does not depend on the image by operations that autograd follows")
    spans = {output.grad_fn: (_Span(1, 0, 0), _Span(1, 0, 0))}
    for node in _consumers_first(output.grad_fn, image):
        if hasattr(node, "variable"):  # the image itself: nothing comes before it
            return spans[node]
        before = _before(node, *spans[node])
        for source, _ in node.next_functions:
            if source in spans:
                spans[source] = tuple(a.union(b) for a, b in zip(spans[source], before, strict=True))
            elif source is not None:
                spans[source] = before
    raise _Untold("it does not depend on the image")


def _consumers_first(root, image: Tensor) -> list:
    """The nodes of the graph on a way from the root to the image, each before its sources."""
    leads, order, stack = {}, [], [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            sources = [source for source, _ in node.next_functions]
            leads[node] = getattr(node, "variable", None) is image or any(leads.get(s) for s in sources)
            order.append(node)
        elif node not in leads:
            leads[node] = False
            stack.append((node, True))
            stack += [(s, False) for s, _ in node.next_functions if s is not None and s not in leads]
    return [node for node in reversed(order) if leads[node]]


def _before(node, rows: _Span, cols: _Span) -> tuple[_Span, _Span]:
    """From what is seen of a node's output to what is seen of its input."""
    name = node.name().split("Backward")[0]
    both = (rows, cols)
    if name == "Convolution" and not node._saved_transposed:
        windows = zip(
            node._saved_weight.shape[2:],
            node._saved_stride,
            node._saved_padding,
            node._saved_dilation,
            strict=True,
        )
    elif name == "MaxPool2DWithIndices":
        kernel = node._saved_kernel_size
        windows = zip(
            kernel, node._saved_stride or kernel, node._saved_padding, node._saved_dilation, strict=True
        )
    elif name == "AvgPool2D":
        kernel = node._saved_kernel_size
        windows = zip(kernel, node._saved_stride or kernel, node._saved_padding, strict=True)
    elif name in ("AdaptiveAvgPool2D", "AdaptiveMaxPool2D"):
        sizes = zip(node._saved_self.shape[-2:], node._input_metadata[0].shape[-2:], strict=True)
        windows = [(n // out, n // out) if n % out == 0 else None for n, out in sizes]
        if None in windows:
            raise _Untold("adaptive pooling has windows of different sizes here; choose another image size")
    elif name == "Mean" and node._saved_keepdim and len(node._saved_self_sym_sizes) == 4:
        axes = {_axis(dim) for dim in node._saved_dim}
        windows = [
            (n, n) if axis in axes else (1, 1)
            for axis, n in zip((-2, -1), node._saved_self_sym_sizes[2:], strict=True)
        ]
    elif name == "ConstantPadNd":
        pad = [*node._saved_pad, 0, 0][:4]  # left, right, top, bottom
        windows = [(1, 1, pad[2]), (1, 1, pad[0])]
    elif name == "Slice" and len(node._saved_self_sym_sizes) == 4:
        axis, n = _axis(node._saved_dim, 4), node._saved_self_sym_sizes[node._saved_dim]
        start = _signed(node._saved_start)
        start = max(0, start + n) if start < 0 else start
        windows = [(1, node._saved_step, -start) if axis == here else (1, 1) for here in (-2, -1)]
    elif name in ("NativeBatchNorm", "CudnnBatchNorm") and not node._saved_training:
        return both
    elif name in _POINTWISE and _axis(getattr(node, "_saved_dim", 1), 4) == -3:
        return both
    else:
        raise _Untold(f"on the way is {node.name()}, which mixes positions in a way not known here")
    rows, cols = (span.through(*window) for span, window in zip(both, windows, strict=True))
    return rows, cols


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number  # autograd saves -1 as 2**64 - 1


def _axis(dim: int, axes: int = 4) -> int:
    """The axis counted from the end: -1 columns, -2 rows, -3 channels."""
    dim = _signed(dim)
    return dim if dim < 0 else dim - axes
