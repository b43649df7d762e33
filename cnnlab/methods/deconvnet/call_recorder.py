"""A forward pass written down call by call, so that a signal can be walked back from its end.

Type: with CallRecorder(image) as recorder: model(image); recorder.backward(signal) -> (name, signal),
layer after layer. It sees functions, not modules: F.relu, shared and in-place ReLUs, sums and concatenations
are calls like any other. `backward_layers` says for each call how a signal passes it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor
from torch.overrides import TorchFunctionMode

from cnnlab.methods.deconvnet.backward_functions import NoWayBack, Ways, same
from cnnlab.methods.deconvnet.backward_layers import ways

IMAGE = "image"


class Call(NamedTuple):
    """One recorded call.

    Attributes:
        output: the tensor that was made, or changed in place.
        ways: to each tensor that it was made of; or why there is none.
        function: its name.
    """

    output: Tensor
    ways: Ways | NoWayBack
    function: str


class CallRecorder(TorchFunctionMode):
    """Inside the block, every torch function that makes a tensor out of the image is written down.

    Tensors are known by identity, and the recorder keeps them alive. A tensor changed in place appears again:
    read from the end, each appearance takes the signal over from the later one.
    """

    def __init__(self, image: Tensor, leaf: Tensor | None = None):
        super().__init__()
        self.image = self.end = image
        self._leaf = leaf  # from which the image was copied, where gradients are on
        self.calls: list[Call] = []
        self.layers: dict[int, str] = {}  # number of a call -> the layer whose output it made
        self._versions = {id(image): image._version}  # of all that depends on the image

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        kwargs = kwargs or {}
        given = [part for part in _tensors((args, kwargs)) if id(part) in self._versions]
        stale = any(self._stale(part) for part in given)
        unseen = any(self._came_unseen(part) for part in _tensors((args, kwargs)))
        output = func(*args, **kwargs)
        made = [part for part in _tensors(output) if part.is_floating_point()]
        if made and (given or unseen):
            found = NoWayBack(_UNSEEN) if unseen else self._ways(func, args, kwargs, given, made, stale)
            for part in made:
                self._versions[id(part)] = part._version
                self.calls.append(Call(part, found, _name(func)))
        return output

    def on_layer_output(self, layer: str, output: object) -> None:
        """To be told after each layer's run: its name goes to the call that made its output.

        Where an inner and an outer layer put out the same, the inner one keeps it.
        """
        if isinstance(output, Tensor):
            self.end = output
            if self.calls and self.calls[-1].output is output:
                self.layers.setdefault(len(self.calls) - 1, layer)

    def backward(self, signal: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Walk a signal from the latest layer's output down to the image.

        Args:
            signal: of the shape of that output.

        Returns:
            (name, signal) at each call below the start, the last ("image", …). The image is missing if no
            way leads there.

        Raises:
            NoWayBack: there is no rule for a call on the way.
        """
        if self._stale(self.end):
            raise NoWayBack(_OVERWRITTEN)
        signals, started = {id(self.end): signal}, False
        for number in range(len(self.calls) - 1, -1, -1):
            call = self.calls[number]
            if id(call.output) not in signals:
                continue
            signal = signals.pop(id(call.output))  # complete: all that used this tensor came later
            if isinstance(call.ways, NoWayBack):
                raise call.ways
            if started and (number in self.layers or any(way is not same for _, way in call.ways)):
                yield self.layers.get(number, call.function), signal
            started = True
            for source, way in call.ways:
                passed = way(signal)
                signals[id(source)] = signals[id(source)] + passed if id(source) in signals else passed
        if id(self.image) in signals:
            yield IMAGE, signals[id(self.image)]

    def _ways(
        self, func: Callable, args: tuple, kwargs: dict, given: list[Tensor], made: list[Tensor], stale: bool
    ) -> Ways | NoWayBack:
        try:
            if stale:
                raise NoWayBack(_OVERWRITTEN)
            found = ways(func, _name(func), args, kwargs, len(given))
            if made[0].dtype != given[0].dtype:
                raise NoWayBack(f"on the way is {_name(func)}, which puts out numbers of another type")
            if {id(part) for part in given} - {id(source) for source, _ in found}:
                raise NoWayBack(f"on the way is {_name(func)} of something else that depends on the image")
            return [(source, way) for source, way in found if id(source) in self._versions]
        except NoWayBack as reason:
            return reason  # raised only if a signal comes this way

    def _came_unseen(self, part: Tensor) -> bool:
        """Does it depend on the image by a function that the recorder could not see, as a scripted one?"""
        if self._leaf is None or part.grad_fn is None or id(part) in self._versions:
            return False
        met, stack = set(), [part.grad_fn]
        while stack:
            node = stack.pop()
            if node is not None and node not in met:
                met.add(node)
                if getattr(node, "variable", None) is self._leaf:
                    return True
                stack += [source for source, _ in node.next_functions]
        return False

    def _stale(self, part: Tensor) -> bool:
        return part._version != self._versions.get(id(part), part._version)


_UNSEEN = "on the way is a function that torch does not announce (scripted, or with a backward of its own)"
_OVERWRITTEN = "on the way a tensor is overwritten in part, or through a view of it: there is no rule for it"


def _name(func: Callable) -> str:
    return getattr(func, "__name__", str(func)).strip("_")


def _tensors(value: object) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
