"""House rules that can be checked by reading files: imports point one way, nothing heavy is loaded early."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

# The house, from the ground up: a folder imports only from itself and from those in lines above its own.
HOUSE = (
    ("errors", "validation", "atomic_files"),
    ("data", "data.loading"),
    ("nets", "nets.training"),
    ("probing",),
    ("methods",),
    ("methods.saliency", "methods.top", "methods.analysis", "methods.uncertainty"),
    ("methods.occlusion", "methods.deconvnet", "methods.dream", "methods.adversarial"),
    ("methods.evaluation",),
    ("drawing", "drawing.raster"),
    ("widgets",),
    ("widgets.lessons",),
    ("course", "course.references"),
    ("course.authoring",),
    ("course.presenting",),
    ("course.running",),
    ("__main__",),
)
# What a family of methods imports of other families, and why it must.
NEEDS = {
    "deconvnet": {"top"},  # the projections of the strongest patches
    "adversarial": {"saliency"},  # the gradient, for the linear approximation
    "evaluation": {"saliency", "occlusion"},  # the maps that are judged
}
LARGEST, DEEPEST = 15, 8
BY_LECTURE = {"references", "lessons"}  # a file for each lecture, however many there are


def modules(root):
    """Dotted name of every module below a folder -> its file; a package has the name of its folder."""
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(path):
    """Every module or name that a file imports, also inside functions, as written: "a.b" or "a.b.name"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write imports out in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(files):
    """Module -> the modules of the same tree that it imports.

    A name that is a module and also something that its package offers (`saliency.gradient`) is two arrows.
    """
    offered = {
        package: {each.rpartition(".")[2] for each in imported(path)}
        for package, path in files.items()
        if path.stem == "__init__"
    }
    found = {}
    for name, path in files.items():
        to = set()
        for each in imported(path):
            package, _, last = each.rpartition(".")
            to |= {each} if each in files else {package}
            to |= {package} if last in offered.get(package, ()) else set()
        found[name] = (to & files.keys()) - {name}
    return found


def floor(name, files):
    """The place of a module in `HOUSE`: that of its folder."""
    folder = name if files[name].stem == "__init__" else name.rpartition(".")[0]
    folder = name if folder == "cnnlab" else folder
    folder = folder.removeprefix("cnnlab.")
    for number, rooms in enumerate(HOUSE):
        if any(folder == room or folder.startswith(f"{room}.") and room.count(".") for room in rooms):
            return number
    raise AssertionError(f"{name}: give its folder a place in HOUSE")


def wrong_arrows(root):
    files = modules(root)
    assert list(imported(files.pop("cnnlab"))) == []  # to import the package costs nothing
    return [
        f"{name} imports {other}"
        for name, to in arrows(files).items()
        for other in to
        if floor(other, files) > floor(name, files)
    ]


def circles(root):
    """The modules that import each other in a circle, also by imports hidden in functions."""
    left = arrows(modules(root))
    for turn in (lambda found: found, lambda found: {n: {k for k in found if n in found[k]} for n in found}):
        left = {name: to & left.keys() for name, to in left.items()}
        while free := [name for name, to in turn(left).items() if not to & left.keys()]:
            for name in free:
                del left[name]
    return sorted(left)


def depths(root):
    """Module of the methods -> how many of their files stand in the longest chain of imports from it."""
    found = arrows(modules(root))
    inside = {name: to for name, to in found.items() if name.startswith("cnnlab.methods")}

    @functools.cache
    def depth(name):
        return 1 + max((depth(other) for other in inside[name] & found[name] if other in inside), default=0)

    return {name: depth(name) for name in inside}


def sizes(root):
    folders = [path for path in (root, *root.rglob("*")) if path.is_dir() and path.name not in BY_LECTURE]
    return {str(path.relative_to(root)): n for path in folders if (n := len(list(path.glob("*.py"))))}


def test_folders_import_from_those_below(root):
    assert wrong_arrows(root / "cnnlab") == []


