"""One look at a picture: the value of an objective, and its slope at the pixels.

Type: (picture, how it is moved) -> values (B,), slope (B, C, H, W). What is recorded in the one pass are the
layers that the objective reads, and the pass ends at the last of them.

Paper: Olah, Mordvintsev & Schubert 2017; the redirected ReLU is in the code that came with it, lucid.
"""

from collections.abc import Callable
from contextlib import ExitStack
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.dream.objective import Objective, Seen
from cnnlab.probing import Recorder, layer as find, relu_rule, rules, settled, undisturbed


class Look(NamedTuple):
    """What one look at a batch of pictures found.

    Attributes:
        values: (B,) of the objective.
        slope: (B, C, H, W), at the pixels.
        awake: (B,) bool, did a slope come through the network, if there is one? None: nobody asked.
        opened: (B,) bool, is the slope one that ReLUs were asked to let through? None: of no picture.
    """

    values: Tensor
    slope: Tensor
    awake: Tensor | None
    opened: Tensor | None = None


class Watch:
    """Inside the block, `look` looks at pictures, and the model is `settled`: frozen, and in eval mode.

    Attributes:
        passes: how often the network ran.
    """

    def __init__(self, model: nn.Module, objective: Objective):
        self.model, self.objective = model, objective
        self.classes = tuple(getattr(model, "classes", ()))
        self.passes, self.layout, self.rule = 0, torch.channels_last, True
        self.dtype = next((w.dtype for w in model.parameters() if w.is_floating_point()), None)
        layers, whole = objective.layers, objective.output
        self.acts = Recorder(model, *layers, stop=not whole, grad=True) if layers else None

    def __enter__(self) -> "Watch":
        with ExitStack() as stack:
            stack.enter_context(settled(self.model, channels_last=self.layout is torch.channels_last))
            if self.acts is not None:
                stack.enter_context(self.acts)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def look(
        self,
        picture: Tensor,
        move: Callable[[Tensor], Tensor],
        *,
        redirect: bool = False,
        ask_awake: bool = True,
    ) -> Look:
        """Value and slope of the objective.

        Args:
            picture: (B, C, H, W), a leaf that asks for a gradient.
            move: picture -> what the network gets to see, (B, C, H', W').
            redirect: where no slope comes through the network, look once more, and let slopes through ReLUs
                that are off, as `redirected` says. Pictures that have a slope keep it.
            ask_awake: shall it be found out which pictures have a slope? With redirect it is in any case.

        Raises:
            ValueError: a value or a slope is not finite, or does not depend on the picture.
        """
        values, slope, through = self._slopes(picture, move, redirect=False)
        awake = _any(through) if redirect or ask_awake else None
        if not redirect or not self.rule or awake.all():
            return Look(values, slope, awake)
        _, let_through, through = self._slopes(picture, move, redirect=True)
        opened = _any(through) & ~awake
        return Look(values, torch.where(opened.view(-1, 1, 1, 1), let_through, slope), awake, opened)

    def _slopes(
        self, picture: Tensor, move: Callable[[Tensor], Tensor], *, redirect: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B,) values, the slope at the picture, and what came of it through the network."""
        view = move(picture)
        seen = self._pass(picture, view, redirect)
        values = self.objective(seen)
        if values.shape != (len(picture),):
            raise ValueError(f"an objective has one value per picture, not {tuple(values.shape)}")
        slope, through = None, None
        if values.requires_grad:
            sources, ones = (picture, view), torch.ones_like(values)
            slope, through = torch.autograd.grad(values, sources, ones, allow_unused=True)
        if slope is None:
            raise ValueError(
                f"{self.objective} does not depend on the picture in a way that a slope comes back by"
            )
        # One number says whether any of many is not finite.
        if not isfinite(float(values.detach().sum() + slope.sum())):
            raise ValueError(f"{self.objective} or its slope is not finite (nan or inf): look at the weights")
        if not seen.layers and seen.output is None:  # the network was not asked
            through = slope
        elif through is None:
            through = torch.zeros_like(slope)
        return values.detach(), slope, through

    def _pass(self, picture: Tensor, view: Tensor, redirect: bool) -> Seen:
        if self.acts is None and not self.objective.output:
            return Seen(picture)
        self.passes += 1
        output = self._redirected(view) if redirect else self._plain(view)
        layers = {name: self.acts.calls(name)[0] for name in self.objective.layers}
        return Seen(picture, layers, output if self.objective.output else None, self.classes)

    def _redirected(self, view: Tensor) -> Tensor | None:
        try:
            with relu_rule(self.model, redirected):
                return self._plain(view)
        except ValueError:  # no ReLU on the way, or another activation: nothing to redirect, now or later
            self.rule = False
        return self._plain(view)

    def _plain(self, view: Tensor) -> Tensor | None:
        # A clone: a first layer may work in place.
        try:
            return self.model(self._copy(view))
        except RuntimeError as error:
            # A model that calls Tensor.view on its maps cannot take pictures whose channels lie side by side.
            if self.layout is torch.contiguous_format or "view size is not compatible" not in str(error):
                raise
        self._stack.close()
        self.layout = torch.contiguous_format
        self.__enter__()
        return self.model(self._copy(view))

    def _copy(self, view: Tensor) -> Tensor:
        """In the layout and the precision of the network."""
        copy = view.clone(memory_format=self.layout)
        return copy if self.dtype is None else copy.to(self.dtype)


def _any(slope: Tensor) -> Tensor:
    """(B, …) -> (B,) is any number of a picture's slope not zero?"""
    return slope.flatten(1).any(dim=1)


