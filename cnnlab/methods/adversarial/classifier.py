"""A network that is attacked: where does its loss rise, what does it say now, and has it been led away?

Type: (model, images, labels or target) -> Victim, which can be looked at, with a slope or without, and which
counts its passes.

Paper: Goodfellow, Shlens & Szegedy, Explaining and harnessing adversarial examples, 2015.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.result import Attacked
from cnnlab.methods.model_runner import Passes, backward
from cnnlab.methods.targets import Target, are_probabilities, ask
from cnnlab.probing import Unit
from cnnlab.probing.memory_format import as_usual
from cnnlab.validation import finite

LOSSES = ("cross-entropy", "odds")


class Look(NamedTuple):
    """One look at some pictures.

    Attributes:
        answers: (B,) the class with the highest logit.
        loss: (B,) cross-entropy at the label, or at the target.
        gain: (B,) what the attack raises.
        slope: (B, C, H, W) of the gain, or None if it was not asked for.
    """

    answers: Tensor
    loss: Tensor
    gain: Tensor
    slope: Tensor | None


class Trial(NamedTuple):
    """What an attack has made of a chunk so far.

    Attributes:
        pictures: (B, C, H, W).
        first, last: at the originals, and at these pictures; None, if there was no look at them yet.
        no_slope: (B,) bool; None where no slope was asked for.
    """

    pictures: Tensor
    first: Look
    last: Look | None = None
    no_slope: Tensor | None = None


class Victim:
    """A network, some pictures, and where to: away from the labels, or to a target. All checked.

    Attributes:
        images: (N, C, H, W), detached; never written to.
        labels: (N,); -1 where it is still to be asked for: the first look at a picture answers it.
        target: (N,) or None.
        forwards, backwards: passes so far.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Target | None,
        target: Target | None,
        loss: str = "cross-entropy",
    ):
        if not isinstance(model, nn.Module):
            raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
        norms.refuse(images)
        if loss not in LOSSES:
            raise unknown("loss", loss, LOSSES, plural="losses")
        self.model, self.of = model, loss
        self.forwards = self.backwards = 0
        with torch.inference_mode(False):  # what is born in the caller's could not be kept for the way back
            self.images = images.detach().clone() if images.is_inference() else images.detach()
            self.asked = ask(model, images, 0)
            self.labels = torch.full((len(images),), -1)
            if labels is not None:
                self.labels = one_each(model, self.images, labels, "labels")
            self.target = None if target is None else one_each(model, self.images, target, "target")

    def look(self, pictures: Tensor, rows: slice | Tensor) -> Look:
        """Without a slope: (B, C, H, W) -> Look."""
        with torch.no_grad():
            return self.read(self.logits(pictures, rows), rows)

    def read(self, logits: Tensor, rows: slice | Tensor) -> Look:
        """What these logits say, without another pass: (B, classes) -> Look without a slope."""
        return Look(logits.detach().argmax(dim=1).cpu(), *self._losses(logits, rows), None)

    def slopes(self, pictures: Tensor, rows: slice | Tensor) -> Look:
        """With a slope."""
        self.backwards += len(pictures)
        leaf = pictures.detach().requires_grad_()  # the same memory: the model gets a copy of it
        logits = self.logits(leaf, rows)
        look = self.read(logits, rows)
        (slope,) = backward(look.gain[:, None], leaf)
        return look._replace(loss=look.loss.detach(), gain=look.gain.detach(), slope=slope)

    def reached(self, look: Look, rows: slice | Tensor) -> Tensor:
        """(B,) bool: does the network say what it should?"""
        if self.target is not None:
            return look.answers == self.target[rows]
        return look.answers != self.labels[rows]

    def done(self, trial: Trial, rows: slice) -> Attacked:
        """The books of a chunk."""
        last = self.look(trial.pictures, rows) if trial.last is None else trial.last
        change = trial.pictures - self.images[rows]
        no_slope = trial.no_slope
        if no_slope is None:
            no_slope = torch.zeros(len(change), dtype=torch.bool)
        return Attacked(
            trial.pictures,
            self.images[rows],
            self.labels[rows],
            None if self.target is None else self.target[rows],
            trial.first.answers,
            last.answers,
            self.reached(last, rows),
            norms.sizes(change, "linf"),
            norms.sizes(change, "l2"),
            trial.first.loss,
            last.loss,
            no_slope,
            Passes(),
            0.0,
            "",
        )

    def logits(self, pictures: Tensor, rows: slice | Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes), in the graph of the pictures if they have one. One pass forward.

        Raises:
            ValueError: the model does not give logits (B, classes), two or more, finite; or the reasons of
                `asking.passing`.
            LookupError: it has no such class.
        """
        self.forwards += len(pictures)
        asked = self.asked.rows(rows)
        logits = asked.output(self.model, as_usual(self.model, pictures))
        asked.read(logits)  # (B, classes), or an error that says what it is
        if logits.shape[1] < 2:
            raise ValueError("a network with one output has no other class to be led to")
        if are_probabilities(logits.detach()):
            raise ValueError(
                "the model puts out probabilities already, where attacks need logits: leave its softmax out"
            )
        if not finite(logits):
            raise ValueError("the model's answer is not finite (nan or inf): look at the weights")
        most = logits.shape[1] - 1
        for numbers in (self.labels[rows], () if self.target is None else self.target[rows]):
            if len(numbers) and int(numbers.max()) > most:
                raise LookupError(f"no class {int(numbers.max())}: they are numbered from 0 to {most}")
        new = self.labels[rows] < 0  # the first look
        if new.any():
            self.labels[rows] = logits.detach().argmax(dim=1).cpu()
        return logits

    def _losses(self, logits: Tensor, rows: slice | Tensor) -> tuple[Tensor, Tensor]:
        numbers = (self.labels if self.target is None else self.target)[rows].to(logits.device)
        odds = odds_against(logits, numbers)
        loss = torch.logaddexp(odds.new_zeros(()), odds)  # log(1 + exp(odds)) = -log p
        gain = loss if self.of == "cross-entropy" else odds
        return loss, gain if self.target is None else -gain


def one_each(model: nn.Module, images: Tensor, numbers: Target, what: str) -> Tensor:
    """(N,) a class for each picture, checked.

    Args:
        model, images: as in `ask`.
        numbers: a class for all, by number or name, or (N,) numbers.
        what: their name, for an error.

    Raises:
        TypeError: a unit, or what is no class.
        ValueError: several classes for a picture, or not as many as pictures.
        LookupError: there is no such class.
    """
    if isinstance(numbers, Unit):
        raise TypeError(f"{what}: a class number or name, or (N,) numbers; a Unit cannot be attacked here")
    asked = ask(model, images, numbers)
    if asked.several:
        raise ValueError(f"{what}: one class for each picture, not {tuple(asked.numbers.shape)}")
    return asked.numbers[:, 0].clone()


def odds_against(logits: Tensor, numbers: Tensor) -> Tensor:
    """log((1 - p) / p) of a class: below 0 where it has more than half of the probability.

    The cross-entropy is log(1 + exp(odds)). Written so, its slope keeps all its digits where p is nearly 1:
    1 - p is never computed as a difference. Its factor 1 - p still becomes zero beyond odds of -103; the
    slope of the odds themselves never does.

    >>> odds_against(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), torch.tensor([0, 0]))
    tensor([    0., -1000.])

    Args:
        logits: (N, classes).
        numbers: (N,) a class for each.

    Returns:
        (N,)
    """
    here = numbers[:, None]
    others = logits.scatter(1, here, -torch.inf).logsumexp(dim=1)
    return others - logits.gather(1, here)[:, 0]
