"""What the faults share: processes that can be watched and killed, and whose disk can be full or closed."""

import contextlib
import os
import subprocess
import sys

import pytest

# Root may write everywhere, whatever the permission bits say, unless it gives its powers back. Nobody else
# has them; and only Linux has this call, so elsewhere the tests must not run as root.
CLOSED = """
import ctypes, os
if os.geteuid() == 0:
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
"""
# No file can grow beyond this, as on a full disk. (To make a small disk, one would have to be root.)
FULL = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, {bytes}))\n"


@pytest.fixture(scope="module")
def python(root, tmp_path_factory):
    """Start code in a process of its own, first filling or closing its disk."""
    started = []

    def start(code: str, *, full: int | None = None, closed: bool = False, **environment: str):
        before = (FULL.format(bytes=full) if full else "") + (CLOSED if closed else "")
        process = subprocess.Popen(
            [sys.executable, "-c", before + code],
            cwd=tmp_path_factory.mktemp("here"),
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(OSError):
            process.kill()
        process.communicate()
