"""A flight recorder: how large signals and gradients are in every layer, while a network trains.

Type: with FlightRecorder(model) as flight: train(model). Every so many steps a few numbers are kept of each
layer, never a tensor; so an hour of training takes no more memory than a minute.

Papers: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010 (the
same curves); He et al., Delving deep into rectifiers, 2015.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from torch import Tensor, nn

from cnnlab.probing.hooks import listening, refuse_compiled
from cnnlab.probing.units import layer, layers

_NAN = float("nan")


class Note(NamedTuple):
    """One layer in one step.

    Attributes:
        mean, deviation: of all numbers that the layer put out for the batch.
        dead: the share of its channels that were 0 or below for every picture of the batch, at every place.
        gradient: the root mean square of the loss's slope at what the layer put out; nan until the pass back
            has come by.
    """

    mean: float = _NAN
    deviation: float = _NAN
    dead: float = _NAN
    gradient: float = _NAN


class FlightRecorder:
    """Notes of every layer, step by step.

        with FlightRecorder(model, "relu1", "relu2") as flight:
            fit(model, data)
        flight.steps                   # [0, 8, 16, …]
        flight["relu2"].deviation      # a list as long
        flight.last("relu2")           # its latest Note

    Only passes in training mode that keep a graph count as steps: an evaluation in between is not recorded.

    Args:
        model: any network that trains; not a compiled one.
        names: the layers to record; none: all that have no layers inside.
        every: record each so manyth step.
        most: rows to keep. When they are full, every other one goes, and `every` doubles.

    Raises:
        LookupError: no such layer.
        ValueError: every or most is no whole number, at least 1 and 2.
    """

    def __init__(self, model: nn.Module, *names: str, every: int = 1, most: int = 512):
        for wanted, number, least in (("every", every, 1), ("most", most, 2)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ValueError(f"{wanted} is a whole number, {least} or more, not {number!r}")
        refuse_compiled(model)
        self.names: Sequence[str] = names or [name for name in layers(model) if _is_leaf(model, name)]
        for name in self.names:
            layer(model, name)
        self.every, self.most, self.steps = every, most, []
        self._model, self._rows, self._row = model, [], None
        self._count, self._open = 0, ExitStack()

    def __enter__(self) -> "FlightRecorder":
        with ExitStack() as stack:
            handle = self._model.register_forward_pre_hook(self._begin)
            stack.callback(handle.remove)
            stack.callback(self._model.register_forward_hook(self._end, always_call=True).remove)
            stack.enter_context(listening(self._model, self.names, self._hear))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()
        self._row = None

    def __getitem__(self, name: str) -> Note:
        """A layer's curves: a Note of lists, each as long as `steps`."""
        if name not in self.names:
            raise LookupError(f"{name!r} was not recorded; recorded are {', '.join(self.names)}")
        notes = [row.get(name, Note()) for row in list(self._rows)]
        return Note(*(list(each) for each in zip(*notes, strict=True))) if notes else Note([], [], [], [])

    def last(self, name: str) -> Note:
        """Its latest row, with the gradient of the last pass back."""
        if not self._rows:
            raise LookupError("nothing was recorded yet: train the model inside the block")
        return self._rows[-1].get(name, Note()) if name in self.names else self[name]

    def _begin(self, model: nn.Module, _inputs: object) -> None:
        if not model.training:
            return
        if self._count % self.every == 0:
            self._row = {}
        self._count += 1

    def _hear(self, name: str, output: object) -> None:
        row = self._row
        if row is None or name in row or not isinstance(output, Tensor) or not output.requires_grad:
            return
        numbers = output.detach()
        channels = numbers.transpose(0, 1).flatten(1) if numbers.dim() > 1 else numbers[None]
        dead = (channels.amax(dim=1) <= 0).float().mean()
        row[name] = Note(numbers.mean().item(), numbers.std(unbiased=False).item(), dead.item())

        def back(gradient: Tensor) -> None:
            row[name] = row[name]._replace(gradient=gradient.square().mean().sqrt().item())

        output.register_hook(back)

    def _end(self, *_: object) -> None:
        row, self._row = self._row, None
        if not row:
            return
        self.steps.append(self._count - 1)
        self._rows.append(row)
        if len(self._rows) > self.most:
            # Steps that a doubled `every` would have met.
            self.every *= 2
            kept = [k for k, step in enumerate(self.steps) if step % self.every == 0]
            self.steps, self._rows = [self.steps[k] for k in kept], [self._rows[k] for k in kept]


def _is_leaf(model: nn.Module, name: str) -> bool:
    return not any(True for _ in layer(model, name).children())
