"""Every lecture, as a student gets it and as it is answered: it runs, it checks itself, it needs no network.

nbval runs every cell of every answered notebook besides, and there each check must pass (solutions/conftest).
Here is what nbval does not see: other parameters, errors inside widgets, memory and seconds, and a blocked
network. A new lecture is covered as soon as its source is in solutions/.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import torch
from lecture_choices import OTHER

from cnnlab.course import check, syllabus
from cnnlab.course.authoring import build
from cnnlab.course.running.run_notebook import widget_errors

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "solutions").glob("[0-9][0-9]*_*.py"))
LECTURES = [path.stem for path in SOURCES]
# Runs inside the kernel, after the lecture: every explorer at every end of every control.
EVERY_END = """
from cnnlab.widgets.explorer import created
tried = 0
for widget in created():
    for values in widget.ends():
        widget.put(**values)
        assert not widget.message.value, (values, widget.message.value)
        tried += 1
    widget.reset()
print("explorers", len(created()), "tried", tried)
"""
# Runs there, too: every check again, strictly, of what nobody has answered.
STRICT = """
import os
os.environ["CNNLAB_STRICT"] = "1"
passed, checks = [], {checks!r}
for untouched, source in checks:
    scope = dict(globals())  # what was handed in for the exercises before is there, and stays
    exec(untouched, scope)
    try:
        exec(source, scope)
    except Exception as error:
        assert type(error).__name__ == "NotRight", (source, error)
    else:
        passed.append(source)
