"""Exercises that check themselves: `conv2d = check("01.1", conv2d)`.

A check never stops the notebook. A wrong answer is told with the smallest input on which it fails and, where
we know the mistake, its name; then the notebook goes on with the reference, so that one error spoils nothing
below it.
"""

import copy
import functools
import inspect
import os
import traceback
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cnnlab.course import references
from cnnlab.course.compare import difference
from cnnlab.course.message import tell
from cnnlab.course.progress import note
from cnnlab.course.references import Exercise, find


class NotStarted(NotImplementedError):
    """An exercise was called before it was written."""


class NotRight(AssertionError):
    """A check in strict mode did not pass."""


def TODO(what: str) -> None:  # noqa: N802 - it should stand out in the student's code
    """Mark what a student has to write.

    Raises:
        NotStarted: always. Replace the line by your code.
    """
    raise NotStarted(f"here you write: {what}. Replace the line TODO(...) by your code.")


def check(id: str, answer: Callable, strict: bool = False) -> Callable:
    """Compare a student's function with the right one.

    Args:
        id: the exercise, "01.2".
        answer: the student's function.
        strict: raise if it is not right, for graders and tests. The environment variable CNNLAB_STRICT=1
            does the same.

    Returns:
        `answer` if it is right, else the reference, so that the cells below can go on.

    Raises:
        LookupError: there is no such exercise.
        NotRight: only in strict mode.
    """
    exercise = find(id)
    # What a student's code sets, as torch.manual_seed, stays inside.
    usual = torch.get_default_dtype()
    try:
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(torch.is_grad_enabled()):
            kind, text = _judge(exercise, answer)
    finally:
        torch.set_default_dtype(usual)
    note(id, kind == "right")
    tell(kind, f"{exercise.id} {exercise.title}", text)
    if kind == "right":
        return answer
    if strict or os.environ.get("CNNLAB_STRICT") == "1":
        raise NotRight(f"{exercise.id} {exercise.title}\n{text}")
    return _reference(exercise)


def _reference(exercise: Exercise) -> Callable:
    """Our answer, marked: if the cell of the check is run again, it must not count as the student's."""

    @functools.wraps(exercise.function)
    def reference(*args, **kwargs):
        return exercise.function(*args, **kwargs)

    reference.is_reference_of = exercise.id
    return reference


def _judge(exercise: Exercise, answer) -> tuple[str, str]:
    """("right" | "wrong" | "open", what to tell)."""
    if getattr(answer, "is_reference_of", None):
        return "open", "This is our answer, not yours. Run the cell with your function, then this one again."
    if not callable(answer):
        return "wrong", f"Give the function itself, without brackets. Got {type(answer).__name__}."
    goes_on = "The cells below go on with our answer. Mend yours and run both cells again."
    if not references.is_hunt(exercise.id):
        goes_on += f" Stuck? hint({exercise.id!r})"
    for arguments in exercise.cases():
        expected, failure = _outcome(exercise.function, copy.deepcopy(arguments))
        given = copy.deepcopy(arguments)
        try:
            got = answer(*given)
        except NotStarted as todo:
            start = "" if references.is_hunt(exercise.id) else f" For a start: hint({exercise.id!r})"
            return "open", f"{todo}\nUntil then ours is used.{start}"
        except (Exception, SystemExit) as error:  # it belongs into the box, not over the notebook
            if type(error) is not type(failure):
                stopped = f"It stopped with {_last_line(error)}"
                parts = [_known_mistake(exercise, answer), _input(exercise, arguments), stopped, goes_on]
                return "wrong", "\n".join(filter(None, parts))
            got, found = error, None
        else:
            found = difference(got, expected, exercise.tolerance) if failure is None else _swallowed(failure)
        if found is None:
            found = _changed(given, arguments, failure)
        if found is not None:
            name = _known_mistake(exercise, answer)
            parts = [
                name,
                _input(exercise, arguments),
                f"Difference: {found}",
                *((f"got:      {_short(got)}", f"expected: {_short(expected)}") if failure is None else ()),
                goes_on,
            ]
            return "wrong", "\n".join(filter(None, parts))
    return "right", f"Tried on {len(exercise.cases())} inputs. Where cells below need it, they use yours."


