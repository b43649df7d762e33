"""The answered notebooks must pass every check: nbval runs them strictly, see `cnnlab.check`.

Their sources are no tests: to look for examples in them, pytest would import, that is run, every lecture.
"""

import os

import pytest

collect_ignore_glob = ["*.py"]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup():
    # Only while a notebook's kernel may start: other tests have a mode of their own.
    before = os.environ.get("CNNLAB_STRICT")
    os.environ["CNNLAB_STRICT"] = "1"
    try:
        return (yield)
    finally:
        del os.environ["CNNLAB_STRICT"]
        if before is not None:
            os.environ["CNNLAB_STRICT"] = before
