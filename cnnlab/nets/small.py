"""The four small networks of the course, each a plain row of named layers.

Type: sizes -> Net. They start with random weights; `models.load` brings the trained ones. Every layer is a
module of its own, under a name that says what it is and which one: `conv2` is the second convolution.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Subtract a mean, divide by a standard deviation, for each colour: the first layer of all networks here.

    So images stay in [0, 1] everywhere outside a network, and a step of 8/255 means the same for all.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        if images.dim() != 4 or images.shape[1] != self.mean.shape[1]:
            raise ValueError(f"images are (N, {self.mean.shape[1]}, H, W), not {tuple(images.shape)}")
        return (images - self.mean) / self.std


class Net(nn.Sequential):
    """Layers that run one after the other, each under its name.

    Attributes:
        classes: the readable name of every output; empty for a part of a network, as `net[:4]`.
        input_size: (channels, rows, columns) of the images that it was made for, if they are known.
    """

    def __init__(
        self,
        layers: Iterable[tuple[str, nn.Module]],
        classes: Sequence[str] = (),
        input_size: tuple[int, int, int] | None = None,
    ):
        super().__init__(OrderedDict(layers))
        self.classes = tuple(classes)
        self.input_size = input_size


DIGITS = tuple("0123456789")


def simpleconvnet(widths: Sequence[int] = (8, 16, 32), dense: int = 64) -> Net:
    """Three times convolution 5x5, ReLU, max pool; then two dense layers. For digits of 28x28.

    Args:
        widths: channels of the three convolutions. (8, 16, 32) is what pruning leaves of (32, 64, 64).
        dense: numbers before the last layer.
    """
    _as_many(widths, 3)
    layers: list[tuple[str, nn.Module]] = [("norm", Normalise([0.1307], [0.3081]))]
    for k, (before, width) in enumerate(zip((1, *widths), widths, strict=False), 1):
        layers += [
            (f"conv{k}", nn.Conv2d(before, width, 5, padding=2)),
            (f"relu{k}", nn.ReLU()),
            (f"pool{k}", nn.MaxPool2d(2)),
        ]  # (N, width, 14, 14), then 7, then 3
    layers += [
        ("flatten", nn.Flatten()),
        ("dense1", nn.Linear(widths[-1] * 3 * 3, dense)),
        ("relu4", nn.ReLU()),
        ("dense2", nn.Linear(dense, 10)),
    ]
    return Net(layers, DIGITS, (1, 28, 28))


def encoder(width: int = 64, code: int = 256) -> Net:
    """The encoder of the lecture on code vectors, for digits of 28x28: `code` is what it keeps of an image.

    Two convolutions 5x5, pool, two convolutions 3x3, pool, a dense layer that makes the code, and one that
    reads the digit off it. Dropout after each pool and after the code.
    """
    layers: list[tuple[str, nn.Module]] = [("norm", Normalise([0.1307], [0.3081]))]
    for k, (before, kernel) in enumerate(((1, 5), (width, 5), (width, 3), (width, 3)), 1):
        layers += [
            (f"conv{k}", nn.Conv2d(before, width, kernel, padding=kernel // 2)),
            (f"relu{k}", nn.ReLU()),
        ]
        if k in (2, 4):
            layers += [(f"pool{k // 2}", nn.MaxPool2d(2)), (f"drop{k // 2}", nn.Dropout(0.25))]
    layers += [
        ("flatten", nn.Flatten()),  # (N, width, 7, 7) -> (N, 49 width)
        ("code", nn.Linear(49 * width, code)),
        ("relu5", nn.ReLU()),
        ("drop3", nn.Dropout(0.5)),
        ("dense", nn.Linear(code, 10)),
    ]
    return Net(layers, DIGITS, (1, 28, 28))


def photonet(classes: Sequence[str], widths: Sequence[int] = (32, 64, 96, 128, 192)) -> Net:
    """Five convolutions for small colour photos, the first one of 7x7 so that its filters can be looked at.

    Convolution, batch normalisation, ReLU; 2x2 max pools after the first, second and fourth; then the mean
    over all places and one dense layer. So class activation maps are exact, and images of any size go in.
    """
    kernels, pooled = (7, 5, 3, 3, 3), (1, 2, 4)
    _as_many(widths, len(kernels))
    layers: list[tuple[str, nn.Module]] = [("norm", Normalise([0.5, 0.46, 0.38], [0.28, 0.27, 0.28]))]
    for k, (before, width, kernel) in enumerate(zip((3, *widths), widths, kernels, strict=False), 1):
        layers += _conv_bn_relu(k, before, width, kernel)
        if k in pooled:
            layers.append((f"pool{pooled.index(k) + 1}", nn.MaxPool2d(2)))  # 64 -> 32 -> 16 -> 8
    layers += _read_off(widths[-1], len(classes))
    net = Net(layers, classes, (3, 64, 64))
    # Before an average over all places, a ReLU learns to be open most of the time. This one starts nearly
    # closed, so that its units stay silent but for what they are about: their maps can then be read.
    nn.init.constant_(net.get_parameter(f"bn{len(widths)}.bias"), -1.0)
    return net


def shapesnet(classes: Sequence[str], widths: Sequence[int] = (16, 32, 48, 64)) -> Net:
    """Four convolutions for the synthetic scenes: built as `photonet`, and smaller."""
    kernels, pooled = (5, 3, 3, 3), (1, 2, 3)
    _as_many(widths, len(kernels))
    layers: list[tuple[str, nn.Module]] = [("norm", Normalise([0.5] * 3, [0.25] * 3))]
    for k, (before, width, kernel) in enumerate(zip((3, *widths), widths, kernels, strict=False), 1):
        layers += _conv_bn_relu(k, before, width, kernel)
        if k in pooled:
            layers.append((f"pool{pooled.index(k) + 1}", nn.MaxPool2d(2)))
    layers += _read_off(widths[-1], len(classes))
    return Net(layers, classes, (3, 64, 64))


def _as_many(widths: Sequence[int], convolutions: int) -> None:
    if not isinstance(widths, Sequence) or len(widths) != convolutions:
        raise ValueError(f"widths are {convolutions} numbers, one for each convolution, not {widths!r}")


def _conv_bn_relu(k: int, before: int, width: int, kernel: int) -> list[tuple[str, nn.Module]]:
    """No bias in the convolution: the batch normalisation would take it away again and add its own."""
    return [
        (f"conv{k}", nn.Conv2d(before, width, kernel, padding=kernel // 2, bias=False)),
        (f"bn{k}", nn.BatchNorm2d(width)),
        (f"relu{k}", nn.ReLU()),
    ]


def _read_off(width: int, classes: int) -> list[tuple[str, nn.Module]]:
    return [
        ("gap", nn.AdaptiveAvgPool2d(1)),  # (N, C, H, W) -> (N, C, 1, 1), for any H and W
        ("flatten", nn.Flatten()),
        ("dense", nn.Linear(width, classes)),
    ]