def _outcome(function: Callable, arguments: tuple) -> tuple[object, Exception | None]:
    """What a function gives, or the error that it is right to raise: some inputs fail on purpose."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, error


def _swallowed(failure: Exception) -> str:
    return f"here a {type(failure).__name__} must come through, and your function held it back"


def _changed(given: tuple, before: tuple, failure: Exception | None) -> str | None:
    """What an answer did to its input, if the result is right."""
    so_far = "the result is right" if failure is None else f"the input fails on purpose ({failure})"
    for one, other in zip(given, before, strict=True):
        if isinstance(other, Tensor) and one.requires_grad != other.requires_grad:
            return f"{so_far}, but your function made its input ask for gradients. Work on a copy: x.clone()"
        if found := difference(one, other, 0):
            if isinstance(other, nn.Module):
                return f"{so_far}, but {found}"
            return f"{so_far}, but your function changed its input. Work on a copy: x.clone()"
    return None


def _known_mistake(exercise: Exercise, answer: Callable) -> str | None:
    """The name of the mistake that gives the same wrong results on every case."""
    hunt = references.is_hunt(exercise.id)
    for position, mistake in enumerate(exercise.mistakes):
        if all(
            _same(mistake.function, answer, arguments, exercise.tolerance) for arguments in exercise.cases()
        ):
            return "The fault is still in it." if hunt and position == 0 else mistake.name
    return None


def _same(one: Callable, other: Callable, arguments: tuple, tolerance: float) -> bool:
    results, left = [], []
    for function in (one, other):
        given = copy.deepcopy(arguments)
        try:
            results.append(function(*given))
        except (Exception, SystemExit) as error:  # to fail on the same input is to make the same mistake
            results.append(type(error).__name__)
        left.append(given)  # what it did to its input belongs to the mistake, too
    try:
        return difference(*results, tolerance) is None and difference(*left, tolerance) is None
    except Exception:  # things that cannot be compared are not the same
        return False


def _last_line(error: Exception) -> str:
    """The error, and the line of the student's code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = next((frame for frame in reversed(frames) if "site-packages" not in frame.filename), None)
    where = f", in line {own.lineno}: {own.line}" if own is not None and own.line else ""
    return f"{type(error).__name__}: {error}{where}"


def _input(exercise: Exercise, arguments: tuple) -> str:
    named = zip(inspect.signature(exercise.function).parameters, map(_short, arguments), strict=False)
    # A score says its name itself.
    return "Input: " + ", ".join(
        text if text.startswith(f"{name} = ") else f"{name} = {text}" for name, text in named
    )


def _numbers(value) -> str:
    """Numbers and lists of numbers, with six digits where they are needed."""
    if isinstance(value, list):
        return f"[{', '.join(map(_numbers, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _short(value) -> str:
    """A value that fits into a box: small tensors whole, large ones by their shape."""
    if isinstance(value, Tensor):
        if value.numel() > 64 or value.layout != torch.strided or value.is_complex() or value.is_meta:
            return f"tensor of shape {tuple(value.shape)}"
        return _numbers(value.detach().tolist())
    if isinstance(value, nn.Module):
        return f"a network with the layers {', '.join(name for name, _ in value.named_children())}"
    if isinstance(value, float):
        return _numbers(value)
    if isinstance(value, tuple | list):
        ends = "()" if isinstance(value, tuple) else "[]"
        return ends[0] + ", ".join(map(_short, value[:8])) + (", ..." if len(value) > 8 else "") + ends[1]
    try:
        text = repr(value)
    except Exception:  # a student's class may have a broken one
        text = f"{type(value).__name__} (cannot be printed)"
    return text if len(text) <= 200 else text[:197] + "..."
