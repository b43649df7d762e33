"""What is to be explained: a class, its logit or its probability, for one or several classes; or a unit.

Type: (model, images, target) -> (N, T) scores, with gradients. Every method that asks "which pixels?" takes a
target in any of these forms and converts it into one, a `ResolvedTarget`:

- a class for all images, by its number or its name (of `model.classes`);
- (N,) one class number for each image; (N, T) several for each, such as `top_classes(model, images, 5)`;
- a `Unit` of any layer: at one position its activation, without a position the mean over its map.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cnnlab.errors import unknown
from cnnlab.methods.model_runner import guarded_forward, independent_batch_size
from cnnlab.probing import Recorder, Unit, layer, preserved, unique_modules
from cnnlab.validation import all_finite, check_integer

OUTPUTS = ("logit", "probability")
Target = int | str | Tensor | Unit


class ResolvedTarget(NamedTuple):
    """A target that was checked.

    Attributes:
        indices: (N, T) class numbers; of a unit zeros (N, 1).
        unit: or None, if it is a class.
        output: "logit" or "probability".
        multi: was T asked for? Then results keep that axis, else it goes.
    """

    indices: Tensor
    unit: Unit | None
    output: str
    multi: bool

    def rows(self, rows: slice | Tensor) -> "ResolvedTarget":
        """The same question about some of the images, or with an index about some of them several times."""
        return self._replace(indices=self.indices[rows])

    def scores(self, model: nn.Module, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, T), gradients flow through. Stops at the unit's layer if it is a unit.

        The caller sees to eval mode, and hands in a clone: a first layer may work in place.
        """
        return self.read(self.forward(model, images))

    def forward(self, model: nn.Module, images: Tensor) -> Tensor:
        """What the model, or the unit's layer, puts out: what `scores` reads."""
        with guarded_forward(model, images):
            if self.unit is None:
                return model(images)
            # grad: also where a hook switches gradients on half way, as Grad-CAM does.
            with Recorder(model, self.unit.layer, stop=True, grad=True) as acts:
                model(images)
        return acts.calls(self.unit.layer)[0]

    def independent_batch_size(self, model: nn.Module, images: Tensor, batch: int, count: int) -> int:
        """How many of `count` images may share a pass: see `model_runner.independent_batch_size`."""
        return independent_batch_size(
            model, images, lambda some: self.forward(model, some), batch=batch, count=count
        )

    def read(self, output: Tensor) -> Tensor:
        """What the model, or the unit's layer, put out -> (N, T).

        Raises:
            LookupError: there is no such class.
            ValueError: the model puts out something other than one number for each class, probabilities where
                logits are wanted, or nothing finite.
        """
        if self.unit is not None:
            values = self.unit.activation(output)
            picked = values.reshape(len(values), -1).mean(dim=1, keepdim=True)  # (N, 1)
        else:
            if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != len(self.indices):
                given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                wanted = f"({len(self.indices)}, classes)"
                raise ValueError(f"a class can be explained where a model gives {wanted}, not {given}")
            if int(self.indices.max()) >= output.shape[1]:
                raise LookupError(
                    f"no class {int(self.indices.max())}: they are numbered from 0 to {output.shape[1] - 1}"
                )
            if self.output == "probability" and are_probabilities(output.detach()):
                raise ValueError(
                    "the model puts out probabilities already, and a softmax of these is none: "
                    "use output='logit'"
                )
            values = output.softmax(dim=1) if self.output == "probability" else output
            indices = self.indices.clone()  # made in inference mode, they could not be kept for the way back
            picked = values.gather(1, indices.to(output.device))  # (N, T)
        if not all_finite(picked.detach()):
            raise ValueError("the model's answer is not finite (nan or inf): look at the weights")
        return picked


