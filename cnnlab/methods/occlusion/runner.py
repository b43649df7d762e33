"""What a model answers to one image with every window covered in turn, computed in the cheaper of two ways.

Type: (model, image, windows) -> WindowOutputs. "batches" runs whole covered images. "incremental" runs
the model on a `RegionTensor`, so only what a window reaches is computed again; its numbers are the same to
rounding. Both are checked against plain passes with one covered image: before the run, and after it with
the window that made the largest difference. "auto" estimates from such a pass what each way costs.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.errors import unknown
from cnnlab.methods.model_runner import guarded_forward
from cnnlab.methods.occlusion.incremental.cost import CostCounter
from cnnlab.methods.occlusion.incremental.region_tensor import of_windows
from cnnlab.methods.occlusion.incremental.window_rules import BaseCache
from cnnlab.methods.occlusion.outputs import LAYOUTS, allclose_to_rounding, output, shared_layout
from cnnlab.methods.occlusion.windows import OccludedImages, Windows
from cnnlab.probing import Unit, preserved
from cnnlab.probing.units import check_not_compiled
from cnnlab.validation import check_integer

ENGINES = ("auto", "incremental", "batches")
_NUMBERS = 12_000_000  # in the largest tensor of a pass, if nothing else is asked for
_MOST = 256  # images in a pass
_WORTH = 5e9  # multiplications in all, from which on windows near a border make groups of their own
_SLOWER = "whole images are estimated to be faster: a small net, or windows that reach most of it"


class Cost(NamedTuple):
    """What else costs time, measured, in multiplications: a number in a tensor, and a call for a group."""

    cell: float
    call: float


_COST = Cost(cell=35, call=2e7)


class WindowOutputs(NamedTuple):
    """The answers.

    Attributes:
        outputs: (windows, K); nan where it was stopped before.
        unoccluded: (K,) to the image itself.
        done: (windows,) false where it was stopped before.
        engine: "incremental" or "batches".
        reason: why not incremental; empty if it is.
        work: multiplications, in passes of one whole image.
        seconds: wall clock.
    """

    outputs: Tensor
    unoccluded: Tensor
    done: Tensor
    engine: str
    reason: str
    work: float
    seconds: float


class _Plan(NamedTuple):
    """How the answers to some windows are computed."""

    occluded: OccludedImages  # in a layout in which one image alone has the answer that it should
    run: Callable[[Tensor], Tensor]  # (P,) windows -> what the model takes
    engine: str
    kinds: Tensor  # (windows,) those of one kind go together
    largest: float  # numbers in the largest tensor, for each window
    cost: float  # multiplications for each window, in passes of a whole image
    trial_cost: float  # the same, for what was run before the first window


class _NotIncremental(Exception):
    """Why the model cannot or should not be run incrementally; never leaves this file."""


class _DifferentOutput(ValueError):
    """An answer is another one than that of a plain pass."""


def run_windows(
    model: nn.Module,
    image: Tensor,
    unit: Unit | None,
    windows: Windows,
    fill: Tensor,
    *,
    batch: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    engine: str = "auto",
) -> WindowOutputs:
    """Cover one window after the other.

    Args:
        model: any network; it runs in eval mode. One that mixes the images of a batch gets them one by one.
        image, fill: (1, C, H, W), checked.
        unit: whose mean to answer, K = 1; None: all classes.
        windows: for this image. Those that change nothing have the answer to the image itself.
        batch, progress, engine: as in `occlusion.drops`.

    Raises:
        LookupError: no such engine.
        ValueError: "incremental" was asked for and cannot be; the model does not give (N, K), or is random.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if batch is not None:
        batch = check_integer(batch, "a pass takes 1 image or more")
    began = time.perf_counter()
    with preserved(model, grad=False):
        occluded = OccludedImages(windows, image, fill).laid_out(torch.contiguous_format)
        with guarded_forward(model, image), CostCounter() as plain:
            unoccluded = output(model, unit, occluded.image.clone())
        done = ~occluded.changing()
        outputs = torch.where(done.to(unoccluded.device)[:, None], unoccluded, torch.nan)  # (windows, K)
        if done.all():
            kind, reason = (
                ("incremental", "") if engine == "incremental" else ("batches", "no window changes it")
            )
            return WindowOutputs(outputs, unoccluded[0], done, kind, reason, 1.0, time.perf_counter() - began)
        probe = occluded.probe_windows(~done)
        alone = torch.cat([output(model, unit, occluded.images(one)) for one in probe[1:].split(1)])
        reason, plan = "batches were asked for", None
        if engine != "batches":
            try:
                plan = _incremental(
                    model, unit, occluded, probe, plain, alone, always=engine == "incremental"
                )
                reason = ""
            except _NotIncremental as reason_not:
                reason = str(reason_not)
                if engine == "incremental":
                    raise ValueError(
                        f"this cannot be computed incrementally: {reason}. Use engine='auto'"
                    ) from None
        size = batch
        if plan is None:
            plan, why = _batches(model, unit, occluded, probe, plain, alone)
            size, reason = (1, why) if why else (batch, reason)
        size = size if size is not None else min(_MOST, max(1, int(_NUMBERS // max(plan.largest, 1))))
        order = plan.kinds.sort(stable=True).indices  # so a pass has few of them
        order = order[~done[order]]
        work = 1 + len(alone) + plan.trial_cost + len(order) * plan.cost
        for numbers in order.tensor_split(math.ceil(len(order) / size)):
            # Never one alone: what depends on its window could then be taken for a constant.
            given = numbers if len(numbers) > 1 or plan.engine == "batches" else numbers.expand(2)
            outputs[numbers] = output(model, unit, plan.run(given))[: len(numbers)]
            done[numbers] = True
            if progress is not None and progress(int(done.sum()), len(done)) is True:
                work -= int((~done).sum()) * plan.cost
                break
        try:
            work += _check(model, unit, plan.occluded, outputs, unoccluded, done, probe[1:], alone)
        except _DifferentOutput:
            if engine != "auto" or plan.engine == "batches":
                raise
            safe = run_windows(
                model, image, unit, windows, fill, batch=batch, progress=progress, engine="batches"
            )
            reason, seconds = "regions gave another answer than a plain pass", time.perf_counter() - began
            return safe._replace(reason=reason, work=work + safe.work, seconds=seconds)
    return WindowOutputs(outputs, unoccluded[0], done, plan.engine, reason, work, time.perf_counter() - began)


def _batches(
    model: nn.Module,
    unit: Unit | None,
    occluded: OccludedImages,
    probe: Tensor,
    plain: CostCounter,
    alone: Tensor,
) -> tuple[_Plan, str]:
    """Whole images; and why each must run alone, or nothing."""
    layout, why = None, f"the model looks at a number ({plain.reads_values}) to decide how to go on"
    if not plain.reads_values:
        layout, why = shared_layout(model, unit, occluded.images(probe[1:]), alone), ""
        if layout is None:
            why = "the model mixes the images of a batch, so each ran alone"
    laid_out = occluded if layout is None else occluded.laid_out(layout)
    kinds, trial_cost = occluded.windows.border_kinds(1), 0.0 if plain.reads_values else float(len(probe))
    return _Plan(laid_out, laid_out.images, "batches", kinds, plain.largest, 1.0, trial_cost), why


def _incremental(
    model: nn.Module,
    unit: Unit | None,
    occluded: OccludedImages,
    probe: Tensor,
    plain: CostCounter,
    alone: Tensor,
    always: bool,
) -> _Plan:
    """Regions, tried with a few windows: so no tensor of the pass looks like a constant, and mixing is seen.

    Args:
        always: also where it is estimated to be slower.

    Raises:
        _No: it cannot be, or is not worth it.
    """
    if plain.reads_values:
        raise _NotIncremental(f"the model looks at a number ({plain.reads_values}) to decide how to go on")
    total = occluded.windows.grid[0] * occluded.windows.grid[1]
    full_cost = total * (plain.multiply_adds + _COST.cell * plain.cells)
    if not always and full_cost < _COST.call * 2 * plain.calls:  # two passes at least: not even worth a trial
        raise _NotIncremental(_SLOWER)
    try:
        check_not_compiled(model)
    except ValueError as error:
        raise _NotIncremental(str(error)) from None
    kinds = 2 if plain.multiply_adds * total > _WORTH else 1
    groups = occluded.windows.border_kinds(kinds)
    for layout in LAYOUTS:
        laid_out, cache, trial = (
            occluded.laid_out(layout),
            BaseCache(layout, exact=bool(plain.sharp)),
            CostCounter(),
        )
        try:
            with trial:
                found = output(model, unit, of_windows(*laid_out, cache, probe, torch.zeros_like(groups)))
        except Exception as error:  # of the model's own code, which expected another kind of tensor
            why = f"the model does not run on regions: {type(error).__name__}: {error}"
            continue
        if not len(cache):
            raise _NotIncremental("there is no rule for the first function of the model")
        if allclose_to_rounding(found[1:], alone):
            break
        why = "its answer is another one than that of a plain pass: it mixes images, or is random"
    else:
        raise _NotIncremental(why)
    multiply_adds = trial.multiply_adds + cache.multiply_adds
    one = (multiply_adds + _COST.cell * (trial.cells + cache.cells)) / len(probe)  # for each of the trial
    if not always and total * one + _COST.call * len(cache) * (1 + kinds**2) > full_cost:
        raise _NotIncremental(_SLOWER)
    cost = multiply_adds / len(probe) / max(plain.multiply_adds, 1)

    def run(numbers: Tensor) -> Tensor:
        return of_windows(*laid_out, cache, numbers, groups)

    return _Plan(laid_out, run, "incremental", groups, trial.largest / len(probe), cost, cost * len(probe))


def _check(
    model: nn.Module,
    unit: Unit | None,
    occluded: OccludedImages,
    outputs: Tensor,
    unoccluded: Tensor,
    done: Tensor,
    probe: Tensor,
    alone: Tensor,
) -> int:
    """Are the answers to a few windows, and to that with the largest drop, those that they have alone?

    Returns:
        The passes that it took.

    Raises:
        _Other: one is not.
    """
    known = dict(zip(probe.tolist(), alone.split(1), strict=True))
    # No number is the most suspicious.
    drops = (outputs - unoccluded).abs().nan_to_num(nan=torch.inf, posinf=0.0)
    most = int(drops.amax(dim=1).where(done.to(drops.device), 0.0).argmax())
    passes = int(most not in known)
    if passes:
        known[most] = output(model, unit, occluded.images(torch.tensor([most])))
    for number, expected in known.items():
        if done[number] and not allclose_to_rounding(outputs[number : number + 1], expected):
            raise _DifferentOutput(
                "the model answers differently when images share a batch, or every time: take batch=1 and "
                "engine='batches', and if that does not help, something in it is random"
            )
    return passes
