"""One source, two notebooks: solutions/NN_name.py -> the student's notebook and the answered one.

The source is a jupytext "percent" file, complete and correct. The student's notebook leaves out the cells
tagged `solution` or `teacher`, and what stands between `# BEGIN SOLUTION: what to write` and `# END
SOLUTION`. The `# hint:` lines in between become hints. The same source gives the same bytes, every time.
"""

import json
import re
from pathlib import Path

from cnnlab import atomic_files
from cnnlab.course import references, syllabus
from cnnlab.course.authoring import glossary, user_edits
from cnnlab.course.authoring.source_lint import Cell, Source, complaints

_HIDDEN = {"solution", "teacher"}
_HINT = "# hint:"
_CHECK = re.compile(r"""\bcheck\(\s*["']([\w.]+)["']\s*,""")


class BuildError(ValueError):
    """A source breaks a rule; the message lists all that is to be mended."""


def build(root: Path, numbers: list[str] | None = None, *, discard: bool = False) -> list[Path]:
    """Write the notebooks of the lectures, the hints, the glossary, and the README's table of lectures.

    Args:
        root: the repository.
        numbers: which lectures, ["01"]; all if left out.
        discard: write also over a notebook in which a reader has written.

    Returns:
        The files that were written: those that said something else.

    Raises:
        BuildError: a source breaks a rule, or somebody's answers would be lost. Then nothing is written.
        LookupError: there is no lecture with this number.
        ValueError: the setting REPOSITORY is not "account/name". Then nothing is written, either.
    """
    syllabus.repository()
    texts = _texts(root, _chosen(root, numbers))
    if not discard and (own := [str(p.relative_to(root)) for p in texts if user_edits.changed(p)]):
        raise BuildError(
            f"nothing is written: somebody has written in {', '.join(own)}. Readers: there is nothing to "
            "build, your notebooks work as they are. Authors: move the change into the source in solutions, "
            "then build with --discard."
        )
    written = _write(texts)
    return written + _write(_readme(root))  # afterwards: a new lecture has its link now


def _write(texts: dict[Path, str]) -> list[Path]:
    other = {path: text for path, text in texts.items() if not _says(path, text)}
    for path, text in other.items():
        atomic_files.write(path, text)
    return list(other)