def resolve(model: nn.Module, images: Tensor, target: Target, output: str = "logit") -> ResolvedTarget:
    """Check images and target, before anything runs.

    Args:
        model: any network.
        images: (N, C, H, W) floating point, finite, at least one.
        target: as in the head of this file.
        output: "logit", or "probability": the softmax of all logits at the class.

    Raises:
        LookupError: no class of this name or number, no such layer, or no such `output`.
        ValueError: images or target of a wrong shape; a probability of a unit; a batch norm that mixes the
            images of a batch.
        TypeError: a target of another kind.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model (torch.nn.Module) comes first, not {type(model).__name__}")
    check_images(images)
    if not all_finite(images):
        raise ValueError("an image holds a number that is not finite (nan or inf)")
    if output not in OUTPUTS:
        raise unknown("score", output, OUTPUTS)
    if any(isinstance(part, _BatchNorm) and part.running_var is None for part in unique_modules(model)):
        raise ValueError(
            "this model has a batch norm without running statistics: its answer to one image depends on "
            "the others of the batch, so one image cannot be explained"
        )
    if isinstance(target, Unit):
        layer(model, target.layer)
        if output == "probability":
            raise ValueError(
                f"a unit has an activation, not a probability: leave output='logit' for {target}"
            )
        return ResolvedTarget(torch.zeros(len(images), 1, dtype=torch.int64), target, output, multi=False)
    indices = _class_indices(model, target, len(images))
    multi = indices.dim() == 2
    return ResolvedTarget(indices if multi else indices[:, None], None, output, multi)


def top_classes(model: nn.Module, images: Tensor, k: int = 5, *, batch: int = 64) -> Tensor:
    """The k classes with the highest logits, the highest first.

    Args:
        model: any classifier; it runs in eval mode.
        images: (N, C, H, W).
        k: how many; all classes, if there are fewer.
        batch: images per pass.

    Returns:
        (N, k) class numbers, to be given as a target.

    Raises:
        ValueError: as `resolve`; a model that does not give (N, classes).
    """
    k = check_integer(k, "k is a whole number, 1 or more")
    resolved = resolve(model, images, 0)
    batch = resolved.independent_batch_size(model, images, batch, len(images))
    with preserved(model, grad=False):
        parts = [resolved.forward(model, part.detach().clone()) for part in images.split(batch)]
        for part, rows in zip(parts, resolved.indices.split(batch), strict=True):
            resolved._replace(indices=rows).read(part)
        logits = torch.cat(parts)
    return logits.topk(min(k, logits.shape[1]), dim=1).indices


def class_name(model: nn.Module, number: int) -> str:
    """What a class is called: by its name if the model has names, else "class 3"."""
    classes = tuple(getattr(model, "classes", ()))
    return classes[number] if number < len(classes) else f"class {number}"


def check_images(images: object) -> None:
    """Refuse what are no images.

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
        raise ValueError(f"images are (N, C, H, W), floating point, at least one; not {given}")


def are_probabilities(output: Tensor) -> bool:
    """(N, K): none below zero, and 1 together? Logits are that by chance, if ever.

    A softmax that is sure of some images has zeros there. But zeros and ones alone may be counts.
    """
    near = max(1e-5, 4 * torch.finfo(output.dtype).eps)  # half precision adds up to 1 only roughly
    one = (output.sum(dim=1) - 1).abs() < near
    return bool((output >= 0).all() and one.all() and ((output > 0) & (output < 1)).any())


def _class_indices(model: nn.Module, target: int | str | Tensor, n: int) -> Tensor:
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
    indices = target.cpu()
    if indices.dtype.is_floating_point or indices.dtype == torch.bool or indices.is_complex():
        raise TypeError(f"class numbers are whole numbers, not {indices.dtype}")
    indices = indices.to(torch.int64)
    if indices.dim() == 0:
        indices = indices.expand(n)
    if indices.dim() not in (1, 2) or len(indices) != n or not indices.numel():
        raise ValueError(
            f"one class, or (N,) or (N, T) of them for N = {n} images, not {tuple(indices.shape)}"
        )
    if int(indices.min()) < 0:
        raise LookupError(f"no class {int(indices.min())}: they are numbered from 0")
    return indices
