"""A lecture as a row of slides, each of them one cell: so one key press is one slide.

Type: answered notebook -> notebook. JupyterLab's deck takes a step for every cell, also where a slide shows
several at once. So what a slide shows is put together: texts are displayed by code, results as before, and
what is left out (exercises) runs without a trace, for what comes after it.
"""

import ast
import copy
import textwrap
from collections.abc import Mapping

import nbformat

_FIRST = "from IPython.display import Markdown, display\nfrom IPython.utils.capture import capture_output"


def kinds(notebook: nbformat.NotebookNode) -> list[str | None]:
    """What each cell is in a row of slides: "slide" begins one, None goes on with it, "skip" is left out.

    A "fragment" goes on with it, too, one key press later: an answer under its question.
    """
    found, guessed = [], False
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if "teacher" in tags or cell.cell_type == "raw":
            kind = "skip"
        if kind == "subslide":  # one row of slides: whoever presents presses one key
            kind = "slide"
        if kind != "skip":
            # A cell without a key goes on with the slide before it, but never under a question it answers.
            kind = "slide" if guessed else kind
            guessed = "predict" in tags
        found.append(kind)
    return found


def given(notebook: nbformat.NotebookNode, parameters: Mapping[str, object]) -> nbformat.NotebookNode:
    """The lecture with other values for some of its parameters.

    Args:
        notebook: stays as it is.
        parameters: name -> a number, a text, True or False, …; written as Python writes it.

    Raises:
        ValueError: the lecture has no cell of parameters.
    """
    made = copy.deepcopy(notebook)
    if parameters:
        cells = [cell for cell in made.cells if "parameters" in cell.metadata.get("tags", ())]
        if not cells:
            raise ValueError("this lecture has no cell of parameters to change")
        lines = [f"{name} = {value!r}" for name, value in parameters.items()]
        cells[0].source = "\n".join([cells[0].source, "# Given on the command line:", *lines])
    return made


def slides(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An answered lecture as slides: no code, no teacher's notes.

    Args:
        notebook: stays as it is. Its slide keys say where a slide begins and what is left out.

    Returns:
        A notebook of code cells, one for each slide and one for each fragment.

    Raises:
        ValueError: a cell is no Python.
    """
    groups: list[tuple[str, list[str], set[str]]] = []
    for cell, kind in zip(notebook.cells, kinds(notebook), strict=True):
        if kind in ("slide", "fragment") or not groups:
            groups.append(("fragment" if kind == "fragment" and groups else "slide", [], set()))
        _, parts, tags = groups[-1]
        if cell.cell_type == "code" and cell.source.strip():
            parts.append(_silent(cell.source) if kind == "skip" else _shown(cell.source))
        elif cell.cell_type == "markdown" and kind != "skip":
            parts.append(f"display(Markdown({cell.source!r}))")
        if kind != "skip":
            tags |= set(cell.metadata.get("tags", ()))
    made = nbformat.v4.new_notebook(metadata=notebook.metadata)
    for kind, parts, tags in groups:
        cell = nbformat.v4.new_code_cell("\n\n".join([*([] if made.cells else [_FIRST]), *parts]))
        cell.metadata = {
            "slideshow": {"slide_type": kind},
            "jupyter": {"source_hidden": True},
            "tags": sorted(tags | {"remove-input"}),
        }
        made.cells.append(nbformat.from_dict(cell))
    return made


def _shown(source: str) -> str:
    """Code that shows its last value wherever it stands, as a cell of its own does."""
    tree = _parsed(source)
    if not isinstance(tree.body[-1], ast.Expr):
        return source
    *before, last = tree.body
    head = ast.unparse(ast.Module(before, [])) if before else ""
    value = ast.unparse(last.value)
    return f"{head}\nif (_shown := ({value})) is not None:\n    display(_shown)".strip()


def _silent(source: str) -> str:
    """Code that runs and shows nothing; if it fails, it fails."""
    return f"with capture_output():\n{textwrap.indent(ast.unparse(_parsed(source)), '    ')}"


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise ValueError(
            f"a slide's code is plain Python; this cell is not ({error}): {source[:60]}"
        ) from error
