"""A lecture as slides: one cell each, the same results, nothing of what is left out."""

import json
import subprocess
import sys

import nbformat
import pytest

from cnnlab.course.presenting import slides


def cell(kind, source, slide=None, *tags):
    made = getattr(nbformat.v4, f"new_{kind}_cell")(source)
    made.metadata = {"tags": list(tags), **({"slideshow": {"slide_type": slide}} if slide else {})}
    return nbformat.from_dict(made)


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


LECTURE = notebook(
    cell("markdown", "# 99 \u00b7 Title", "slide"),
    cell("code", "x = 1"),
    cell("markdown", "## Ask", "slide"),
    cell("code", "def double(y):\n    TODO('it')", "skip", "exercise"),
    cell("code", "double = lambda y: 2 * y\nprint('unseen')", "skip", "solution"),
    cell("code", "print('seen')\ndouble(x)"),
    cell("markdown", "the answer", "fragment"),
    cell("markdown", "for me", None, "teacher"),
    cell("raw", "raw"),
    cell("code", "predict(x)", "subslide", "predict"),
    cell("markdown", "after the guess"),
)


# In a process of its own: IPython cannot run cells in one where Playwright's loop is at work.
RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell, shown = InteractiveShell.instance(), []
shell.push({"predict": lambda x: f"guess {x}", "TODO": lambda what: None})
for source in json.load(sys.stdin):
    with capture_output() as seen:
        result = shell.run_cell(source)
    result.raise_error()
    texts = [output.data.get("text/markdown", output.data.get("text/plain")) for output in seen.outputs]
    shown.append([seen.stdout.split("\\n")[0], texts])
print(json.dumps(shown))
"""


def ran(made):
    """What each slide displays, in order."""
    sources = json.dumps([each.source for each in made.cells])
    command = [sys.executable, "-c", RUN]
    told = subprocess.run(command, input=sources, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return [(first, texts) for first, texts in json.loads(told.stdout.splitlines()[-1])]


def test_what_each_cell_is():
    assert slides.kinds(LECTURE) == [
        "slide", None, "slide", "skip", "skip", None, "fragment", "skip", "skip", "slide", "slide",
    ]  # fmt: skip


def test_each_slide_is_one_cell_and_shows_what_its_cells_showed():
    before = nbformat.writes(LECTURE)
    made = slides.slides(LECTURE)
    assert nbformat.writes(LECTURE) == before
    assert [each.metadata.slideshow.slide_type for each in made.cells] == [
        "slide", "slide", "fragment", "slide", "slide",
    ]  # fmt: skip
    assert all(
        "remove-input" in each.metadata.tags and each.metadata.jupyter.source_hidden for each in made.cells
    )
    assert ran(made) == [
        ("", ["# 99 \u00b7 Title"]),
        ("seen", ["## Ask", "2"]),
        ("", ["the answer"]),
        ("", ["'guess 1'"]),
        ("", ["after the guess"]),
    ]


def test_code_that_is_no_python_is_refused():
    with pytest.raises(ValueError, match="plain Python.*%matplotlib"):
        slides.slides(notebook(cell("code", "%matplotlib inline")))


def test_other_values_for_the_parameters_of_a_lecture():
    made = notebook(
        cell("code", "FAST = False\nNET = 'photonet'", None, "parameters"), cell("code", "x = NET")
    )
    other = slides.given(made, {"FAST": True, "NET": "alex'net"})
    space = {}
    exec("\n".join(each.source for each in other.cells), space)  # noqa: S102
    assert space["FAST"] is True and space["x"] == "alex'net"
    assert made.cells[0].source == "FAST = False\nNET = 'photonet'"  # as it was
    assert slides.given(made, {}).cells[0].source == made.cells[0].source
    with pytest.raises(ValueError, match="no cell of parameters"):
        slides.given(LECTURE, {"FAST": True})
