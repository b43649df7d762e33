"""Networks to see training fail and succeed: wide dense ones that over-fit, deep ones that do not learn.

Type: sizes -> Net, for digits of 28x28. All choices of lectures 08 and 09 are arguments: dropout, depth,
shortcuts, batch norm, the size of the first weights.

Paper: He, Zhang, Ren & Sun, Deep residual learning for image recognition, CVPR 2016 (`Block`, and the
comparison of plain and residual nets that `deep` is made for).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnnlab.nets.small import DIGITS, Net, Normalise


def dense(widths: Sequence[int] = (256, 256), *, dropout: float = 0.0) -> Net:
    """A row of dense layers, each with ReLU and dropout: many weights, and a few digits to learn from.

    Args:
        widths: units of each hidden layer.
        dropout: the probability behind each of them; 0 leaves the dropout layers out.

    Raises:
        ValueError: a layer without units, or a dropout that is not a probability below 1.

    >>> print(*dict(dense((8,), dropout=0.5).named_children()))
    norm flatten dense1 relu1 drop1 out
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is a probability from 0 to below 1, not {dropout}")
    for width in widths:
        _whole("a width", width)
    layers: list[tuple[str, nn.Module]] = [("norm", Normalise([0.1307], [0.3081])), ("flatten", nn.Flatten())]
    for k, (before, width) in enumerate(zip((784, *widths), widths, strict=False), 1):
        layers += [(f"dense{k}", nn.Linear(before, width)), (f"relu{k}", nn.ReLU())]
        layers += [(f"drop{k}", nn.Dropout(dropout))] if dropout else []
    layers += [("out", nn.Linear((784, *widths)[-1], 10))]
    return Net(layers, DIGITS, (1, 28, 28))


class Block(nn.Module):
    """Two convolutions 3x3, and around them a shortcut: y = relu(x + F(x)). Without it: y = relu(F(x)).

    Args:
        width: channels in and out.
        residual: is there a shortcut?
        norm: batch norm after each convolution? Without it, convolutions have biases.
    """

    def __init__(self, width: int, residual: bool, norm: bool):
        super().__init__()
        self.residual = residual
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=not norm) for _ in range(2))
        self.bn1, self.bn2 = (nn.BatchNorm2d(width) if norm else nn.Identity() for _ in range(2))
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(x + h if self.residual else h)


def deep(
    depth: int = 8, *, width: int = 12, residual: bool = False, norm: bool = True, init_gain: float = 1.0
) -> Net:
    """A convolution that halves the image, blocks of two, a mean over all places, a dense layer.

    Args:
        depth: convolutions in all, odd: 1 and two for each block.
        width: channels everywhere.
        residual: a shortcut around each block?
        norm: batch norm after each convolution?
        init_gain: the deviation of the first weights, as a multiple of He's sqrt(2 / inputs).

    Raises:
        ValueError: an even depth, or one below 1; a width below 1, or an impossible gain.
    """
    _whole("the width", width)
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1 or depth % 2 == 0:
        raise ValueError(f"depth is 1, 3, 5 …: a first convolution and two in each block, not {depth!r}")
    layers: list[tuple[str, nn.Module]] = [
        ("norm", Normalise([0.1307], [0.3081])),
        ("conv", nn.Conv2d(1, width, 3, stride=2, padding=1, bias=not norm)),  # 28 -> 14
        ("bn", nn.BatchNorm2d(width) if norm else nn.Identity()),
        ("relu", nn.ReLU()),
    ]
    layers += [(f"block{k}", Block(width, residual, norm)) for k in range(1, depth // 2 + 1)]
    layers += [("gap", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("dense", nn.Linear(width, 10))]
    net = Net(layers, DIGITS, (1, 28, 28))
    he_init(net, init_gain)
    return net


def he_init(model: nn.Module, init_gain: float = 1.0) -> None:
    """He et al. 2015 times a gain: deviation init_gain * sqrt(2 / inputs); biases zero. In place.

    Args:
        model: all its convolutions and dense layers are set anew; draws from the global random state.
        init_gain: 1 keeps the mean square of a signal from one ReLU to the next, each other multiplies it by
            init_gain squared.

    Raises:
        ValueError: a gain that is negative or not finite.
    """
    if not 0 <= init_gain < math.inf:
        raise ValueError(f"init_gain is 0 or more, and finite, not {init_gain}")
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            inputs = part.weight[0].numel()
            with torch.no_grad():
                part.weight.normal_(0, init_gain * (2 / inputs) ** 0.5)
                if part.bias is not None:
                    part.bias.zero_()


def _whole(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{name} is a whole number, 1 or more, not {number!r}")
