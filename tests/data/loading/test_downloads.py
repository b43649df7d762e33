"""Downloads without a network: the real loading code on real files, and every way to fail."""

import errno
import gzip
import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from cnnlab.data.loading import checked_download, downloads


@pytest.fixture
def no_network(monkeypatch):
    """How often it was asked for."""
    asked = []

    def refused(*args, **kwargs):
        asked.append(args)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    return asked


@pytest.fixture
def slept(monkeypatch):
    """How long was waited, each time."""
    spans, plain = [], time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: spans.append(seconds) or plain(seconds))
    return spans


@pytest.fixture
def mnist(shared, tmp_path):
    shutil.copytree(shared / "MNIST", tmp_path / "MNIST")
    return tmp_path


def test_mnist_from_files_that_are_there(mnist, no_network):
    train, test = downloads.load("mnist", "train", mnist), downloads.load("mnist", "test", mnist)
    assert train.images.shape == (60000, 1, 28, 28) and test.images.shape == (10000, 1, 28, 28)
    assert train.images.dtype == torch.float32 and train.images.max() == 1 and train.images.min() == 0
    assert train.labels.bincount().tolist()[:3] == [5923, 6742, 5958]
    assert test.classes == tuple("0123456789")
    assert not [path.name for path in mnist.iterdir() if path.name.endswith(".lock")]


def test_an_altered_file_is_noticed_also_after_it_was_unpacked(mnist, no_network):
    downloads.load("mnist", "test", mnist)
    packed = mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    packed.write_bytes(gzip.compress(b"other labels"))
    with pytest.raises(ConnectionError, match="mnist.*digits.load"):
        downloads.load("mnist", "test", mnist)


def test_an_altered_unpacked_file_is_not_believed(mnist, no_network):
    right = downloads.load("mnist", "test", mnist).labels
    unpacked = mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    unpacked.write_bytes(unpacked.read_bytes()[:8] + bytes(10000))
    assert torch.equal(downloads.load("mnist", "test", mnist).labels, right)


def test_two_processes_at_once(mnist):
    load = "import sys; from cnnlab.data.loading import downloads; "
    load += "print(downloads.load('mnist', 'test', sys.argv[1]).labels.sum())"
    command = [sys.executable, "-c", load, str(mnist)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = [process.communicate(timeout=600)[0] for process in both]
    assert sums[0] == sums[1] != "" and [process.returncode for process in both] == [0, 0]


@pytest.mark.parametrize(("name", "instead"), (("mnist", "digits.load"), ("cifar10", "shapes.scenes")))
def test_no_network_names_the_embedded_alternative_at_once(name, instead, tmp_path, no_network, slept):
    with pytest.raises(ConnectionError, match=instead):
        downloads.load(name, "train", tmp_path)
    assert 1 <= len(no_network) <= 2 and slept == []  # each mirror once
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == []


def test_no_network_for_imagenette(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.imagenette.download_and_extract_archive", refused)
    with pytest.raises(ConnectionError, match="photos.crops"):
        downloads.load("imagenette", "train", tmp_path)


@pytest.fixture
def server():
    """A web server on this machine that serves `files`, and cuts the ones in `cut` short."""
    files, cut = {}, set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 - the name is http.server's
            data = files[self.path[1:]]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if self.path[1:] in cut else data)

        def log_message(self, *args):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}/", files, cut
    made.shutdown()
    thread.join()
    made.server_close()


def cifar_archive(records=7):
    data = torch.arange(records * 3073).remainder(251).to(torch.uint8).reshape(records, 3073)
    data[:, 0] = torch.arange(records) % 10
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in ["test_batch.bin", *(f"data_batch_{k}.bin" for k in range(1, 6))]:
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = data.numel()
            archive.addfile(entry, io.BytesIO(data.numpy().tobytes()))
    return stream.getvalue(), data


def test_cifar10_is_fetched_checked_and_kept(server, tmp_path, monkeypatch):
    address, files, _ = server
    archive, data = cifar_archive()
    files["c.tar.gz"] = archive
    file = checked_download.File("c.tar.gz", (address + "c.tar.gz",), hashlib.md5(archive).hexdigest())
    monkeypatch.setattr(downloads, "_CIFAR", file)
    test, train = downloads.load("cifar10", "test", tmp_path), downloads.load("cifar10", "train", tmp_path)
    assert test.images.shape == (7, 3, 32, 32) and len(train.labels) == 35
    assert test.images[2, 1, 0, 5] == data[2, 1 + 1024 + 5] / 255 and test.labels.tolist() == list(range(7))
    files.clear()  # the second time nothing is asked of the network
    assert torch.equal(downloads.load("cifar10", "test", tmp_path).images, test.images)


