"""A kernel that is interrupted or killed at work, and two that share one folder: what was done is not lost.

Real kernels and real processes: they are stopped while they train, draw or search, wherever they are then.
"""

import contextlib
import json
import signal
import time

import jupyter_client
import pytest
from safetensors.torch import load_file

from cnnlab.nets import weight_files

START = """
import itertools, json, sys, torch
from pathlib import Path
from cnnlab.data import digits
from cnnlab.nets import models, weight_files
from cnnlab.nets.training import evaluate, fit
torch.set_num_threads(1)
train = digits.load("train")
"""
# Stopped when it has said so often that it is at work.
WORK = {
    "a training": (
        "model = models.build('simpleconvnet')\n"
        "on, file = lambda history: print('on'), 'best.safetensors'\n"
        "history = fit(model, train, train, epochs=1000, save=file, callback=on)",
        "assert history.stopped == 'interrupted' and len(history.loss) >= 2 and not model.training\n"
        "assert evaluate(model, train)[1] > 0.3\n"
        "from safetensors.torch import load_file\n"
        "kept = load_file('best.safetensors')\n"
        "assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())\n"
        "assert [path.name for path in Path('.').iterdir()] == ['best.safetensors']\n"
        "assert fit(model, train, epochs=1).stopped == 'finished'",
    ),
    "a render": (
        "from cnnlab.methods import dream\n"
        "net = models.load('shapesnet')\n"
        "told = lambda *_: print('on')\n"
        "drawn = dream.render(net, dream.channel('relu2', 1), size=32, steps=100_000, progress=told)",
        "assert drawn.stopped == 'interrupted' and drawn.images.shape == (1, 3, 32, 32)\n"
        "assert 0 <= drawn.images.min() and drawn.images.max() <= 1 and drawn.images.std() > 0\n"
        "assert not net.training and not any(p.grad is not None for p in net.parameters())\n"
        "assert not any(module._forward_hooks for module in net.modules())",
    ),
    "a search": (
        "from cnnlab.methods import top\n"
        "net, images = models.load('simpleconvnet'), train.images.repeat(40, 1, 1, 1)\n"
        "told = []\n"
        "def tell(done, total):\n"
        "    told.append(done)\n"
        "    print('on')\n"
        "found = top.scan(net, images, 'relu2', batch=32, cache='kept', progress=tell)",
        "far, told = told[-1], []\n"
        "assert far < len(images)\n"
        "found = top.scan(net, images, 'relu2', batch=32, cache='kept', progress=tell)\n"
        "assert told[0] >= far and found.seen == len(images)",
    ),
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel in which work can be started, interrupted and judged."""
    manager = jupyter_client.KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path_factory.mktemp("kernel")))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=600)

    def run(code, interrupted=None):
        """Run a cell to its end; interrupt it after that many lines. Returns its error, if any."""
        asked, lines, error = client.execute(code), 0, None
        while True:
            message = client.get_iopub_msg(timeout=600)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                lines += content["text"].count("on\n")
                if interrupted is not None and lines >= interrupted:
                    manager.interrupt_kernel()
                    interrupted = None
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                return error

    assert run(START) is None
    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("what", WORK)
def test_what_was_done_before_an_interruption_stays(kernel, what):
    work, judged = WORK[what]
    raised = kernel(work, interrupted=4)
    assert raised == ("KeyboardInterrupt: " if what == "a search" else None)
    assert kernel(judged) is None


TRAIN = START + (
    "def watch(history):\n"
    "    print(len(history.loss), flush=True)\n"
    "fit(models.build('simpleconvnet'), train, train, epochs={epochs}, save={file!r}, callback=watch)\n"
    "print('finished', flush=True)"
)


def test_a_training_that_was_killed_leaves_a_whole_file_and_can_be_run_again(python, tmp_path):
    file = tmp_path / "best.safetensors"
    for epoch in (2, 3):  # each writes over the file that the one before left
        process = python(TRAIN.format(epochs=1000, file=str(file)))
        while process.stdout.readline().strip() != str(epoch):
            assert process.poll() is None, process.stderr.read()
        time.sleep(0.05 * epoch)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = load_file(file)  # whole, however it was hit
        assert all(value.isfinite().all() for value in kept.values() if value.is_floating_point())
    out, err = python(TRAIN.format(epochs=1, file=str(file))).communicate(timeout=600)
    assert out.split() == ["1", "finished"], err


SWEEP = """
import sys
from pathlib import Path
from cnnlab.__main__ import main
from cnnlab.nets.training import sweeps
sweeps.SWEEPS["tiny"] = sweeps.Sweep("?", {{"dropout": (0.0, 0.5)}}, {{"epochs": {epochs}, "digits": 20}})
plain = __builtins__.print
__builtins__.print = lambda *words, **how: plain(*words, **{{**how, "flush": True}})
sys.exit(main(["sweep", "tiny", "--output", {file!r}]))
"""


def test_a_sweep_that_was_killed_goes_on_where_it_was(python, tmp_path):
    file = tmp_path / "tiny.csv"
    process = python(SWEEP.format(epochs=2, file=str(file)))
    assert process.stdout.readline().startswith("1 of 2: dropout 0.0")
    process.send_signal(signal.SIGKILL)  # its second run has begun
    process.wait()
    done = tmp_path / "tiny" / "001.ipynb"
    first = done.stat().st_mtime_ns
    assert not file.exists() and not (tmp_path / "tiny" / "002.ipynb").exists()
    out, err = python(SWEEP.format(epochs=2, file=str(file))).communicate(timeout=600)
    assert out.splitlines()[-1] == str(file), err
    assert done.stat().st_mtime_ns == first  # not done again
    assert len(file.read_text().splitlines()) == 1 + 2 * 2


def test_a_sweep_whose_kernel_is_killed_says_how_to_go_on(python, tmp_path):
    import psutil

    file = tmp_path / "tiny.csv"
    process = python(SWEEP.format(epochs=100_000, file=str(file)))
    kernels = []
    while not kernels:
        assert process.poll() is None, process.communicate()
        with contextlib.suppress(psutil.Error):
            kernels = [c for c in psutil.Process(process.pid).children() if "ipykernel" in str(c.cmdline())]
        time.sleep(0.1)
    kernels[0].kill()
    out, err = process.communicate(timeout=600)
    assert process.returncode == 2 and "Traceback" not in err
    assert "the kernel of 001.ipynb died, or was killed. The same command goes on with this run" in err


SEARCH = """
import sys, time
import cnnlab.methods.top.resume as kept
from cnnlab.methods.top import distributed
from cnnlab.__main__ import main
kept._EVERY = 0.0
plain = distributed.scan
def slow(*given, progress=None, **options):
    def tell(done, total):
        print(done, flush=True)
        time.sleep({pause})
    return plain(*given, progress=tell, **options)
distributed.scan = slow
words = ["top", "photonet", "relu1", {images!r}, "--batch", "2"]
sys.exit(main([*words, "--output", {file!r}, "--cache", {kept!r}]))
"""


@pytest.fixture
def images(tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    for k in range(20):
        Image.new("RGB", (64, 64), (10 * k, 100, 200 - 10 * k)).save(tmp_path / "images" / f"{k:02}.png")
    return tmp_path / "images"


def test_a_search_that_was_killed_goes_on_where_it_was(python, tmp_path, images):
    position = {
        "images": str(images),
        "file": str(tmp_path / "top.safetensors"),
        "kept": str(tmp_path / "kept"),
    }
    process = python(SEARCH.format(pause=0.3, **position))
    while int(process.stdout.readline()) < 10:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    out, err = python(SEARCH.format(pause=0, **position)).communicate(timeout=600)
    steps = out.split()
    assert int(steps[0]) >= 10 and "20" in steps, (out, err)
    again, _ = python(SEARCH.format(pause=0, **{**position, "kept": str(tmp_path / "none")})).communicate(
        timeout=600
    )
    assert again.split()[0] == "2"  # from the start, and the same comes out
    assert load_file(position["file"])["values"].shape[1] == 9


TWO = START + (
    "from cnnlab.methods import top\n"
    "me, folder = ME, FOLDER\n"
    "Path(folder, me).touch()\n"
    "while len(list(Path(folder).glob('[ab]'))) < 2: pass\n"  # both begin at once
    "net = models.load('simpleconvnet')\n"
    "import cnnlab.methods.top.resume as kept\n"
    "kept._EVERY = 0.0\n"
    "found = top.scan(net, train.images, 'relu2', batch=8, cache=folder + '/kept')\n"
    "for k in range(8):\n"
    "    weight_files.save(f'{me}{k}', {'w': torch.full((1000,), float(k))}, {}, Path(folder) / 'shelf')\n"
    "    weight_files.save('both', {'w': torch.full((100_000,), float(k))}, {}, Path(folder) / 'shelf')\n"
    "fit(models.build('simpleconvnet'), train, train, epochs=2, save=folder + '/best.safetensors')\n"
    "print(json.dumps(found.values.double().sum().item()))"
)


def test_two_kernels_in_one_folder_tear_no_file_and_lose_no_line(python, tmp_path):
    both = [python(f"ME, FOLDER = {me!r}, {str(tmp_path)!r}\n" + TWO, PYTHONWARNINGS="error") for me in "ab"]
    ends = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    sums = [json.loads(out.splitlines()[-1]) for out, _ in ends]
    assert sums[0] == sums[1]
    names = [f"{me}{k}" for me in "ab" for k in range(8)]
    assert weight_files.names(tmp_path / "shelf") == sorted([*names, "both"])
    for name in weight_files.names(tmp_path / "shelf"):
        assert weight_files.load(name, tmp_path / "shelf")["w"].unique().numel() == 1
    assert load_file(tmp_path / "best.safetensors")
    left = sorted(path.name for path in tmp_path.rglob(".*"))
    assert left == []
