"""The way back through every kind of layer, written out: what the paper's deconvnet does to a signal.

Type: (the arguments of a torch function) -> [(a tensor that went in, signal after -> signal before)]. Pooled
values go back to their switches, ReLUs rectify the signal, filters stamp it (transposed convolution), means
are spread, and what has no weights passes it on (`backward_functions`). No automatic differentiation
anywhere; biases play no part.

Paper: M. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 2.1.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cnnlab.methods.deconvnet import backward_functions
from cnnlab.methods.deconvnet.backward_functions import NoWayBack, Ways
from cnnlab.nets import layers
from cnnlab.nets.layer_shapes import Size, pair
from cnnlab.probing import relu_rules


def ways(function: Callable, name: str, args: tuple, kwargs: dict, given: int) -> Ways:
    """From every tensor that went into a call, the way back to it.

    Args:
        function, name: any torch function, as torch.overrides.TorchFunctionMode sees it.
        args, kwargs: of the call.
        given: how many of its tensors depend on the image.

    Raises:
        NoWayBack: there is no rule for this call.
    """
    rule = RULES.get(function)
    if rule is None:
        raise NoWayBack(
            f"on the way is {name}, for which the deconvnet has no rule: it goes back through convolutions, "
            "max and mean pools, ReLU, batch norm, linear layers, sums and concatenations"
        )
    if given > 1 and rule not in (backward_functions.add, backward_functions.sub, backward_functions.cat):
        raise NoWayBack(
            f"on the way is {name} of two signals, which is not linear: the way back would depend on both"
        )
    try:
        return rule(*args, **kwargs)
    except TypeError as error:  # an option of torch that the rule does not take, as out=
        raise NoWayBack(f"on the way is {name} with an option that has no rule: {error}") from None


def _relu(input: Tensor, inplace: bool = False) -> Ways:  # noqa: ARG001
    return [(input, layers.relu)]  # of the signal, wherever the forward pass was


def _max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,  # noqa: ARG001
) -> Ways:
    _, switches = F.max_pool2d_with_indices(input, kernel_size, stride or None, padding, dilation, ceil_mode)
    shape = input.shape
    return [(input, lambda g: layers.max_unpool2d(g, switches, shape))]  # where windows overlap, values add


def _adaptive_max_pool2d(input: Tensor, output_size: Size, return_indices: bool = False) -> Ways:  # noqa: ARG001
    _, switches = F.adaptive_max_pool2d_with_indices(input, output_size)
    shape = input.shape
    return [(input, lambda g: layers.max_unpool2d(g, switches, shape))]


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,  # noqa: ARG001
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Ways:
    top, left = _padded(padding, weight, dilation)
    height, width = input.shape[2:]

    def stamp(g: Tensor) -> Tensor:
        full = F.conv_transpose2d(g, weight, stride=stride, dilation=dilation, groups=groups)
        rows, cols = full.shape[2:]  # cut off what was padding, add what the last window left out
        return F.pad(full, (-left, left + width - cols, -top, top + height - rows))

    return [(input, stamp)]


def _padded(padding: Size | str, weight: Tensor, dilation: Size) -> tuple[int, int]:
    """Rows above and columns left of the image."""
    if padding == "valid":
        return 0, 0
    if padding == "same":  # an odd cell goes to the bottom and the right
        rows, cols = (d * (k - 1) // 2 for d, k in zip(pair(dilation), weight.shape[2:], strict=True))
        return rows, cols
    return pair(padding)


def _conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,  # noqa: ARG001
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,  # noqa: ARG001
    groups: int = 1,
    dilation: Size = 1,
) -> Ways:
    height, width = input.shape[2:]

    def convolve(g: Tensor) -> Tensor:
        return F.conv2d(g, weight, None, stride, padding, dilation, groups)[..., :height, :width]

    return [(input, convolve)]


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Ways:  # noqa: ARG001
    return [(input, lambda g: g @ weight)]


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,  # noqa: ARG001
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,  # noqa: ARG001
    training: bool = False,
    momentum: float = 0.1,  # noqa: ARG001
    eps: float = 1e-5,
) -> Ways:
    if training:
        raise NoWayBack(
            "on the way is a batch norm without running statistics: it mixes the images of a batch"
        )
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shape = (1, -1, *[1] * (input.dim() - 2))
    return [(input, lambda g: g * scale.view(shape))]


def _avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Ways:
    if ceil_mode:
        raise NoWayBack(
            "on the way is a mean pool with ceil_mode, whose last windows are cut: no rule for it"
        )
    kernel = input.new_ones(input.shape[1], 1, *pair(kernel_size))
    stride = stride or kernel_size
    size = divisor_override or kernel[0].numel()
    if not count_include_pad and divisor_override is None:  # near the border fewer cells are averaged
        size = size * F.avg_pool2d(torch.ones_like(input), kernel_size, stride, padding)
    (_, spread), *_ = _conv2d(input, kernel, None, stride, padding, 1, input.shape[1])
    return [(input, lambda g: spread(g / size))]


def _adaptive_avg_pool2d(input: Tensor, output_size: Size) -> Ways:
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    rows, cols = (_shares(input, n, out) for n, out in zip(input.shape[2:], wanted, strict=True))
    return [(input, lambda g: rows.T @ g @ cols)]


def _shares(like: Tensor, n: int, windows: int | None) -> Tensor:
    """(windows, n): which share each of n cells has in the mean of each window."""
    windows = n if windows is None else windows
    shares = like.new_zeros(windows, n)
    for i in range(windows):
        first, last = i * n // windows, -(-(i + 1) * n // windows)
        shares[i, first:last] = 1 / (last - first)
    return shares


def _mean(input: Tensor, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Ways:
    axes = sorted(axis % input.dim() for axis in ((dim,) if isinstance(dim, int) else dim or ()))
    if not axes or 0 in axes:
        raise NoWayBack("on the way is a mean over the images of a batch")
    shape = input.shape
    whole = [1 if axis in axes else n for axis, n in enumerate(shape)]
    number = math.prod(shape[axis] for axis in axes)
    return [(input, lambda g: (g if keepdim else g.reshape(whole)).expand(shape) / number)]


_NAMED = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "linear": _linear,
    "max_pool2d max_pool2d_with_indices": _max_pool2d,
    "adaptive_max_pool2d adaptive_max_pool2d_with_indices": _adaptive_max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "batch_norm": _batch_norm,
    "mean": _mean,
    "dropout dropout2d alpha_dropout feature_alpha_dropout": backward_functions.dropout,
    "flatten reshape view squeeze unsqueeze unflatten": backward_functions.reshaped,
    "clone contiguous to float double": backward_functions.unchanged,
    "__getitem__": backward_functions.getitem,
    "pad": backward_functions.pad,
    "cat concat concatenate": backward_functions.cat,
    "add __add__ __radd__ __iadd__": backward_functions.add,
    "sub subtract __sub__ __isub__": backward_functions.sub,
    "__rsub__": backward_functions.rsub,
    "mul multiply __mul__ __rmul__": backward_functions.mul,
    "div divide true_divide __truediv__": backward_functions.div,
    "neg negative": backward_functions.neg,
}
# A name may live in several places, and with an underscore it works in place.
RULES = {
    getattr(home, name + tail): rule
    for names, rule in _NAMED.items()
    for name in names.split()
    for home in (F, torch, Tensor, torch._C._nn)
    for tail in ("", "_")
    if hasattr(home, name + tail)
} | dict.fromkeys(relu_rules.RELUS, _relu)
