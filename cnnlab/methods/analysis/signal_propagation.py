"""How large is a signal after so many layers, and how large is its gradient on the way back?

Type: sizes -> Chain, for a chain of dense layers whose first weights are drawn anew: the experiment on which
all rules for first weights rest.

Papers: Glorot & Bengio 2010; He et al., Delving deep into rectifiers, ICCV 2015 (equations 6 to 14).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.errors import unknown

_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "linear": lambda x: x}
# By how much a layer multiplies the mean square, if its weights have the variance 1 / inputs.
_KEEPS = {"relu": 0.5, "linear": 1.0}


class Chain(NamedTuple):
    """Mean squares, layer by layer; entry 0 is the input. In float64: 50 layers can leave float32.

    Attributes:
        forward: (depth + 1,) of the activations.
        backward: (depth + 1,) of the gradient of the last layer's sum, times random signs, at each layer.
        theory: (depth + 1,) what `forward` is in the mean over all weights, or None: for tanh there is no
            formula so short.
        dead: (depth + 1,) the share of units that are 0 for every input.
    """

    forward: Tensor
    backward: Tensor
    theory: Tensor | None
    dead: Tensor


def propagate(
    depth: int = 20,
    *,
    variance: float = 2.0,
    activation: str = "relu",
    width: int = 256,
    inputs: int = 64,
    norm: bool = False,
    residual: bool = False,
    seed: int = 0,
) -> Chain:
    """Send random inputs through a chain of dense layers, and a random gradient back.

    Args:
        depth: layers.
        variance: of the weights, times the inputs of a layer: 2 is He's choice for ReLUs, 1 that of LeCun.
        activation: "relu", "tanh" or "linear".
        width: units of each layer.
        inputs: how many random inputs, each of mean square 1.
        norm: normalise each unit over the inputs before the activation, as batch norm does? Two or more.
        residual: add a layer's input to its output?
        seed: of the weights and the inputs.

    Raises:
        LookupError: no such activation.
        ValueError: a size below 1, or a variance that is negative or not finite.

    >>> [round(value, 6) for value in propagate(4, variance=1).theory.tolist()]
    [1.0, 0.5, 0.25, 0.125, 0.0625]
    """
    if activation not in _ACTIVATIONS:
        raise unknown("activation", activation, _ACTIVATIONS)
    for name, number in (("depth", depth), ("width", width), ("inputs", inputs)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is a whole number, 1 or more, not {number!r}")
    if norm and inputs < 2:
        raise ValueError("one input has no variance to normalise by: take 2 inputs or more")
    if not 0 <= variance < math.inf:
        raise ValueError(f"a variance is 0 or more, not {variance}")
    random = torch.Generator().manual_seed(seed)
    size = (variance / width) ** 0.5
    with torch.inference_mode(False), torch.enable_grad():
        h = torch.randn(inputs, width, generator=random, dtype=torch.float64).requires_grad_()
        layers = [h]
        for _ in range(depth):
            weight = torch.randn(width, width, generator=random, dtype=torch.float64) * size
            z = h @ weight
            if norm:
                z = (z - z.mean(dim=0)) / (z.var(dim=0, unbiased=False) + 1e-5).sqrt()
            new = _ACTIVATIONS[activation](z)
            h = h + new if residual else new
            layers.append(h)
        signs = torch.randint(2, h.shape, generator=random) * 2.0 - 1
        gradients = torch.autograd.grad((h * signs).sum(), layers)
    forward, backward = (
        torch.stack([each.detach().square().mean() for each in some]) for some in (layers, gradients)
    )
    dead = torch.stack([(each.detach().abs().amax(dim=0) == 0).double().mean() for each in layers])
    theory = None
    if activation in _KEEPS and not norm and not residual:
        theory = (variance * _KEEPS[activation]) ** torch.arange(depth + 1, dtype=torch.float64)
    return Chain(forward, backward, theory, dead)
