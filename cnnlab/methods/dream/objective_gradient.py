"""One look at an image: the value of an objective, and its gradient at the pixels.

Type: (image, how it is moved) -> values (B,), gradient (B, C, H, W). What is recorded in the one pass are the
layers that the objective reads, and the pass ends at the last of them.

Paper: Olah, Mordvintsev & Schubert 2017; the redirected ReLU is in the code that came with it, lucid.
"""

from collections.abc import Callable
from contextlib import ExitStack
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.dream.objective_algebra import Objective, Seen
from cnnlab.probing import Recorder, frozen, layer as find, preserved, relu_rule, relu_rules


class Evaluation(NamedTuple):
    """What one look at a batch of images found.

    Attributes:
        values: (B,) of the objective.
        gradient: (B, C, H, W), at the pixels.
        has_gradient: (B,) bool, did a gradient come through the network, if there is one? None: nobody asked.
        redirected: (B,) bool, is the gradient one that ReLUs were asked to let through? None: of no image.
    """

    values: Tensor
    gradient: Tensor
    has_gradient: Tensor | None
    redirected: Tensor | None = None


class ObjectiveGradient:
    """Inside the block, `evaluate` looks at images, and the model is `frozen`: frozen, and in eval mode.

    Attributes:
        passes: how often the network ran.
    """

    def __init__(self, model: nn.Module, objective: Objective):
        self.model, self.objective = model, objective
        self.classes = tuple(getattr(model, "classes", ()))
        self.passes, self.memory_format, self.can_redirect = 0, torch.channels_last, True
        self.dtype = next((w.dtype for w in model.parameters() if w.is_floating_point()), None)
        layers, needs_output = objective.layers, objective.output
        self.acts = Recorder(model, *layers, stop=not needs_output, grad=True) if layers else None

    def __enter__(self) -> "ObjectiveGradient":
        with ExitStack() as stack:
            stack.enter_context(frozen(self.model, channels_last=self.memory_format is torch.channels_last))
            if self.acts is not None:
                stack.enter_context(self.acts)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def evaluate(
        self,
        image: Tensor,
        transform: Callable[[Tensor], Tensor],
        *,
        redirect: bool = False,
        check_gradient: bool = True,
    ) -> Evaluation:
        """Value and gradient of the objective.

        Args:
            image: (B, C, H, W), a leaf that asks for a gradient.
            transform: image -> what the network gets to see, (B, C, H', W').
            redirect: where no gradient comes through the network, look once more, and let gradients through
                ReLUs that are off, as `redirected_relu` says. Images that have a gradient keep it.
            check_gradient: shall it be found out which images have a gradient? With redirect it is in any
                case.

        Raises:
            ValueError: a value or a gradient is not finite, or does not depend on the image.
        """
        values, gradient, gradient_at_input = self._gradients(image, transform, redirect=False)
        has_gradient = _nonzero(gradient_at_input) if redirect or check_gradient else None
        if not redirect or not self.can_redirect or has_gradient.all():
            return Evaluation(values, gradient, has_gradient)
        _, redirected_gradient, gradient_at_input = self._gradients(image, transform, redirect=True)
        redirected = _nonzero(gradient_at_input) & ~has_gradient
        return Evaluation(
            values,
            torch.where(redirected.view(-1, 1, 1, 1), redirected_gradient, gradient),
            has_gradient,
            redirected,
        )

    def _gradients(
        self, image: Tensor, transform: Callable[[Tensor], Tensor], *, redirect: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(B,) values, the gradient at the image, and that at the input of the network."""
        view = transform(image)
        seen = self._pass(image, view, redirect)
        values = self.objective(seen)
        if values.shape != (len(image),):
            raise ValueError(f"an objective has one value per image, not {tuple(values.shape)}")
        gradient, gradient_at_input = None, None
        if values.requires_grad:
            sources, ones = (image, view), torch.ones_like(values)
            gradient, gradient_at_input = torch.autograd.grad(values, sources, ones, allow_unused=True)
        if gradient is None:
            raise ValueError(
                f"{self.objective} does not depend on the image in a way that a gradient comes back by"
            )
        # One number says whether any of many is not finite.
        if not isfinite(float(values.detach().sum() + gradient.sum())):
            raise ValueError(
                f"{self.objective} or its gradient is not finite (nan or inf): look at the weights"
            )
        if not seen.layers and seen.output is None:  # the network was not asked
            gradient_at_input = gradient
        elif gradient_at_input is None:
            gradient_at_input = torch.zeros_like(gradient)
        return values.detach(), gradient, gradient_at_input

    def _pass(self, image: Tensor, view: Tensor, redirect: bool) -> Seen:
        if self.acts is None and not self.objective.output:
            return Seen(image)
        self.passes += 1
        output = self._redirected(view) if redirect else self._forward(view)
        layers = {name: self.acts.calls(name)[0] for name in self.objective.layers}
        return Seen(image, layers, output if self.objective.output else None, self.classes)

    def _redirected(self, view: Tensor) -> Tensor | None:
        try:
            with relu_rule(self.model, redirected_relu):
                return self._forward(view)
        except ValueError:  # no ReLU on the way, or another activation: nothing to redirect, now or later
            self.can_redirect = False
        return self._forward(view)

    def _forward(self, view: Tensor) -> Tensor | None:
        # A clone: a first layer may work in place.
        try:
            return self.model(self._copy(view))
        except RuntimeError as error:
            # A model that calls Tensor.view on its maps cannot take images whose channels lie side by side.
            if self.memory_format is torch.contiguous_format or "view size is not compatible" not in str(
                error
            ):
                raise
        self._stack.close()
        self.memory_format = torch.contiguous_format
        self.__enter__()
        return self.model(self._copy(view))

    def _copy(self, view: Tensor) -> Tensor:
        """In the layout and the precision of the network."""
        copy = view.clone(memory_format=self.memory_format)
        return copy if self.dtype is None else copy.to(self.dtype)


def _nonzero(gradient: Tensor) -> Tensor:
    """(B, …) -> (B,) is any number of an image's gradient not zero?"""
    return gradient.flatten(1).any(dim=1)


def redirected_relu(g: Tensor, y: Tensor) -> Tensor:
    """The rule of a ReLU that may be off: the plain gradient; where a map has none, what would open it.

    Each map is asked by itself; of a layer without positions, the layer as a whole. (In lucid all maps of a
    image are asked together: a single one that is on lets the others sleep.)

    Args:
        g: (B, C, …), the gradient from above, of something that is to rise.
        y: (B, C, …), the output of the ReLU.
    """
    plain = relu_rules.gradient(g, y)
    positions = tuple(range(2, g.dim())) if g.dim() > 2 else -1
    off = torch.linalg.vector_norm(plain, ord=float("inf"), dim=positions) == 0  # (B, C), or (B,)
    if off.any():
        plain[off] = g[off].clamp(min=0)
    return plain


def image_shape(
    model: nn.Module, size: int | tuple[int, int] | None, start: str | Tensor
) -> tuple[int, int, int]:
    """(C, rows, columns) of the images to make.

    Raises:
        ValueError: a start that is no image, or of another size than was asked for.
    """
    if isinstance(start, str):
        if start != "noise":
            raise ValueError(f"start is 'noise' or an image (N, C, H, W), not {start!r}")
    else:
        check_image_input(start, "start")
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


def prepare_image(model: nn.Module, image: Tensor) -> Tensor:
    """A copy of an image in the precision of the network, after a look at its channels.

    Raises:
        ValueError: the first convolution takes another number of channels.
    """
    first = next((part for part in model.modules() if isinstance(part, nn.Conv2d)), None)
    own = getattr(model, "input_size", None)
    wanted = own[0] if own is not None else None if first is None else first.in_channels
    if wanted is not None and image.shape[1] != wanted:
        raise ValueError(f"the network takes images of {wanted} channels, not {tuple(image.shape)}")
    like = next((w for w in model.parameters() if w.is_floating_point()), image)
    return image.detach().clone().to(like.device, like.dtype)


def layer_output(model: nn.Module, image: Tensor, name: str) -> Tensor:
    """What a layer puts out for an image, in its first run; nothing behind it is run.

    Raises:
        LookupError: no such layer.
        ValueError: as `prepare_image`.
    """
    find(model, name)
    with preserved(model, grad=False), Recorder(model, name, stop=True) as acts:
        model(prepare_image(model, image))
        return acts.calls(name)[0]


def check_image_input(image: object, name: str = "the image") -> None:
    """(N, C, H, W), floating point, in [0, 1], or a ValueError."""
    if not isinstance(image, Tensor) or not image.is_floating_point() or image.dim() != 4 or not len(image):
        given = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"{name} is (N, C, H, W), floating point, at least one; not {given}")
    if not (image.isfinite().all() and image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"{name} has pixels in [0, 1]; here are others, or some that are not finite")
