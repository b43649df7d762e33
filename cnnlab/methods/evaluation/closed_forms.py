"""Functions so small that the right answer of each method is a formula: who gets it right, and who does not?

Type: a form is a model (N, C, H, W) -> (N, 1), and has for every method in `METHODS` the answer to "how much
did each pixel give?". Zero is the baseline, so a complete method's answers add up to f(x) - f(0).

Papers: M. Sundararajan, A. Taly & Q. Yan, Axiomatic attribution for deep networks, ICML 2017 (completeness,
and the saturating 1 - relu(1 - x)); A. Shrikumar et al., DeepLIFT, ICML 2017 (the same with two inputs);
D. Smilkov et al., SmoothGrad, 2017.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown

METHODS = ("gradient", "gradient x input", "integrated gradients", "SmoothGrad", "occlusion")


class Form(nn.Module):
    """A function u(x) = w·x + b, and on top of it a curve f(u); subclasses say which. Also the linear form.

    Args:
        weight: (C, H, W).
        bias: b.
    """

    label = "w·x + b"
    # In words, in the order of METHODS.
    formulas: tuple[str, ...] = ("w", "w x", "w x", "w", "w x")
    classes = ("f",)

    def __init__(self, weight: Tensor, bias: float = 0.0):
        super().__init__()
        if weight.dim() != 3 or not weight.is_floating_point():
            raise ValueError(f"the weight is (C, H, W), floating point, not {tuple(weight.shape)}")
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(torch.tensor(bias, dtype=weight.dtype, device=weight.device))

    def forward(self, images: Tensor) -> Tensor:
        return self.outer(self.inner(images))[:, None]  # (N, C, H, W) -> (N, 1)

    def inner(self, images: Tensor) -> Tensor:
        """u(x) = w·x + b, (N,)."""
        return (images * self.weight).sum(dim=(1, 2, 3)) + self.bias

    def outer(self, u: Tensor) -> Tensor:
        """f(u), here u itself."""
        return u

    def gradient(self, u: Tensor) -> Tensor:
        """f'(u)."""
        return torch.ones_like(u)

    def mean_gradient(self, u: Tensor, spread: Tensor) -> Tensor:  # noqa: ARG002  (of a line it is 1 anywhere)
        """The mean of f' over a bell curve of this spread around u."""
        return torch.ones_like(u)

    def attribution(self, method: str, images: Tensor, *, sigma: float = 0.5) -> Tensor:
        """The formula's answer.

        Args:
            method: one of METHODS.
            images: (N, C, H, W).
            sigma: of the noise of SmoothGrad.

        Returns:
            (N, C, H, W); of occlusion, which hides a pixel in all channels at once, (N, 1, H, W).

        Raises:
            LookupError: no such method.
        """
        if method not in METHODS:
            raise unknown("method", method, METHODS)
        with torch.no_grad():
            return self._attribution(method, images.detach(), sigma)

    def _attribution(self, method: str, x: Tensor, sigma: float) -> Tensor:
        u, start = self.inner(x), self.inner(torch.zeros_like(x))

        def each(factor: Tensor) -> Tensor:  # (N,) times the weights
            return factor.view(-1, 1, 1, 1) * self.weight

        if method == "gradient":
            return each(self.gradient(u))
        if method == "gradient x input":
            return each(self.gradient(u)) * x
        if method == "integrated gradients":  # the mean gradient on the straight way from the baseline
            way = u - start
            chord = (self.outer(u) - self.outer(start)) / torch.where(way == 0, 1.0, way)
            return each(torch.where(way == 0, self.gradient(u), chord)) * x
        if method == "SmoothGrad":
            return each(self.mean_gradient(u, sigma * self.weight.norm()))
        hidden = u.view(-1, 1, 1) - (x * self.weight).sum(dim=1)  # (N, H, W), u without each pixel
        return (self.outer(u).view(-1, 1, 1) - self.outer(hidden))[:, None]


class Relu(Form):
    """relu(w·x + b): SmoothGrad sees the corner from afar."""

    label = "relu(w·x + b)"
    formulas = tuple(
        "w [u > 0]; w x [u > 0]; w x (relu(u) - relu(b)) / (u - b); w Φ(u / (σ |w|)); "
        "relu(u) - relu(u - w x)".split("; ")
    )

    def outer(self, u: Tensor) -> Tensor:
        return u.relu()

    def gradient(self, u: Tensor) -> Tensor:
        return (u > 0).to(u)

    def mean_gradient(self, u: Tensor, spread: Tensor) -> Tensor:
        return _normal(u, spread)


