"""The command line: what it prints, its exit codes, and no traceback for a user's mistake."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from cnnlab.__main__ import main
from cnnlab.course import syllabus
from cnnlab.course.authoring import build
from cnnlab.course.running import commands, doctor, run_notebook


def test_doctor_is_green_here_and_shows_every_row(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for what in (
        "Python",
        "PyTorch",
        "torchvision",
        "threads",
        "memory",
        "disk",
        "widgets",
        "embedded data",
        "weights",
        "lectures",
    ):
        assert f"\n{what}" in "\n" + text
    assert "problem" not in text


def test_doctor_names_a_problem_and_the_next_step(monkeypatch, capsys):
    def broken(command, **options):
        error = "Traceback\nRuntimeError: operator torchvision::nms does not exist"
        return subprocess.CompletedProcess(command, 1, "", error)

    monkeypatch.setattr(doctor.subprocess, "run", broken)
    assert main(["doctor"]) == 1
    line = next(line for line in capsys.readouterr().out.split("\n") if line.startswith("torchvision"))
    assert "\u2717 problem" in line and "nms" in line and "as a pair" in line


@pytest.mark.parametrize(
    ("torch", "vision", "state"),
    (
        ("2.9.0", "0.24.0", "ok"),
        ("2.9.0+cpu", "0.24.0+cpu", "ok"),
        ("2.9.0+cpu", "0.24.0", "note"),
        ("2.8.0", "0.24.0", "problem"),
    ),
)
def test_in_a_notebook_doctor_reads_the_labels_and_loads_no_second_torch(monkeypatch, torch, vision, state):
    """A process that imports torch beside a lecture's kernel took half a gigabyte more."""
    monkeypatch.setattr(doctor, "_in_a_notebook", lambda: True)
    monkeypatch.setattr(
        doctor.importlib.metadata, "version", {"torch": torch, "torchvision": vision}.__getitem__
    )
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: ["numpy", "torch==2.9.0"])
    monkeypatch.delattr(doctor.subprocess, "run")
    row = doctor._torchvision()
    assert row.state == state and vision in row.found and ("pair" in row.next_step) == (state != "ok")


def test_doctor_reads_every_weight_file(monkeypatch, tmp_path, capsys):
    from cnnlab.nets import weight_files

    shutil.copytree(weight_files.FOLDER, tmp_path / "weights")
    for function in (weight_files.load, weight_files.manifest, weight_files.names):
        monkeypatch.setattr(function, "__defaults__", (tmp_path / "weights",))
    assert doctor._weights().state == "ok"
    other = tmp_path / "weights" / "shapesnet.safetensors"
    (tmp_path / "weights" / "photonet.safetensors").write_bytes(other.read_bytes())
    row = doctor._weights()
    assert row.state == "problem" and "photonet.safetensors" in row.found and "git checkout" in row.found


