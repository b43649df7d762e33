"""Does it run here? One row for each thing that the course needs, with the next step where it is missing."""

import html
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cnnlab.course import timings

SYMBOLS = {"ok": "\u2713", "note": "\u2139", "problem": "\u2717"}
_NEEDED = ("jupyterlab", "ipywidgets", "matplotlib", "scikit-image", "scikit-learn", "pillow", "safetensors")


class Row(NamedTuple):
    """One thing: what it is, how it stands ("ok", "note" or "problem"), what was found, and what to do."""

    what: str
    state: str
    found: str
    next_step: str = ""


def rows() -> list[Row]:
    """Look at everything. A look that fails is a problem with its reason, never an error."""
    looks: dict[str, Callable[[], Row]] = {
        "Python": _python,
        "PyTorch": _torch,
        "torchvision": _torchvision,
        "threads": _threads,
        "memory": _memory,
        "disk": _disk,
        "packages": _packages,
        "widgets": _widgets,
        "embedded data": _embedded,
        "weights": _weights,
        "data cache": _cache,
        "MNIST": _mnist,
        "browser for tests": _chromium,
        "lectures": _lectures,
    }
    found = []
    for what, look in looks.items():
        try:
            found.append(look())
        except Exception as error:  # a doctor who falls ill helps nobody
            missing = isinstance(error, ImportError | importlib.metadata.PackageNotFoundError)
            step = "pip install -r requirements.txt" if missing else "ask whoever gave you the course"
            found.append(Row(what, "problem", f"{type(error).__name__}: {error}", step))
    return found


def table() -> "Table":
    """The rows as something that Jupyter displays as a table and a terminal prints as text."""
    return Table(rows())


def main() -> int:
    """Print the table. Returns 1 if something has to be done, else 0."""
    found = table()
    print(found)
    return int(any(row.state == "problem" for row in found.rows))


class Table:
    """Rows, for a page and for a terminal."""

    def __init__(self, rows: list[Row]):
        self.rows = rows

    def _repr_html_(self) -> str:
        def line(tag, texts):
            cells = (f"<{tag} style='text-align: left'>{html.escape(text)}</{tag}>" for text in texts)
            return f"<tr>{''.join(cells)}</tr>"

        heads = line("th", ("what", "state", "found", "next step"))
        return f"<table>{heads}{''.join(line('td', texts) for texts in self._lines())}</table>"

    def __repr__(self) -> str:
        return "\n".join(
            f"{what:18} {state:10} {found}{'  -> ' + step if step else ''}"
            for what, state, found, step in self._lines()
        )

    def _lines(self):
        return [
            (row.what, f"{SYMBOLS[row.state]} {row.state}", row.found, row.next_step) for row in self.rows
        ]


def _python() -> Row:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    return Row("Python", "ok" if fine else "problem", version, "" if fine else "install Python 3.11 or later")


def _torch() -> Row:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU (enough for the course)"
    return Row("PyTorch", "ok", f"{torch.__version__}, {device}")


def _torchvision() -> Row:
    step = "install torch and torchvision as a pair, from one index (see README)"
    if _in_a_notebook():  # beside a lecture there is no room for a second torch: read the labels
        return _labelled_as_a_pair(step)
    # In a process of its own: a bad pair can even crash.
    code = "import torchvision; print(torchvision.__version__)"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    if tried.returncode:  # "operator torchvision::nms does not exist"
        reason = (tried.stderr.strip().split("\n") or ["no reason given"])[-1]
        return Row("torchvision", "problem", f"does not fit to PyTorch: {reason}", step)
    return Row("torchvision", "ok", tried.stdout.strip())


def _in_a_notebook() -> bool:
    app = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    return app is not None and app.initialized()


