"""The layers of a ConvNet written out: each is a few lines of tensor code, and equals the one in torch.nn.

Type: tensors (N, C, H, W) in, tensors (N, C, H, W) out. Nothing here is fast on purpose; everything is
differentiable, because it is made of ordinary tensor operations.

The words of the lectures: x an image or a feature map, weight (F, C, K, K) a bank of F filters with one
K x K kernel per input channel, y what comes out. Every size below is an int or a pair (rows, columns).

Batch normalisation and dropout, which work otherwise in training than afterwards, are in `batchnorm` and
`dropout`; their names are here, too.

Papers: Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016;
Zeiler & Fergus, Visualizing and understanding convolutional networks, 2014 (switches).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.nets import layer_shapes
from cnnlab.nets.batchnorm import batch_norm, batch_norm_backward, fold
from cnnlab.nets.dropout import dropout, dropout_backward
from cnnlab.nets.layer_shapes import Size, output_size, pair

__all__ = [
    "output_size",
    "conv2d_loops",
    "conv2d",
    "conv_transpose2d",
    "max_pool2d",
    "max_unpool2d",
    "relu",
    "batch_norm",
    "batch_norm_backward",
    "fold",
    "dropout",
    "dropout_backward",
]


def conv2d_loops(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> Tensor:
    """Convolution as it is said: at every position, multiply window and filter and add up.

    y[n, f, i, j] = bias[f] + sum over c, s, t of weight[f, c, s, t] * x[n, c, i*stride + s, j*stride + t].
    (The filter is not flipped: strictly a correlation, which the field calls convolution.)

    Args:
        x: (N, C, H, W).
        weight: (F, C, K, K), one filter per output channel.
        bias: (F,), or None.
        stride, padding, dilation: as in `output_size`.

    Returns:
        (N, F, rows, columns), the same numbers as torch.nn.functional.conv2d.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    (sy, sx), (dy, dx), (py, px) = pair(stride), pair(dilation), pair(padding)
    rows, cols = layer_shapes.conv_shape(x, weight, bias, stride, padding, dilation)
    filters, _, height, width = weight.shape
    x = F.pad(x, (px, px, py, py))  # zeros all around
    y = x.new_zeros(len(x), filters, rows, cols)
    for n in range(len(x)):
        for f in range(filters):
            for i in range(rows):
                for j in range(cols):
                    top, left = i * sy, j * sx
                    window = x[n, :, top : top + dy * height : dy, left : left + dx * width : dx]
                    y[n, f, i, j] = (window[:, :height, :width] * weight[f]).sum()  # (C, K, K) -> one number
    return y if bias is None else y + bias[:, None, None]


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution as one matrix product: every window becomes a column, every filter a row.

    Args:
        x: (N, C, H, W).
        weight: (F, C / groups, K, K).
        bias: (F,), or None.
        stride, padding, dilation: as in `output_size`.
        groups: the channels are cut into this many groups that do not see each other.

    Returns:
        (N, F, rows, columns), the same numbers as `conv2d_loops` and torch.nn.functional.conv2d.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    rows, cols = layer_shapes.conv_shape(x, weight, bias, stride, padding, dilation, groups)
    columns = F.unfold(x, weight.shape[2:], dilation, padding, stride)  # -> (N, C*K*K, rows*cols)
    columns = columns.unflatten(1, (groups, -1))  # -> (N, G, C/G*K*K, rows*cols)
    matrix = weight.flatten(1).unflatten(0, (groups, -1))  # (F, C/G, K, K) -> (G, F/G, C/G*K*K)
    y = (matrix @ columns).flatten(1, 2).unflatten(2, (rows, cols))  # -> (N, F, rows, cols)
    return y if bias is None else y + bias[:, None, None]


