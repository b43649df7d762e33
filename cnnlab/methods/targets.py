"""What is to be explained: a class, its logit or its probability, for one or several classes; or a unit.

Type: (model, images, target) -> (N, T) scores, with gradients. Every method that asks "which pixels?" takes a
target in these forms and puts them into one, an `Asked`:

- a class for all pictures, by its number or its name (of `model.classes`);
- (N,) one class number for each picture; (N, T) several for each, such as `best(model, images, 5)`;
- a `Unit` of any layer: at one place its activation, without a place the mean over its map.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cnnlab.errors import unknown
from cnnlab.methods.model_runner import passing, sharing
from cnnlab.probing import Recorder, Unit, each_part, layer, undisturbed
from cnnlab.validation import finite, whole

OF = ("logit", "probability")
Target = int | str | Tensor | Unit


class Asked(NamedTuple):
    """A target that was checked.

    Attributes:
        numbers: (N, T) class numbers; of a unit zeros (N, 1).
        unit: or None, if it is a class.
        of: "logit" or "probability".
        several: was T asked for? Then results keep that axis, else it goes.
    """

    numbers: Tensor
    unit: Unit | None
    of: str
    several: bool

    def rows(self, rows: slice | Tensor) -> "Asked":
        """The same question about some of the pictures, or with an index about some of them several times."""
        return self._replace(numbers=self.numbers[rows])

    def scores(self, model: nn.Module, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, T), gradients flow through. Stops at the unit's layer if it is a unit.

        The caller sees to eval mode, and hands in a clone: a first layer may work in place.
        """
        return self.read(self.output(model, images))

    def output(self, model: nn.Module, images: Tensor) -> Tensor:
        """What the model, or the unit's layer, puts out: what `scores` reads."""
        with passing(model, images):
            if self.unit is None:
                return model(images)
            # grad: also where a hook switches gradients on half way, as Grad-CAM does.
            with Recorder(model, self.unit.layer, stop=True, grad=True) as acts:
                model(images)
        return acts.calls(self.unit.layer)[0]

    def share(self, model: nn.Module, images: Tensor, batch: int, count: int) -> int:
        """How many of `count` pictures may share a pass: see `asking.sharing`."""
        return sharing(model, images, lambda some: self.output(model, some), batch=batch, count=count)

    def read(self, output: Tensor) -> Tensor:
        """What the model, or the unit's layer, put out -> (N, T).

        Raises:
            LookupError: there is no such class.
            ValueError: the model puts out something other than one number for each class, probabilities where
                logits are wanted, or nothing finite.
        """
        if self.unit is not None:
            values = self.unit.of(output)
            picked = values.reshape(len(values), -1).mean(dim=1, keepdim=True)  # (N, 1)
        else:
            if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != len(self.numbers):
                given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                wanted = f"({len(self.numbers)}, classes)"
                raise ValueError(f"a class can be explained where a model gives {wanted}, not {given}")
            if int(self.numbers.max()) >= output.shape[1]:
                raise LookupError(
                    f"no class {int(self.numbers.max())}: they are numbered from 0 to {output.shape[1] - 1}"
                )
            if self.of == "probability" and are_probabilities(output.detach()):
                raise ValueError(
                    "the model puts out probabilities already, and a softmax of these is none: use of='logit'"
                )
            values = output.softmax(dim=1) if self.of == "probability" else output
            numbers = self.numbers.clone()  # made in inference mode, they could not be kept for the way back
            picked = values.gather(1, numbers.to(output.device))  # (N, T)
        if not finite(picked.detach()):
            raise ValueError("the model's answer is not finite (nan or inf): look at the weights")
        return picked


