"""What a model answers to one picture with every window covered in turn, computed in the cheaper of two ways.

Type: (model, picture, windows) -> Sweep. "batches" runs whole covered pictures. "incremental" runs the model
on a `Region`, so only what a window reaches is computed again; its numbers are the same to rounding. Both are
checked against a plain pass with one covered picture, and "auto" estimates from that pass what each costs.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.methods.patches import Patches
from cnnlab.methods.regions import Region, Watch
from cnnlab.methods.sliding import Path
from cnnlab.methods.windows import Windows
from cnnlab.names import unknown
from cnnlab.probing import Recorder, Unit, undisturbed
from cnnlab.probing.hooks import _refuse_compiled

HOW = ("auto", "incremental", "batches")
_NUMBERS = 12_000_000  # in the largest tensor of a pass, if nothing else is asked for
_MOST = 256  # pictures in a pass
_WORTH = (5e9, 2e11)  # multiplications in all, from which on more groups of windows are worth their trouble
_CELL, _CALL = (
    35,
    2e7,
)  # what a number in a tensor, and a call for a group, cost; measured, in multiplications
_SLOWER = "whole pictures are estimated to be faster: a small net, or windows that reach most of it"


class Sweep(NamedTuple):
    """The answers.

    Attributes:
        outputs: (windows, K); nan where it was stopped before.
        whole: (K,) to the picture itself.
        how: "incremental" or "batches".
        reason: why not incremental; empty if it is.
        work: multiplications, in passes of one whole picture.
        seconds: wall clock.
    """

    outputs: Tensor
    whole: Tensor
    how: str
    reason: str
    work: float
    seconds: float


def sweep(
    model: nn.Module,
    image: Tensor,
    unit: Unit | None,
    windows: Windows,
    fill: Tensor,
    *,
    batch: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    how: str = "auto",
) -> Sweep:
    """Cover one window after the other.

    Args:
        model: any network; it runs in eval mode.
        image, fill: (1, C, H, W), checked.
        unit: whose mean to answer, K = 1; None: all classes.
        windows: for this picture.
        batch, progress, how: as in `occlusion.drops`.

    Raises:
        LookupError: no such way.
        ValueError: "incremental" was asked for and cannot be; or the model does not give (N, K).
    """
    if how not in HOW:
        raise unknown("way", how, HOW, plural="ways")
    if batch is not None and (type(batch) is not int or batch < 1):
        raise ValueError(f"a pass takes 1 picture or more, not {batch!r}")
    began = time.perf_counter()
    total = windows.grid[0] * windows.grid[1]
    middle = torch.tensor([windows.grid[0] // 2 * windows.grid[1] + windows.grid[1] // 2])
    with undisturbed(model, grad=False):
        image, fill = (part.detach().clone(memory_format=torch.channels_last) for part in (image, fill))
        with Watch() as plain:
            whole = _answer(model, unit, image.clone())
        probe = _answer(model, unit, windows.covered(image, fill, middle))

        def covered(numbers: Tensor) -> Tensor:
            return windows.covered(image, fill, numbers)

        run, largest, share, reason = covered, plain.largest, 1.0, "batches were asked for"
        if how != "batches":
            kinds = 1 + sum(plain.products * total > much for much in _WORTH)
            path = Path()
            # Two, so that no tensor of the pass looks like a constant, and different: a mixed batch is seen.
            two = torch.cat([torch.tensor([0]), middle])

            def regions(numbers: Tensor) -> Region:
                path.begin()
                classes = windows.classes(kinds)[numbers]
                return Region(
                    path, [_patches(windows, image, fill, numbers[classes == c]) for c in classes.unique()]
                )

            reason, trial = _reason(model, unit, regions, two, path, plain, probe, how, total, kinds)
            if not reason:
                run, largest, share = regions, trial.largest / 2, trial.products / 2 / max(plain.products, 1)
            elif how == "incremental":
                raise ValueError(f"this cannot be computed incrementally: {reason}. Use how='auto'")
        if plain.asked:
            batch = 1
        size = batch if batch is not None else min(_MOST, max(1, int(_NUMBERS // max(largest, 1))))
        order = torch.arange(total)
        if run is not covered:
            order = windows.classes(kinds).sort(stable=True).indices  # so a pass has few of them
        outputs = whole.new_full((total, whole.shape[1]), torch.nan)
        done = 0
        for numbers in order.tensor_split(math.ceil(total / size)):
            # Never one alone: what depends on its window could then be taken for a constant.
            given = numbers if len(numbers) > 1 or run is covered else numbers.expand(2)
            outputs[numbers] = _answer(model, unit, run(given))[: len(numbers)]
            done += len(numbers)
            if progress is not None and progress(done, total) is True:
                break
        if not outputs[middle].isnan().any() and not _same(outputs[middle], probe):
            raise ValueError(
                "the model answers differently when pictures share a batch, or every time: take batch=1, and "
                "if that does not help, something in it is random"
            )
    how = "batches" if run is covered else "incremental"
    return Sweep(outputs, whole[0], how, reason, 2 + done * share, time.perf_counter() - began)


def _answer(model: nn.Module, unit: Unit | None, pictures: Tensor) -> Tensor:
    """(P, C, H, W) -> (P, K)"""
    if unit is None:
        output = model(pictures)
        if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != len(pictures):
            given = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            wanted = f"({len(pictures)}, classes)"
            raise ValueError(f"a class can be explained where a model gives {wanted}, not {given}")
        return output.detach().clone()
    with Recorder(model, unit.layer, stop=True) as acts:
        model(pictures)
    maps = acts.calls(unit.layer)[0]
    if isinstance(maps, Region):  # of the other channels nothing is needed
        maps, unit = maps[:, unit.channel : unit.channel + 1], unit._replace(channel=0)
    values = unit.of(maps)
    return values.reshape(len(values), -1).mean(dim=1, keepdim=True)


def _patches(windows: Windows, image: Tensor, fill: Tensor, numbers: Tensor) -> Patches:
    """The covered pictures: in each patch the window, and where it was cut at the border some picture."""
    top, left = windows.places(numbers.to(image.device))
    rows, cols = windows.size
    first = top.clamp(max=windows.picture[0] - rows), left.clamp(max=windows.picture[1] - cols)
    nothing = image.new_empty(len(numbers), image.shape[1], 0, 0)
    before, over = (Patches(part, nothing, *first).crop(*first, rows, cols) for part in (image, fill))
    inside = (torch.arange(rows, device=top.device) >= (top - first[0])[:, None])[:, None, :, None]
    inside = inside & (torch.arange(cols, device=top.device) >= (left - first[1])[:, None])[:, None, None, :]
    return Patches(image, torch.where(inside, over, before), *first)


def _reason(
    model: nn.Module,
    unit: Unit | None,
    regions: Callable[[Tensor], Region],
    two: Tensor,
    path: Path,
    plain: Watch,
    probe: Tensor,
    how: str,
    total: int,
    kinds: int,
) -> tuple[str, Watch]:
    """Why the model cannot or should not be run incrementally, or nothing; and what a pass with two cost."""
    trial = Watch()
    if plain.asked:
        return f"the model looks at a number ({plain.asked}) to decide how to go on", trial
    whole = total * (plain.products + _CELL * plain.cells)
    if how == "auto" and whole < _CALL * 2 * plain.calls:  # two passes at least: not even worth a trial
        return _SLOWER, trial
    try:
        _refuse_compiled(model)
    except ValueError as error:
        return str(error), trial
    try:
        with trial:
            found = _answer(model, unit, regions(two))
    except Exception as error:  # of the model's own code, which expected another kind of tensor
        return f"the model does not run on regions: {type(error).__name__}: {error}", trial
    if not len(path):
        return "there is no rule for the first function of the model", trial
    if not _same(found[1:], probe):
        return "its answer is another one than that of a plain pass: it mixes pictures, or is random", trial
    one = (trial.products + _CELL * (trial.cells + path.cells)) / 2  # of the two windows of the trial
    incremental = total * one + _CALL * len(path) * (1 + kinds**2)
    if how == "auto" and incremental > whole:
        return _SLOWER, trial
    return "", trial


def _same(one: Tensor, other: Tensor) -> bool:
    """To rounding: half of the digits of this type."""
    room = torch.finfo(one.dtype).eps ** 0.5 * float(other.abs().max())
    return bool(((one - other).abs() <= room).all())