def conv_transpose2d(
    y: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution run backwards: each value is multiplied by its filter and stamped into the image.

    It is the adjoint of `conv2d` with the same weight: <conv2d(x), y> = <x, conv_transpose2d(y)>. It brings
    the SHAPE back, not the image: it is no inverse.

    Args:
        y: (N, F, rows, columns).
        weight: (F, C / groups, K, K), the very tensor that `conv2d` takes.
        bias: (C,), or None.
        stride: pixels between two stamps.
        padding: pixels cut off at each end (conv2d added them).
        output_padding: pixels added at the bottom and the right: under a stride several image sizes give
            the same number of rows, and this says which of them comes back.
        dilation, groups: as in `conv2d`.

    Returns:
        (N, C, H, W), the same numbers as torch.nn.functional.conv_transpose2d.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    (sy, sx), (dy, dx), (py, px), (oy, ox) = map(pair, (stride, dilation, padding, output_padding))
    layer_shapes.transposed_conv_shape(y, weight, bias, stride, padding, output_padding, dilation, groups)
    (rows, cols), (height, width) = y.shape[2:], weight.shape[2:]
    full = ((rows - 1) * sy + dy * (height - 1) + 1, (cols - 1) * sx + dx * (width - 1) + 1)
    matrix = weight.flatten(1).unflatten(0, (groups, -1))  # (F, C/G, K, K) -> (G, F/G, C/G*K*K)
    values = y.flatten(2).unflatten(1, (groups, -1))  # (N, F, rows, cols) -> (N, G, F/G, rows*cols)
    stamps = (matrix.transpose(1, 2) @ values).flatten(1, 2)  # -> (N, C*K*K, rows*cols): value times kernel
    x = F.fold(stamps, full, (height, width), dilation=(dy, dx), stride=(sy, sx))  # lay down; overlaps add
    x = F.pad(x, (-px, ox - px, -py, oy - py))  # negative padding cuts
    return x if bias is None else x + bias[:, None, None]


def max_pool2d(x: Tensor, size: Size, stride: Size | None = None, padding: Size = 0) -> tuple[Tensor, Tensor]:
    """The largest value of each window, and the switches: where it was.

    Args:
        x: (N, C, H, W), floating point.
        size: the window.
        stride: from one window to the next; as large as the window if None.
        padding: cells of minus infinity around x (never the maximum), at most half a window.

    Returns:
        pooled: (N, C, rows, columns). NaN in a window gives NaN.
        switches: the same shape, int64: index into the H*W pixels of the map. On ties the first pixel wins.

    Raises:
        ValueError, TypeError: if the shapes do not belong together, or x has no minus infinity.
    """
    (ky, kx), (sy, sx), (py, px) = pair(size), pair(size if stride is None else stride), pair(padding)
    rows, cols = layer_shapes.pool_shape(x, size, size if stride is None else stride, padding)
    height, width = x.shape[2:]

    def windows(cells: Tensor, outside: float) -> Tensor:  # (…, H, W) -> (…, rows, cols, ky*kx)
        cells = F.pad(cells, (px, px, py, py), value=outside)
        return cells.unfold(-2, ky, sy).unfold(-2, kx, sx).flatten(-2)

    position = windows(torch.arange(height * width, device=x.device).view(height, width), -1)  # -1: padding
    values = windows(x.detach(), -math.inf)
    wins = (values == values.amax(-1, keepdim=True)) | values.isnan()
    first = (wins & (position >= 0)).int().argmax(-1, keepdim=True)
    switches = position.expand(values.shape).gather(-1, first).squeeze(-1)  # (N, C, rows, cols)
    pooled = x.flatten(2).gather(2, switches.flatten(2)).unflatten(2, (rows, cols))
    return pooled, switches


def max_unpool2d(pooled: Tensor, switches: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Every value goes back to where its maximum was; all other pixels are zero.

    Where windows overlap, two of them can have the same maximum: their values ADD. So this is the adjoint of
    max pooling, and its gradient. (torch.nn.functional.max_unpool2d keeps only one of them.)

    Args:
        pooled: (N, C, rows, columns).
        switches: the same shape, int64, from `max_pool2d`.
        shape: (H, W), or the whole (N, C, H, W), of what was pooled.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: if the shapes do not belong together, or a switch points outside.
    """
    height, width = layer_shapes.unpool_shape(pooled, switches, shape)
    empty = pooled.new_zeros(*pooled.shape[:2], height * width)
    return empty.scatter_add(2, switches.flatten(2), pooled.flatten(2)).unflatten(2, (height, width))


def relu(x: Tensor) -> Tensor:
    """Rectify: negative numbers become 0, the others pass (and so does the gradient: where x > 0)."""
    return x.masked_fill(x <= 0, 0)
