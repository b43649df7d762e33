"""Binder, as far as it goes here: the files as repo2docker reads them, postBuild and start run for real."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from packaging.specifiers import SpecifierSet

from cnnlab.course.authoring import binder


def test_every_pin_satisfies_its_range_and_none_is_missing(root):
    pins, ranges = binder.pins(root), binder.ranges(root)
    assert set(pins) == set(ranges) and "jupyterlab" in pins and "pytest" not in pins
    for name, version in pins.items():
        assert SpecifierSet(ranges[name]).contains(version.split("+")[0]), (name, version, ranges[name])
    assert pins["torch"].endswith("+cpu") and pins["torchvision"].endswith("+cpu")


def test_a_pin_outside_its_range_is_seen(root, tmp_path):
    """The test above can fail."""
    (tmp_path / "binder").mkdir()
    (tmp_path / "binder" / "requirements.txt").write_text("torch==1.0\n")
    (tmp_path / "requirements.txt").write_text("torch>=2.6,<3\n# Tests\npytest\n")
    assert not SpecifierSet(binder.ranges(tmp_path)["torch"]).contains(binder.pins(tmp_path)["torch"])


def test_the_requirements_are_self_contained(root):
    lines = (root / "binder" / "requirements.txt").read_text().splitlines()
    options = [line for line in lines if line.startswith("-")]
    assert options == ["--extra-index-url https://download.pytorch.org/whl/cpu"]  # no -r, no -e


def test_what_is_installed_here_can_be_pinned(root):
    """The command writes a file of the same form; the versions may have moved on since."""
    names = [line.split("==")[0] for line in binder.requirements(root).splitlines() if "==" in line]
    assert names == list(binder.pins(root))


def test_the_files_are_as_repo2docker_wants_them(root):
    assert (root / "binder" / "runtime.txt").read_text() == "python-3.12\n"
    for name in ("postBuild", "start"):
        path = root / "binder" / name
        assert path.read_bytes().startswith(b"#!/bin/bash\n") and os.access(path, os.X_OK)
        assert b"\r" not in path.read_bytes()
    assert (root / "binder" / "start").read_text().rstrip().splitlines()[-1] == 'exec "$@"'


@pytest.mark.skipif(sys.platform == "win32", reason="Binder's scripts are for bash")
def test_post_build_installs_a_package_that_works_from_elsewhere(root, tmp_path):
    copy, target = tmp_path / "repository", tmp_path / "installed"
    copy.mkdir()
    for name in ("binder", "cnnlab"):  # what the script and the build read
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy)
    environment = {
        **os.environ,
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "PIP_TARGET": str(target),  # instead of Binder's environment
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say: build with what is here, without the network
        "PYTHONPATH": str(target),
        "CNNLAB_DATA": str(tmp_path / "cache"),
        "CNNLAB_LAB_SETTINGS": str(tmp_path / "settings"),
        "CNNLAB_SERVER_SETTINGS": str(tmp_path / "server"),
    }
    subprocess.run(
        ["binder/postBuild"], cwd=copy, env=environment, check=True, capture_output=True, text=True
    )
    code = (
        "import cnnlab; from cnnlab.nets import models; print(cnnlab.__file__, models.load('encoder').code)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert str(target) in said and "Linear" in said  # the weights came along
    assert (tmp_path / "settings" / "overrides.json").is_file() and not (tmp_path / "cache").exists()
    told = json.loads((tmp_path / "server" / "cnnlab.json").read_text())
    assert told["ServerApp"]["tornado_settings"]["websocket_max_message_size"] > 2 * 10_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="Binder's scripts are for bash")
def test_start_hands_over_with_one_thread(root):
    told = [
        str(root / "binder" / "start"),
        "python3",
        "-c",
        "import os; print(os.environ['OMP_NUM_THREADS'])",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "7"}  # whatever stands there
    ran = subprocess.run(told, capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout == "1\n"
