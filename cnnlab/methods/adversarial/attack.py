"""An attack goes through all pictures: a chunk at a time, watched, stoppable, and with the model settled.

Type: (victim, steps of an attack) -> Attacked. The steps are a generator: given a chunk of pictures, it gives
what it has after each step. So whatever stops it, there is something to keep.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor, nn

from cnnlab.methods.adversarial import norms
from cnnlab.methods.adversarial.classifier import Look, Trial, Victim
from cnnlab.methods.adversarial.result import Attacked, joined
from cnnlab.methods.model_runner import Passes
from cnnlab.methods.targets import Target
from cnnlab.probing import settled
from cnnlab.validation import whole

Progress = Callable[[int, int], object]
# (steps done, all steps, what is made, share of the last pictures on which it worked) -> True to stop.
ManyProgress = Callable[[int, int, Tensor, float], object]
Steps = Callable[[Victim, slice], Iterator[Trial]]


def run(victim: Victim, steps: Steps, each: int, *, chunk: int, progress: Progress | None) -> Attacked:
    """An attack on all pictures, a chunk at a time.

    Args:
        victim: what is attacked.
        steps: of the attack.
        each: how many steps there are at most for a chunk.
        chunk: pictures per pass; one, if the model's answer to a picture depends on the others.
        progress: called with (steps done, all steps of all chunks). True stops: what was reached so far is
            kept, and the rest of the pictures stays as it is.

    Raises:
        ValueError, LookupError: as `Victim` and `asking.passing`.
    """
    began = time.perf_counter()
    callable_or_none(progress)
    model, images = victim.model, victim.images
    chunk = victim.asked.share(model, images, whole(chunk, "a chunk is 1 picture or more"), len(images))
    rows = [slice(first, first + chunk) for first in range(0, len(images), chunk)]
    parts, trial, stopped = [], None, "finished"
    with settled(model, channels_last=False):
        try:
            for k, some in enumerate(rows):
                done = 0
                for latest in steps(victim, some):
                    trial, done = latest, done + 1
                    stopped = _told(progress, k * each + done, len(rows) * each)
                    if stopped != "finished":
                        break
                if stopped == "finished" and done < each:
                    stopped = _told(progress, (k + 1) * each, len(rows) * each)
                if stopped != "finished":
                    break
                part, trial = victim.done(trial, some), None  # not to be taken for the next chunk's
                parts.append(part)
        except KeyboardInterrupt:
            stopped = "interrupted"
        if stopped != "finished":
            for k, some in enumerate(rows[len(parts) :]):
                parts.append(
                    victim.done(trial if k == 0 and trial is not None else _idle(victim, some), some)
                )
    passes = Passes(victim.forwards, victim.backwards)
    return joined(parts, images, passes, time.perf_counter() - began, stopped)


def callable_or_none(progress: object) -> None:
    """Refuse, before anything runs, what cannot be called then.

    Raises:
        TypeError: it is no function.
    """
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is a function, called after each step, not {progress!r}")


def flat(look: Look) -> Tensor:
    """(B,) bool: is the slope zero for all pixels?"""
    return ~look.slope.flatten(1).any(dim=1)


def _idle(victim: Victim, rows: slice) -> Trial:
    look = victim.look(victim.images[rows], rows)
    return Trial(victim.images[rows].clone(), look, look)


def _told(progress: Progress | None, done: int, every: int) -> str:
    stop = progress is not None and progress(done, every) is True and done < every
    return "stopped" if stop else "finished"


class Step(NamedTuple):
    """One step.

    Attributes:
        reached: (B,) bool, of the pictures of this step: had it worked before the step?
        slope: (B, C, H, W).
        made: as it is after the step.
    """

    reached: Tensor
    slope: Tensor
    made: Tensor


def made_for_many(
    victim: Victim,
    steps: Iterator[Step],
    count: int,
    made: Tensor,
    progress: ManyProgress | None,
    *,
    what: str,
) -> tuple[Tensor, list[float], str]:
    """Go through the steps, with the model settled.

    Args:
        victim: what is attacked.
        steps: of the attack.
        count: how many there are.
        made: as it is before the first step.
        progress: called after each step. True stops, and so does Ctrl+C.
        what: its name, for an error.

    Returns:
        What was made; for each step the share of its pictures on which it worked before; and "finished",
        "stopped" or "interrupted".

    Raises:
        TypeError: progress is no function.
        ValueError: not one picture had a slope.
    """
    callable_or_none(progress)
    history, sloped, stopped = [], False, "finished"
    with settled(victim.model, channels_last=False):
        try:
            for step in steps:
                made = step.made
                history.append(float(step.reached.double().mean()))
                sloped |= bool(step.slope.any())
                if progress is not None and progress(len(history), count, made.clone(), history[-1]) is True:
                    stopped = "stopped" if len(history) < count else stopped
                    break
        except KeyboardInterrupt:
            stopped = "interrupted"
    if history and not sloped:
        raise ValueError(f"no picture had a slope to follow, so no {what} was made: the network hides it")
    return made, history, stopped


def judged(
    model: nn.Module,
    originals: Tensor,
    pictures: Tensor,
    *,
    labels: Target | None = None,
    target: Target | None = None,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Attacked:
    """What a network says before and after a change.

    Args:
        model: any classifier that gives logits; it runs in eval mode.
        originals, pictures: (N, C, H, W) in [0, 1].
        labels: the true classes, or None: what the network says of the originals.
        target: the class that the change was to lead to, or None.
        chunk, progress: as in `fgsm`.

    Returns:
        Attacked.

    Raises:
        LookupError, ValueError: as `fgsm`; not as many pictures as originals, or of another shape.
    """
    norms.refuse(pictures)
    victim = Victim(model, originals, labels, target)
    if pictures.shape != originals.shape:
        raise ValueError(
            f"each picture has its original: of {tuple(originals.shape)} they are {tuple(pictures.shape)}"
        )
    changed = pictures.detach()

    def steps(victim: Victim, rows: slice) -> Iterator[Trial]:
        yield Trial(changed[rows].clone(), victim.look(victim.images[rows], rows))

    return run(victim, steps, 1, chunk=chunk, progress=progress)
