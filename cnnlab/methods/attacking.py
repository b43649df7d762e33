"""An attack goes through all pictures: a chunk at a time, watched, stoppable, and with the model settled.

Type: (victim, steps of an attack) -> Attacked. The steps are a generator: given a chunk of pictures, it gives
what it has after each step. So whatever stops it, there is something to keep.
"""

import time
from collections.abc import Callable, Iterator

from torch import Tensor

from cnnlab.methods.asking import whole
from cnnlab.methods.attacked import Attacked, joined
from cnnlab.methods.attribution import Passes
from cnnlab.methods.victim import Look, Trial, Victim
from cnnlab.probing import settled

Progress = Callable[[int, int], object]
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
