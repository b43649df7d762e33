"""Do these shapes fit together? How large is what comes out? The questions that every layer asks first.

Type: shapes in; (rows, columns) out, or a ValueError that says what was given, what is needed and what to do.
"""

from torch import Tensor

Size = int | tuple[int, int]  # one number for rows and columns, or a pair


def pair(size: Size) -> tuple[int, int]:
    """The same size for rows and columns, unless two are given."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def output_size(n: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """How many positions a window has along one axis: the number of rows (or columns) that come out.

    Args:
        n: pixels along the axis, before padding.
        kernel: cells of the window along the axis.
        stride: pixels from one position to the next.
        padding: pixels added at EACH end.
        dilation: pixels from one cell of the window to the next.

    Raises:
        ValueError: if the window does not fit once, or a size is not possible.

    >>> output_size(224, 11, stride=4, padding=2)
    55
    """
    for name, value, least in [
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ]:
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    span = dilation * (kernel - 1) + 1  # pixels from the first cell of the window to its last
    if span > n + 2 * padding:
        raise ValueError(
            f"a window of {span} pixels does not fit into {n} + 2*{padding} = {n + 2 * padding} pixels. "
            "Use a larger image, more padding, or a smaller kernel or dilation."
        )
    return (n + 2 * padding - span) // stride + 1


def conv_shape(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    dilation: Size,
    groups: int = 1,
) -> tuple[int, int]:
    """(rows, columns) of a convolution of x (N, C, H, W) with weight (F, C / groups, K, K) and bias (F,)."""
    _four_axes("x", x)
    _four_axes("weight", weight)
    filters, per_group = weight.shape[:2]
    if groups < 1 or x.shape[1] % groups or filters % groups:
        raise ValueError(f"{x.shape[1]} channels and {filters} filters do not divide into {groups} groups")
    if x.shape[1] != per_group * groups:
        raise ValueError(
            f"x has {x.shape[1]} channels, but a weight of shape {tuple(weight.shape)} with groups={groups} "
            f"takes {per_group * groups}: a filter has one kernel per input channel"
        )
    _one_bias_each(bias, filters, "filter")
    sizes = zip(x.shape[2:], weight.shape[2:], pair(stride), pair(padding), pair(dilation), strict=True)
    rows, cols = (output_size(n, k, stride=s, padding=p, dilation=d) for n, k, s, p, d in sizes)
    return rows, cols


def transposed_conv_shape(
    y: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size,
    output_padding: Size,
    dilation: Size,
    groups: int,
) -> tuple[int, int]:
    """(H, W) of a transposed convolution of y (N, F, rows, columns) with weight (F, C / groups, K, K)."""
    _four_axes("y", y)
    _four_axes("weight", weight)
    filters = len(weight)
    if y.shape[1] != filters:
        raise ValueError(
            f"y has {y.shape[1]} channels but weight {tuple(weight.shape)} has {filters} filters: "
            "a transposed convolution takes the (F, C, K, K) weight of the convolution that it runs backwards"
        )
    if groups < 1 or filters % groups:
        raise ValueError(f"{filters} filters do not divide into {groups} groups")
    _one_bias_each(bias, weight.shape[1] * groups, "channel")
    out = []
    numbers = map(pair, (stride, padding, output_padding, dilation))
    for n, k, s, p, extra, d in zip(y.shape[2:], weight.shape[2:], *numbers, strict=True):
        if s < 1 or d < 1 or p < 0:
            raise ValueError(f"stride {s} and dilation {d} must be at least 1, and padding {p} at least 0")
        if not 0 <= extra < max(s, d):
            raise ValueError(
                f"output_padding {extra} must be from 0 to {max(s, d) - 1} with stride {s} and dilation {d}: "
                "it chooses among the image sizes that give the same number of rows"
            )
        out.append((n - 1) * s + d * (k - 1) + 1 - 2 * p + extra)
        if out[-1] < 1:
            raise ValueError(f"padding {p} cuts the whole image of {out[-1] + 2 * p} pixels away; use less")
    return out[0], out[1]


def pool_shape(x: Tensor, size: Size, stride: Size, padding: Size) -> tuple[int, int]:
    """(rows, columns) of pooling x (N, C, H, W)."""
    _four_axes("x", x)
    if not x.is_floating_point():
        raise TypeError(f"max pooling needs floating-point numbers, not {x.dtype}. Use x.float().")
    if any(2 * p > k for p, k in zip(pair(padding), pair(size), strict=True)):
        raise ValueError(f"padding {padding} is more than half of the window {size}: a window may be empty")
    sizes = zip(x.shape[2:], pair(size), pair(stride), pair(padding), strict=True)
    rows, cols = (output_size(n, k, stride=s, padding=p) for n, k, s, p in sizes)
    return rows, cols


def unpool_shape(pooled: Tensor, switches: Tensor, shape: tuple[int, ...]) -> tuple[int, int]:
    """(H, W) of what was pooled, from a shape (H, W) or (N, C, H, W)."""
    _four_axes("pooled", pooled)
    if pooled.shape != switches.shape:
        shapes = f"pooled {tuple(pooled.shape)} and switches {tuple(switches.shape)}"
        raise ValueError(f"{shapes} must have one shape: both come from one call of max_pool2d")
    if len(shape) not in (2, 4) or (len(shape) == 4 and tuple(shape[:2]) != pooled.shape[:2]):
        raise ValueError(
            f"shape must be (H, W) or ({pooled.shape[0]}, {pooled.shape[1]}, H, W) of what was pooled, "
            f"not {tuple(shape)}"
        )
    height, width = shape[-2:]
    if switches.numel() and (switches.min() < 0 or switches.max() >= height * width):
        worst = int(switches.min()) if switches.min() < 0 else int(switches.max())
        raise ValueError(
            f"a switch points at pixel {worst}, but {height} x {width} has pixels 0 to {height * width - 1}. "
            "Give the shape of the map before pooling."
        )
    return height, width


def _four_axes(name: str, x: Tensor) -> None:
    if x.dim() != 4:
        hint = "" if name == "weight" else f" For one image use {name}[None]."
        axes = "(F, C, K, K)" if name == "weight" else "(N, C, H, W)"
        raise ValueError(f"{name} must have the axes {axes}, not the shape {tuple(x.shape)}.{hint}")


def _one_bias_each(bias: Tensor | None, number: int, of: str) -> None:
    if bias is not None and bias.shape != (number,):
        raise ValueError(f"bias must have shape ({number},), one number per {of}, not {tuple(bias.shape)}")
