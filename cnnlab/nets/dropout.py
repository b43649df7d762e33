"""Dropout written out: forwards and backwards.

Type: any shape in, the same shape out, and which numbers stayed.

Paper: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, Dropout: a simple way to prevent neural
networks from overfitting, JMLR 2014.
"""

import torch
from torch import Tensor


def dropout(x: Tensor, p: float, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Set each number to zero with probability `p`, and enlarge the others so that the mean stays.

    Args:
        x: any shape.
        p: 0 to below 1.
        generator: of the random numbers; torch's global one if None.

    Returns:
        dropped: like x; what stays is divided by 1 - p ("inverted" dropout: nothing to do when testing).
        kept: bool, like x.

    Raises:
        ValueError: p is not a probability below 1.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p is a probability from 0 to below 1, but it is {p}")
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= p
    return x * kept / (1 - p), kept


def dropout_backward(g: Tensor, kept: Tensor, p: float) -> Tensor:
    """The way back: what was dropped hears nothing, the rest is enlarged as on the way forward.

    Args:
        g: the gradient from above.
        kept: bool, like g: what `dropout` kept. The same units, not new ones.
        p: the same probability.

    Returns:
        The gradient below, like g.

    Raises:
        ValueError: p is not a probability below 1, or the shapes differ.
        TypeError: `kept` is not True and False; the noise itself, say.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p is a probability from 0 to below 1, but it is {p}")
    if g.shape != kept.shape:
        raise ValueError(f"g and kept have one shape, not {tuple(g.shape)} and {tuple(kept.shape)}")
    if kept.dtype != torch.bool:
        raise TypeError(f"kept is True where a unit stayed and False elsewhere, not {kept.dtype}")
    return g * kept / (1 - p)
