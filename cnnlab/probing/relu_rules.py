"""How a gradient passes a ReLU: three rules, and which calls in a network are ReLUs.

Type of a rule: (gradient from above g, output of the ReLU y) -> gradient below, all of one shape; y > 0
exactly where the input x > 0. Nothing here touches a model: `hooks.relu_rule` puts a rule to work.

Papers: Simonyan et al. 2014 (gradient), Zeiler & Fergus 2014 (deconvnet), Springenberg et al. 2015 (guided).
"""

import inspect
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cnnlab.probing.units import unique_modules

Rule = Callable[[Tensor, Tensor], Tensor]
_where_on = torch.ops.aten.threshold_backward  # g where y > 0, else zero: one pass over the numbers


def gradient(g: Tensor, y: Tensor) -> Tensor:
    """g * [x > 0]: the true derivative. Passes where the unit was on."""
    return _where_on(g, y, 0)


def deconvnet(g: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001  (that it never looks at y is the point)
    """g * [g > 0]: rectify what comes from above, whether the unit was on or not."""
    return g.clamp(min=0)


def guided(g: Tensor, y: Tensor) -> Tensor:
    """g * [g > 0] * [x > 0]: both at once."""
    return _where_on(g.clamp(min=0), y, 0)


NAMED: dict[str, Rule] = {"gradient": gradient, "deconvnet": deconvnet, "guided": guided}

# Every door to the same function, as seen by torch.overrides.TorchFunctionMode.
_ATEN = torch.ops.aten
IN_PLACE = {F.relu_, torch.relu_, Tensor.relu_, _ATEN.relu_, _ATEN.relu_.default}
RELUS = {F.relu, torch.relu, Tensor.relu, _ATEN.relu, _ATEN.relu.default, *IN_PLACE}

# Activations for which no paper says what the rule would be. (Sigmoid, tanh, softmax are left as they are.)
_RELATIVES = (
    "relu6 hardtanh leaky_relu prelu rrelu elu selu celu gelu silu mish softplus hardswish threshold "
    "softshrink hardshrink logsigmoid rnn_relu rnn_relu_cell"
).split()
UNDEFINED = {
    getattr(home, name): wanted
    for wanted in _RELATIVES
    for home in (F, torch, Tensor, torch._C._nn)
    for name in (wanted, wanted + "_")
    if hasattr(home, name)
}


class RuledRelu(torch.autograd.Function):
    """ReLU forwards; backwards whatever the rule says."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, rule: Rule) -> Tensor:  # noqa: ARG004
        return x.clamp(min=0)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.rule = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:
        return ctx.rule(g, *ctx.saved_tensors), None


class RuledReluInPlace(RuledRelu):
    """The same, written into x: as much memory and time as nn.ReLU(inplace=True)."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, rule: Rule) -> Tensor:  # noqa: ARG004
        return x.clamp_(min=0)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.mark_dirty(inputs[0])
        RuledRelu.setup_context(ctx, inputs, output)


# torch looks the signature up at every call; looked up once, it costs nothing.
for each in (RuledRelu, RuledReluInPlace):
    each.forward.__signature__ = inspect.signature(each.forward)


def rectify(x: Tensor, rule: Rule, in_place: bool) -> Tensor:
    """ReLU of x under a rule; with in_place also written into x, as nn.ReLU(inplace=True) does."""
    if in_place and not x._is_view() and not torch._C._functorch.is_functorch_wrapped_tensor(x):
        return RuledReluInPlace.apply(x, rule)
    y = RuledRelu.apply(x, rule)
    # By a copy: a function of autograd that works in place gives wrong gradients where x is a view.
    return x.copy_(y) if in_place else y


class Inside(TorchFunctionMode):
    """Sees every torch function called, and swaps the ReLUs called while the model is running."""

    def __init__(self, model: nn.Module, name: str, rule: Rule):
        super().__init__()
        self.model, self.name, self.rule = model, name, rule
        self.parts = set(unique_modules(model))
        self.depth = self.met = self.passes = self.finished = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        kwargs = kwargs or {}
        if self.depth and func in RELUS:
            self.met += 1
            x = args[0] if args else kwargs["input"]
            asked = args[1] if len(args) > 1 else kwargs.get("inplace", False)
            return rectify(x, self.rule, in_place=asked or func in IN_PLACE)
        if self.depth and func in UNDEFINED:
            raise ValueError(
                f"the rule {self.name!r} is defined for ReLU, and this model uses "
                f"{UNDEFINED[func]}. Use rule='gradient', or a model with ReLUs."
            )
        return func(*args, **kwargs)

    def enter(self, module: nn.Module, _inputs: object) -> None:
        if module in self.parts:
            self.passes += not self.depth
            self.depth += 1

    def finish(self, module: nn.Module, _inputs: object, output: object) -> None:
        if self.depth == 1 and output is not None and module in self.parts:  # None: ended early by a Recorder
            self.finished += 1
            if module is self.model:
                self.check()

    def check(self) -> None:
        if not self.passes:
            raise ValueError(
                f"the rule {self.name!r} did nothing: run the model inside the with block, "
                "because the rule goes with the forward pass"
            )
        if self.finished and not self.met:
            raise ValueError(
                f"the rule {self.name!r} met no ReLU: this would be the plain gradient. "
                "Use rule='gradient', or build the model with nn.ReLU or F.relu."
            )

    def leave(self, module: nn.Module, *_: object) -> None:
        self.depth -= module in self.parts