class Saturating(Form):
    """1 - relu(1 - x1 - x2): full at x1 + x2 = 1. Beyond, the gradient is zero, though both gave it its 1."""

    label = "1 - relu(1 - x1 - x2)"
    formulas = tuple(
        "[v > 0], v = 1 - x1 - x2; x [v > 0]; x, beyond 1 x / (x1 + x2); Φ(v / (σ √2)); "
        "relu(v + x) - relu(v)".split("; ")
    )

    def __init__(self, dtype: torch.dtype = torch.float32):
        super().__init__(torch.ones(1, 1, 2, dtype=dtype))

    def outer(self, u: Tensor) -> Tensor:
        return 1 - (1 - u).relu()

    def gradient(self, u: Tensor) -> Tensor:
        return (u < 1).to(u)

    def mean_gradient(self, u: Tensor, spread: Tensor) -> Tensor:
        return _normal(1 - u, spread)


class Square(Form):
    """The sum of w x^2: gradient x input counts everything twice."""

    label = "w·x²"
    formulas = ("2 w x", "2 w x²", "w x²", "2 w x", "w x²")

    def inner(self, images: Tensor) -> Tensor:
        return super().inner(images**2)

    def _attribution(self, method: str, x: Tensor, sigma: float) -> Tensor:  # noqa: ARG002  (the noise cancels out)
        if method in ("gradient", "SmoothGrad"):
            return 2 * self.weight * x
        parts = self.weight * x**2
        if method == "gradient x input":
            return 2 * parts
        return parts if method == "integrated gradients" else parts.sum(dim=1, keepdim=True)


class Product(Form):
    """x1 x2, two inputs that only work together: who is to get the credit? Integrated gradients halve it."""

    label = "x1 x2"
    formulas = ("the other", "x1 x2", "x1 x2 / 2", "the other", "x1 x2")

    def __init__(self, dtype: torch.dtype = torch.float32):
        super().__init__(torch.ones(1, 1, 2, dtype=dtype))

    def inner(self, images: Tensor) -> Tensor:
        return (images * self.weight).prod(dim=3).sum(dim=(1, 2)) + self.bias

    def _attribution(self, method: str, x: Tensor, sigma: float) -> Tensor:  # noqa: ARG002  (the noise cancels out)
        if method in ("gradient", "SmoothGrad"):
            return x.flip(3)
        both = x * x.flip(3)
        return both / 2 if method == "integrated gradients" else both


class Row(NamedTuple):
    """One method on one function at one point.

    Attributes:
        function, method: their names.
        formula: of the answer, in words.
        x: the inputs, in reading order.
        attribution: for each of them.
        total: the sum of the answer.
        expected: f(x) - f(0), which a complete method's answer adds up to.
        complete: does it?
    """

    function: str
    method: str
    formula: str
    x: tuple[float, ...]
    attribution: tuple[float, ...]
    total: float
    expected: float
    complete: bool


def forms(dtype: torch.dtype = torch.float32) -> list[tuple[Form, Tensor]]:
    """Each function of two pixels a and b, with a telling point (1, 1, 1, 2)."""
    weight = torch.tensor([[[2.0, -1.0]]], dtype=dtype)

    def at(first: float, second: float) -> Tensor:
        return torch.tensor([[[[first, second]]]], dtype=dtype)

    labelled = [
        (Form(weight, 0.5), "2a - b + 0.5", at(3, 1)),
        (Square(weight.abs()), "2a² + b²", at(3, -1)),
        (Product(dtype), "ab", at(3, -1)),
        (Relu(weight, -1.0), "relu(2a - b - 1)", at(1, -1)),
        (Saturating(dtype), "1 - relu(1 - a - b)", at(1, 1)),
    ]
    for form, label, _ in labelled:
        form.label = label  # with its numbers
    return [(form, x) for form, _, x in labelled]


def table(*, sigma: float = 0.5, tolerance: float = 1e-5) -> list[Row]:
    """Every method on every function of `forms`: what it says, and whether it adds up.

    Args:
        sigma: of the noise of SmoothGrad.
        tolerance: how near the sum must come to count as complete.

    Returns:
        A row for each function and method.

    >>> [row.method for row in table() if row.function == "ab" and row.complete]
    ['integrated gradients']
    """
    rows = []
    for form, x in forms(torch.float64):
        with torch.no_grad():
            expected = (form(x) - form(torch.zeros_like(x))).item()
        for method, formula in zip(METHODS, form.formulas, strict=True):
            attribution = form.attribution(method, x, sigma=sigma)
            total = attribution.sum().item()
            numbers = tuple(x.flatten().tolist()), tuple(attribution.flatten().tolist())
            rows.append(
                Row(
                    form.label, method, formula, *numbers, total, expected, abs(total - expected) <= tolerance
                )
            )
    return rows


def _normal(u: Tensor, spread: Tensor) -> Tensor:
    """The chance that u plus noise of this spread is above 0."""
    if float(spread) == 0:
        return (u > 0).to(u)
    return (1 + torch.erf(u / (spread * math.sqrt(2)))) / 2
