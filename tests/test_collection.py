"""What pytest collects: every lecture, in every way in which it is run, but no lecture source as a test.

To look for doctests in a source, pytest would import it, that is, run the whole lecture, in every process.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def found(root):
    """The names of the tests of all lectures, as a process of its own lists them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", "-o", "addopts="]
    options = (
        "-p tests.lazy_grammar --doctest-modules --nbval-lax --import-mode=importlib -p no:cacheprovider"
    )
    command += [*options.split(), "solutions", "tests/test_lectures.py", "tests/browser/test_slides.py"]
    command += ["tests/browser/test_notebooks.py"]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    return [line for line in told.stdout.splitlines() if "::" in line]


@pytest.fixture(scope="module")
def lectures(root):
    names = sorted(path.stem for path in (root / "solutions").glob("[0-9][0-9]*_*.py"))
    assert len(names) >= 12
    return names


@pytest.mark.parametrize("left_out", (True, False))
def test_the_sources_of_the_lectures_are_left_out(root, tmp_path, left_out):
    """With the conftest.py of solutions/ a planted source is not touched; without, it would be run."""
    folder = tmp_path / "solutions"
    folder.mkdir()
    (folder / "99_planted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f():\n    '>>> 1'\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    if left_out:
        shutil.copy(root / "solutions" / "conftest.py", folder)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--doctest-modules", "solutions"]
    told = subprocess.run(
        [*command, "--import-mode=importlib", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ("99_planted.f" in told.stdout) is not left_out, told.stdout + told.stderr
    assert (tmp_path / "ran").exists() is not left_out


def test_nothing_but_notebooks_is_found_among_the_lectures(found):
    there = {name.split("::")[0] for name in found if name.startswith("solutions/")}
    assert there and all(name.endswith(".ipynb") for name in there)


def test_nbval_runs_every_code_cell_of_every_answered_lecture(root, found, lectures):
    for lecture in lectures:
        cells = json.loads((root / "solutions" / f"{lecture}.ipynb").read_text())["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert len([n for n in found if n.startswith(f"solutions/{lecture}.ipynb::")]) == len(code) > 10


@pytest.mark.parametrize(
    ("test", "ending"),
    (
        ("tests/test_lectures.py::test_student_notebook_runs_with_other_parameters_without_network", ""),
        ("tests/test_lectures.py::test_the_student_notebook_as_it_is_runs_in_a_minute_and_a_gigabyte", ""),
        ("tests/browser/test_notebooks.py::test_it_ran_without_an_error", ".ipynb"),
        ("tests/browser/test_slides.py::test_going_through_all_slides", ".ipynb"),
    ),
)
def test_every_lecture_is_run_by_papermill_and_in_the_browser(found, lectures, test, ending):
    ran = [name for name in found if name.startswith(f"{test}[")]
    assert ran == [f"{test}[{lecture}{ending}]" for lecture in lectures]


def test_the_grammar_of_addresses_is_read_when_one_is_checked(root):
    code = (
        "import sys, tests.lazy_grammar, jsonschema\nassert 'lark' not in sys.modules\n"
        "told = jsonschema.Draft7Validator.FORMAT_CHECKER.conforms\n"
        "print(told('https://a.example/\u00fc', 'iri'), told('no <address>', 'iri'), 'lark' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "False", "True"]


@pytest.mark.parametrize(
    ("test", "group"),
    (
        (
            "tests/test_lectures.py::test_rules_of_a_lecture[06a_saliency]",
            "tests/test_lectures.py:06a_saliency",
        ),
        ("tests/test_choices.py::test_it_runs[06a_saliency-shapesnet]", "tests/test_choices.py:06a_saliency"),
        ("tests/test_lectures.py::test_readme_shows_the_syllabus", "tests/test_lectures.py"),
        ("tests/browser/test_bursts.py::test_it", "tests/browser"),
        ("tests/browser/test_notebooks.py::test_it[00_start_here.ipynb]", "tests/browser/test_notebooks.py"),
        ("tests/nets/test_models.py::test_it[00_start_here]", "tests/nets/test_models.py"),
    ),
)
def test_what_shares_a_kernel_or_a_browser_stays_together(test, group, request):
    (conftest,) = (one for one in request.config.pluginmanager.get_plugins() if hasattr(one, "SPLIT"))
    assert conftest.group(test) == group


def test_the_groups_are_those_by_which_processes_get_their_tests(root):
    """In two processes, tests of one lecture in one of them, of another in the other."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "-v", "tests/test_lectures.py", "-k"]
    command += ["(00_start_here or 01_convolution) and (rules or reach or imports)"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment)
    ran = re.findall(r"\[(gw\d)\] .*PASSED .*\[(\d\d_\w+)\]", told.stdout)
    assert len(ran) == 6 and len(set(ran)) == 2 == len({worker for worker, _ in ran}), told.stdout
