"""What a model answers to one picture with every window covered in turn, computed in the cheaper of two ways.

Type: (model, picture, windows) -> Sweep. "batches" runs whole covered pictures. "incremental" runs the model
on a `Region`, so only what a window reaches is computed again; its numbers are the same to rounding. Both
are checked against plain passes with one covered picture: before the sweep, and after it with the window that
made the largest difference. "auto" estimates from such a pass what each way costs.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.model_runner import passing
from cnnlab.methods.occlusion.incremental.cost import Watch
from cnnlab.methods.occlusion.incremental.region_tensor import of_windows
from cnnlab.methods.occlusion.incremental.window_rules import Kept
from cnnlab.methods.occlusion.outputs import LAYOUTS, answer, same, shared_layout
from cnnlab.methods.occlusion.windows import Covering, Windows
from cnnlab.probing import Unit, undisturbed
from cnnlab.probing.units import refuse_compiled
from cnnlab.validation import whole as integer

HOW = ("auto", "incremental", "batches")
_NUMBERS = 12_000_000  # in the largest tensor of a pass, if nothing else is asked for
_MOST = 256  # pictures in a pass
_WORTH = 5e9  # multiplications in all, from which on windows near a border make groups of their own
_SLOWER = "whole pictures are estimated to be faster: a small net, or windows that reach most of it"


class Cost(NamedTuple):
    """What else costs time, measured, in multiplications: a number in a tensor, and a call for a group."""

    cell: float
    call: float


_COST = Cost(cell=35, call=2e7)


class Sweep(NamedTuple):
    """The answers.

    Attributes:
        outputs: (windows, K); nan where it was stopped before.
        whole: (K,) to the picture itself.
        done: (windows,) false where it was stopped before.
        how: "incremental" or "batches".
        reason: why not incremental; empty if it is.
        work: multiplications, in passes of one whole picture.
        seconds: wall clock.
    """

    outputs: Tensor
    whole: Tensor
    done: Tensor
    how: str
    reason: str
    work: float
    seconds: float


class _Way(NamedTuple):
    """How the answers to some windows are computed."""

    covering: Covering  # in a layout in which one picture alone has the answer that it should
    run: Callable[[Tensor], Tensor]  # (P,) windows -> what the model takes
    how: str
    kinds: Tensor  # (windows,) those of one kind go together
    largest: float  # numbers in the largest tensor, for each window
    share: float  # multiplications for each window, in passes of a whole picture
    tried: float  # the same, for what was run before the first window


class _No(Exception):
    """Why the model cannot or should not be run incrementally; never leaves this file."""


class _Other(ValueError):
    """An answer is another one than that of a plain pass."""


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
        model: any network; it runs in eval mode. One that mixes the pictures of a batch gets them one by one.
        image, fill: (1, C, H, W), checked.
        unit: whose mean to answer, K = 1; None: all classes.
        windows: for this picture. Those that change nothing have the answer to the picture itself.
        batch, progress, how: as in `occlusion.drops`.

    Raises:
        LookupError: no such way.
        ValueError: "incremental" was asked for and cannot be; the model does not give (N, K), or is random.
    """
    if how not in HOW:
        raise unknown("way", how, HOW, plural="ways")
    if batch is not None:
        batch = integer(batch, "a pass takes 1 picture or more")
    began = time.perf_counter()
    with undisturbed(model, grad=False):
        covering = Covering(windows, image, fill).laid_out(torch.contiguous_format)
        with passing(model, image), Watch() as plain:
            whole = answer(model, unit, covering.image.clone())
        done = ~covering.changing()
        outputs = torch.where(done.to(whole.device)[:, None], whole, torch.nan)  # (windows, K)
        if done.all():
            kind, reason = (
                ("incremental", "") if how == "incremental" else ("batches", "no window changes it")
            )
            return Sweep(outputs, whole[0], done, kind, reason, 1.0, time.perf_counter() - began)
        few = covering.telling(~done)
        alone = torch.cat([answer(model, unit, covering.pictures(one)) for one in few[1:].split(1)])
        reason, way = "batches were asked for", None
        if how != "batches":
            try:
                way = _incremental(model, unit, covering, few, plain, alone, always=how == "incremental")
                reason = ""
            except _No as no:
                reason = str(no)
                if how == "incremental":
                    raise ValueError(
                        f"this cannot be computed incrementally: {reason}. Use how='auto'"
                    ) from None
        size = batch
        if way is None:
            way, why = _batches(model, unit, covering, few, plain, alone)
            size, reason = (1, why) if why else (batch, reason)
        size = size if size is not None else min(_MOST, max(1, int(_NUMBERS // max(way.largest, 1))))
        order = way.kinds.sort(stable=True).indices  # so a pass has few of them
        order = order[~done[order]]
        work = 1 + len(alone) + way.tried + len(order) * way.share
        for numbers in order.tensor_split(math.ceil(len(order) / size)):
            # Never one alone: what depends on its window could then be taken for a constant.
            given = numbers if len(numbers) > 1 or way.how == "batches" else numbers.expand(2)
            outputs[numbers] = answer(model, unit, way.run(given))[: len(numbers)]
            done[numbers] = True
            if progress is not None and progress(int(done.sum()), len(done)) is True:
                work -= int((~done).sum()) * way.share
                break
        try:
            work += _check(model, unit, way.covering, outputs, whole, done, few[1:], alone)
        except _Other:
            if how != "auto" or way.how == "batches":
                raise
            safe = sweep(model, image, unit, windows, fill, batch=batch, progress=progress, how="batches")
            reason, seconds = "regions gave another answer than a plain pass", time.perf_counter() - began
            return safe._replace(reason=reason, work=work + safe.work, seconds=seconds)
    return Sweep(outputs, whole[0], done, way.how, reason, work, time.perf_counter() - began)


def _batches(
    model: nn.Module,
    unit: Unit | None,
    covering: Covering,
    few: Tensor,
    plain: Watch,
    alone: Tensor,
) -> tuple[_Way, str]:
    """Whole pictures; and why each must run alone, or nothing."""
    layout, why = None, f"the model looks at a number ({plain.asked}) to decide how to go on"
    if not plain.asked:
        layout, why = shared_layout(model, unit, covering.pictures(few[1:]), alone), ""
        if layout is None:
            why = "the model mixes the pictures of a batch, so each ran alone"
    laid_out = covering if layout is None else covering.laid_out(layout)
    kinds, tried = covering.windows.border_kinds(1), 0.0 if plain.asked else float(len(few))
    return _Way(laid_out, laid_out.pictures, "batches", kinds, plain.largest, 1.0, tried), why


def _incremental(
    model: nn.Module,
    unit: Unit | None,
    covering: Covering,
    few: Tensor,
    plain: Watch,
    alone: Tensor,
    always: bool,
) -> _Way:
    """Regions, tried with a few windows: so no tensor of the pass looks like a constant, and mixing is seen.

    Args:
        always: also where it is estimated to be slower.

    Raises:
        _No: it cannot be, or is not worth it.
    """
    if plain.asked:
        raise _No(f"the model looks at a number ({plain.asked}) to decide how to go on")
    total = covering.windows.grid[0] * covering.windows.grid[1]
    whole = total * (plain.products + _COST.cell * plain.cells)
    if not always and whole < _COST.call * 2 * plain.calls:  # two passes at least: not even worth a trial
        raise _No(_SLOWER)
    try:
        refuse_compiled(model)
    except ValueError as error:
        raise _No(str(error)) from None
    kinds = 2 if plain.products * total > _WORTH else 1
    groups = covering.windows.border_kinds(kinds)
    for layout in LAYOUTS:
        laid_out, kept, trial = covering.laid_out(layout), Kept(layout, exact=bool(plain.sharp)), Watch()
        try:
            with trial:
                found = answer(model, unit, of_windows(*laid_out, kept, few, torch.zeros_like(groups)))
        except Exception as error:  # of the model's own code, which expected another kind of tensor
            why = f"the model does not run on regions: {type(error).__name__}: {error}"
            continue
        if not len(kept):
            raise _No("there is no rule for the first function of the model")
        if same(found[1:], alone):
            break
        why = "its answer is another one than that of a plain pass: it mixes pictures, or is random"
    else:
        raise _No(why)
    products = trial.products + kept.products
    one = (products + _COST.cell * (trial.cells + kept.cells)) / len(few)  # for each of the trial
    if not always and total * one + _COST.call * len(kept) * (1 + kinds**2) > whole:
        raise _No(_SLOWER)
    share = products / len(few) / max(plain.products, 1)

    def run(numbers: Tensor) -> Tensor:
        return of_windows(*laid_out, kept, numbers, groups)

    return _Way(laid_out, run, "incremental", groups, trial.largest / len(few), share, share * len(few))


def _check(
    model: nn.Module,
    unit: Unit | None,
    covering: Covering,
    outputs: Tensor,
    whole: Tensor,
    done: Tensor,
    few: Tensor,
    alone: Tensor,
) -> int:
    """Are the answers to a few windows, and to that with the largest drop, those that they have alone?

    Returns:
        The passes that it took.

    Raises:
        _Other: one is not.
    """
    known = dict(zip(few.tolist(), alone.split(1), strict=True))
    drops = (outputs - whole).abs().nan_to_num(nan=torch.inf, posinf=0.0)  # no number is the most suspicious
    most = int(drops.amax(dim=1).where(done.to(drops.device), 0.0).argmax())
    passes = int(most not in known)
    if passes:
        known[most] = answer(model, unit, covering.pictures(torch.tensor([most])))
    for number, expected in known.items():
        if done[number] and not same(outputs[number : number + 1], expected):
            raise _Other(
                "the model answers differently when pictures share a batch, or every time: take batch=1 and "
                "how='batches', and if that does not help, something in it is random"
            )
    return passes
