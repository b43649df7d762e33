"""What all tests share: no plots on a screen, patience with slow machines, a network that is never needed."""

import os
import re
import time
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch starts its threads, here and in every kernel
    # Several processes with two threads each, on two cores, wait for each other most of the time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 180  # seconds: what takes one of them here may take many where others work, too
# With -n 3, what takes minutes comes first, so that no process is left alone with it in the end.
LONG = (
    "tests/browser/test_notebooks",
    "tests/browser/",
    "tests/test_lectures",
    "tests/test_choices",
    "solutions/",
)
# These are shared out lecture by lecture, all others file by file: tests of a file share what it starts.
SPLIT = ("tests/test_lectures.py", "tests/test_choices.py")
LECTURE = re.compile(r"\[.*?(\d\d[a-z]?_[a-z0-9_]+)")


def group(nodeid: str) -> str:
    """Tests of the same group run in one process, one after the other."""
    file = nodeid.split("::")[0]
    if file in SPLIT and (lecture := LECTURE.search(nodeid)):
        return f"{file}:{lecture[1]}"
    if file.startswith("tests/browser/") and not file.endswith("test_notebooks.py"):
        return "tests/browser"  # one Chromium and one JupyterLab for all of them
    return file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def position(item: pytest.Item) -> int:
        return next((k for k, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG))

    items.sort(key=position)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """As `--dist loadfile`, with the groups from above."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Groups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Data that is too large or not ours to ship, beside the repository on the developers' machines."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the developers' data folder is not beside the repository")
    return folder


@pytest.fixture(scope="session")
def until():
    """Wait for a condition, however long a slow machine takes: no test depends on speed.

    `until(condition)` gives its first value that is true. After `PATIENCE` seconds it fails, with the last
    value and, if there are any, the words.
    """

    def wait(condition, words="", seconds=PATIENCE, pause=lambda: time.sleep(0.02)):
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"after {seconds} s still {found!r}. {words}")
            pause()
        return found

    return wait


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Every test starts from the same random state, whatever ran before it."""
    import torch  # seconds, which a test costs and a list of tests does not

    torch.manual_seed(0)
