"""The house rules that can be read from files: imports point one way, nothing heavy comes in early."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOMS = ("data", "nets", "probing", "methods", "drawing", "widgets", "course")


def imports(path):
    """Every module that a file imports, also inside functions, with whether it does so at the top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write imports out in full"
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            yield name, node in tree.body


def against_the_direction(room, path):
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] == "cnnlab" and len(parts) > 1 and parts[1] in ROOMS and parts[1] not in allowed:
            yield f"{path.name} imports {name}"


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_one_way(root, room):
    files = list((root / "cnnlab" / room).rglob("*.py"))
    assert files
    assert [line for path in files for line in against_the_direction(room, path)] == []


def test_the_direction_test_sees_a_wrong_arrow(tmp_path):
    wrong = tmp_path / "layers.py"
    wrong.write_text("def f():\n    from cnnlab.widgets import explore\n    return explore\n")
    assert list(against_the_direction("nets", wrong))


@pytest.mark.parametrize("room", ROOMS[:4])
def test_computing_rooms_know_nothing_of_plots_and_sliders(root, room):
    for path in (root / "cnnlab" / room).rglob("*.py"):
        heads = {name.split(".")[0] for name, _ in imports(path)}
        assert not heads & {"matplotlib", "ipywidgets", "IPython"}, path


def test_methods_do_not_import_each_other_in_a_circle(root):
    arrows = {}
    for path in (root / "cnnlab" / "methods").glob("*.py"):
        to = {name.split(".")[2] for name, _ in imports(path) if name.startswith("cnnlab.methods.")}
        arrows[path.stem] = to - {path.stem}
    while free := [name for name, to in arrows.items() if not to & arrows.keys()]:
        for name in free:
            del arrows[name]
    assert not arrows


HOOKS = Path("cnnlab/probing/hooks.py")


def hooked(path):
    """Lines that register a hook, or put another forward into a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            if re.fullmatch(r"register_\w*hooks?", name):
                yield node.lineno, name
            if name == "setattr" and any(ast.unparse(each) == "'forward'" for each in node.args):
                yield node.lineno, name
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Attribute) and target.attr == "forward":
                yield node.lineno, ast.unparse(target)


def test_one_file_registers_hooks_and_swaps_forwards(root):
    for path in (root / "cnnlab").rglob("*.py"):
        # The answers of an exercise are what a student writes into the notebook: a hook by hand.
        if path != root / HOOKS and path.parent.name != "references":
            assert list(hooked(path)) == [], path
    assert len(list(hooked(root / HOOKS))) >= 5  # the test sees what it looks for


def test_nothing_unpickles_or_evaluates_text(root):
    for path in (root / "cnnlab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                call = ast.unparse(node.func)
                assert call not in {"eval", "exec", "pickle.load", "pickle.loads", "torch.load"}, (
                    path,
                    node.lineno,
                )


def test_files_stay_one_idea(root):
    long = {
        path.name: n for path in (root / "cnnlab").rglob("*.py") if (n := path.read_text().count("\n")) > 300
    }
    assert not long


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_data_nets_and_probing_import_nothing_heavy():
    code = "import sys, cnnlab, cnnlab.data, cnnlab.nets, cnnlab.probing\n"
    code += "from cnnlab.data import photos, digits, shapes, downloads\n"
    code += "from cnnlab.nets import layers\n"
    code += "from cnnlab.probing import Recorder, edit, relu_rule, Unit, receptive\n"
    heavy = (
        "matplotlib torchvision sklearn skimage scipy PIL ipywidgets IPython torch._dynamo torch.optim.adam"
    )
    code += f"print([name for name in {heavy.split()} if name in sys.modules])"
    before = "import sys, torch\n" + code.splitlines()[-1]
    assert run(code) == run(before)


def test_cnnlab_costs_at_most_a_twentieth_of_torch():
    """In one process, torch first: what the rooms add once torch is there, against torch itself.

    What the process works itself counts, and one of five that keeps the bound: others may work beside it.
    """
    code = (
        "import time\na = time.process_time()\nimport torch\nb = time.process_time()\n"
        "import cnnlab\nfrom cnnlab.data import photos, digits, shapes, downloads\n"
        "from cnnlab.nets import layers\n"
        "from cnnlab.probing import Recorder, edit, relu_rule, Unit, receptive\nc = time.process_time()\n"
        "print((c - b) / (b - a))"
    )
    assert any(float(run(code)) <= 0.05 for _ in range(5))


def test_readme_prints_the_command_that_ci_runs(root):
    readme, ci = (root / "README.md").read_text(), (root / ".ci" / "run").read_text()
    assert "\n.venv/bin/python -m pytest -n 3\n" in readme
    assert '"$venv/bin/python" -m pytest -n 3\n' in ci


def test_the_project_declares_its_package_data(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert "course/quizzes/*.toml" in project["tool"]["setuptools"]["package-data"]["cnnlab"]


def test_no_path_of_a_machine_is_in_the_project(root):
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True)
    files = listed.stdout.split("\n") if listed.returncode == 0 else []
    for name in filter(None, files):
        path = root / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".ipynb", ".json", ""} and path.is_file():
            assert str(root.parent) + "/" not in path.read_text(encoding="utf-8", errors="ignore"), name
