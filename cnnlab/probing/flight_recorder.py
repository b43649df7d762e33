"""A flight recorder: how large signals and gradients are in every layer, while a network trains.

Type: with FlightRecorder(model) as flight: train(model). Every so many steps a few numbers are kept of each
layer, never a tensor; so an hour of training takes no more memory than a minute.

Papers: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010 (the
same curves); He et al., Delving deep into rectifiers, 2015.
"""

from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.probing.hooks import on_forward, on_gradient, on_model_call
from cnnlab.probing.units import check_not_compiled, layer, layers

_NAN = float("nan")


class Note(NamedTuple):
    """One layer in one step.

    Attributes:
        mean, std: of all numbers that the layer put out for the batch.
        dead: the share of its channels that were 0 or below for every image of the batch, at every position.
        gradient: the root mean square of the loss's gradient at what the layer put out; nan until the pass
            back has come by. All four are nan where the layer put out nothing that learns.
    """

    mean: float = _NAN
    std: float = _NAN
    dead: float = _NAN
    gradient: float = _NAN


class FlightRecorder:
    """Notes of every layer, step by step.

        with FlightRecorder(model, "relu1", "relu2") as flight:
            fit(model, data)
        flight.steps                   # [0, 8, 16, …]
        flight["relu2"].std            # a list as long
        flight.last("relu2")           # its latest Note

    Only passes in training mode that keep a graph, and come to their end, count as steps: an evaluation in
    between is not recorded. A layer that runs again in the same pass has notes for each run: "relu" and
    "relu (2)".

    Args:
        model: any network that trains; not a compiled one.
        names: the layers to record; none: all that have no layers inside.
        every: record each so manyth step.
        most: rows to keep. When they are full, every other one goes, and `every` doubles.

    Raises:
        LookupError: no such layer.
        ValueError: every or most is no whole number, at least 1 and 2; or a model without layers.
        TypeError: in a pass, a layer asked for by name that puts out something other than one tensor.
    """

    def __init__(self, model: nn.Module, *names: str, every: int = 1, most: int = 512):
        for wanted, number, least in (("every", every, 1), ("most", most, 2)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ValueError(f"{wanted} is a whole number, {least} or more, not {number!r}")
        for name in names:
            layer(model, name)
        check_not_compiled(model)
        leaves = [name for name in layers(model) if _is_leaf(model, name)]
        if not leaves:
            raise ValueError(f"{type(model).__name__} has no layers inside: put it into an nn.Sequential")
        self._layers, self._asked = tuple(dict.fromkeys(names or leaves)), set(names)
        self.names = list(self._layers)
        self.every, self.most, self.steps = every, most, []
        self._model, self._rows, self._row = model, [], None
        self._count, self._open = 0, None

    def __enter__(self) -> "FlightRecorder":
        if self._open is not None:
            raise ValueError("this FlightRecorder is already open; make a second one")
        with ExitStack() as stack:
            stack.enter_context(on_model_call(self._model, begins=self._begin, ends=self._end))
            stack.enter_context(on_forward(self._model, self._layers, self._hear))
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        stack, self._open, self._row = self._open, None, None
        stack.close()

    def __getitem__(self, name: str) -> Note:
        """A layer's curves: a Note of lists, each as long as `steps`."""
        if name not in self.names:
            raise unknown("recorded layer", name, self.names)
        notes = [row.get(name, Note()) for row in list(self._rows)]
        return Note(*(list(each) for each in zip(*notes, strict=True))) if notes else Note([], [], [], [])

    def last(self, name: str) -> Note:
        """Its latest row, with the gradient of the last pass back."""
        if name not in self.names:
            raise unknown("recorded layer", name, self.names)
        if not self._rows:
            raise LookupError("nothing was recorded yet: train the model inside the block")
        return self._rows[-1].get(name, Note())

    def _stepping(self) -> bool:
        return self._model.training and torch.is_grad_enabled()

    def _begin(self) -> None:
        self._row = {} if self._stepping() and self._count % self.every == 0 else None

    def _hear(self, name: str, output: object) -> None:
        row = self._row
        if row is None:
            return
        if not isinstance(output, Tensor):
            if name in self._asked:
                raise TypeError(
                    f"layer {name!r} puts out {type(output).__name__}; only one tensor can be recorded"
                )
            return
        if not output.requires_grad or not output.numel():
            return
        run = 1 + sum(known == name or known.startswith(f"{name} (") for known in row)
        key = name if run == 1 else f"{name} ({run})"
        if key not in self.names:
            self.names.append(key)
        # float64: the squares of what vanishes or explodes leave the range of float32 long before it does.
        numbers = output.detach().double()
        channels = numbers.transpose(0, 1).flatten(1) if numbers.dim() > 1 else numbers[None]
        mean, dead = numbers.mean().item(), (channels.amax(dim=1) <= 0).double().mean().item()
        # A nan is not below zero, but not alive either.
        row[key] = Note(mean, numbers.std(unbiased=False).item(), dead if mean == mean else _NAN)

        def back(gradient: Tensor) -> None:
            row[key] = row[key]._replace(gradient=gradient.double().square().mean().sqrt().item())

        on_gradient(output, back)

    def _end(self) -> None:
        row, self._row = self._row, None
        if not self._stepping():
            return
        self._count += 1
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
