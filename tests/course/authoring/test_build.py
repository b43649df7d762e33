"""The build: the same bytes every time, and a clear refusal for every rule."""

import json
import os

import pytest

from cnnlab.course.authoring import build, user_edits
from cnnlab.course.authoring.build import BuildError

HEADER = (
    "# %% [markdown]\n# # 00 \u00b7 Start\n#\n# **Why?**\n#\n# You will be able to\n#\n# - see\n#\n"
    "# **Minutes:** 1\n# **Needs:** nothing\n\n"
)
IMPORTS = "# %%\nfrom cnnlab.course import TODO, check\n\n"
PARAMETERS = '# %% tags=["parameters"]\nFAST = False\nSEED = 0\n\n'
EXERCISE = (
    "# %%\ndef grey(image):\n    # BEGIN SOLUTION: the mean\n"
    "    # hint: one\n    # hint: two\n    # hint: three\n"
    "    return image.mean(dim=0)\n    # END SOLUTION\n\n"
)
CHECK = '# %% tags=["check"]\ngrey = check("00.1", grey)\n'
GOOD = HEADER + IMPORTS + PARAMETERS + EXERCISE + CHECK


@pytest.fixture
def source(tmp_path):
    def write(text, name="00_start.py"):
        (tmp_path / "solutions").mkdir(exist_ok=True)
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        (tmp_path / "cnnlab" / "course").mkdir(parents=True, exist_ok=True)
        path = tmp_path / "solutions" / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_good_source_gives_two_notebooks_and_hints(source, tmp_path):
    path = source(
        GOOD + '\n# %% [markdown] tags=["teacher"]\n# secret\n\n# %% tags=["solution"]\nsecret = 1\n'
    )
    written = build.build(tmp_path)
    student = json.loads((tmp_path / "notebooks" / "00_start.ipynb").read_text())
    answered = json.loads(path.with_suffix(".ipynb").read_text())
    texts = ["".join(cell["source"]) for cell in student["cells"]]
    assert 'def grey(image):\n    TODO("the mean")' in texts
    assert "secret" not in json.dumps(student) and "secret" in json.dumps(answered)
    assert "def grey(image):\n    return image.mean(dim=0)" in [
        "".join(c["source"]) for c in answered["cells"]
    ]
    hints = json.loads((tmp_path / "cnnlab" / "course" / "hints.json").read_text())
    assert hints == {"00.1": ["one", "two", "three"]}
    assert len(written) == 3 and build.check_built(tmp_path) == []


def test_the_same_source_gives_the_same_bytes_and_unique_ids(source, tmp_path):
    source(GOOD + "\n# %%\nprint(1)\n\n# %%\nprint(1)\n")
    first = {path: path.read_bytes() for path in build.build(tmp_path)}
    assert build.build(tmp_path) == []  # what is up to date is not written again
    for path in first:
        path.unlink()
    assert {path: path.read_bytes() for path in build.build(tmp_path)} == first
    ids = [
        cell["id"] for cell in json.loads((tmp_path / "notebooks" / "00_start.ipynb").read_text())["cells"]
    ]
    assert len(set(ids)) == len(ids)


def test_notebooks_are_valid_without_outputs_and_other_metadata(source):
    import nbformat

    for notebook in build.notebooks(source(GOOD)):
        nbformat.validate(nbformat.from_dict(notebook))
        assert {key for cell in notebook["cells"] for key in cell["metadata"]} <= {
            "tags",
            "slideshow",
            "jupyter",
        }
        assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")


def test_a_changed_or_missing_notebook_is_stale(source, tmp_path):
    source(GOOD)
    build.build(tmp_path)
    target = tmp_path / "notebooks" / "00_start.ipynb"
    target.write_text(target.read_text() + " ")
    assert build.check_built(tmp_path) == [os.path.join("notebooks", "00_start.ipynb")]
    target.unlink()
    assert build.check_built(tmp_path) == [os.path.join("notebooks", "00_start.ipynb")]


