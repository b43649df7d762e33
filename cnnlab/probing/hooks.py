"""Record, edit and re-rule a running network, and leave it as it was: the only file that touches a model.

Type: with something(model, …): y = model(image). Names are checked first, hooks live only inside the block,
and whatever was changed is put back on every exit, also after an exception.

Papers: Zeiler & Fergus 2014, Springenberg et al. 2015 (`relu_rule`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from cnnlab.errors import unknown
from cnnlab.probing import relu_rules
from cnnlab.probing.units import check_not_compiled, layer, layers


class _Enough(Exception):
    """Ends a forward pass in which its owner has seen everything; never leaves this file."""


class Recorder:
    """Keeps what named layers put out.

        with Recorder(model, "conv2", "relu2") as acts:
            model(image)
        acts["conv2"]  # (N, C, rows, cols)

    The records are those of the latest pass. They are copies: an in-place ReLU after a layer leaves them
    alone.

    Args:
        model: any network; not a compiled or scripted one, whose layers cannot be seen.
        names: the layers to record.
        stop: end each pass as soon as every named layer has run; the rest of the network is never computed,
            and model(image) returns None. Of a layer that runs several times, the first call is recorded.
        grad: keep the records in the graph, so that torch.autograd.grad reaches from the output to them and
            from them to the image. Otherwise they are plain numbers.
        copy: False, only with stop and one name: the record is the layer's own tensor. Half as much memory,
            but it may be the image itself: only read it.

    Raises:
        LookupError: for a name that the model does not have, or a record that was never made.
        TypeError: for a layer that puts out something other than one tensor.
    """

    def __init__(
        self, model: nn.Module, *names: str, stop: bool = False, grad: bool = False, copy: bool = True
    ):
        if not copy and (grad or not stop or len(names) != 1):
            raise ValueError(
                "copy=False needs stop=True, one layer and no grad: what runs on may write into it"
            )
        if not names:
            raise ValueError(f"name at least one layer to record. Layers: {', '.join(layers(model))}")
        for name in names:
            layer(model, name)
        check_not_compiled(model)
        self.model, self.names = model, tuple(dict.fromkeys(names))
        self.stop, self.grad, self.copy = stop, grad, copy
        self._calls: dict[str, list[Tensor]] = {name: [] for name in self.names}
        self._passes, self._open = 0, None

    def __enter__(self) -> "Recorder":
        if self._open is not None:
            raise ValueError("this Recorder is already open; make a second one")
        with ExitStack() as stack:
            stack.enter_context(on_model_call(self.model, begins=self._begin))
            stack.enter_context(on_forward(self.model, self.names, self._keep))
            if self.stop:
                stack.enter_context(_ending(self.model, self))
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        stack, self._open = self._open, None
        stack.close()
        # Only where a part of the model was called by itself does the end of its pass come as far as here.
        return kind is _Enough and error.args == (self,)

    def __getitem__(self, name: str) -> Tensor:
        calls = self.calls(name)
        if len(calls) > 1:
            raise ValueError(
                f"layer {name!r} ran {len(calls)} times in one pass, so it has no single output. "
                f"Use .calls({name!r})[0] to [{len(calls) - 1}], or record a layer around it."
            )
        return calls[0]

    def calls(self, name: str) -> list[Tensor]:
        """The output of every run of this layer in the latest pass, in order."""
        if name not in self._calls:
            raise unknown("recorded layer", name, self.names)
        if not self._calls[name]:
            reason = (
                "the model has not been run inside the with block"
                if not self._passes
                else "the forward pass did not call it (a part for training only, a module whose weights are "
                "used without calling it, or the pass ended earlier)"
            )
            raise LookupError(f"layer {name!r} has no record: {reason}")
        return list(self._calls[name])

    def _begin(self) -> None:
        self._passes += 1
        for calls in self._calls.values():
            calls.clear()

    def _keep(self, name: str, output: object) -> Tensor | None:
        output = _one_tensor(name, output, "recorded")
        self._passes = max(self._passes, 1)
        # With grad the record itself stays on the path, and the network goes on with a copy of it; without,
        # the network goes on with its own tensor.
        kept = output if self.grad else output.detach()
        kept = kept.clone() if self.copy else kept
        self._calls[name].append(kept)
        if self.stop and all(self._calls.values()):
            raise _Enough(self)
        return kept.clone() if self.grad else None


@contextmanager
def edit(model: nn.Module, name: str, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block, function(output) takes the place of what a layer puts out: ablate, patch, steer.

        with edit(model, "conv2", lambda a: a * keep):  # keep: (C, 1, 1) of 0 and 1
            y = model(image)

    Args:
        model: any network; not a compiled or scripted one.
        name: the layer. A Recorder opened inside the block sees the edited output, one opened around it the
            old one.
        function: gets a copy of the output (it may change it in place) and returns a tensor of its shape.

    Raises:
        LookupError: for a wrong name, or at the end of the block if the layer never ran.
        TypeError, ValueError: if the function returns no tensor, or one of another shape.
    """
    layer(model, name)
    check_not_compiled(model)
    ran = False

    def replace(name: str, output: object) -> Tensor:
        nonlocal ran
        ran = True
        output = _one_tensor(name, output, "edited")
        new = function(output.clone())
        if not isinstance(new, Tensor):
            raise TypeError(f"the edit of {name!r} must return a tensor, not {type(new).__name__}: return it")
        if new.shape != output.shape:
            raise ValueError(
                f"the edit of {name!r} must keep the shape {tuple(output.shape)}, "
                f"but returned {tuple(new.shape)}"
            )
        return new.clone()  # an in-place ReLU that follows must not write into the caller's tensor

    with on_forward(model, [name], replace):
        yield
    if not ran:
        raise LookupError(f"nothing was edited: layer {name!r} did not run inside the with block")


