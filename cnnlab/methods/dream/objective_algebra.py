"""A sum of weighted terms that an image is to make large: the algebra of objectives.

Type of an objective: Seen -> (B,), one value for each image of a batch; larger is better. `objectives` has
the terms of the lecture by name.

Paper: Olah, Mordvintsev & Schubert, Feature visualization, Distill 2017.
"""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import NamedTuple

from torch import Tensor


class Seen(NamedTuple):
    """What one pass shows: all that an objective may read.

    Attributes:
        image: (B, C, H, W) in [0, 1], as it is, before the transforms.
        layers: name -> what that layer put out, (B, C, rows, cols) or (B, C).
        output: (B, classes) logits, or None if no term asked for them.
        classes: the names of the classes, if the model has some.
    """

    image: Tensor
    layers: Mapping[str, Tensor] = {}
    output: Tensor | None = None
    classes: tuple[str, ...] = ()


class Term(NamedTuple):
    """One part of an objective.

    Attributes:
        name: what is printed.
        value: Seen -> (B,).
        layers: those that must be recorded.
        output: are the logits needed?
        n_images: for how many images; None: any number.
    """

    name: str
    value: Callable[[Seen], Tensor]
    layers: tuple[str, ...] = ()
    output: bool = False
    n_images: int | None = None


class Objective:
    """A sum of weighted terms: the value of an image, to be made large.

    Objectives add and subtract; a number scales them; a minus sign turns them round.

    >>> bright = term("bright", lambda seen: seen.image.mean(dim=(1, 2, 3)))
    >>> rough = term("rough", lambda seen: seen.image.std(dim=(1, 2, 3)))
    >>> sum([bright, -2 * rough]) / 4
    0.25 * bright - 0.5 * rough
    """

    def __init__(self, terms: Sequence[tuple[float, Term]]):
        self.terms = tuple(terms)
        batches = sorted({term.n_images for _, term in self.terms if term.n_images is not None})
        if len(batches) > 1:
            raise ValueError(
                f"these terms are about {' and '.join(map(str, batches))} images; take one number"
            )
        self.n_images = batches[0] if batches else None
        self.layers = tuple(dict.fromkeys(name for _, term in self.terms for name in term.layers))
        self.output = any(term.output for _, term in self.terms)

    def __call__(self, seen: Seen) -> Tensor:
        """One value for each image, (B,); gradients flow through."""
        values = [
            term.value(seen) if weight == 1 else weight * term.value(seen) for weight, term in self.terms
        ]
        return sum(values[1:], values[0])

    def __add__(self, other: "Objective") -> "Objective":
        if isinstance(other, Real) and other == 0:  # where sum() starts
            return self
        return Objective(self.terms + other.terms) if isinstance(other, Objective) else NotImplemented

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -other if isinstance(other, Objective) else NotImplemented

    def __mul__(self, factor: float) -> "Objective":
        if not isinstance(factor, Real) or isinstance(factor, bool):
            return NotImplemented
        if not abs(factor) < float("inf"):
            raise ValueError(f"an objective is scaled by a finite number, not by {factor}")
        return Objective([(weight * float(factor), term) for weight, term in self.terms])

    def __truediv__(self, divisor: float) -> "Objective":
        return self * (1 / divisor) if isinstance(divisor, Real) else NotImplemented

    def __neg__(self) -> "Objective":
        return self * -1

    __radd__, __rmul__ = __add__, __mul__

    def __repr__(self) -> str:
        text = ""
        for weight, term in self.terms:
            size = "" if abs(weight) == 1 else f"{abs(weight):g} * "
            sign = "-" if weight < 0 else "+"
            text += f" {sign} {size}{term.name}" if text else f"{'-' if weight < 0 else ''}{size}{term.name}"
        return text


def term(
    name: str,
    value: Callable[[Seen], Tensor],
    *layers: str,
    output: bool = False,
    n_images: int | None = None,
) -> Objective:
    """An objective of one term, as it is described there."""
    return Objective([(1.0, Term(name, value, layers, output, n_images))])
