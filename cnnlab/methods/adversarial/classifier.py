"""A network that is attacked: where does its loss rise, what does it say now, and has it been led away?

Type: (model, images, labels or target) -> Classifier, which can be looked at, with a gradient or without, and
which counts its passes.

Paper: Goodfellow, Shlens & Szegedy, Explaining and harnessing adversarial examples, 2015.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.model_runner import Passes, input_gradients
from cnnlab.methods.targets import Target, are_probabilities, resolve
from cnnlab.probing import Unit
from cnnlab.probing.memory_format import to_fast_memory_format
from cnnlab.validation import all_finite

LOSSES = ("cross-entropy", "log-odds")


class Evaluation(NamedTuple):
    """One look at some images.

    Attributes:
        predictions: (B,) the class with the highest logit.
        loss: (B,) cross-entropy at the label, or at the target.
        gain: (B,) what the attack raises.
        gradient: (B, C, H, W) of the gain, or None if it was not asked for.
    """

    predictions: Tensor
    loss: Tensor
    gain: Tensor
    gradient: Tensor | None


class Attempt(NamedTuple):
    """What an attack has made of a batch so far.

    Attributes:
        images: (B, C, H, W).
        first, last: at the originals, and at these images; None, if there was no look at them yet.
        zero_gradient: (B,) bool; None where no gradient was asked for.
    """

    images: Tensor
    first: Evaluation
    last: Evaluation | None = None
    zero_gradient: Tensor | None = None


class Classifier:
    """A network, some images, and where to: away from the labels, or to a target. All checked.

    Attributes:
        images: (N, C, H, W), detached; never written to.
        labels: (N,); -1 where it is still to be asked for: the first look at an image answers it.
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
        norms.check_unit_range(images)
        if loss not in LOSSES:
            raise unknown("loss", loss, LOSSES, plural="losses")
        self.model, self.loss = model, loss
        self.forwards = self.backwards = 0
        with torch.inference_mode(False):  # what is born in the caller's could not be kept for the way back
            self.images = images.detach().clone() if images.is_inference() else images.detach()
            self.resolved = resolve(model, images, 0)
            self.labels = torch.full((len(images),), -1)
            if labels is not None:
                self.labels = class_per_image(model, self.images, labels, "labels")
            self.target = None if target is None else class_per_image(model, self.images, target, "target")

    def evaluate(self, images: Tensor, rows: slice | Tensor) -> Evaluation:
        """Without a gradient: (B, C, H, W) -> Evaluation."""
        with torch.no_grad():
            return self.evaluate_logits(self.logits(images, rows), rows)

    def evaluate_logits(self, logits: Tensor, rows: slice | Tensor) -> Evaluation:
        """What these logits say, without another pass: (B, classes) -> Evaluation without a gradient."""
        return Evaluation(logits.detach().argmax(dim=1).cpu(), *self._losses(logits, rows), None)

    def evaluate_with_gradient(self, images: Tensor, rows: slice | Tensor) -> Evaluation:
        """With a gradient."""
        self.backwards += len(images)
        leaf = images.detach().requires_grad_()  # the same memory: the model gets a copy of it
        logits = self.logits(leaf, rows)
        evaluation = self.evaluate_logits(logits, rows)
        (gradient,) = input_gradients(evaluation.gain[:, None], leaf)
        return evaluation._replace(
            loss=evaluation.loss.detach(), gain=evaluation.gain.detach(), gradient=gradient
        )

    def reached(self, evaluation: Evaluation, rows: slice | Tensor) -> Tensor:
        """(B,) bool: does the network say what it should?"""
        if self.target is not None:
            return evaluation.predictions == self.target[rows]
        return evaluation.predictions != self.labels[rows]

    def result(self, attempt: Attempt, rows: slice) -> AttackResult:
        """The books of a batch."""
        last = self.evaluate(attempt.images, rows) if attempt.last is None else attempt.last
        change = attempt.images - self.images[rows]
        zero_gradient = attempt.zero_gradient
        if zero_gradient is None:
            zero_gradient = torch.zeros(len(change), dtype=torch.bool)
        return AttackResult(
            attempt.images,
            self.images[rows],
            self.labels[rows],
            None if self.target is None else self.target[rows],
            attempt.first.predictions,
            last.predictions,
            self.reached(last, rows),
            norms.norm(change, "linf"),
            norms.norm(change, "l2"),
            attempt.first.loss,
            last.loss,
            zero_gradient,
            Passes(),
            0.0,
            "",
        )

    def logits(self, images: Tensor, rows: slice | Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes), in the graph of the images if they have one. One pass forward.

        Raises:
            ValueError: the model does not give logits (B, classes), two or more, finite; or the reasons of
                `model_runner.guarded_forward`.
            LookupError: it has no such class.
        """
        self.forwards += len(images)
        resolved = self.resolved.rows(rows)
        logits = resolved.forward(self.model, to_fast_memory_format(self.model, images))
        resolved.read(logits)  # (B, classes), or an error that says what it is
        if logits.shape[1] < 2:
            raise ValueError("a network with one output has no other class to be led to")
        if are_probabilities(logits.detach()):
            raise ValueError(
                "the model puts out probabilities already, where attacks need logits: leave its softmax out"
            )
        if not all_finite(logits):
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
        log_odds = log_odds_against(logits, numbers)
        loss = torch.logaddexp(log_odds.new_zeros(()), log_odds)  # log(1 + exp(log_odds)) = -log p
        gain = loss if self.loss == "cross-entropy" else log_odds
        return loss, gain if self.target is None else -gain


def class_per_image(model: nn.Module, images: Tensor, numbers: Target, what: str) -> Tensor:
    """(N,) a class for each image, checked.

    Args:
        model, images: as in `resolve`.
        numbers: a class for all, by number or name, or (N,) numbers.
        what: their name, for an error.

    Raises:
        TypeError: a unit, or what is no class.
        ValueError: several classes for an image, or not as many as images.
        LookupError: there is no such class.
    """
    if isinstance(numbers, Unit):
        raise TypeError(f"{what}: a class number or name, or (N,) numbers; a Unit cannot be attacked here")
    resolved = resolve(model, images, numbers)
    if resolved.multi:
        raise ValueError(f"{what}: one class for each image, not {tuple(resolved.indices.shape)}")
    return resolved.indices[:, 0].clone()


def log_odds_against(logits: Tensor, numbers: Tensor) -> Tensor:
    """log((1 - p) / p) of a class: below 0 where it has more than half of the probability.

    The cross-entropy is log(1 + exp(log_odds)). Written so, its gradient keeps all its digits where p is
    nearly 1: 1 - p is never computed as a difference. Its factor 1 - p still becomes zero beyond log odds of
    -103; the gradient of the log odds never does.

    >>> log_odds_against(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), torch.tensor([0, 0]))
    tensor([    0., -1000.])

    Args:
        logits: (N, classes).
        numbers: (N,) a class for each.

    Returns:
        (N,)
    """
    index = numbers[:, None]
    others = logits.scatter(1, index, -torch.inf).logsumexp(dim=1)
    return others - logits.gather(1, index)[:, 0]