def test_no_import_is_hidden_in_a_text_or_behind_the_package(root):
    """Whoever reads a file sees what it imports, and so do the tests below."""
    for path in (root / "cnnlab").rglob("*.py"):
        assert "cnnlab" not in imported(path), path  # then all of it could be had by attributes
        called = [
            ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)
        ]
        hidden = {name for name in called if name.split(".")[-1] in ("import_module", "__import__")}
        # The references of a lecture are found by its number.
        assert not hidden or path.parent.name == "references" and path.stem == "__init__", (path, hidden)


def test_no_circles_anywhere(root):
    assert circles(root / "cnnlab") == []


def test_chains_of_imports_inside_the_methods_are_short(root):
    found = depths(root / "cnnlab")
    assert {name: n for name, n in found.items() if n > DEEPEST} == {} and max(found.values()) > 3


def test_no_folder_is_a_list_without_end(root):
    found = sizes(root / "cnnlab")
    assert {name: n for name, n in found.items() if n > LARGEST} == {} and len(found) > 20


def test_a_family_of_methods_imports_only_what_it_needs(root):
    files = modules(root / "cnnlab")
    families = {
        path.name for path in (root / "cnnlab" / "methods").iterdir() if (path / "__init__.py").is_file()
    }
    needs = {family: set() for family in families}
    for name, to in arrows(files).items():
        family = name.split(".")[2] if name.startswith("cnnlab.methods.") else None
        if family in families:
            needs[family] |= {
                each.split(".")[2] for each in to if each.startswith("cnnlab.methods.")
            } & families
    assert {family: found - {family} for family, found in needs.items() if found - {family}} == NEEDS


@pytest.mark.parametrize("family", ("saliency", "top", "dream", "analysis", "uncertainty"))
def test_importing_one_family_loads_no_other(family):
    code = f"import sys, cnnlab.methods.{family}\n"
    code += (
        "print(sorted({name.split('.')[2] for name in sys.modules if name.startswith('cnnlab.methods.')}))"
    )
    loaded = set(ast.literal_eval(run(code)))
    assert loaded <= {family, "targets", "attribution", "model_runner"} and family in loaded


PLANTED = {
    "an arrow that points up": ("nets/plant.py", "def f():\n    from cnnlab.widgets import explore\n"),
    "an arrow that points up in a family": (
        "methods/saliency/plant.py",
        "from cnnlab.methods.occlusion.windows import Windows\n",
    ),
    "an arrow to the command line": ("nets/plant.py", "from cnnlab.__main__ import main\n"),
    "a circle": ("data/plant.py", "def f():\n    from cnnlab.data import plant2\n"),
    "a circle by a function that is called as its module": (
        "methods/saliency/upsampling.py",
        "def f():\n    from cnnlab.methods.saliency import gradient\n",
    ),
    "a chain": ("methods/evaluation/plant.py", "from cnnlab.methods.evaluation import all_methods\n"),
    "a list": ("methods/adversarial/plant.py", ""),
}


@pytest.mark.parametrize("what", PLANTED)
def test_each_rule_of_the_house_sees_what_breaks_it(root, tmp_path, what):
    copy = tmp_path / "cnnlab"
    for name, path in modules(root / "cnnlab").items():
        target = tmp_path / Path(*path.relative_to(root).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        assert name
    file, text = PLANTED[what]
    (copy / file).write_text(text)
    (copy / "data" / "plant2.py").write_text("import cnnlab.data.plant\n" if what == "a circle" else "")
    assert bool(wrong_arrows(copy)) is what.startswith("an arrow")
    assert bool(circles(copy)) is what.startswith("a circle")
    if not circles(copy):  # a circle has no depth
        assert (max(depths(copy).values()) > DEEPEST) is (what == "a chain")
    assert (max(sizes(copy).values()) > LARGEST) is (what == "a list")


@pytest.mark.parametrize("room", ("data", "nets", "probing", "methods"))
def test_computing_rooms_know_nothing_of_plots_and_sliders(root, room):
    files = list((root / "cnnlab" / room).rglob("*.py"))
    assert files
    for path in files:
        heads = {name.split(".")[0] for name in imported(path)}
        assert not heads & {"matplotlib", "ipywidgets", "IPython"}, path


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
    code += "from cnnlab.data import photos, digits, shapes\nfrom cnnlab.data.loading import downloads\n"
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
        "import cnnlab\nfrom cnnlab.data import photos, digits, shapes\n"
        "from cnnlab.data.loading import downloads\n"
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
