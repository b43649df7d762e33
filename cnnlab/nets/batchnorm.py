"""Batch normalisation written out: forwards, backwards, and folded into the convolution before it.

Type: tensors (N, C, H, W) or (N, C) in, the same out, with one mean and one variance for each channel.

Paper: Ioffe & Szegedy, Batch normalization: accelerating deep network training by reducing internal covariate
shift, ICML 2015 (Algorithm 1, and the gradients of section 3).
"""

from torch import Tensor


def batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """Give every channel mean 0 and variance 1, then a scale and a shift that are learned.

    In training the mean and variance are those of this batch, over images and places, and the running ones
    move towards them. In evaluation the running ones are used: an image's answer then does not depend on
    its neighbours.

    Args:
        x: (N, C, H, W), or (N, C).
        weight, bias: (C,), scale and shift.
        running_mean, running_var: (C,), not changed.
        training: use the batch's own numbers?
        momentum: how far the running numbers move, 0 to 1.
        eps: added to the variance, so that a constant channel is not divided by zero.

    Returns:
        y like x, and the new running mean and variance (C,).

    Raises:
        ValueError: the shapes do not belong together, momentum or eps is impossible, or in training a channel
            has a single number.
    """
    given = (x, weight, bias, running_mean, running_var)
    if x.dim() < 2 or any(each.shape != x.shape[1:2] for each in given[1:]):
        raise ValueError(
            "x is (N, C) or (N, C, H, W), and weight, bias, mean and variance are (C,); "
            f"not {', '.join(str(tuple(each.shape)) for each in given)}"
        )
    if not 0 <= momentum <= 1 or not eps >= 0:
        raise ValueError(f"momentum is from 0 to 1 and eps 0 or more, not {momentum} and {eps}")
    axes = [axis for axis in range(x.dim()) if axis != 1]  # all but the channels
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    mean, var = running_mean, running_var
    if training:
        n = x.numel() // x.shape[1]
        if n < 2:
            raise ValueError("one number per channel has no variance: train with two images or more")
        mean, var = x.mean(axes), x.var(axes, unbiased=False)
        running_mean = (1 - momentum) * running_mean + momentum * mean.detach()
        # The running variance estimates that of all images: divided by n - 1, not by n.
        running_var = (1 - momentum) * running_var + momentum * var.detach() * n / (n - 1)
    normal = (x - mean.view(shape)) / (var.view(shape) + eps).sqrt()
    return weight.view(shape) * normal + bias.view(shape), running_mean, running_var


def batch_norm_backward(
    g: Tensor, x: Tensor, weight: Tensor, *, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """The way back through `batch_norm` in training, by hand.

    The mean and the variance depend on every image of the batch. So what one image is told, all others
    hear: from g its own mean goes away, and its part along the normalised numbers.

    Args:
        g: the gradient from above, like x.
        x: what went in, (N, C, H, W) or (N, C).
        weight: (C,), the scale.
        eps: as on the way forward.

    Returns:
        The gradients for x, for the weight (C,) and for the bias (C,).

    Raises:
        ValueError: the shapes do not belong together, or a channel has a single number, as forwards.
    """
    if x.dim() < 2 or g.shape != x.shape or weight.shape != x.shape[1:2]:
        raise ValueError(
            f"g is like x, {tuple(x.shape)}, and the weight has a number for each channel; "
            f"not {tuple(g.shape)} and {tuple(weight.shape)}"
        )
    if x.numel() < 2 * x.shape[1]:
        raise ValueError("one number per channel has no variance: train with two images or more")
    axes = [axis for axis in range(x.dim()) if axis != 1]
    std = (x.var(axes, unbiased=False, keepdim=True) + eps).sqrt()
    normal = (x - x.mean(axes, keepdim=True)) / std
    along = (g * normal).mean(axes, keepdim=True)
    scale = weight.view([-1 if axis == 1 else 1 for axis in range(x.dim())]) / std
    below = scale * (g - g.mean(axes, keepdim=True) - normal * along)
    return below, (g * normal).sum(axes), g.sum(axes)


def fold(
    weight: Tensor,
    bias: Tensor | None,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """A convolution (or dense layer) and the batch norm behind it, as one layer: for a trained network only.

    W' = W * scale / sqrt(var + eps) and b' = (b - mean) * scale / sqrt(var + eps) + shift.

    Args:
        weight: (F, C, K, K) or (F, C).
        bias: (F,), or None for none.
        scale, shift: (F,), what the batch norm has learned.
        mean, var: (F,), its running numbers.
        eps: that of the batch norm.

    Returns:
        The weight and the bias of the one layer.

    Raises:
        ValueError: one number for each filter is wanted.
    """
    given = [scale, shift, mean, var] + ([] if bias is None else [bias])
    if weight.dim() < 2 or any(each.shape != weight.shape[:1] for each in given):
        raise ValueError(
            f"the weight is (F, C, K, K) or (F, C), everything else (F,); the weight is {tuple(weight.shape)}"
        )
    steep = scale / (var + eps).sqrt()  # (F,)
    bias = mean.new_zeros(mean.shape) if bias is None else bias
    return weight * steep.view([-1] + [1] * (weight.dim() - 1)), (bias - mean) * steep + shift
