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