def test_a_download_cut_short_is_refused_and_not_kept(server, tmp_path, monkeypatch):
    address, files, cut = server
    archive, _ = cifar_archive()
    files["c.tar.gz"] = archive
    cut.add("c.tar.gz")
    file = checked_download.File("c.tar.gz", (address + "c.tar.gz",), hashlib.md5(archive).hexdigest())
    monkeypatch.setattr(downloads, "_CIFAR", file)
    with pytest.raises(OSError, match="damaged or cut short.*try again"):
        downloads.load("cifar10", "test", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    cut.clear()
    assert len(downloads.load("cifar10", "test", tmp_path).labels) == 7


def test_the_next_address_is_asked_when_the_first_is_broken(server, tmp_path, monkeypatch):
    address, files, cut = server
    archive, _ = cifar_archive()
    files["good"], files["damaged"] = archive, archive
    cut.add("damaged")
    good, damaged = address + "good", address + "damaged"
    closed = f"http://127.0.0.1:{_talks_nonsense()}/"
    digest = hashlib.md5(archive).hexdigest()
    for k, first in enumerate((damaged, closed, address.replace("http", "https"))):
        monkeypatch.setattr(downloads, "_CIFAR", checked_download.File("c.tar.gz", (first, good), digest))
        assert len(downloads.load("cifar10", "test", tmp_path / str(k)).labels) == 7
    monkeypatch.setattr(downloads, "_CIFAR", checked_download.File("c.tar.gz", (closed,), digest))
    with pytest.raises(ConnectionError, match="shapes.scenes"):
        downloads.load("cifar10", "test", tmp_path / "none")


def _talks_nonsense() -> int:
    """The port of a server that answers twice with something that is not HTTP."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        with listener:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"hello\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    return listener.getsockname()[1]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PermissionError, match="cannot write to .*CNNLAB_DATA"):
        downloads.load("mnist", "train", tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    (
        (errno.EROFS, PermissionError, "CNNLAB_DATA"),
        (errno.EACCES, PermissionError, "CNNLAB_DATA"),
        (errno.ENOSPC, OSError, "full; nothing half-written"),
    ),
)
def test_read_only_and_full_disks(tmp_path, monkeypatch, code, kind, text):
    def fails(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(
        "cnnlab.data.loading.checked_download.tempfile.mkstemp" if code == errno.ENOSPC else "os.open", fails
    )
    with pytest.raises(kind, match=text):
        downloads.load("cifar10", "train", tmp_path)


def test_the_lock_of_a_dead_process_is_broken(tmp_path, no_network):
    lock = tmp_path / ".cifar10.lock"
    lock.write_text("")
    os.utime(lock, (0, 0))
    with pytest.raises(ConnectionError):
        downloads.load("cifar10", "train", tmp_path)
    assert not lock.exists()


def test_where_data_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNLAB_DATA", str(tmp_path))
    assert downloads.cache() == tmp_path
    assert downloads.cache("elsewhere").name == "elsewhere"
    monkeypatch.delenv("CNNLAB_DATA")
    assert downloads.cache().name == "cnnlab"


def test_wrong_names_are_answered(tmp_path):
    with pytest.raises(LookupError, match="Did you mean 'mnist'"):
        downloads.load("minst", "train", tmp_path)
    with pytest.raises(LookupError, match="train, test"):
        downloads.load("mnist", "validate", tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot be asked whether a process lives")
def test_the_lock_of_a_process_that_was_killed_is_broken_at_once(tmp_path, capsys, slept, until):
    killed = subprocess.Popen([sys.executable, "-c", "pass"])
    killed.wait()
    lock = tmp_path / ".mnist.lock"
    lock.write_text(f"{killed.pid} {socket.gethostname()}")
    with checked_download.careful(tmp_path, "mnist", "digits.load"):
        assert lock.read_text() == f"{os.getpid()} {socket.gethostname()}"
    assert slept == [] and not lock.exists()

    lock.write_text(
        f"{os.getpid()} {socket.gethostname()}"
    )  # this one lives: it is waited for, and that is said
    said = []

    def leave():  # the other process, once its lock was seen to be waited for
        until(lambda: said.append(capsys.readouterr().err) or said[-1])
        lock.unlink()

    threading.Thread(target=leave).start()
    with checked_download.careful(tmp_path, "mnist", "digits.load"):
        pass
    assert "another process is fetching 'mnist'" in "".join(said)
