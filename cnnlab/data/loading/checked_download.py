"""Fetching files over the network: once, checked, whole or not at all, and explained when it fails.

Nothing here runs unless somebody asks for it. A file is believed only when its hash is right, two processes
that want the same file wait for each other, and an interruption leaves no half-written file behind.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import socket
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TIMEOUT = 10  # seconds without an answer: then there is no network worth waiting for
_STALE = 3600  # seconds after which the lock of a dead process is broken
# What a broken network looks like from here; URLError covers most, an answer cut short the last.
_BROKEN = (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException)


class _Damaged(OSError):
    """What came is not what its makers published."""


class File(NamedTuple):
    """A file to fetch.

    Attributes:
        name: under which it is kept.
        addresses: in the order to try.
        digest: what its makers publish: an md5 of 32 digits, or the sha256 or its beginning.
        kind: "md5" or "sha256".
    """

    name: str
    addresses: tuple[str, ...]
    digest: str
    kind: str = "md5"

    def fits(self, path: Path) -> bool:
        """Is this the file, byte for byte?"""
        return hash_of(path, self.kind).startswith(self.digest)


def cache(root: str | os.PathLike | None = None) -> Path:
    """Where data is kept: `root`, else the environment variable CNNLAB_DATA, else the user's cache folder."""
    if root is not None:
        return Path(root)
    if os.environ.get("CNNLAB_DATA"):
        return Path(os.environ["CNNLAB_DATA"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "cnnlab"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cnnlab"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnnlab"


def fetch(file: File, folder: Path) -> None:
    """One file, checked, and put in its place only when it is whole and right."""
    folder.mkdir(parents=True, exist_ok=True)
    problem: Exception | None = None
    for address in file.addresses:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{file.name}.")
        try:
            with (
                os.fdopen(handle, "wb") as stream,
                urllib.request.urlopen(address, timeout=_TIMEOUT) as answer,
            ):
                shutil.copyfileobj(answer, stream)
            if not file.fits(Path(temporary)):
                found = hash_of(Path(temporary), file.kind)
                size = Path(temporary).stat().st_size
                raise _Damaged(
                    f"{file.name} came damaged or cut short: {size} bytes, {file.kind} {found}, expected "
                    f"{file.digest}. Nothing was kept; try again."
                )
            os.replace(temporary, folder / file.name)
            return
        except (*_BROKEN, _Damaged) as error:
            problem = error  # the next address may do better
        finally:
            Path(temporary).unlink(missing_ok=True)
    if isinstance(problem, _Damaged):
        raise problem
    raise ConnectionError(str(problem) or type(problem).__name__) from problem


def hash_of(path: Path, kind: str) -> str:
    """The md5 or sha256 of a file, read in blocks."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def careful(folder: Path, name: str, instead: str, variable: str = "CNNLAB_DATA") -> Iterator[None]:
    """Around everything that may fetch: one process at a time, and every failure explained.

    Args:
        folder: where the files are kept.
        name: what is fetched, for the messages and for the lock.
        instead: what a reader without a network can use.
        variable: the environment variable that moves the folder.

    Raises:
        ConnectionError: nothing could be fetched. Names what to use instead.
        PermissionError: the folder cannot be written. Names the variable.
        OSError: the disk is full, or what came is not what its makers published.
    """
    try:
        # A class may share a folder that it can only read: there nobody is half-way through a download.
        with alone(folder, name) if _writable(folder) else contextlib.nullcontext():
            yield
    except _BROKEN as error:
        raise ConnectionError(
            f"'{name}' is not in {folder}, and fetching it failed ({error}). "
            f"Without a network: {instead}, embedded in the course."
        ) from error
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise PermissionError(
                errno.EACCES,
                f"cannot write to {folder}. Set the environment variable {variable} to a folder of yours",
            ) from error
        if error.errno == errno.ENOSPC:
            raise OSError(
                errno.ENOSPC,
                f"the disk with {folder} is full; nothing half-written was kept. Free some space, or set "
                f"{variable} to a folder on another disk",
            ) from error
        raise


@contextlib.contextmanager
def alone(folder: Path, name: str, doing: str = "fetching") -> Iterator[None]:
    """Only one process at a time does this here; others wait, and then find it done.

    Args:
        folder: where the lock lies; made if it is not there.
        name: of the lock.
        doing: what is waited for, in a word.

    Raises:
        OSError: the lock cannot be written.
    """
    lock = folder / f".{name}.lock"
    folder.mkdir(parents=True, exist_ok=True)
    began, said = time.monotonic(), False
    while True:
        try:
            with open(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY), "w") as stream:
                stream.write(f"{os.getpid()} {socket.gethostname()}")
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # it may be gone by now
                if time.time() - lock.stat().st_mtime > _STALE or _orphan(lock):
                    lock.unlink()
                    continue
            if not said and time.monotonic() - began > 2:
                print(f"another process is {doing} '{name}'; waiting for it ({lock})", file=sys.stderr)
                said = True
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _writable(folder: Path) -> bool:
    """Can a file be made here? A folder that is not there yet can be tried."""
    return not folder.is_dir() or os.access(folder, os.W_OK)


def _orphan(lock: Path) -> bool:
    """Did a process of this machine leave the lock when it was killed? Windows cannot be asked: no."""
    pid, _, host = lock.read_text().partition(" ")
    if os.name != "posix" or host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)  # signal 0 only asks
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's process: it lives
        return False
    return False
