"""A sticker: a small picture that, wherever it is put, makes the network say one class.

Type: (model, images, target, side) -> Sticker. The change is not small, but it is in one place only, and it
is made for any picture and any place: printed and laid beside a banana, it worked in front of a camera.

Paper: Brown et al., Adversarial patch, 2017.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.attack import ManyProgress, Step, judged, made_for_many
from cnnlab.methods.adversarial.classifier import Victim
from cnnlab.methods.adversarial.result import Attacked
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import Target, pictures
from cnnlab.nets.adam import Adam
from cnnlab.validation import whole


class Sticker(NamedTuple):
    """A sticker, and what it does.

    Attributes:
        patch: (C, side, side) in [0, 1].
        result: of all pictures, each with the sticker at one place, as `Attacked`.
        rows, columns: (N,) of the upper left corner, in the result.
        turns: (N,) quarter turns to the left, in the result.
        history: for each step the share of its batch that was taken for the target before the step.
        passes: through the network, those for the result included.
        seconds: wall clock.
        stopped: "finished"; "stopped" by progress; "interrupted" by Ctrl+C.
    """

    patch: Tensor
    result: Attacked
    rows: Tensor
    columns: Tensor
    turns: Tensor
    history: list[float]
    passes: Passes
    seconds: float
    stopped: str

    @property
    def share(self) -> float:
        """Of the pictures that were not taken for the target before, as many are now."""
        return self.result.share


def sticker(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    side: int = 16,
    steps: int = 100,
    batch: int = 16,
    rate: float = 0.05,
    turning: bool = True,
    seed: int = 0,
    progress: ManyProgress | None = None,
) -> Sticker:
    """Make a sticker for a class, on random pictures at random places.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        images: (N, C, H, W) in [0, 1], on which it is made. For an honest figure, paste it on others.
        target: the class that it stands for: a number or a name, or (N,) numbers.
        side: of the sticker, in pixels.
        steps: how many.
        batch: pictures per step; one, if the model's answer to a picture depends on the others.
        rate: of Adam, in units of [0, 1].
        turning: by quarter turns at random, too?
        seed: of the start, the pictures, the places and the turns.
        progress: called after each step with (steps done, all, patch (C, side, side), share of the batch that
            says the target). True stops, and so does Ctrl+C.

    Returns:
        Sticker.

    Raises:
        LookupError, ValueError: as `fgsm`; a sticker that does not fit; no picture had a slope.
        TypeError: no target, or one of another kind.

    Paper: Brown et al., 2017.
    """
    began = time.perf_counter()
    if target is None:
        raise TypeError("target is the class that the sticker stands for, by number or name; not None")
    victim = Victim(model, images, None, target)
    side, steps = whole(side, "side is a whole number, 1 or more"), whole(steps, "steps is 1 or more")
    if side > min(images.shape[2:]):
        raise ValueError(f"a sticker of {side} pixels does not fit on pictures of {tuple(images.shape[2:])}")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1:
        raise ValueError(f"rate is a number above 0, at most 1, not {rate!r}")
    batch = victim.asked.share(model, victim.images, whole(batch, "batch is 1 picture or more"), len(images))
    random, turn_limit = norms.chance(seed), 4 if turning else 1

    def places(n: int) -> tuple[Tensor, Tensor, Tensor]:
        limits = (images.shape[2] - side + 1, images.shape[3] - side + 1, turn_limit)
        return tuple(torch.randint(limit, (n,), generator=random) for limit in limits)

    with torch.inference_mode(False):  # what is born in the caller's could not be changed in place
        patch = torch.rand(images.shape[1], side, side, generator=random).to(victim.images)
        adam = Adam(patch, rate)  # shares its memory

    def climb() -> Iterator[Step]:
        for _ in range(steps):
            some = torch.randperm(len(images), generator=random)[:batch]
            at = places(len(some))
            look = victim.slopes(paste(victim.images[some], patch, *at), some)
            adam.step(_taken_off(look.slope, side, *at))
            patch.clamp_(0, 1)
            yield Step(victim.reached(look, some), look.slope, patch)

    patch, history, stopped = made_for_many(victim, climb(), steps, patch, progress, what="sticker")
    at = places(len(images))
    result = judged(model, images, paste(victim.images, patch, *at), target=target, chunk=batch)
    stopped = result.stopped if stopped == "finished" else stopped
    passes = Passes(victim.forwards + result.passes.forward, victim.backwards)
    return Sticker(patch, result, *at, history, passes, time.perf_counter() - began, stopped)


def paste(
    images: Tensor,
    patch: Tensor,
    rows: int | Tensor,
    columns: int | Tensor,
    turns: int | Tensor = 0,
) -> Tensor:
    """Pictures with a sticker on each.

    >>> paste(torch.zeros(1, 1, 2, 3), torch.ones(1, 1, 1), 1, 2)[0, 0].tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
        images: (N, C, H, W).
        patch: (C, side, side).
        rows, columns: of its upper left corner: a number, or (N,).
        turns: quarter turns to the left: a number, or (N,).

    Returns:
        (N, C, H, W), new ones.

    Raises:
        ValueError: the sticker has other channels, is not square, or hangs over the edge; a place that is
            no whole number.
    """
    pictures(images)
    square = isinstance(patch, Tensor) and patch.dim() == 3 and patch.shape[1] == patch.shape[2]
    if not square or patch.shape[0] != images.shape[1]:
        given = tuple(patch.shape) if isinstance(patch, Tensor) else patch
        raise ValueError(f"a sticker is (C, side, side), here C = {images.shape[1]}, not {given!r:.80}")
    side, pasted = patch.shape[1], images.detach().clone()
    for n, (row, column, turn) in enumerate(_at(len(images), rows, columns, turns)):
        if not (0 <= row <= images.shape[2] - side and 0 <= column <= images.shape[3] - side):
            raise ValueError(
                f"a sticker of {side} pixels at row {row}, column {column} hangs over the edge of a picture "
                f"of {tuple(images.shape[2:])}"
            )
        pasted[n, :, row : row + side, column : column + side] = patch.detach().rot90(turn, (1, 2))
    return pasted


def _taken_off(slope: Tensor, side: int, rows: Tensor, columns: Tensor, turns: Tensor) -> Tensor:
    """The way back of `paste`: (N, C, H, W) -> (C, side, side), added up."""
    total = slope.new_zeros(slope.shape[1], side, side)
    for n, (row, column, turn) in enumerate(_at(len(slope), rows, columns, turns)):
        total += slope[n, :, row : row + side, column : column + side].rot90(-turn, (1, 2))
    return total


def _at(n: int, *places: int | Tensor) -> list[tuple[int, ...]]:
    """A row, a column and a turn for each of n pictures."""
    found = [torch.as_tensor(place) for place in places]
    for each in found:
        if each.is_floating_point() or each.dtype == torch.bool or each.shape not in ((), (1,), (n,)):
            raise ValueError(f"rows, columns and turns are whole numbers, one or (N,) for N = {n}: {each}")
    return list(zip(*(each.expand(n).tolist() for each in found), strict=True))
