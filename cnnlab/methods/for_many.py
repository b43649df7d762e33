"""One change for many pictures is made step by step: watched, stoppable, and refused if nothing led anywhere.

Type: (victim, steps of an attack) -> what was made, and how it went. `universal` makes a noise so, `stickers`
a sticker; what a step is, is theirs.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from cnnlab.methods.attacking import callable_or_none
from cnnlab.methods.victim import Victim
from cnnlab.probing import settled

# (steps done, all steps, what is made, share of the last pictures on which it worked) -> True to stop.
Progress = Callable[[int, int, Tensor, float], object]


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
    victim: Victim, steps: Iterator[Step], count: int, made: Tensor, progress: Progress | None, *, what: str
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