def edit(path, change):
    notebook = json.loads(path.read_text())
    change(notebook["cells"])
    path.write_text(json.dumps(notebook))


EDITS = {
    "an answer": lambda cells: cells[3].update(source=["def grey(image):\n", "    return image[0]"]),
    "a new cell": lambda cells: cells.append({**cells[3], "id": "0ac3", "source": ["x = 1"]}),
    "a note": lambda cells: cells[0].update(source=[*cells[0]["source"], "\nremember this"]),
    "another kind": lambda cells: cells[0].update(cell_type="raw"),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_what_a_reader_wrote_is_never_built_over(source, tmp_path, change):
    path = source(GOOD)
    build.build(tmp_path)
    target = tmp_path / "notebooks" / "00_start.ipynb"
    edit(target, change)
    path.write_text(GOOD.replace("the mean", "the average"))
    before = target.read_bytes()
    with pytest.raises(BuildError, match="nothing is written.*notebooks.00_start.ipynb.*--discard"):
        build.build(tmp_path)
    assert target.read_bytes() == before and user_edits.written_in(tmp_path)
    assert not any(
        "notebooks" in name for name in build.outdated(tmp_path)
    )  # doctor must not send her to build
    build.build(tmp_path, discard=True)
    assert target.read_bytes() != before and user_edits.written_in(tmp_path) == []


def test_a_notebook_that_was_only_run_is_neither_outdated_nor_protected(source, tmp_path):
    path = source(GOOD)
    build.build(tmp_path)
    target = tmp_path / "notebooks" / "00_start.ipynb"
    edit(target, lambda cells: cells[1].update(outputs=[{"output_type": "stream"}], execution_count=3))
    assert build.check_built(tmp_path) and build.outdated(tmp_path) == [] == user_edits.written_in(tmp_path)
    path.write_text(GOOD.replace("the mean", "the average"))
    assert os.path.join("notebooks", "00_start.ipynb") in build.outdated(tmp_path)
    build.build(tmp_path)
    assert "average" in target.read_text()


def test_a_file_that_is_no_notebook_is_not_built_over(source, tmp_path):
    source(GOOD)
    (tmp_path / "notebooks" / "00_start.ipynb").write_text("my notes")
    with pytest.raises(BuildError, match="somebody has written"):
        build.build(tmp_path)


def test_the_code_of_a_prediction_is_folded_away(source):
    text = GOOD + '\n# %% tags=["predict"]\npredict("00.p1", "Why?", truth=1)\n'
    cell = build.notebooks(source(text.replace("import TODO, check", "import TODO, check, predict")))[0][
        "cells"
    ][-1]
    assert cell["metadata"]["jupyter"] == {"source_hidden": True}


BROKEN = {
    "unknown tag 'secret'": GOOD.replace('tags=["check"]', 'tags=["check", "secret"]'),
    "slide type '-'": GOOD.replace('tags=["check"]', 'tags=["check"] slideshow={"slide_type": "-"}'),
    "BEGIN SOLUTION without END": GOOD.replace("    # END SOLUTION\n", ""),
    "without its partner": GOOD.replace("    # BEGIN SOLUTION: the mean\n", ""),
    "stands inside a function": GOOD + "\n# %%\n# BEGIN SOLUTION: x\nx = 1\n# END SOLUTION\n",
    "BEGIN SOLUTION': a marker": GOOD.replace("SOLUTION: the mean", "SOLUTION"),
    "#BEGIN SOLUTION: .*a marker is a line": GOOD.replace("# BEGIN", "#BEGIN"),
    "# begin solution: .*a marker is a line": GOOD.replace("# BEGIN SOLUTION", "# begin solution"),
    "x = 1 .*a marker is a line": GOOD.replace("    # BEGIN", "    x = 1  # BEGIN"),
    "a hint stands between": GOOD.replace("def grey", "# hint: early\ndef grey"),
    "'torch.hub' downloads": GOOD + "\n# %%\ntorch.hub.load('x')\n",
    "'download = True' downloads": GOOD + "\n# %%\nMNIST('.', download = True)\n",
    "'weights=\"' downloads": GOOD + '\n# %%\nnet = alexnet(weights="DEFAULT")\n',
    "no hint '00.bug'": GOOD + '\n# %%\nhint("00.bug")\n',
    "no check '00.77'": GOOD + '\n# %%\n%time 1\nf = check(\n    "00.77", f)\n',
    "image without alt text": GOOD + "\n# %% [markdown]\n# ![](cat.png)\n",
    "has no alt text": GOOD + '\n# %% [markdown]\n# <img src="cat.png">\n',
    "without alt=": GOOD + "\n# %%\nshow(fig)\n",
    "show.* without alt=": GOOD + "\n# %%\nplt.show()\n",
    "IMG .*no alt text": GOOD + '\n# %% [markdown]\n# <IMG src="c" data-alt="x">\n',
    "downloads": GOOD + "\n# %%\nurlretrieve('x')\n",
    "'!' downloads": GOOD + "\n# %%\n# !pip install x\n",
    "header lacks a bold question": GOOD.replace("**Why?**", "Why?"),
    "header lacks a title '# 00": GOOD.replace("# # 00", "# # 07"),
    "header lacks .*Minutes": GOOD.replace("**Minutes:**", "Time"),
    "no check '00.9'": GOOD.replace('"00.1"', '"00.9"'),
    "no check '01.1'": GOOD.replace('"00.1"', '"01.1"'),
    "no quiz '00.q99'": GOOD + '\n# %%\nquiz("00.q99")\n',
    "no hint '00.99'": GOOD + '\n# %%\nhint("00.99")\n',
    "has the tag 'check'": GOOD.replace(' tags=["check"]', ""),
    "the second code cell": GOOD.replace(' tags=["parameters"]', ""),
    "parameters are plain values": GOOD.replace("SEED = 0", "SEED = 0\nN = 2 * SEED"),
    "add the parameters SEED": GOOD.replace("SEED = 0\n", ""),
    "move the import": GOOD + "\n# %%\nimport os\n",
    "no valid Python": GOOD + "\n# %%\ndef f(:\n",
    "2 hints": GOOD.replace("    # hint: two\n", ""),
}


@pytest.mark.parametrize("message", BROKEN)
def test_each_rule_is_kept(source, tmp_path, message):
    path = source(BROKEN[message])
    assert BROKEN[message] != GOOD
    with pytest.raises(BuildError, match=f"00_start.py, .*{message}"):
        build.notebooks(path)
    with pytest.raises(BuildError):
        build.build(tmp_path)
    assert list(tmp_path.rglob("*.ipynb")) == []


def test_a_comment_may_speak_of_a_download_and_a_check_may_stand_on_two_lines(source, tmp_path):
    text = GOOD.replace('check("00.1", grey)', 'check(\n    "00.1", grey\n)')
    source(text + "\n# %%\n# not torch.hub\nx = 1\n")
    build.build(tmp_path)
    assert "00.1" in json.loads((tmp_path / "cnnlab" / "course" / "hints.json").read_text())


def test_a_source_that_jupytext_cannot_read(source):
    with pytest.raises(BuildError, match="00_start.py: jupytext cannot read it"):
        build.notebooks(source(GOOD.replace('tags=["check"]', 'tags="check"')))


def test_all_complaints_come_at_once(source):
    with pytest.raises(BuildError) as caught:
        build.notebooks(source(GOOD + "\n# %%\nshow(fig)\n\n# %%\nimport os\n"))
    assert str(caught.value).count("\n") == 1


def test_an_interrupted_write_leaves_the_former_file(source, tmp_path, monkeypatch):
    path = source(GOOD)
    build.build(tmp_path)
    path.write_text(GOOD.replace("the mean", "the average"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build.atomic_files.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        build.build(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_unknown_lecture(source, tmp_path):
    source(GOOD)
    with pytest.raises(LookupError, match="no lecture '77'. Lectures: 00"):
        build.build(tmp_path, ["77"])