def _labelled_as_a_pair(step: str) -> Row:
    from packaging.requirements import Requirement
    from packaging.version import Version

    torch, vision = (Version(importlib.metadata.version(name)) for name in ("torch", "torchvision"))
    needs = [Requirement(line) for line in importlib.metadata.requires("torchvision") or ()]
    wanted = next((str(each.specifier) for each in needs if each.name == "torch"), "")
    if wanted and not Requirement(f"torch{wanted}").specifier.contains(torch.public, prereleases=True):
        return Row("torchvision", "problem", f"{vision} needs torch{wanted}, but there is {torch}", step)
    if (
        torch.local != vision.local
    ):  # one for the CPU, one for a GPU: "operator torchvision::nms does not exist"
        return Row("torchvision", "note", f"{vision} may not fit to PyTorch {torch}", f"if it fails: {step}")
    return Row("torchvision", "ok", str(vision))


def _threads() -> Row:
    import torch

    cores, threads = timings.cores(), torch.get_num_threads()
    if threads > cores:
        return Row("threads", "note", f"{threads} on {cores} cores: slow", f"set OMP_NUM_THREADS={cores}")
    return Row("threads", "ok", f"{threads} on {cores} cores")


def _memory() -> Row:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    step = "" if free >= 1 else "close other programs: a lecture takes about 1 GiB"
    return Row("memory", "ok" if free >= 1 else "problem", f"{free:.1f} GiB free", step)


def _disk() -> Row:
    free = shutil.disk_usage(Path.home()).free / 2**30
    step = "" if free >= 0.5 else "free some space: saving a notebook could fail"
    return Row("disk", "ok" if free >= 0.5 else "problem", f"{free:.1f} GiB free", step)


def _packages() -> Row:
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _NEEDED[:1] + _NEEDED[2:])
    return Row("packages", "ok", found)


def _widgets() -> Row:
    try:
        manager = importlib.metadata.version("jupyterlab_widgets")
    except importlib.metadata.PackageNotFoundError:
        return Row(
            "widgets",
            "problem",
            "no jupyterlab_widgets",
            "pip install jupyterlab_widgets, restart JupyterLab",
        )
    where = "live in this notebook" if _in_a_notebook() else "live in JupyterLab"
    return Row(
        "widgets", "ok", f"ipywidgets {importlib.metadata.version('ipywidgets')}, manager {manager}, {where}"
    )


def _embedded() -> Row:
    from cnnlab.data import digits, photos

    for name in photos.names():
        photos.load(name, size=8)
    return Row(
        "embedded data", "ok", f"{len(photos.names())} photos, {len(digits.load('train').labels)} digits"
    )


def _weights() -> Row:
    from cnnlab.nets import weight_files

    names = weight_files.names()
    for name in names:
        try:
            weight_files.load(name)
        except OSError as error:  # says which, and how to get it again
            return Row("weights", "problem", str(error), "see there")
    return Row("weights", "ok", f"{len(names)} files, every byte as it was published")


def _cache() -> Row:
    from cnnlab.data.loading import downloads

    folder = downloads.cache()
    parent = next(each for each in (folder, *folder.parents) if each.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        return Row(
            "data cache", "note", f"{folder} cannot be written", "set CNNLAB_DATA to a folder of yours"
        )
    return Row("data cache", "ok", str(folder))


def _mnist() -> Row:
    from cnnlab.data.loading import downloads

    there = (downloads.cache() / "MNIST" / "raw").is_dir()
    step = "not needed; python -m cnnlab fetch mnist brings it"
    return Row("MNIST", "ok" if there else "note", "there" if there else "not there", "" if there else step)


def _chromium() -> Row:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    step = "" if found else "only developers need it: apt-get install chromium"
    return Row("browser for tests", "ok" if found else "note", found or "none", step)


def _lectures() -> Row:
    from cnnlab.course import syllabus
    from cnnlab.course.authoring import build, user_edits

    root = syllabus.root()
    there = len(list((root / "notebooks").glob("*.ipynb")))
    old = build.outdated(root)
    if old:
        step = "for authors: python -m cnnlab build"
        return Row("lectures", "note", f"not as their sources say: {', '.join(old)}", step)
    own = [name for name in user_edits.written_in(root) if name.startswith("notebooks")]
    yours = f", {len(own)} with work of yours in it" if own else ""
    return Row("lectures", "ok", f"{there} notebooks{yours}")
