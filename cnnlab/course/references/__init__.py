"""The registry of all exercises: for each, the right answer, the cases to try and the known mistakes.

Each lecture has a file `lecture_NN.py` here with a tuple `EXERCISES`.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from cnnlab.errors import unknown


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give.

    Attributes:
        name: what to tell somebody who gives it, in a sentence or two.
        function: the wrong answer itself. Whoever computes the same has made the same mistake.
    """

    name: str
    function: Callable


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        id: "01.2": lecture and number.
        title: what stands above the check.
        function: the right answer.
        cases: makes a list of argument tuples, the smallest first; the same list every time.
        mistakes: at least three. Of a bug hunt the first is the fault itself: a check never names that one,
            since to find it is the exercise.
        tolerance: how far a number may be off, absolute and relative.
    """

    id: str
    title: str
    function: Callable
    cases: Callable[[], list[tuple]]
    mistakes: tuple[Mistake, ...]
    tolerance: float = 1e-5


def is_hunt(id: str) -> bool:
    """Is it a bug hunt, "01.bug" or "06b.bug2"? These have no hints."""
    return str(id).partition(".")[2].startswith("bug")


def find(id: str) -> Exercise:
    """The exercise with this id.

    Raises:
        LookupError: there is no such exercise.
    """
    for exercise in of_lecture(str(id).split(".")[0]):
        if exercise.id == id:
            return exercise
    raise unknown("exercise", id, all_ids())


def of_lecture(number: str) -> tuple[Exercise, ...]:
    """All exercises of a lecture, "01"; none if it has none."""
    if f"lecture_{number}" not in _files():
        return ()
    return importlib.import_module(f"{__name__}.lecture_{number}").EXERCISES


def all_ids() -> list[str]:
    """The ids of all exercises of all lectures."""
    return [exercise.id for file in _files() for exercise in of_lecture(file.removeprefix("lecture_"))]


def _files() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if name.startswith("lecture_"))
