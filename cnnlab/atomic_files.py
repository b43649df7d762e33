"""A file is written whole or not at all: a full disk, an interruption or a second process never tears it.

Type: (path, content) -> the file. What is new is written beside its place and moved there in one step; until
then the former file stays. A failure says which file, what is left of it, and what to do.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


def write(path: Path, content: bytes | str) -> None:
    """Write a file.

    Args:
        path: the file; folders above it are made.
        content: its bytes, or its text in UTF-8 with line ends as they are.

    Raises:
        OSError: the disk is full. The former file stays as it was, and nothing else is left.
        PermissionError: it cannot be written there.
    """
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, ending: str = "") -> Iterator[Path]:
    """A file of its own beside `path`, for a block to write; it takes the place of `path` after the block.

    Args:
        path: the file.
        ending: how the file's name must end for who writes it, as ".ipynb".

    Raises:
        OSError, PermissionError: as for `write`.
    """
    part = None
    try:
        with explaining(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=ending)
            os.close(handle)
            part = Path(name)
            yield part
            os.chmod(part, 0o644)  # mkstemp makes files that nobody else may read
            os.replace(part, path)
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def possible(path: Path) -> None:
    """Before long work: fail now, if its result could not be written then.

    Raises:
        OSError, PermissionError: as for `write`; a folder is no file to write, either.
    """
    with explaining(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()


@contextlib.contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Around everything that writes a file: an error says what became of the file and what to do.

    >>> with explaining(Path("a.csv")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    OSError: [Errno 28] No space left for a.csv. What was there before is as it was. Free some space, or
    write to another disk
    """
    try:
        yield
    except OSError as error:
        elsewhere = error.filename is not None and not _around(path, Path(str(error.filename)))
        before = "What was there before is as it was."
        if error.errno in _FULL and not elsewhere:
            next_step = "Free some space, or write to another disk"
            raise OSError(error.errno, f"No space left for {path}. {before} {next_step}") from error
        if error.errno in _CLOSED and not elsewhere:
            why = os.strerror(error.errno).lower()
            text = f"cannot write {path} ({why}). {before} Choose another folder"
            raise PermissionError(errno.EACCES, text) from error
        raise


def _around(path: Path, other: Path) -> bool:
    """Is the other file in the same folder, or one of the folders above?"""
    path, other = path.absolute(), other.absolute()
    return other.parent == path.parent or other in path.parents
