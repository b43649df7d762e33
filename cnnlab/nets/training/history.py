"""What happens around a training: what was seen, which weights to keep, and everything put back after it."""

import contextlib
import copy
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.nets import weight_files

_ONE_AT_A_TIME = threading.Lock()


@dataclass
class History:
    """What happened, in plain lists.

    Attributes:
        step_loss: the loss of every batch.
        loss, accuracy: of every epoch on the training set, as it was seen (augmented, in training mode).
        val_loss, val_accuracy: on the validation set after every epoch; empty without one.
        seconds: since the start, at the end of every epoch.
        snapshots: (epoch, name -> tensor) of the parameters asked for, from epoch 0, before the first step.
        best: the epoch whose weights the model holds now, counted from 1; 0 if no epoch was finished.
        stopped: why it ended: "finished", "early", "watcher", "interrupted" or "diverged".
    """

    step_loss: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    snapshots: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)
    best: int = 0
    stopped: str = "finished"

    def note(
        self, loss: float, accuracy: float, validation: tuple[float, float] | None, seconds: float
    ) -> None:
        """Write an epoch down, all of it at once: an interruption leaves no list longer than another."""
        self.loss.append(loss)
        self.accuracy.append(accuracy)
        if validation is not None:
            self.val_loss.append(validation[0])
            self.val_accuracy.append(validation[1])
        self.seconds.append(seconds)

    def snapshot(self, model: nn.Module, names: Sequence[str]) -> None:
        """Keep copies of some parameters, as they are now."""
        if names:
            state = model.state_dict()
            self.snapshots.append((len(self.loss), {name: state[name].detach().clone() for name in names}))

    def line(self, epochs: int) -> str:
        """The last epoch in one line, of so many epochs."""
        text = f"epoch {len(self.loss)}/{epochs}: loss {self.loss[-1]:.3f}, right {self.accuracy[-1]:.1%}"
        if self.val_loss:
            text += f"; validation: loss {self.val_loss[-1]:.3f}, right {self.val_accuracy[-1]:.1%}"
        return f"{text}; {self.seconds[-1]:.1f} s"


class Best:
    """Copies of the weights to keep, in memory and on disk."""

    def __init__(self, model: nn.Module, keep: str, save: str | Path | None):
        self._model, self._keep, self._save = model, keep, save
        self._state = copy.deepcopy(model.state_dict())
        self._least, self.lowest, self._epoch = float("inf"), 0, 0

    def update(self, history: History) -> None:
        epoch = len(history.loss)
        lower = bool(history.val_loss) and history.val_loss[-1] < self._least
        if lower:
            self._least, self.lowest = history.val_loss[-1], epoch
        if lower or self._keep == "last":
            self._state, self._epoch = copy.deepcopy(self._model.state_dict()), epoch
            if self._save is not None:
                weight_files.write(Path(self._save), self._state)

    def restore(self, history: History) -> int:
        """Put the weights to keep into the model. Returns the epoch from which they are."""
        stopped_by_hand = history.stopped in ("watcher", "interrupted")
        if stopped_by_hand and (self._keep == "last" or self._epoch == 0):
            return len(history.loss)  # the model holds what it has learned up to this very step
        self._model.load_state_dict(self._state)
        return self._epoch


@contextlib.contextmanager
def training(model: nn.Module, seed: int) -> Iterator[None]:
    """Training mode, random numbers of its own for dropout, and afterwards modes and gradients as before.

    Raises:
        RuntimeError: another training with random numbers of its own is running in this process.
    """
    modes = {module: module.training for module in model.modules()}
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    with _own_random_numbers(seed) if _draws(model) else contextlib.nullcontext():
        model.train()
        model.to(memory_format=torch.channels_last)
        try:
            for parameter, _ in gradients:
                parameter.grad = None
            yield
        finally:
            model.to(memory_format=torch.contiguous_format)
            for module, mode in modes.items():
                module.training = mode
            for parameter, gradient in gradients:
                parameter.grad = gradient


@contextlib.contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    """torch has one global random state; two trainings at once would spoil each other's."""
    if not _ONE_AT_A_TIME.acquire(blocking=False):
        raise RuntimeError(
            "another training with dropout is running in this process; wait for it, or stop it"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        _ONE_AT_A_TIME.release()


def _draws(model: nn.Module) -> bool:
    """May it draw random numbers? Dropout does, other modules of torch and ours do not; the rest may.

    All modules are asked, not only those without parts: a forward of somebody else's can call F.dropout.
    """
    plain = ("torch.nn.modules.", "cnnlab.nets.")
    return any(
        not type(module).__module__.startswith(plain)
        or "dropout" in type(module).__module__
        or isinstance(module, nn.RReLU)
        or (isinstance(module, nn.RNNBase | nn.MultiheadAttention) and module.dropout > 0)
        for module in model.modules()
        if not _only_holds(module)
    )


def _only_holds(module: nn.Module) -> bool:
    """Is it a row of layers under a name of its own, which calls them and nothing else?"""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
