"""Three hints for each exercise: idea, shape, nearly the line. They stand in the lecture's source."""

import functools
import json
from pathlib import Path

from cnnlab.course import ledger
from cnnlab.course.box import tell
from cnnlab.course.references import find
from cnnlab.names import unknown

FILE = Path(__file__).with_name("hints.json")


def hint(id: str) -> None:
    """Show the next hint for an exercise, below those that were shown before.

    Args:
        id: the exercise, "01.2".

    Raises:
        LookupError: there is no such exercise, or it has no hints.
    """
    title = find(id).title
    hints = _hints(FILE)
    if id not in hints:
        raise unknown("exercise with hints", id, hints, plural="exercises with hints")
    shown = ledger.next_hint(id, len(hints[id]))
    lines = [f"{k}. {text}" for k, text in enumerate(hints[id][:shown], 1)]
    rest = "That was the last one." if shown == len(hints[id]) else "Run the cell again for the next one."
    tell("note", f"{id} {title}: hint {shown} of {len(hints[id])}", "\n".join([*lines, rest]))


@functools.cache
def _hints(file: Path) -> dict[str, list[str]]:
    return json.loads(file.read_text(encoding="utf-8"))
