"""What the lectures cost, as it was measured: the figures that the README shows are never typed.

`python -m cnnlab doctor --full --keep` writes timings.json, `python -m cnnlab build` puts it into README.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

from cnnlab import atomic_files

FILE = Path(__file__).with_name("timings.json")


class Cost(NamedTuple):
    """What a lecture costs: whole seconds, and megabytes of memory to the next ten."""

    seconds: int
    megabytes: int


def read(file: Path = FILE) -> dict[str, Cost]:
    """Number of a lecture -> its cost; empty where nothing was measured yet."""
    return {number: Cost(*row) for number, row in _content(file)["lectures"].items()}


def sentence(file: Path = FILE) -> str:
    """Where the figures come from, in a sentence for readers; empty where nothing was measured yet."""
    content = _content(file)
    if not content["lectures"]:
        return ""
    cores = {1: "one core", 2: "two cores"}.get(content["cores"], f"{content['cores']} cores")
    return (
        "Seconds and MB: the student's notebook run from top to bottom, measured on "
        f"{cores} without a GPU by `python -m cnnlab doctor --full`."
    )


def keep(number: str, seconds: float, megabytes: float, file: Path = FILE) -> None:
    """Write down what a lecture cost. Figures of a machine with another number of cores are dropped."""
    content = _content(file)
    if content["cores"] != cores():
        content = {"cores": cores(), "lectures": {}}
    content["lectures"][number] = Cost(round(seconds), 10 * round(megabytes / 10))
    content["lectures"] = dict(sorted(content["lectures"].items()))
    atomic_files.write(file, json.dumps(content, indent=1) + "\n")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _content(file: Path) -> dict:
    if not file.is_file():
        return {"cores": cores(), "lectures": {}}
    return json.loads(file.read_text(encoding="utf-8"))
