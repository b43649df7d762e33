"""Run a sweep: the same small notebook by papermill, once for each setting, and one csv file of all rows.

Type: (name, file) -> the file. A run that was done is not done again: its notebook lies beside the file, so a
sweep that was stopped goes on from there. "attacks" trains nothing: it is measured in one go, by a function.
"""

import csv
import shutil
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

import jupytext
import nbformat
import papermill

from cnnlab import atomic_files
from cnnlab.course import attack_table
from cnnlab.errors import unknown
from cnnlab.nets.training import sweeps

SOURCE = "one_run.md"  # jupytext markdown, beside this file
MEASURED = {"attacks": attack_table.measure}  # (file, report=…) -> file


def sweep(name: str, file: Path, *, report: Callable[[str], None] = print) -> Path:
    """Run all settings of a sweep, and write their rows.

    Args:
        name: of `sweeps.SWEEPS`, or of MEASURED.
        file: csv, written at the end; the executed notebooks go to a folder of its name beside it.
        report: called with a line of progress.

    Raises:
        LookupError: no such sweep.
        ValueError: a file that does not end in .csv: its folder would have its name; or a run failed, or its
            kernel died: says how to go on.
    """
    if name not in sweeps.SWEEPS | MEASURED:
        raise unknown("sweep", name, sweeps.SWEEPS | MEASURED)
    if file.suffix != ".csv":
        raise ValueError(f"the file of a sweep ends in .csv, and {file.name!r} does not")
    if name in MEASURED:
        return MEASURED[name](file, report=report)
    plan = sweeps.SWEEPS[name]
    folder = file.with_suffix("")
    source = folder / "one_run.ipynb"
    atomic_files.write(source, nbformat.writes(notebook()) + "\n")
    rows, settings = [], list(plan.settings())
    for k, each in enumerate(settings, 1):
        label = ", ".join(f"{key} {getattr(each, key)}" for key in plan.grid)
        target = folder / f"{k:03}.ipynb"
        found = _done(target, each)
        if found is None:
            found = run(source, target, each)
        rows += [{key: getattr(each, key) for key in plan.grid} | row for row in found]
        last = f"{found[-1]['test_accuracy']:.1%} right" if found else "diverged"
        report(f"{k} of {len(settings)}: {label}: {last}")
    columns = [*plan.grid, *sweeps.Row._fields]
    with atomic_files.replacing(file) as part, part.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _short(value) for key, value in row.items()} for row in rows)
    return file


def notebook() -> nbformat.NotebookNode:
    """The notebook that every run executes, from its source."""
    with as_file(files("cnnlab.course.running") / SOURCE) as path:
        made = jupytext.read(path)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def run(source: Path, target: Path, settings: sweeps.Settings) -> list[dict]:
    """One training by papermill: its rows. The notebook takes its place when it has come to its end."""
    parameters = {key.upper(): value for key, value in settings._asdict().items()}
    again = "The same command goes on with this run"
    with atomic_files.replacing(target, ".ipynb") as part:
        try:
            ran = papermill.execute_notebook(
                str(source), str(part), parameters=parameters, kernel_name="python3", progress_bar=False
            )
        except RuntimeError as error:  # nbclient, of a kernel that died, or that did not even start
            raise ValueError(f"the kernel of {target.name} died, or was killed. {again}") from error
        except papermill.PapermillExecutionError as error:
            failed = target.with_name(f"{target.stem}.failed.ipynb")
            shutil.copyfile(part, failed)
            raise ValueError(f"{error.ename}: {error.evalue}; {failed} shows where. {again}") from error
    return _rows(ran)


def _rows(ran: nbformat.NotebookNode) -> list[dict]:
    outputs = [output for cell in ran.cells if cell.cell_type == "code" for output in cell.outputs]
    found = [
        output.data["application/json"] for output in outputs if "application/json" in output.get("data", {})
    ]
    return [dict(row) for row in found[-1]["rows"]]


def _done(target: Path, settings: sweeps.Settings) -> list[dict] | None:
    """The rows of a run with these very settings that came to its end, or None."""
    try:
        ran = nbformat.read(target, as_version=4)
        same = ran.metadata["papermill"]["parameters"] == {
            key.upper(): value for key, value in settings._asdict().items()
        }
        return _rows(ran) if same else None
    except (OSError, ValueError, LookupError):  # what is no notebook is a ValueError, too
        return None


def _short(value: object) -> object:
    return f"{value:.5g}" if isinstance(value, float) else value
