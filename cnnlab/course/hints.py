"""Three hints for each exercise: idea, shape, nearly the line. They stand in the lecture's source."""

import functools
import json
from pathlib import Path

import ipywidgets

from cnnlab.course.message import Box
from cnnlab.course.progress import hints_seen, next_hint
from cnnlab.course.references import find
from cnnlab.errors import unknown

FILE = Path(__file__).with_name("hints.json")


def hint(id: str) -> "Hints":
    """Three hints for an exercise, behind a button: no hint is shown before somebody asks for it.

    Args:
        id: the exercise, "01.2".

    Returns:
        A widget. In a kernel that has shown hints for this exercise, they are still there.

    Raises:
        LookupError: there is no such exercise, or it has no hints.
    """
    title = find(id).title
    hints = _hints(FILE)
    if id not in hints:
        raise unknown("exercise with hints", id, hints, plural="exercises with hints")
    return Hints(id, title, hints[id])


class Hints(ipywidgets.VBox):
    """A button, and the hints that were asked for so far."""

    def __init__(self, id: str, title: str, hints: list[str]):
        self._id, self._title, self._all = id, title, hints
        self.button = ipywidgets.Button(
            icon="lightbulb-o", layout={"width": "max-content", "align_self": "flex-start"}
        )
        self.button.on_click(lambda _: self.next())
        self.text = ipywidgets.HTML(layout={"max_width": "700px"})
        super().__init__([self.button, self.text])
        self._show()

    def next(self) -> None:
        """Show one hint more; after the last one nothing changes."""
        next_hint(self._id, len(self._all))
        self._show()

    def _show(self) -> None:
        shown, most = hints_seen(self._id), len(self._all)
        last = shown == most
        self.button.description = "That was the last hint" if last else f"Hint {shown + 1} of {most}"
        self.button.tooltip = f"show hint {min(shown + 1, most)} of {most} for exercise {self._id}"
        self.button.disabled = last
        lines = [f"{k}. {text}" for k, text in enumerate(self._all[:shown], 1)]
        box = Box("note", f"{self._id} {self._title}: hint {shown} of {most}", "\n".join(lines))
        self.text.value = box._repr_html_() if shown else ""


@functools.cache
def _hints(file: Path) -> dict[str, list[str]]:
    return json.loads(file.read_text(encoding="utf-8"))
