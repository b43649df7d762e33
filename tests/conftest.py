"""What all tests share: no plots on a screen, and a network that is never needed."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch starts its threads, here and in every kernel
    # Several processes with two threads each, on two cores, wait for each other most of the time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch  # noqa: E402

os.environ.setdefault("MPLBACKEND", "agg")
ROOT = Path(__file__).resolve().parents[1]
# The files that take minutes come first, so that no process is left alone with one of them in the end.
LONG = ("test_lectures", "browser/test_notebooks", "test_choices", "browser/test_slides", "browser/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((k for k, name in enumerate(LONG) if f"tests/{name}" in item.nodeid), len(LONG))

    items.sort(key=place)


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


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)