@contextmanager
def relu_rule(model: nn.Module, rule: str | relu_rules.Rule) -> Iterator[None]:
    """Inside the block, forward passes of this model build gradients that pass every ReLU by this rule.

        with relu_rule(model, "guided"):
            y = model(x)
            g, = torch.autograd.grad(y[0, target], x)

    It holds for nn.ReLU, F.relu, torch.relu, Tensor.relu_ and their in-place and shared forms alike. The rule
    goes with the forward pass: a pass before the block keeps its gradient, one inside keeps the rule.

    Args:
        model: the network, or a part of it may be called; not a compiled or scripted one.
        rule: "gradient" (g * [x > 0], which changes nothing), "deconvnet" (g * [g > 0]), "guided" (both), or
            a function (g, y) -> gradient, where y is the output of the ReLU.

    Raises:
        LookupError: for a wrong rule.
        ValueError: if a pass meets no ReLU (one that a Recorder ends before the first ReLU is fine: there is
            none to change), if it meets an activation for which the rule is not defined (GELU, LeakyReLU …),
            or if the block ends without a pass.
    """
    if isinstance(rule, str) and rule not in relu_rules.NAMED:
        raise unknown("rule", rule, relu_rules.NAMED)
    name, apply = (rule, relu_rules.NAMED[rule]) if isinstance(rule, str) else ("custom", rule)
    if not callable(apply):
        raise TypeError(f"a rule is a name or a function (g, y) -> gradient, not {type(rule).__name__}")
    if rule == "gradient":  # what autograd does anyway, for any activation
        yield
        return
    check_not_compiled(model)
    inside = relu_rules.Inside(model, name, apply)
    # Of all modules, so that a part called by itself counts as a pass, too; not on each of them one by one,
    # which takes a tenth of the time that a small network needs for an image.
    with ExitStack() as stack:
        stack.callback(register_module_forward_pre_hook(inside.enter).remove)
        stack.callback(register_module_forward_hook(inside.finish).remove)
        stack.callback(register_module_forward_hook(inside.leave, always_call=True).remove)
        with inside:
            yield
    inside.check()


@contextmanager
def on_forward(
    model: nn.Module, names: Iterable[str], hear: Callable[[str, object], Tensor | None]
) -> Iterator[None]:
    """Inside the block, hear(name, output) after each run of a layer; an answer takes the output's place."""
    with ExitStack() as stack:
        for name in names:

            def hook(_module, _inputs, output, name=name):
                return hear(name, output)

            stack.callback(layer(model, name).register_forward_hook(hook).remove)
        yield


@contextmanager
def on_model_call(
    model: nn.Module, *, begins: Callable[[], None], ends: Callable[[], None] | None = None
) -> Iterator[None]:
    """Inside the block, begins() before each pass of the whole model, ends() after one that came through."""
    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(lambda *_: begins()).remove)
        if ends is not None:
            stack.callback(model.register_forward_hook(lambda *_: ends()).remove)
        yield


def on_gradient(output: Tensor, hear: Callable[[Tensor], None]) -> None:
    """hear(gradient) when a pass back comes by this tensor. The hook lives as long as the tensor's graph."""
    output.register_hook(hear)


def apply_rule_backward(relus: Iterable[Node] | None, rule: str) -> bool:
    """From now on a signal comes back through these ReLUs of a graph by a rule of `relu_rules.NAMED`.

    It costs the pass forward nothing, unlike `relu_rule`. False: there were none.
    """
    for relu in relus or ():
        if rule == "guided":  # torch's own way back does the other half
            relu.register_prehook(_positive)
        elif rule == "deconvnet":
            relu.register_hook(lambda _, above: _positive(above))
    return bool(relus)


def _positive(above: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(g if g is None else g.clamp(min=0) for g in above)


@contextmanager
def _ending(model: nn.Module, owner: Recorder) -> Iterator[None]:
    """Inside the block, a pass of the model in which the owner has seen enough returns None."""
    forward = model.forward

    def short(*args, **kwargs):
        try:
            return forward(*args, **kwargs)
        except _Enough as end:
            if end.args != (owner,):
                raise
            return None

    with replace_forward(model, short):
        yield


@contextmanager
def replace_forward(module: nn.Module, forward: Callable) -> Iterator[None]:
    """Inside the block the module runs by this function; its hooks stay."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def _one_tensor(name: str, output: object, done: str) -> Tensor:
    if not isinstance(output, Tensor):
        raise TypeError(
            f"layer {name!r} puts out {type(output).__name__}; only one tensor can be {done}. "
            "Choose a layer inside it, or the one that follows."
        )
    return output
