"""A full disk, and a folder that is closed: what was there stays, nothing half-written is left, one sentence.

Both in earnest. The process whose disk is full cannot write a file beyond a size; the one whose folder is
closed gives back the powers of root first, for whom no folder is closed.
"""

import json

import nbformat
import pytest

LONG = "print('long ' * 100_000)"
COURSE = """
import json, os, sys, warnings
from pathlib import Path
sys.stderr = open(os.devnull, "w") if {quiet} else sys.stderr
import cnnlab.course.running.commands as commands
commands.root = lambda: Path({course!r})
from cnnlab.__main__ import main
"""
# Every command that writes a file, as (what, its words); in one process, because to start one takes seconds.
EACH = """
import contextlib, io
from cnnlab.nets.training import sweeps
told = {}
for name, words in json.loads(WORDS):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(words)
    told[name] = (code, said.getvalue())
print(json.dumps(told))
"""


def lecture(code):
    cells = [nbformat.v4.new_code_cell(text) for text in ("FAST = False", code)]
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    return nbformat.writes(notebook)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of three lectures, of which the second prints much; and an image to search through."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("course")
    for room in ("notebooks", "solutions"):
        (folder / room).mkdir()
        for number, code in (("40", "print('short')"), ("41", LONG), ("42", "print('short')")):
            (folder / room / f"{number}_planted.ipynb").write_text(lecture(code))
    (folder / "images").mkdir()
    Image.new("RGB", (64, 64), "orange").save(folder / "images" / "one.png")
    return folder


def commands(course, target):
    """(name, words) of every command that writes, and the file that each would write into `target`."""
    images = str(course / "images")
    return {
        "run": (["run", "41", "--output", str(target / "ran.ipynb")], "ran.ipynb"),
        "handout": (["handout", "41", "--output", str(target / "page.html")], "page.html"),
        "top": (
            ["top", "photonet", "relu5", images, "--k", "1", "--output", str(target / "top.st")],
            "top.st",
        ),
        "sweep": (["sweep", "gains", "--output", str(target / "gains.csv")], "gains"),
        "train": (
            ["train", "simpleconvnet-digits", "--epochs", "1", "--output", str(target)],
            "simpleconvnet-digits.unfinished.safetensors",
        ),
        "icons": (["icons", "simpleconvnet", "--steps", "1", "--output", str(target)], "simpleconvnet-relu1"),
    }


