"""A lecture run from its first cell to its last, with other parameters if asked for, and what came of it.

Type: (notebook, file) -> Ran. A failing lecture is an answer here, no error: which cell failed, and how.
Nothing imports papermill before it is needed.
"""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat

from cnnlab import atomic_files
from cnnlab.errors import unknown

_CELL = 600  # seconds for one cell
_VIEW = "application/vnd.jupyter.widget-view+json"


class Ran(NamedTuple):
    """What came of a run.

    Attributes:
        seconds: from the start of the kernel to its end.
        widgets: how many live widgets the cells tagged `widget` show; predictions and quizzes do not count.
        failed: one sentence for each thing that failed; empty if all is well.
    """

    seconds: float
    widgets: int
    failed: list[str]


def run(lecture: Path, target: Path, values: Mapping[str, object] | None = None, *, bar: bool = False) -> Ran:
    """Run a notebook by papermill.

    Args:
        lecture: the notebook; it is not changed.
        target: where the notebook with its outputs goes, also after a failure as far as it came. What was
            there before stays until the new one is whole.
        values: for its parameters; see `values`.
        bar: show papermill's progress bar.

    Raises:
        OSError: the result cannot be written.
        KeyboardInterrupt: stopped; the kernel is gone, and what was in `target` before is there again.
    """
    import time

    import papermill
    from nbclient.exceptions import CellTimeoutError

    failed: list[str] = []
    began = time.monotonic()
    with atomic_files.replacing(target, ".ipynb") as part:  # papermill asks for the ending
        try:
            papermill.execute_notebook(
                str(lecture),
                str(part),
                parameters=dict(values or {}),
                kernel_name="python3",
                cwd=str(lecture.parent),
                progress_bar=bar,
                execution_timeout=_CELL,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
        except papermill.PapermillExecutionError as error:
            failed.append(f"cell {error.cell_index}: {error.ename}: {error.evalue}")
        except RuntimeError as error:  # nbclient, of a kernel that died, or that did not even start
            step = "run it again; if it dies again, look at the memory that is free: python -m cnnlab doctor"
            failed.append(f"cell {_last(part)}: the kernel died, or was killed ({error}). Next: {step}")
        except CellTimeoutError:
            failed.append(f"cell {_last(part)}: took over {_CELL} s")
        seconds = time.monotonic() - began
        ran = nbformat.read(part, as_version=4)
    return Ran(seconds, shown(ran), failed + [f"a widget: {error}" for error in widget_errors(ran)])


def values(
    lecture: Path, parameters: Sequence[tuple[str, str]], *, others: bool = False
) -> dict[str, object]:
    """What `-p name value` means for a lecture: only names that it has, and plain values.

    Args:
        lecture: a notebook.
        parameters: names and values as they were typed.
        others: leave out what this lecture has no parameter for, instead of refusing it.

    Raises:
        LookupError: it has no such parameter.
        ValueError: that is no value, or not of the kind that the lecture has.
    """
    if not parameters:
        return {}
    import papermill
    import yaml

    known = papermill.inspect_notebook(str(lecture))
    found: dict[str, object] = {}
    for name, text in parameters:
        if name not in known:
            if others:
                continue
            raise unknown("parameter", name, known)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(
                f"-p {name} {text}: not a value. Write a number, true, false or a text"
            ) from error
        found[name] = _like(ast.literal_eval(known[name]["default"]), value, name, text)
        # A lecture runs in its own folder: a path counts from where the command was typed.
        if isinstance(found[name], str) and found[name] and Path(found[name]).is_file():
            found[name] = str(Path(found[name]).absolute())
    return found


def widget_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Errors inside widgets, which papermill lets pass: in Output widgets, and in the alerts of explorers.

    Args:
        notebook: an executed notebook.
    """
    states = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    found = []
    for model in states.get("state", {}).values():
        state = model.get("state", {})
        outputs = [output for output in state.get("outputs", []) if output.get("output_type") == "error"]
        found += [f"{output.get('ename')}: {output.get('evalue')}" for output in outputs]
        if 'role="alert"' in str(state.get("value", "")):
            found.append(state["value"])
    return found


def shown(notebook: nbformat.NotebookNode) -> int:
    """How many live widgets an executed notebook shows."""
    cells = [cell for cell in notebook.cells if "widget" in cell.metadata.get("tags", ())]
    return sum(_VIEW in output.get("data", {}) for cell in cells for output in cell.get("outputs", ()))


def _like(usual: object, value: object, name: str, text: str) -> object:
    """The value, if it is of the kind of the usual one: or the lecture fails late, far from the cause."""
    if isinstance(usual, str):
        return value if isinstance(value, str) else text  # "no" and "3" are texts, too
    kinds = {bool: "true or false", int: "a whole number", float: "a number"}
    fits = isinstance(value, int | float if isinstance(usual, float) else type(usual))
    if type(usual) in kinds and (not fits or isinstance(value, bool) is not isinstance(usual, bool)):
        raise ValueError(f"-p {name} {text}: {name} is {kinds[type(usual)]}, as {usual!r}")
    return value


def _last(part: Path) -> int:
    """The cell at which a run stopped without saying so: the last one that papermill began."""
    cells = nbformat.read(part, as_version=4).cells
    begun = (k for k, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time"))
    return max(begun, default=0)
