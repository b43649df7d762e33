"""The answered notebooks must pass every check: nbval runs them strictly, see `cnnlab.check`."""

import os

import pytest


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
