"""A patch: a small image that, wherever it is put, makes the network say one class.

Type: (model, images, target, side) -> AdversarialPatch. The change is not small, but it is in one position
only,
and it is made for any image and any position: printed and laid beside a banana, it worked in front of a
camera.

Paper: Brown et al., Adversarial patch, 2017.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import SharedProgress, SharedStep, evaluated, optimise_shared
from cnnlab.methods.adversarial.classifier import Classifier
from cnnlab.methods.adversarial.result import AttackResult
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import Target, check_images
from cnnlab.nets.adam import Adam
from cnnlab.validation import check_integer


class AdversarialPatch(NamedTuple):
    """A patch, and what it does.

    Attributes:
        patch: (C, side, side) in [0, 1].
        result: of all images, each with the patch at one position, as `AttackResult`.
        rows, columns: (N,) of the upper left corner, in the result.
        rotations: (N,) quarter turns to the left, in the result.
        history: for each step the share of its batch that was taken for the target before the step.
        passes: through the network, those for the result included.
        seconds: wall clock.
        stopped: "finished"; "stopped" by progress; "interrupted" by Ctrl+C.
    """

    patch: Tensor
    result: AttackResult
    rows: Tensor
    columns: Tensor
    rotations: Tensor
    history: list[float]
    passes: Passes
    seconds: float
    stopped: str

    @property
    def success_rate(self) -> float:
        """Of the images that were not taken for the target before, as many are now."""
        return self.result.success_rate


def adversarial_patch(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    side: int = 16,
    steps: int = 100,
    batch: int = 16,
    learning_rate: float = 0.05,
    rotate: bool = True,
    seed: int = 0,
    progress: SharedProgress | None = None,
) -> AdversarialPatch:
    """Make a patch for a class, on random images at random positions.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        images: (N, C, H, W) in [0, 1], on which it is made. For an honest figure, paste it on others.
        target: the class that it stands for: a number or a name, or (N,) numbers.
        side: of the patch, in pixels.
        steps: how many.
        batch: images per step; one, if the model's answer to an image depends on the others.
        learning_rate: of Adam, in units of [0, 1].
        rotate: by quarter turns at random, too?
        seed: of the start, the images, the positions and the rotations.
        progress: called after each step with (steps done, all, patch (C, side, side), share of the batch that
            says the target). True stops, and so does Ctrl+C.

    Returns:
        AdversarialPatch.

    Raises:
        LookupError, ValueError: as `fgsm`; a patch that does not fit; no image had a gradient.
        TypeError: no target, or one of another kind.

    Paper: Brown et al., 2017.
    """
    began = time.perf_counter()
    if target is None:
        raise TypeError("target is the class that the patch stands for, by number or name; not None")
    classifier = Classifier(model, images, None, target)
    side, steps = (
        check_integer(side, "side is a whole number, 1 or more"),
        check_integer(steps, "steps is 1 or more"),
    )
    if side > min(images.shape[2:]):
        raise ValueError(f"a patch of {side} pixels does not fit on images of {tuple(images.shape[2:])}")
    if (
        isinstance(learning_rate, bool)
        or not isinstance(learning_rate, int | float)
        or not 0 < learning_rate <= 1
    ):
        raise ValueError(f"learning_rate is a number above 0, at most 1, not {learning_rate!r}")
    batch = classifier.resolved.independent_batch_size(
        model, classifier.images, check_integer(batch, "batch is 1 image or more"), len(images)
    )
    random, rotation_limit = norms.generator(seed), 4 if rotate else 1

    def positions(n: int) -> tuple[Tensor, Tensor, Tensor]:
        limits = (images.shape[2] - side + 1, images.shape[3] - side + 1, rotation_limit)
        return tuple(torch.randint(limit, (n,), generator=random) for limit in limits)

    with torch.inference_mode(False):  # what is born in the caller's could not be changed in place
        patch = torch.rand(images.shape[1], side, side, generator=random).to(classifier.images)
        adam = Adam(patch, learning_rate)  # shares its memory

    def climb() -> Iterator[SharedStep]:
        for _ in range(steps):
            batch_rows = torch.randperm(len(images), generator=random)[:batch]
            at = positions(len(batch_rows))
            evaluation = classifier.evaluate_with_gradient(
                apply_patch(classifier.images[batch_rows], patch, *at), batch_rows
            )
            adam.step(_patch_gradient(evaluation.gradient, side, *at))
            patch.clamp_(0, 1)
            yield SharedStep(classifier.reached(evaluation, batch_rows), evaluation.gradient, patch)

    patch, history, stopped = optimise_shared(classifier, climb(), steps, patch, progress, what="patch")
    at = positions(len(images))
    result = evaluated(model, images, apply_patch(classifier.images, patch, *at), target=target, batch=batch)
    stopped = result.stopped if stopped == "finished" else stopped
    passes = Passes(classifier.forwards + result.passes.forward, classifier.backwards)
    return AdversarialPatch(patch, result, *at, history, passes, time.perf_counter() - began, stopped)


def apply_patch(
    images: Tensor,
    patch: Tensor,
    rows: int | Tensor,
    columns: int | Tensor,
    rotations: int | Tensor = 0,
) -> Tensor:
    """Images with a patch on each.

    >>> apply_patch(torch.zeros(1, 1, 2, 3), torch.ones(1, 1, 1), 1, 2)[0, 0].tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
        images: (N, C, H, W).
        patch: (C, side, side).
        rows, columns: of its upper left corner: a number, or (N,).
        rotations: quarter turns to the left: a number, or (N,).

    Returns:
        (N, C, H, W), new ones.

    Raises:
        ValueError: the patch has other channels, is not square, or hangs over the edge; a position that is
            no whole number.
    """
    check_images(images)
    square = isinstance(patch, Tensor) and patch.dim() == 3 and patch.shape[1] == patch.shape[2]
    if not square or patch.shape[0] != images.shape[1]:
        given = tuple(patch.shape) if isinstance(patch, Tensor) else patch
        raise ValueError(f"a patch is (C, side, side), here C = {images.shape[1]}, not {given!r:.80}")
    side, pasted = patch.shape[1], images.detach().clone()
    for n, (row, column, rotation) in enumerate(_placements(len(images), rows, columns, rotations)):
        if not (0 <= row <= images.shape[2] - side and 0 <= column <= images.shape[3] - side):
            raise ValueError(
                f"a patch of {side} pixels at row {row}, column {column} hangs over the edge of an image "
                f"of {tuple(images.shape[2:])}"
            )
        pasted[n, :, row : row + side, column : column + side] = patch.detach().rot90(rotation, (1, 2))
    return pasted


def _patch_gradient(gradient: Tensor, side: int, rows: Tensor, columns: Tensor, rotations: Tensor) -> Tensor:
    """The way back of `apply_patch`: (N, C, H, W) -> (C, side, side), added up."""
    total = gradient.new_zeros(gradient.shape[1], side, side)
    for n, (row, column, rotation) in enumerate(_placements(len(gradient), rows, columns, rotations)):
        total += gradient[n, :, row : row + side, column : column + side].rot90(-rotation, (1, 2))
    return total


def _placements(n: int, *positions: int | Tensor) -> list[tuple[int, ...]]:
    """A row, a column and a rotation for each of n images."""
    numbers = [torch.as_tensor(position) for position in positions]
    for each in numbers:
        if each.is_floating_point() or each.dtype == torch.bool or each.shape not in ((), (1,), (n,)):
            raise ValueError(
                f"rows, columns and rotations are whole numbers, one or (N,) for N = {n}: {each}"
            )
    return list(zip(*(each.expand(n).tolist() for each in numbers), strict=True))