def _says(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def check_built(root: Path) -> list[str]:
    """The files that are not what their sources give, as names relative to the repository.

    Raises:
        BuildError: a source breaks a rule.
    """
    return list(_stale(root))


def outdated(root: Path) -> list[str]:
    """The files whose cells are not those of their sources, though no reader has changed them.

    Other than `check_built` it does not mind outputs and settings, which every run saves.

    Raises:
        BuildError: a source breaks a rule.
    """
    own = set(user_edits.written_in(root))
    return [
        name
        for name, text in _stale(root).items()
        if name not in own and not (name.endswith(".ipynb") and user_edits.says_the_same(root / name, text))
    ]


def _stale(root: Path) -> dict[str, str]:
    """Each file that is not what its source gives, relative to the repository, and what it should say."""
    texts = _texts(root, _chosen(root, None)) | _readme(root)
    return {str(path.relative_to(root)): text for path, text in texts.items() if not _says(path, text)}


def notebooks(path: Path) -> tuple[dict, dict]:
    """The two notebooks of a source, as they are written: (the student's, the answered one).

    Raises:
        BuildError: the source breaks a rule.
    """
    source = read(path)
    found = complaints(source) + _hint_complaints(source)
    if found:
        raise BuildError("\n".join(found))
    student = [
        cell._replace(text=_for_student(cell.text)) for cell in source.cells if not _HIDDEN & set(cell.tags)
    ]
    answered = [cell._replace(text=_answered(cell.text)) for cell in source.cells]
    return _notebook(student), _notebook(answered)


def read(path: Path) -> Source:
    """A source file as cells."""
    import jupytext

    try:
        notebook = jupytext.read(path, fmt="py:percent")
    except Exception as error:  # jupytext and nbformat have errors of their own
        raise BuildError(f"{path.name}: jupytext cannot read it: {error}") from error
    cells = []
    for number, cell in enumerate(notebook.cells, 1):
        slide = cell.metadata.get("slideshow", {}).get("slide_type")
        cells.append(Cell(number, cell.cell_type, cell.source, tuple(cell.metadata.get("tags", ())), slide))
    return Source(path.name, cells)


def hints(source: Source) -> dict[str, list[str]]:
    """The hints of a source by exercise: those before a check belong to it."""
    found, waiting = {}, []
    for cell in source.cells:
        waiting += [
            line.strip().removeprefix(_HINT).strip() for line in cell.text.split("\n") if _is_hint(line)
        ]
        checked = _CHECK.search(cell.text)
        if cell.kind == "code" and checked:
            if waiting:
                found[checked[1]] = waiting
            waiting = []
    return found


def _hint_complaints(source: Source) -> list[str]:
    found = hints(source)
    text = "\n".join(cell.text for cell in source.cells if cell.kind == "code")
    ids = [id for id in _CHECK.findall(text) if not references.is_hunt(id)]
    return [
        f"{source.file}, exercise {id}: {len(found.get(id, []))} hints; write three '{_HINT}' lines: "
        "idea, shape, nearly the line"
        for id in ids
        if len(found.get(id, [])) != 3
    ]


def _for_student(text: str) -> str:
    """Solution out, TODO in, at the same indentation."""
    lines, inside = [], False
    for line in text.split("\n"):
        if "# BEGIN SOLUTION" in line:
            what = line.split("# BEGIN SOLUTION:", 1)[1].strip()
            lines.append(
                f"{line[: len(line) - len(line.lstrip())]}TODO({json.dumps(what, ensure_ascii=False)})"
            )
            inside = True
        elif "# END SOLUTION" in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def _answered(text: str) -> str:
    """The solution stays, markers and hints go."""
    return "\n".join(
        line
        for line in text.split("\n")
        if "# BEGIN SOLUTION" not in line and "# END SOLUTION" not in line and not _is_hint(line)
    )


def _is_hint(line: str) -> bool:
    return line.strip().startswith(_HINT)


def _notebook(cells: list[Cell]) -> dict:
    written = []
    for cell, id in zip(cells, user_edits.ids([(cell.kind, cell.text) for cell in cells]), strict=True):
        metadata = {}
        if cell.slide is not None:
            metadata["slideshow"] = {"slide_type": cell.slide}
        if cell.tags:
            metadata["tags"] = list(cell.tags)
        if "predict" in cell.tags:  # its code holds the truth: folded away, one click shows it
            metadata["jupyter"] = {"source_hidden": True}
        source = cell.text.splitlines(keepends=True)
        entry = {"cell_type": cell.kind, "id": id, "metadata": metadata, "source": source}
        if cell.kind == "code":
            entry |= {"execution_count": None, "outputs": []}
        written.append(dict(sorted(entry.items())))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": written, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _chosen(root: Path, numbers: list[str] | None) -> list[Path]:
    sources = sorted((root / "solutions").glob(f"{syllabus.FILES}.py"))
    if numbers is None:
        return sources
    there = {syllabus.number(source.name): source for source in sources}
    for number in numbers:
        if number not in there:
            raise LookupError(f"no lecture {number!r}. Lectures: {', '.join(there)}")
    return [there[number] for number in numbers]


def _texts(root: Path, chosen: list[Path]) -> dict[Path, str]:
    """Everything that comes from the sources alone."""
    texts = {_hints_file(root): _hints_text(root)} | _glossary(root)
    for source in chosen:
        student, answered = notebooks(source)
        texts[root / "notebooks" / f"{source.stem}.ipynb"] = _as_text(student)
        texts[source.with_suffix(".ipynb")] = _as_text(answered)
    return texts


def _readme(root: Path) -> dict[Path, str]:
    """The README with its generated parts as they are now; nothing where there is none."""
    path = root / "README.md"
    if not path.is_file():
        return {}
    return {path: syllabus.readme(path.read_text(encoding="utf-8"), root / "notebooks")}


def _hints_file(root: Path) -> Path:
    return root / "cnnlab" / "course" / "hints.json"


def _hints_text(root: Path) -> str:
    together: dict[str, list[str]] = {}
    for source in _chosen(root, None):
        together |= hints(read(source))
    return json.dumps(together, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _glossary(root: Path) -> dict[Path, str]:
    """The page with the words of all lectures; nothing where no lecture has a table of them."""
    found = [word for source in _chosen(root, None) for word in glossary.words(read(source))]
    if wrong := glossary.complaints(found):
        raise BuildError("\n".join(wrong))
    return {root / "notebooks" / glossary.FILE: glossary.page(found)} if found else {}


def _as_text(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
