"""Larger data sets, fetched once, checked, and kept: MNIST, CIFAR-10, Imagenette.

`name, split -> Labelled`. Nothing here runs unless somebody asks for it. Every file's hash is checked before
it is opened, nothing is unpickled, and an interrupted or doubled download leaves no half-written file behind.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import ssl
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cnnlab.data.labelled import Labelled
from cnnlab.names import unknown

_TIMEOUT = 10  # seconds without an answer: then there is no network worth waiting for
_STALE = 3600  # seconds after which the lock of a dead process is broken


# What a broken network looks like from here; URLError covers most, an answer cut short the last.
_BROKEN = (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException)


class _Damaged(OSError):
    """What came is not what its makers published."""


class _File(NamedTuple):
    """A file to fetch: its addresses in the order to try, and the md5 its makers publish."""

    name: str
    addresses: tuple[str, ...]
    md5: str


_CIFAR = _File(
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    "c32a1d4ab5d03f1284b67883e8d87530",
)
_CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_NAMES = ("mnist", "cifar10", "imagenette")
_SPLITS = ("train", "test")
# What to use instead, on every machine and without a network.
_INSTEAD = {
    "mnist": 'digits.load("train") has handwritten digits',
    "cifar10": "shapes.scenes(1000) has small colour pictures with classes",
    "imagenette": "photos.crops(n=2000) has pieces of real photos",
}


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


def load(name: str, split: str, root: str | os.PathLike | None = None, *, size: int = 64) -> Labelled:
    """A data set, from the cache or fetched into it.

    Args:
        name: "mnist" (28x28 grey), "cifar10" (32x32 colour) or "imagenette" (photos of 10 classes).
        split: "train" or "test".
        root: the cache folder; see `cache`.
        size: for "imagenette" alone: the side to which the middle squares are resized.

    Returns:
        Labelled pictures (N, C, H, W) float32 in [0, 1].

    Raises:
        LookupError: there is no such data set or split.
        ConnectionError: it is not in the cache, and there is no network. Names the embedded alternative.
        PermissionError: the cache folder cannot be written.
        OSError: the disk is full, or what came over the network is not what its makers published.
    """
    if name not in _NAMES:
        raise unknown("data set", name, _NAMES)
    if split not in _SPLITS:
        raise unknown("split", split, _SPLITS)
    folder = cache(root)
    with _alone(folder, name), _explained(folder, name):
        if name == "mnist":
            return _mnist(folder, split)
        if name == "cifar10":
            return _cifar10(folder, split)
        return _imagenette(folder, split, size)


def _mnist(folder: Path, split: str) -> Labelled:
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import check_integrity

    raw = folder / "MNIST" / "raw"
    # torchvision fetches what is missing or altered, checks the packed files, and unpacks beside them. It
    # trusts unpacked files as they lie there, so we let it unpack again whenever that is cheap to do: always.
    files = [
        _File(name, tuple(mirror + name for mirror in MNIST.mirrors), md5) for name, md5 in MNIST.resources
    ]
    for file in files:
        if not check_integrity(str(raw / file.name), file.md5):
            _fetch(file, raw)
        (raw / file.name.removesuffix(".gz")).unlink(missing_ok=True)
    made = MNIST(folder, train=split == "train", download=True)
    images = made.data[:, None].float() / 255  # (N, 28, 28) -> (N, 1, 28, 28)
    return Labelled(images, made.targets.long(), tuple(str(digit) for digit in range(10)))


def _cifar10(folder: Path, split: str) -> Labelled:
    """The binary version: the usual one is a pickle, and we open none."""
    packed = folder / _CIFAR.name
    if not packed.is_file() or _md5(packed) != _CIFAR.md5:
        _fetch(_CIFAR, folder)
    wanted = ["test_batch.bin"] if split == "test" else [f"data_batch_{k}.bin" for k in range(1, 6)]
    with tarfile.open(packed) as archive:
        # Read out of the archive, never unpacked to disk: a path inside it cannot lead anywhere.
        parts = [archive.extractfile(f"cifar-10-batches-bin/{name}").read() for name in wanted]
    return _cifar10_records(b"".join(parts))


def _cifar10_records(data: bytes) -> Labelled:
    """Records of one label byte and 3 x 32 x 32 picture bytes."""
    table = torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(-1, 1 + 3 * 32 * 32)
    images: Tensor = table[:, 1:].reshape(-1, 3, 32, 32).float() / 255
    return Labelled(images, table[:, 0].long(), _CIFAR_CLASSES)


def _imagenette(folder: Path, split: str, size: int) -> Labelled:
    from torchvision.datasets import Imagenette

    from cnnlab.data import uploads

    there = (folder / "imagenette2-160").is_dir()
    try:
        made = Imagenette(
            folder, split="train" if split == "train" else "val", size="160px", download=not there
        )
    except BaseException:
        if not there:  # unpacked in part: the next try must start anew
            shutil.rmtree(folder / "imagenette2-160", ignore_errors=True)
            (folder / "imagenette2-160.tgz").unlink(missing_ok=True)
        raise
    images = torch.empty(len(made), 3, size, size)  # one picture at a time: memory is bounded by the result
    labels = torch.empty(len(made), dtype=torch.int64)
    for k, (path, label) in enumerate(made._samples):
        images[k], labels[k] = uploads.read(Path(path).read_bytes(), size)[0], label
    return Labelled(images, labels, tuple(names[0] for names in made.classes))


def _fetch(file: _File, folder: Path) -> None:
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
            found = _md5(Path(temporary))
            if found != file.md5:
                size = Path(temporary).stat().st_size
                raise _Damaged(
                    f"{file.name} came damaged or cut short: {size} bytes, md5 {found}, expected {file.md5}. "
                    "Nothing was kept; try again."
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


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Only one process at a time fetches a data set; others wait and then find it there."""
    lock = folder / f".{name}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError):  # it may be gone by now
                    if time.time() - lock.stat().st_mtime > _STALE:
                        lock.unlink()
                time.sleep(0.1)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise _cannot_write(folder) from error
    except OSError as error:
        if error.errno == errno.EROFS:
            raise _cannot_write(folder) from error
        raise
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(folder: Path, name: str) -> Iterator[None]:
    """What went wrong, and what to do."""
    try:
        yield
    except PermissionError as error:
        raise _cannot_write(folder) from error
    except _BROKEN as error:
        raise ConnectionError(
            f"'{name}' is not in {folder}, and fetching it failed ({error}). "
            f"Without a network: {_INSTEAD[name]}, embedded in the course."
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(
                errno.ENOSPC,
                f"the disk with {folder} is full; nothing half-written was kept. Free some space, or set "
                "CNNLAB_DATA to a folder on another disk",
            ) from error
        raise


def _cannot_write(folder: Path) -> PermissionError:
    return PermissionError(
        errno.EACCES,
        f"cannot write to {folder}. Set the environment variable CNNLAB_DATA to a folder of yours",
    )
