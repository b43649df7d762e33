"""What has been done in this notebook so far: exercises, predictions, quizzes. Kept until the kernel ends."""

import html

from cnnlab.course import references
from cnnlab.errors import unknown

_WORDS = {True: "\u2713 done", False: "\u25cb open"}
_done: dict[str, bool] = {}
_guesses: dict[str, object] = {}
_hints_seen: dict[str, int] = {}


def note(id: str, done: bool) -> None:
    """Write down that an exercise or a quiz was met, and whether it is right. Right once is done."""
    _done[id] = done or _done.get(id, False)


def guess(id: str) -> object:
    """The locked guess of a prediction; None if there is none."""
    return _guesses.get(id)


def lock(id: str, value: object) -> None:
    """Write down a guess. The first one stays."""
    _guesses.setdefault(id, value)
    note(id, True)


def next_hint(id: str, most: int) -> None:
    """Write down that one more hint of an exercise is asked for, up to all."""
    _hints_seen[id] = min(hints_seen(id) + 1, most)


def hints_seen(id: str) -> int:
    """How many hints of an exercise were asked for."""
    return _hints_seen.get(id, 0)


def clear() -> None:
    """Forget everything, as a new kernel does."""
    for book in (_done, _guesses, _hints_seen):
        book.clear()


def progress(lecture: str | None = None) -> "Progress":
    """What is done and what is open.

    Args:
        lecture: "01"; every lecture met in this notebook if left out.

    Returns:
        A table that Jupyter displays.

    Raises:
        LookupError: there is nothing in a lecture of that number.
    """
    met = {id.split(".")[0] for id in _done}
    there = sorted(met | {id.split(".")[0] for id in references.all_ids()})
    if lecture is not None and lecture not in there:
        raise unknown("lecture", lecture, there)
    lectures = [lecture] if lecture is not None else sorted(met)
    rows = []
    for number in lectures:
        exercises = references.of_lecture(number)
        rows += [(exercise.id, exercise.title, _done.get(exercise.id, False)) for exercise in exercises]
        others = sorted(
            id for id in _done if id.split(".")[0] == number and id not in {e.id for e in exercises}
        )
        kinds = {"p": "prediction", "q": "quiz"}
        rows += [(id, kinds.get(id.split(".")[1][:1], "exercise"), _done[id]) for id in others]
    return Progress(rows)


class Progress:
    """A table of (id, title, done)."""

    def __init__(self, rows: list[tuple[str, str, bool]]):
        self.rows = rows

    def _summary(self) -> str:
        if not self.rows:
            return "Nothing met yet: run the cells from the top."
        return f"{sum(done for *_, done in self.rows)} of {len(self.rows)} done"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{id}</td><td style='text-align: left'>{html.escape(title)}</td>"
            f"<td>{_WORDS[done]}</td></tr>"
            for id, title, done in self.rows
        )
        return f"<table><caption>{self._summary()}</caption>{rows}</table>"

    def __repr__(self) -> str:
        lines = [f"{id:8} {_WORDS[done]:8} {title}" for id, title, done in self.rows]
        return "\n".join([self._summary(), *lines])