print("strict", len(checks), "passed", passed)
"""
# VmHWM, not ru_maxrss: that one starts at what the parent process had when it forked.
PEAK = """
import time
from pathlib import Path
print("worked s", time.process_time())
status = Path("/proc/self/status")
if status.exists():
    print("peak MB", int(status.read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""
NO_NETWORK = """
import socket
def refused(self, address, *rest):
    assert self.family == getattr(socket, "AF_UNIX", None) or address[0] in ("127.0.0.1", "::1"), address
    return plain(self, address, *rest)
plain, socket.socket.connect = socket.socket.connect, refused
"""


def with_cells(notebook, first=(), last=()):
    notebook = nbformat.reads(json.dumps(notebook), as_version=4)
    cells = (
        [nbformat.v4.new_code_cell(code) for code in first],
        [nbformat.v4.new_code_cell(code) for code in last],
    )
    notebook.cells = cells[0] + notebook.cells + cells[1]
    return notebook


def run(notebook, tmp_path, parameters=None, **environment):
    """Execute with papermill; return the notebook with its outputs."""
    source, result = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    source.write_text(nbformat.writes(with_cells(notebook)), encoding="utf-8")
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        papermill.execute_notebook(
            source,
            result,
            parameters=parameters or {},
            progress_bar=False,
            cwd=ROOT / "notebooks",
            kernel_name="python3",
            execution_timeout=600,
            start_timeout=300,
        )
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    return nbformat.read(result, as_version=4)


def printed(notebook) -> str:
    """Everything that a reader can read in the outputs, without the images."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts.append(output.get("text", ""))
            texts.append(output.get("data", {}).get("text/plain", ""))
    return "\n".join(texts)


@pytest.fixture(scope="module", params=SOURCES, ids=LECTURES)
def lecture(request):
    """(name, the student's notebook, the answered one), built from the source."""
    student, answered = build.notebooks(request.param)
    return request.param.stem, student, answered


def test_there_are_lectures_and_the_committed_notebooks_are_built_from_them():
    assert LECTURES[:2] == ["00_start_here", "01_convolution"]
    assert build.check_built(ROOT) == []


def test_student_notebook_runs_with_other_parameters_without_network(lecture, tmp_path):
    name, student, _ = lecture
    parameters = {"FAST": True, **OTHER.get(name, {})}
    code = [cell for cell in student["cells"] if cell["cell_type"] == "code"]
    checks = [  # each with the cell before it: the function that somebody was to write
        ("".join(cell["source"]), "".join(after["source"]))
        for cell, after in zip(code, code[1:], strict=False)
        if "check" in after["metadata"].get("tags", ())
    ]
    last = [EVERY_END, PEAK, STRICT.format(checks=checks)]
    ran = run(with_cells(student, [NO_NETWORK], last), tmp_path, parameters)
    assert widget_errors(ran) == []
    text = printed(ran)
    explorers, tried = re.search(r"explorers (\d+) tried (\d+)", text).groups()
    assert int(explorers) >= 2 and int(tried) >= 2 * int(explorers)
    peak = re.search(r"peak MB (\d+)", text)
    assert peak is None or int(peak[1]) < 1024  # only Linux tells
    assert f"strict {len(checks)} passed []" in text and len(checks) >= 2  # it fails an untouched notebook
    exercises = len(re.findall(r'check\("', str(student)))
    bugs = len(re.findall(r'check\(\\?"\d\d[a-z]?\.bug', str(student)))
    assert len(re.findall("not started", text)) >= exercises - bugs


def test_the_student_notebook_as_it_is_runs_in_a_minute_and_a_gigabyte(lecture, tmp_path):
    """With the full numbers, not FAST. The figures are printed: pytest -s."""
    name, student, _ = lecture
    ran = run(with_cells(student, (), [PEAK]), tmp_path)
    peak, seconds = re.search(r"peak MB (\d+)", printed(ran)), ran.metadata.papermill.duration
    # Other tests run beside it: what it worked itself counts. `doctor --full` measures on a quiet machine.
    worked = float(re.search(r"worked s ([\d.]+)", printed(ran))[1])
    print(f"{name}: {seconds:.1f} s, worked {worked:.1f} s, {peak and peak[1]} MB")
    assert widget_errors(ran) == [] and min(seconds, worked) < 60
    assert peak is None or int(peak[1]) < 1024  # only Linux tells


def test_strict_mode_fails_an_untouched_notebook(tmp_path):
    """As a grader runs it; that every check of every lecture is strict is seen in the run above."""
    student, _ = build.notebooks(SOURCES[0])
    with pytest.raises(papermill.PapermillExecutionError, match="NotRight"):
        run(student, tmp_path, {"FAST": True}, CNNLAB_STRICT="1")


def test_answers_and_teacher_cells_do_not_reach_the_student(lecture):
    _, student, answered = lecture
    for notebook in (student, answered):
        text = json.dumps(notebook)
        assert "BEGIN SOLUTION" not in text and "# hint:" not in text
        assert all(not cell.get("outputs") for cell in notebook["cells"])
    tags = {tag for cell in student["cells"] for tag in cell["metadata"].get("tags", [])}
    assert not tags & {"solution", "teacher"}
    assert "TODO(" in json.dumps(student)


def test_the_fault_of_a_bug_hunt_is_the_first_known_mistake(lecture, monkeypatch):
    """So the check of an untouched cell does not give the fault away; see references.Exercise."""
    name, student, _ = lecture
    boxes = []
    monkeypatch.setattr("IPython.display.display", boxes.append)
    cells = [each for each in student["cells"] if each["cell_type"] == "code"]
    hunts = 0
    for cell, checked in zip(cells, cells[1:], strict=False):
        if "bug-hunt" in cell["metadata"].get("tags", []):
            (function,) = (
                node for node in ast.parse("".join(cell["source"])).body if isinstance(node, ast.FunctionDef)
            )
            (id,) = re.findall(r'check\("(\w+\.bug\d?)"', "".join(checked["source"]))
            scope = {"torch": torch, "F": torch.nn.functional}
            exec(ast.unparse(function), scope)
            check(id, scope[function.name])
            assert "The fault is still in it." in repr(boxes[-1])
            hunts += 1
    assert hunts, name


def test_rules_of_a_lecture(lecture):
    name, student, answered = lecture
    tags = [tag for cell in answered["cells"] for tag in cell["metadata"].get("tags", [])]
    text = "\n".join("".join(cell["source"]) for cell in student["cells"])
    assert tags.count("predict") >= 1 and tags.count("widget") >= 2 and "bug-hunt" in tags
    assert 2 <= len(set(re.findall(r'check\("(\d\d[a-z]?\.\d)"', text))) <= 4
    assert "## Three things to keep" in text and "## New words" in text and "## References" in text
    listed = next(each for each in syllabus.LECTURES if name.startswith(each.number))
    minutes = sum(int(n) for n in re.findall(r"(\d+) for the", text)[:2])
    assert minutes == listed.minutes


def test_no_cell_is_longer_than_its_slide(lecture):
    _, student, _ = lecture
    for cell in student["cells"]:
        if cell["cell_type"] == "code":
            assert "".join(cell["source"]).count("\n") < 25, "".join(cell["source"])[:200]


def test_colour_maps_are_safe_for_colour_blind_readers(root):
    text = "".join(path.read_text() for path in [*SOURCES, *(root / "cnnlab").rglob("*.py")])
    assert not re.search(r"""["'](jet|hot|rainbow|hsv|Set1|RdGreen|RdYlGn)(_r)?["']""", text)


def test_readme_shows_the_syllabus(root):
    text = (root / "README.md").read_text()
    assert text == syllabus.readme(text, root / "notebooks")
    rows = syllabus.table(root / "notebooks", link="notebooks/", costs=True)
    assert f"<!-- syllabus -->\n{rows}\n<!-- end -->" in text


def test_a_lecture_imports_few_names(lecture):
    _, student, _ = lecture
    cell = next(cell for cell in student["cells"] if cell["cell_type"] == "code")
    lines = [
        node
        for node in ast.parse("".join(cell["source"])).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert len(lines) <= 9
    assert all(alias.name != "*" for node in lines for alias in node.names)


def test_a_callback_that_raises_would_be_seen(tmp_path):
    """The net under all of the above: plant an error in a widget, and see that it is found."""
    code = (
        "import torch\nfrom cnnlab.widgets import explore\n"
        "def view(n):\n    if n: raise RuntimeError('planted')\n    return torch.zeros(4, 4)\n"
        "widget = explore(view, n=(0, 3))\nwidget.put(n=2)\nwidget"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    assert any("planted" in str(error) for error in widget_errors(run(notebook, tmp_path)))


def test_import_of_the_package_alone_is_light():
    code = "import sys, cnnlab; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
