"""`doctor --full`: every lecture is run and measured; one that fails stops no other, Ctrl+C loses none."""

import json
import os
import signal
import subprocess
import sys

import nbformat
import pytest

from cnnlab.__main__ import main
from cnnlab.course import syllabus, timings
from cnnlab.course.running import commands, doctor, run_all, run_notebook

WIDGET = "import ipywidgets\nipywidgets.HTML({!r})"


def plant(folder, number, *codes, tags=(), parameter="FAST = False"):
    """A lecture of these cells, the last of them with tags."""
    cells = [nbformat.v4.new_code_cell(code) for code in (parameter, *codes)]
    cells[0].metadata["tags"], cells[-1].metadata["tags"] = ["parameters"], list(tags)
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    (folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, folder / "notebooks" / f"{number}_planted.ipynb")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course without lectures yet; the rows about this machine are short, and figures go to a file."""
    monkeypatch.setattr(commands, "root", lambda: tmp_path)
    monkeypatch.setattr(doctor, "main", lambda: 0)
    monkeypatch.setattr(timings, "FILE", tmp_path / "measured.json")
    for function in (timings.read, timings.sentence, timings.keep):
        rest = function.__defaults__[:-1]
        monkeypatch.setattr(function, "__defaults__", (*rest, tmp_path / "measured.json"))
    return tmp_path


def lines(capsys):
    """The first word of each printed line -> the line."""
    return {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}


def test_one_that_fails_stops_no_other(course, capsys):
    plant(course, "40", "1 / 0", "print('never')")
    plant(course, "41", WIDGET.format('<div role="alert">planted</div>'), tags=["widget"])
    plant(course, "42", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "print('never')")
    plant(course, "43", WIDGET.format("fine"), tags=["widget"])
    assert main(["doctor", "--full"]) == 1
    said = lines(capsys)
    assert "\u2717 cell 1: ZeroDivisionError: division by zero" in said["40_planted"]
    assert "\u2717 a widget: " in said["41_planted"] and "planted" in said["41_planted"]
    assert "\u2717 cell 1: the kernel died" in said["42_planted"] and "Next: " in said["42_planted"]
    assert said["43_planted"].endswith("1  \u2713 ok")
    assert said["4"].startswith("4 of 4 lectures")
    there = sorted(path.name for path in (course / "runs" / "full").iterdir())
    assert there == [f"{number}_planted.ipynb" for number in (40, 41, 42, 43)]


def test_numbers_and_parameters_choose_what_is_run(course, capsys):
    plant(course, "40", "assert FAST == 'as typed'", parameter="FAST = 'a text'")
    plant(course, "41", "assert FAST == 1", parameter="FAST = 1\nOTHER = 2")
    plant(course, "42", "1 / 0")
    assert main(["doctor", "--full", "40", "-p", "FAST", "as typed"]) == 0
    assert "2 of 2" not in (said := lines(capsys))["1"] and "42_planted" not in said
    assert main(["doctor", "--full", "40", "41", "-p", "OTHER", "3"]) == 1  # 40 has none and runs without it
    assert "40_planted" in capsys.readouterr().out
    assert main(["doctor", "--full", "-p", "FASTER", "1"]) == 2
    assert "Did you mean 'FAST'" in capsys.readouterr().err
    assert main(["doctor", "--full", "77"]) == 2
    assert "no lecture '77'" in capsys.readouterr().err


def test_what_is_counted_is_the_kernel_and_what_it_starts(course, capsys, monkeypatch):
    monkeypatch.setattr(run_all, "MEGABYTES", 300)
    plant(course, "40", "import time; time.sleep(2)")
    child = "import time; held = bytearray(150 << 20); time.sleep(2)"
    plant(course, "41", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])")
    plant(course, "42", "import time; held = bytearray(400 << 20); time.sleep(2)")
    assert main(["doctor", "--full"]) == 0  # a limit that is not kept is a note: the machine may be small
    said = lines(capsys)
    plain, child, large = (float(said[f"{number}_planted"].split()[2]) for number in (40, 41, 42))
    assert 20 < plain < 200 and 140 < child - plain < 220 and 390 < large - plain < 450
    assert "\u2139 over 300 MB" in said["42_planted"] and "over" not in said["41_planted"]


def test_figures_are_kept_for_the_readme_only_when_asked_and_of_the_lectures_as_they_are(course, capsys):
    plant(course, "00", "pass")
    plant(course, "01", "1 / 0")
    assert main(["doctor", "--full"]) == 1 and not (course / "measured.json").exists()
    assert main(["doctor", "--full", "--keep"]) == 1
    (cost,) = timings.read().values()
    assert timings.read().keys() == {"00"} and 0 <= cost.seconds < 180 and cost.megabytes % 10 == 0
    row = next(line for line in syllabus.table(course / "notebooks", costs=True).splitlines() if "00" in line)
    assert f"| {cost.seconds} | {cost.megabytes} |" in row
    assert f"{cost.megabytes}" not in syllabus.table(course / "notebooks")
    for more in (["-p", "FAST", "true"], ["--answered"]):
        (course / "solutions").mkdir(exist_ok=True)
        (course / "solutions" / "00_planted.ipynb").write_bytes(
            (course / "notebooks" / "00_planted.ipynb").read_bytes()
        )
        assert main(["doctor", "--full", "00", "--keep", *more]) == 2
        assert "--keep is for the student's notebooks as they are" in capsys.readouterr().err
    assert main(["doctor", "--keep"]) == 2 and "belong to doctor --full" in capsys.readouterr().err
    assert main(["doctor", "--full", "00", "--answered"]) == 0


def test_figures_of_another_machine_are_not_mixed_in(course, monkeypatch):
    assert timings.sentence() == ""
    timings.keep("01", 9.6, 714.2)
    timings.keep("00", 12.2, 785.9)
    assert list(timings.read().items()) == [("00", (12, 790)), ("01", (10, 710))]
    monkeypatch.setattr(timings, "cores", lambda: 2)
    timings.keep("01", 1, 1)
    timings.keep("00", 1, 1)
    assert "on two cores without a GPU" in timings.sentence()
    monkeypatch.setattr(timings, "cores", lambda: 16)
    timings.keep("01", 5, 700)
    assert timings.read() == {"01": (5, 700)} and "16 cores" in timings.sentence()
    assert json.loads((course / "measured.json").read_text())["cores"] == 16
    assert [path.name for path in course.glob("*measured*")] == ["measured.json"]


def test_every_shipped_figure_belongs_to_a_lecture_and_keeps_the_limits():
    costs = timings.read()
    assert costs.keys() <= {lecture.number for lecture in syllabus.LECTURES}
    assert all(c.seconds <= run_all.SECONDS and c.megabytes <= run_all.MEGABYTES for c in costs.values())


@pytest.mark.skipif(os.name != "posix", reason="Ctrl+C cannot be sent to a process of Windows")
def test_ctrl_c_ends_it_and_shows_what_was_measured(course, root, until):
    plant(course, "40", "pass")
    plant(
        course,
        "41",
        f"from pathlib import Path\nPath({str(course / 'here')!r}).touch()\nimport time; time.sleep(900)",
    )
    (course / "solutions").mkdir()
    # A shell that starts its children in the background lets them ignore Ctrl+C, and theirs, too.
    code = "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from cnnlab.course.running import commands, doctor\nfrom pathlib import Path\n"
    code += f"commands.root = lambda: Path({str(course)!r})\ndoctor.main = lambda: 0\n"
    code += "from cnnlab.__main__ import main\nsys.exit(main(['doctor', '--full']))"
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root, **both)
    until((course / "here").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130 and "1 of 2 lectures" in out and "40_planted" in out
    assert err.strip() == "stopped"
    assert [path.name for path in (course / "runs" / "full").iterdir()] == ["40_planted.ipynb"]


def test_live_widgets_are_counted_where_the_lecture_has_them():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    notebook = nbformat.v4.new_notebook()
    for tags, shows in ((["widget"], 2), (["predict"], 1), ([], 1), (["widget"], 0)):
        cell = nbformat.v4.new_code_cell("")
        cell.metadata["tags"] = tags
        cell.outputs = [nbformat.v4.new_output("display_data", data=view) for _ in range(shows)]
        notebook.cells.append(cell)
    assert run_notebook.shown(notebook) == 2
