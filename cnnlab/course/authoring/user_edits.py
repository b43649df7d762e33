"""What a reader did to a notebook: told from the cells themselves, so it needs no list of what was built.

The id of every built cell is made from what the cell says. A cell that says something else now, or whose id
is of another kind, was written by a reader.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path


def ids(cells: list[tuple[str, str]]) -> list[str]:
    """The id of each (kind, text): the same for the same text, whenever it is built; twins are numbered."""
    seen: dict[str, int] = {}
    return [_numbered(_digest(kind, text), seen) for kind, text in cells]


def changed(path: Path) -> bool:
    """Has a reader written or rewritten a cell of this notebook? To have run it does not count.

    Of a file that cannot be read as a notebook nobody knows: nothing in it is ours to throw away.
    """
    if path.suffix != ".ipynb" or not path.is_file():
        return False
    try:
        cells = list(_cells(json.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return True
    return any(text.strip() and id.split("-")[0] != _digest(kind, text) for id, kind, text in cells)


def written_in(root: Path) -> list[str]:
    """The notebooks of the course in which a reader has changed a cell, relative to the repository."""
    there = [
        path for folder in ("notebooks", "solutions") for path in sorted((root / folder).glob("*.ipynb"))
    ]
    return [str(path.relative_to(root)) for path in there if changed(path)]


def says_the_same(path: Path, text: str) -> bool:
    """Does a notebook have the cells of `text`, whatever outputs and settings were saved with it?"""
    try:
        there = list(_cells(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    return there == list(_cells(json.loads(text)))


def _cells(notebook: dict) -> Iterator[tuple[str, str, str]]:
    for cell in notebook["cells"]:
        yield str(cell.get("id", "")), cell["cell_type"], "".join(cell["source"])


def _digest(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:12]


def _numbered(digest: str, seen: dict[str, int]) -> str:
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