def ran(process):
    """What a process printed in its last line, read as JSON."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def each(python, course, target, **how):
    words = [(name, words) for name, (words, _) in commands(course, target).items()]
    start = COURSE.format(quiet=True, course=str(course)) + f"WORDS = {json.dumps(words)!r}\n"
    return ran(python(start + EACH, **how))


@pytest.fixture(scope="module")
def full(python, course, tmp_path_factory):
    """Every command on a disk that is full after the first 4000 bytes; (exit code, words) by name."""
    target = tmp_path_factory.mktemp("full")
    for name in ("ran.ipynb", "page.html", "top.st", "gains.csv"):
        (target / name).write_text("the former one")
    return target, each(python, course, target, full=4000)


@pytest.mark.parametrize("name", ("run", "handout", "top", "sweep", "train", "icons"))
def test_a_full_disk_is_one_sentence_with_a_next_step(full, course, name):
    target, told = full
    code, said = told[name]
    file = commands(course, target)[name][1]
    assert code == 2 and "Traceback" not in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("cnnlab: ") and "No space left for" in last and file in last, said
    assert "Free some space" in last


def test_a_full_disk_leaves_what_was_there_and_nothing_half_written(full):
    target, _ = full
    for name in ("ran.ipynb", "page.html", "top.st", "gains.csv"):
        assert (target / name).read_text() == "the former one"
    left = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert left == {"ran.ipynb", "page.html", "top.st", "gains.csv", "gains/one_run.ipynb"}
    nbformat.validate(nbformat.read(target / "gains" / "one_run.ipynb", 4))  # that one fitted


def test_doctor_goes_on_after_a_lecture_that_did_not_fit(python, course):
    code = "import cnnlab.course.running.doctor as d\nd.main = lambda: 0\n"
    code += "print(json.dumps(main(['doctor', '--full'])))"
    process = python(COURSE.format(quiet=False, course=str(course)) + code, full=100_000)
    out, err = process.communicate(timeout=600)
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert lines["1"] == "1" and "No space left for" in lines["41_planted"], (out, err)
    assert "\u2713 ok" in lines["40_planted"] and "\u2713 ok" in lines["42_planted"]
    there = sorted(path.name for path in (course / "runs" / "full").iterdir())
    assert there == ["40_planted.ipynb", "42_planted.ipynb"]


def test_a_lecture_itself_writes_nothing(python, root):
    """So a full disk does not stop it; JupyterLab says by itself that it cannot save."""
    folder = str(root / "notebooks")
    code = (
        "import nbformat, nbclient\n"
        f"ran = nbformat.read({folder + '/00_start_here.ipynb'!r}, 4)\n"
        "first = next(cell for cell in ran.cells if 'parameters' in cell.metadata.get('tags', ()))\n"
        "first.source += '\\nFAST = True'\n"
        f"where = {{'metadata': {{'path': {folder!r}}}}}\n"
        "nbclient.NotebookClient(ran, resources=where).execute()\n"
        "print(len(ran.cells))"
    )
    assert ran(python(code, full=20_000)) > 20


@pytest.fixture(scope="module")
def closed(python, course, tmp_path_factory):
    """Every command into a folder that cannot be written."""
    target = tmp_path_factory.mktemp("closed")
    (target / "ran.ipynb").write_text("the former one")
    target.chmod(0o555)
    yield target, each(python, course, target, closed=True)
    target.chmod(0o755)


@pytest.mark.parametrize("name", ("run", "handout", "top", "sweep", "train", "icons"))
def test_a_closed_folder_is_one_sentence_with_a_next_step(closed, course, name):
    target, told = closed
    code, said = told[name]
    assert code == 2 and "Traceback" not in said
    (last,) = said.strip().splitlines()[-1:]
    assert last.startswith("cnnlab: ") and str(target) in last and "Choose another folder" in last
    assert [path.name for path in target.iterdir()] == ["ran.ipynb"]
    assert (target / "ran.ipynb").read_text() == "the former one"


DATA = """
import gzip, hashlib, json, sys
from pathlib import Path
from torchvision.datasets import MNIST
from cnnlab.data.loading import downloads
raw = Path({folder!r}) / "MNIST" / "raw"
MNIST.resources = [
    (path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(raw.glob("*.gz"))
]
MNIST.mirrors = ["http://127.0.0.1:9/"]
try:
    found = downloads.load("mnist", "test", {folder!r})
    print(json.dumps([list(found.images.shape), found.labels.tolist()]))
except OSError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def idx(*sizes):
    import gzip
    import math

    head = bytes([0, 0, 8, len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
    return gzip.compress(head + bytes(k % 10 for k in range(math.prod(sizes))))


def test_a_closed_cache_that_holds_the_data_can_be_used(python, tmp_path):
    """A class may share one folder that only the teacher writes."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train", "t10k"):
        (raw / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(3, 28, 28))
        (raw / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(3))
    for folder in (raw, raw.parent, tmp_path):
        folder.chmod(0o555)
    try:
        assert ran(python(DATA.format(folder=str(tmp_path)), closed=True)) == [[3, 1, 28, 28], [0, 1, 2]]
        assert len(list(tmp_path.rglob("*"))) == 6  # two folders, four files: nothing was written
    finally:
        for folder in (tmp_path, raw.parent, raw):
            folder.chmod(0o755)


def test_a_closed_cache_without_the_data_names_the_variable(python, tmp_path):
    tmp_path.chmod(0o555)
    try:
        kind, said = ran(python(DATA.format(folder=str(tmp_path / "cache")), closed=True))
    finally:
        tmp_path.chmod(0o755)
    assert kind == "PermissionError" and "CNNLAB_DATA" in said and str(tmp_path / "cache") in said