def ask(model: nn.Module, images: Tensor, target: Target, of: str = "logit") -> Asked:
    """Check pictures and target, before anything runs.

    Args:
        model: any network.
        images: (N, C, H, W) floating point, finite, at least one.
        target: as in the head of this file.
        of: "logit", or "probability": the softmax of all logits at the class.

    Raises:
        LookupError: no class of this name or number, no such layer, or no such `of`.
        ValueError: pictures or target of a wrong shape; a probability of a unit; a batch norm that mixes the
            pictures of a batch.
        TypeError: a target of another kind.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    pictures(images)
    if not finite(images):
        raise ValueError("a picture holds a number that is not finite (nan or inf)")
    if of not in OF:
        raise unknown("score", of, OF)
    if any(isinstance(part, _BatchNorm) and part.running_var is None for part in each_part(model)):
        raise ValueError(
            "this model has a batch norm without running statistics: its answer to one picture depends on "
            "the others of the batch, so one picture cannot be explained"
        )
    if isinstance(target, Unit):
        layer(model, target.layer)
        if of == "probability":
            raise ValueError(f"a unit has an activation, not a probability: leave of='logit' for {target}")
        return Asked(torch.zeros(len(images), 1, dtype=torch.int64), target, of, several=False)
    numbers = _numbers(model, target, len(images))
    several = numbers.dim() == 2
    return Asked(numbers if several else numbers[:, None], None, of, several)


def best(model: nn.Module, images: Tensor, k: int = 5, *, batch: int = 64) -> Tensor:
    """The k classes with the highest logits, the highest first.

    Args:
        model: any classifier; it runs in eval mode.
        images: (N, C, H, W).
        k: how many; all classes, if there are fewer.
        batch: pictures per pass.

    Returns:
        (N, k) class numbers, to be given as a target.

    Raises:
        ValueError: as `ask`; a model that does not give (N, classes).
    """
    k = whole(k, "k is a whole number, 1 or more")
    asked = ask(model, images, 0)
    batch = asked.share(model, images, batch, len(images))
    with undisturbed(model, grad=False):
        parts = [asked.output(model, part.detach().clone()) for part in images.split(batch)]
        for part, rows in zip(parts, asked.numbers.split(batch), strict=True):
            asked._replace(numbers=rows).read(part)
        logits = torch.cat(parts)
    return logits.topk(min(k, logits.shape[1]), dim=1).indices


def name(model: nn.Module, number: int) -> str:
    """What a class is called: by its name if the model has names, else "class 3"."""
    classes = tuple(getattr(model, "classes", ()))
    return classes[number] if number < len(classes) else f"class {number}"


def pictures(images: object) -> None:
    """Refuse what are no pictures.

    Raises:
        ValueError: anything but (N, C, H, W), floating point, at least one.
    """
    if (
        not isinstance(images, Tensor)
        or not images.is_floating_point()
        or images.dim() != 4
        or not images.numel()
    ):
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        given = images.dtype if isinstance(images, Tensor) and images.dim() == 4 and images.numel() else given
        raise ValueError(f"pictures are (N, C, H, W), floating point, at least one; not {given}")


def are_probabilities(output: Tensor) -> bool:
    """(N, K): none below zero, and 1 together? Logits are that by chance, if ever.

    A softmax that is sure of some pictures has zeros there. But zeros and ones alone may be counts.
    """
    near = max(1e-5, 4 * torch.finfo(output.dtype).eps)  # half precision adds up to 1 only roughly
    one = (output.sum(dim=1) - 1).abs() < near
    return bool((output >= 0).all() and one.all() and ((output > 0) & (output < 1)).any())


def _numbers(model: nn.Module, target: int | str | Tensor, n: int) -> Tensor:
    """(N,) or (N, T) class numbers, not below zero."""
    if isinstance(target, str):
        classes = tuple(getattr(model, "classes", ()))
        if target not in classes:
            raise unknown("class", target, classes, plural="classes")
        return torch.full((n,), classes.index(target))
    if isinstance(target, np.integer):
        target = int(target)
    if isinstance(target, bool) or not isinstance(target, int | Tensor):
        raise TypeError(
            f"a target is a class number, a class name, numbers (N,) or (N, T), or a Unit; not {target!r}"
        )
    if isinstance(target, int):
        if not 0 <= target < 2**31:
            raise LookupError(f"no class {target}: they are numbered from 0")
        return torch.full((n,), target)
    numbers = target.cpu()
    if numbers.dtype.is_floating_point or numbers.dtype == torch.bool or numbers.is_complex():
        raise TypeError(f"class numbers are whole numbers, not {numbers.dtype}")
    numbers = numbers.to(torch.int64)
    if numbers.dim() == 0:
        numbers = numbers.expand(n)
    if numbers.dim() not in (1, 2) or len(numbers) != n or not numbers.numel():
        raise ValueError(
            f"one class, or (N,) or (N, T) of them for N = {n} pictures, not {tuple(numbers.shape)}"
        )
    if int(numbers.min()) < 0:
        raise LookupError(f"no class {int(numbers.min())}: they are numbered from 0")
    return numbers