def test_doctor_is_a_table_on_a_page():
    table = doctor.Table([doctor.Row("a<b", "note", "found", "do this")])
    assert "a&lt;b" in table._repr_html_() and "\u2139 note" in table._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "text"),
    (
        (["run", "99"], "no lecture '99'"),
        (["run", "01", "-p", "PHOTOS", "cat"], "Did you mean 'PHOTO'"),
        (["run", "01", "-p", "FAST", "["], "-p FAST [: not a value"),
        (["run", "01", "-p", "SEED", "abc"], "-p SEED abc: SEED is a whole number, as 0"),
        (["run", "01", "-p", "SEED", "true"], "SEED is a whole number"),
        (["run", "01", "-p", "FAST", "1"], "FAST is true or false, as False"),
        (["handout", "01", "-p", "PHOTOS", "cat"], "Did you mean 'PHOTO'"),
        (["present", "01", "-p", "NETT", "alexnet"], "no parameter 'NETT'"),
        (["sweep", "depths"], "Did you mean 'depth'"),
        (["sweep", "attack"], "Did you mean 'attacks'"),
        (["sweep", "attacks", "--output", "attacks"], "ends in .csv"),
        (["fetch", "minst"], "Did you mean 'mnist'"),
        (["build", "77"], "no lecture '77'"),
        (["top", "photonett", "relu3", "."], "Did you mean 'photonet'"),
        (["top", "photonet", "relu3", "no such folder"], "give one that holds images"),
    ),
)
def test_a_mistake_on_the_command_line_is_answered_in_one_line(arguments, text, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert text in said and "Traceback" not in said and said.startswith("cnnlab: ")


def test_unknown_commands_and_options_are_refused(capsys):
    for arguments in (["dance"], ["doctor", "--loud"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    assert "--loud" in capsys.readouterr().err


def test_another_python_is_named_with_the_one_to_type():
    without = [sys.executable, "-S", "-E", "-m", "cnnlab", "doctor"]  # one that sees no installed packages
    asked = subprocess.run(without, cwd=commands.root(), capture_output=True, text=True)
    assert asked.returncode == 2 and "Traceback" not in asked.stderr
    assert ".venv/bin/python -m cnnlab" in asked.stderr and "has no '" in asked.stderr


def test_a_missing_module_of_our_own_is_no_hint_for_readers(monkeypatch):
    def fails(extra):
        raise ModuleNotFoundError("No module named 'cnnlab.lost'", name="cnnlab.lost")

    monkeypatch.setattr(commands, "open_course", fails)
    with pytest.raises(ModuleNotFoundError, match="lost"):
        main([])


def test_open_hands_its_options_to_jupyterlab(monkeypatch):
    calls = []
    monkeypatch.setattr(commands, "_become", lambda command, folder: calls.append((command, folder)) or 0)
    assert main([]) == 0 and main(["open", "--no-browser", "--port", "9999"]) == 0
    assert calls[0][0][1:4] == ["-m", "jupyterlab", "notebooks"]
    assert main(["--no-browser", "--port", "9999"]) == 0 and calls[2] == calls[1]
    told = {option.split("=")[0]: option.split("=", 1)[1] for option in calls[0][0] if "=" in option}
    assert (Path(told["--LabApp.app_settings_dir"]) / "overrides.json").is_file()
    assert "websocket_max_message_size" in told["--ServerApp.tornado_settings"]
    # The addresses that it prints lead to the first lecture, and not to an empty launcher.
    first = told["--LabApp.default_url"].removeprefix("/lab/tree/")
    assert (commands.root() / "notebooks" / first).is_file()
    assert calls[1][0][-3:] == ["--no-browser", "--port", "9999"] and calls[0][1] == commands.root()


@pytest.mark.parametrize(("user", "told"), ((0, True), (1000, False)))
def test_only_root_tells_jupyterlab_that_root_is_meant(monkeypatch, user, told):
    calls = []
    monkeypatch.setattr(commands, "_become", lambda command, _folder: calls.append(command) or 0)
    monkeypatch.setattr(commands.os, "geteuid", lambda: user, raising=False)
    assert main([]) == 0 and ("--allow-root" in calls[0]) is told


def test_stopping_is_no_error(monkeypatch, capsys):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_become", stopped)
    assert main([]) == 130 and "stopped" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="Windows has no exec")
def test_whoever_ends_the_command_ends_jupyterlab_too(tmp_path):
    """They are one process, so a TERM from a terminal or a container leaves no server behind."""
    there = "import os; print(os.getpid(), os.getcwd())"
    code = (
        "import sys; from pathlib import Path; from cnnlab.course.running import commands\n"
        f"commands._become([sys.executable, '-c', {there!r}], Path({str(tmp_path)!r}))\nprint('still here')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate()[0] == f"{process.pid} {tmp_path}\n"


def test_build_check_says_what_is_stale(monkeypatch, capsys):
    assert main(["build", "--check"]) == 0
    monkeypatch.setattr(build, "check_built", lambda root: ["notebooks/x.ipynb"])
    assert main(["build", "--check"]) == 1
    assert "stale: notebooks/x.ipynb" in capsys.readouterr().out


def planted_course(tmp_path, monkeypatch, code):
    parameters = nbformat.v4.new_code_cell("N = 1")
    parameters.metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=[parameters, nbformat.v4.new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "42_planted.ipynb")
    monkeypatch.setattr(commands, "root", lambda: tmp_path)


def test_run_takes_parameters_and_says_where_the_result_is(tmp_path, monkeypatch, capsys):
    planted_course(tmp_path, monkeypatch, "assert N == 3")
    assert main(["run", "42", "-p", "N", "3"]) == 0
    assert str(tmp_path / "runs" / "42_planted.ipynb") in capsys.readouterr().out


def test_a_parameter_that_is_a_text_stays_one():
    (first, *_) = commands.root().glob("notebooks/01_*.ipynb")
    assert run_notebook.values(first, [("PHOTO", "no"), ("SEED", "3")]) == {"PHOTO": "no", "SEED": 3}
    assert run_notebook.values(first, [("PHOTO", "7")]) == {"PHOTO": "7"}


def test_run_names_the_cell_that_failed(tmp_path, monkeypatch, capsys):
    planted_course(tmp_path, monkeypatch, "1 / 0")
    assert main(["run", "42"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_run_sees_an_error_inside_a_widget(tmp_path, monkeypatch, capsys):
    code = (
        "import torch\nfrom cnnlab.widgets import explore\n"
        "def view(n):\n    if n: raise RuntimeError('planted')\n    return torch.zeros(4, 4)\n"
        "widget = explore(view, n=(0, 3))\nwidget.put(n=2)\nwidget"
    )
    planted_course(tmp_path, monkeypatch, code)
    assert main(["run", "42"]) == 1
    assert "planted" in capsys.readouterr().err


def test_without_the_notebooks_there_is_a_clear_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(syllabus, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    monkeypatch.chdir(tmp_path)
    assert main(["build"]) == 2
    assert "Go to the folder of the course" in capsys.readouterr().err