def redirected(g: Tensor, y: Tensor) -> Tensor:
    """The rule of a ReLU that may be off: the plain slope; where a map has none, what would open it.

    Each map is asked by itself; of a layer without places, the layer as a whole. (In lucid all maps of a
    picture are asked together: a single one that is on lets the others sleep.)

    Args:
        g: (B, C, …), the slope from above, of something that is to rise.
        y: (B, C, …), the output of the ReLU.
    """
    plain = rules.gradient(g, y)
    places = tuple(range(2, g.dim())) if g.dim() > 2 else -1
    off = torch.linalg.vector_norm(plain, ord=float("inf"), dim=places) == 0  # (B, C), or (B,)
    if off.any():
        plain[off] = g[off].clamp(min=0)
    return plain


def shape_of(
    model: nn.Module, size: int | tuple[int, int] | None, start: str | Tensor
) -> tuple[int, int, int]:
    """(C, rows, columns) of the pictures to make.

    Raises:
        ValueError: a start that is no picture, or of another size than was asked for.
    """
    if isinstance(start, str):
        if start != "noise":
            raise ValueError(f"start is 'noise' or a picture (N, C, H, W), not {start!r}")
    else:
        refuse_no_picture(start, "start")
    own = getattr(model, "input_size", None)
    if size is None:
        sides = tuple(own[1:]) if own is not None else (64, 64)
        sides = tuple(start.shape[2:]) if isinstance(start, Tensor) else sides
    else:
        sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 1 for side in sides):
        raise ValueError(f"size is a side in pixels, 2 or more, or (rows, columns); not {size!r}")
    if isinstance(start, Tensor):
        if tuple(start.shape[2:]) != sides:
            raise ValueError(f"start is {tuple(start.shape[2:])}, and the size {sides}: resize one of them")
        return (start.shape[1], *sides)
    if own is not None:
        return (own[0], *sides)
    first = next((part for part in model.modules() if isinstance(part, nn.Conv2d)), None)
    return (3 if first is None else first.in_channels, *sides)


def fitting(model: nn.Module, image: Tensor) -> Tensor:
    """A copy of a picture in the precision of the network, after a look at its channels.

    Raises:
        ValueError: the first convolution takes another number of channels.
    """
    first = next((part for part in model.modules() if isinstance(part, nn.Conv2d)), None)
    own = getattr(model, "input_size", None)
    wanted = own[0] if own is not None else None if first is None else first.in_channels
    if wanted is not None and image.shape[1] != wanted:
        raise ValueError(f"the network takes pictures of {wanted} channels, not {tuple(image.shape)}")
    like = next((w for w in model.parameters() if w.is_floating_point()), image)
    return image.detach().clone().to(like.device, like.dtype)


def answer(model: nn.Module, image: Tensor, name: str) -> Tensor:
    """What a layer puts out for a picture, in its first run; nothing behind it is run.

    Raises:
        LookupError: no such layer.
        ValueError: as `fitting`.
    """
    find(model, name)
    with undisturbed(model, grad=False), Recorder(model, name, stop=True) as acts:
        model(fitting(model, image))
        return acts.calls(name)[0]


def refuse_no_picture(image: object, name: str = "the picture") -> None:
    """(N, C, H, W), floating point, in [0, 1], or a ValueError."""
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.dim() != 4 or not len(image):
        given = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"{name} is (N, C, H, W), floating point, at least one; not {given}")
    if not (image.isfinite().all() and image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"{name} has pixels in [0, 1]; here are others, or some that are not finite")
