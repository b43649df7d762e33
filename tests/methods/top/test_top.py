"""top.scan against sorting everything that was stored; its parts, its cache, its processes, its promises."""

import copy
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from probed_nets import SMALL, Functional, Residual, random_image, seeded, sequential, state
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from cnnlab.__main__ import main
from cnnlab.data import digits
from cnnlab.data.loading import image_source
from cnnlab.methods import top
from cnnlab.methods.top import distributed, ranking, resume
from cnnlab.nets import models, weight_files
from cnnlab.probing import Recorder, edit, receptive

ROOT = Path(__file__).resolve().parents[3]


def whole_numbers(net):
    """The same network with small whole weights: every sum is exact, and ties are everywhere."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_((parameter * 6).round())
    return net


@pytest.fixture
def net():
    return whole_numbers(seeded(sequential))


@pytest.fixture
def images():
    return (random_image(n=23, dtype=torch.float32) * 2).round()


def stored(net, images, name):
    """All activations of a layer, (N, C, H, W)."""
    with torch.no_grad(), Recorder(copy.deepcopy(net).eval(), name) as seen:
        seen.model(images.clone())
    maps = seen[name]
    return maps if maps.dim() == 4 else maps[:, :, None, None]


def by_sorting(maps, k, per_image=1):
    """(value, image, row, col) of the k strongest for each channel, by Python's sort over everything."""
    answer = []
    for channel in range(maps.shape[1]):
        candidates = []
        for number, seen in enumerate(maps[:, channel].tolist()):
            own = [(-v, number, r, c) for r, line in enumerate(seen) for c, v in enumerate(line)]
            candidates += sorted(own)[:per_image]
        answer.append([(-v, n, r, c) for v, n, r, c in sorted(candidates)[:k]])
    return answer


def listed(found):
    columns = [part.tolist() for part in found[:4]]
    return [list(zip(*rows, strict=True)) for rows in zip(*columns, strict=True)]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True)) and one[4:] == other[4:]


@pytest.mark.parametrize("per_image", (1, 2, 5, 1000))
@pytest.mark.parametrize("layer", ("0", "1", "2", "4", "7"))
def test_against_sorting_everything_with_ties(net, images, layer, per_image):
    maps = stored(net, images, layer)
    for batch in (1, 4, 23, 64):
        found = top.scan(net, images, layer, k=9, per_image=per_image, batch=batch)
        assert listed(found) == by_sorting(maps, 9, per_image)
    assert found.seen == 23 and found.layer == layer and found.full()
    assert found.image_index.dtype == found.row.dtype == found.col.dtype == torch.int64


def test_there_were_ties(net, images):
    """Else the test above would say nothing about them."""
    values = top.scan(net, images, "1", per_image=5).values
    assert (values[:, :-1] == values[:, 1:]).double().mean() > 0.3


@pytest.mark.parametrize("channels_last", (False, True))
def test_real_numbers_and_any_batch(channels_last):
    net, images = seeded(sequential), random_image(n=40, dtype=torch.float32)
    expected = by_sorting(stored(net, images, "4"), 6)
    for batch in (1, 7, 40):
        found = top.scan(net, images, "4", k=6, batch=batch, channels_last=channels_last)
        for mine, right in zip(listed(found), expected, strict=True):
            assert [position[1:] for position in mine] == [position[1:] for position in right]
            assert [position[0] for position in mine] == pytest.approx(
                [position[0] for position in right], abs=1e-6
            )


@pytest.mark.parametrize("name", list(SMALL))
def test_networks_of_every_build(name):
    net = seeded(SMALL[name], torch.float64)
    images = random_image(n=5)
    layer = {"residual": "bn2"}.get(name, "conv2" if hasattr(net, "conv2") else "3")
    found = top.scan(net, images, layer, k=4, batch=2)
    assert found.values.dtype == torch.float64
    for mine, right in zip(listed(found), by_sorting(stored(net, images, layer), 4), strict=True):
        assert [position[1:] for position in mine] == [position[1:] for position in right]
        assert np.allclose(
            [position[0] for position in mine], [position[0] for position in right], atol=1e-12
        )


def test_grey_pictures_and_a_dense_layer():
    net = whole_numbers(seeded(lambda: sequential(channels=1)))
    images = (random_image(n=6, channels=1, dtype=torch.float32) * 3).round()
    found = top.scan(net, images, "6", k=6, per_image=3, batch=4)
    assert listed(found) == by_sorting(stored(net, images, "6"), 6, 3)
    assert not found.row.any() and not found.col.any()
    assert top.patches(images, found, None).shape == (12, 6, 1, 16, 16)
    assert torch.equal(top.patches(images, found, None)[3, 2], images[found.image_index[3, 2]])


@pytest.mark.parametrize("per_image", (1, 3))
def test_parts_merged_in_any_order_are_the_whole(net, images, per_image):
    whole = top.scan(net, images, "1", k=9, per_image=per_image)
    for n in (2, 5, 23):
        parts = [
            top.scan(net, images, "1", k=9, per_image=per_image, batch=3, shard=(i, n)) for i in range(n)
        ]
        assert n == 2 or not all(part.full() for part in parts) or per_image > 1
        for order in (range(n), reversed(range(n)), torch.randperm(n).tolist()):
            merged = None
            for i in order:
                merged = parts[i] if merged is None else merged.merge(parts[i])
            assert same(merged, whole)


def test_scans_of_two_sets_are_merged_by_shifting(net, images):
    one, two = top.scan(net, images[:10], "1", k=9), top.scan(net, images[10:], "1", k=9)
    assert same(one.merge(two.shifted(10)), top.scan(net, images, "1", k=9))
    assert same(two.shifted(10).shifted(-10), two)
    with pytest.raises(ValueError, match=r"image \d+ is in both"):
        one.merge(two)
    with pytest.raises(ValueError, match="below 0"):
        two.shifted(-1)
    for other, words in (
        (top.scan(net, images[:10], "2", k=9), "one layer"),
        (top.scan(net, images[:10], "1", k=9, per_image=2), "one per_image"),
        (top.scan(net, images[:10], "1", k=3), "one shape"),
    ):
        with pytest.raises(ValueError, match=words):
            one.merge(other)


@pytest.mark.parametrize("outside", (0.0, -7.0))
def test_patches_against_cutting_by_hand(outside):
    net, images = seeded(sequential), random_image(n=12, dtype=torch.float32)
    found, field = top.scan(net, images, "0", k=7), receptive.field(net, "0", 16)
    # All four corners of the map, and every border, are asked for.
    corners = torch.tensor([[0, 0], [0, 15], [15, 0], [15, 15], [0, 7], [7, 0], [8, 8]])
    found.row[0], found.col[0] = corners.T
    cut = top.patches(images, found, field, outside=outside)
    assert cut.shape == (6, 7, 3, 3, 3)
    for c in range(6):
        for j in range(7):
            image = images[found.image_index[c, j]]
            for y in range(3):
                for x in range(3):
                    row, col = int(found.row[c, j]) - 1 + y, int(found.col[c, j]) - 1 + x
                    inside = 0 <= row < 16 and 0 <= col < 16
                    expected = image[:, row, col] if inside else torch.full((3,), outside)
                    assert torch.equal(cut[c, j, :, y, x], expected)
    some = top.patches(images, found, field, channels=[4, 1], outside=outside)
    assert torch.equal(some, cut[[4, 1]])


def test_a_patch_alone_gives_the_activation_that_was_found():
    """What was cut out is what the unit saw: nothing else is needed to compute its value."""
    net, images = seeded(sequential), random_image(n=12, dtype=torch.float32)
    found, field = top.scan(net, images, "0", k=3), receptive.field(net, "0", 16)
    cut = top.patches(images, found, field)
    values = nn.functional.conv2d(cut.flatten(0, 1), net[0].weight, net[0].bias).view(6, 3, 6)
    assert torch.allclose(values[range(6), :, range(6)], found.values, atol=1e-5)


class Counted(Dataset):
    """A data set that knows what was read."""

    def __init__(self, images):
        self.images, self.read = images, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, number):
        self.read.append(number)
        return self.images[number], 0


def test_data_sets_lists_and_only_what_is_needed(net, images):
    expected = top.scan(net, images, "1", k=2)
    counted = Counted(images)
    for given in (counted, TensorDataset(images, torch.zeros(23)), list(images)):
        assert same(top.scan(net, given, "1", k=2, batch=5), expected)
    assert counted.read == list(range(23))
    counted.read.clear()
    few = top.patches(counted, expected, receptive.field(net, "1", 16), channels=[0])
    assert sorted(counted.read) == sorted(set(expected.image_index[0].tolist())) and few.shape[:2] == (1, 2)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "images"
    (path / "b").mkdir(parents=True)
    for k, image in enumerate(random_image(20, n=11, dtype=torch.float32)):
        pixels = (image * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(path / ("b" if k % 2 else ".") / f"{k:02}.png")
    (path / "notes.txt").write_text("no image")
    return path


def test_a_folder(net, folder):
    inside = image_source.Folder(folder, 16)
    images = torch.stack([inside[k] for k in range(11)])
    expected = top.scan(net, images, "1", k=4)
    assert same(top.scan(net, folder, "1", k=4, size=16, batch=3), expected)
    assert same(top.scan(net, str(folder), "1", k=4, size=16), expected)
    field = receptive.field(net, "1", 16)
    assert torch.equal(top.patches(folder, expected, field), top.patches(images, expected, field))
    with pytest.raises(ValueError, match="Give size="):
        top.scan(net, folder, "1")
    (folder / "b" / "05.png").write_bytes(b"no image at all")
    with pytest.raises(ValueError, match=r"b/05.png: .*Or take the file out"):
        top.scan(net, folder, "1", k=4, size=16)


def test_the_size_comes_from_the_networks_of_the_course(folder):
    found = top.scan(models.load("simpleconvnet"), folder, "relu2", k=2)
    images = torch.stack([image_source.Folder(folder, 28, grey=True)[k] for k in range(11)])
    assert images.shape == (11, 1, 28, 28)
    assert same(found, top.scan(models.load("simpleconvnet"), images, "relu2", k=2))


class Counting(nn.Sequential):
    """Knows how many images went through it."""

    ran = []

    def forward(self, x):
        self.ran.append(len(x))
        return super().forward(x)


def stopping_at(batches):
    calls = []

    def progress(done, total):
        calls.append((done, total))
        if len(calls) == batches:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("kind", ("tensor", "data set", "folder"))
def test_an_interrupted_scan_goes_on_where_it_stopped(net, images, folder, tmp_path, kind):
    options = {"k": 4, "batch": 3, "cache": tmp_path / "kept", "per_image": 2}
    if kind == "folder":
        given, options["size"], n = folder, 16, 11
    else:
        given, n = (images, 23) if kind == "tensor" else (Counted(images), 23)
        options |= {"key": "some images"} if kind == "data set" else {}
    expected, net, told = top.scan(net, given, "1", **{**options, "cache": None}), Counting(*net), []
    with pytest.raises(KeyboardInterrupt):
        top.scan(net, given, "1", **options, progress=stopping_at(2))
    Counting.ran.clear()
    if kind == "data set":
        given.read.clear()
    found = top.scan(net, given, "1", **options, progress=lambda *done: told.append(done))
    assert same(found, expected)
    # One image is asked for the name of the cache, one runs to the end first.
    assert sum(Counting.ran) == n - 6 + 2 and told[0] == (9, n) and told[-1] == (n, n)
    assert kind != "data set" or given.read == [0, *range(6, 23)]
    Counting.ran.clear()
    assert same(top.scan(net, given, "1", **options), expected)
    assert Counting.ran == [1]  # finished: only read


def test_a_scan_is_kept_every_few_seconds_too(net, images, tmp_path, monkeypatch):
    """A process that is killed cannot write at its end."""
    monkeypatch.setattr(resume, "_EVERY", 0.0)
    kept = []
    top.scan(
        net,
        images,
        "1",
        batch=10,
        cache=tmp_path,
        progress=lambda *_: kept.append(top.Top.read(next(tmp_path.glob("top-*"))).seen),
    )
    assert kept == [10, 20, 23]


def test_another_scan_does_not_take_what_is_kept(net, images, tmp_path, monkeypatch):
    options = {"k": 3, "cache": tmp_path}

    def files():
        return len(list(tmp_path.iterdir()))

    top.scan(net, images, "1", **options)
    top.scan(net, images.clone(), "1", **options)
    assert files() == 1
    top.scan(net, images, "2", **options)
    top.scan(net, images, "1", k=2, cache=tmp_path)
    top.scan(net, images, "1", **options, per_image=2)
    top.scan(net, images, "1", **options, shard=(0, 2))
    top.scan(net, images + 1, "1", **options)
    top.scan(net, images, "1", **options, key="named")
    assert files() == 7
    with torch.no_grad():
        net[0].bias[0] += 1
    assert top.scan(net, images, "1", **options).seen == 23 and files() == 8
    for how in ("F.relu", "torch.relu_"):  # two that differ in an attribute only
        top.scan(seeded(lambda how=how: Functional(how)), images, "conv2", **options)
    assert files() == 10
    monkeypatch.setattr(Functional, "forward", lambda self, x: self.conv2(self.conv1(x).abs()))
    top.scan(seeded(Functional), images, "conv2", **options)  # in the code of the forward pass only
    assert files() == 11


def test_what_cannot_be_kept_for_sure_is_refused(net, images, tmp_path):
    with pytest.raises(ValueError, match="key="):
        top.scan(net, Counted(images), "1", cache=tmp_path)
    with pytest.raises(ValueError, match="'0' has hooks"), edit(net, "0", lambda a: a * 0):
        top.scan(net, images, "1", cache=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("harm", ("cut", "flip", "empty", "other"))
def test_a_damaged_cache_is_noticed_and_scanned_anew(net, images, tmp_path, harm):
    expected = top.scan(net, images, "1", cache=tmp_path)
    file = next(tmp_path.glob("top-*"))
    data = bytearray(file.read_bytes())
    if harm == "flip":
        data[-5] ^= 1  # a number in the middle of a valid file
    elif harm == "other":
        weight_files.write(file, {"values": torch.zeros(2)})
        data = file.read_bytes()
    file.write_bytes({"cut": data[:-10], "empty": b""}.get(harm, data))
    with pytest.warns(UserWarning, match="starts anew"):
        assert same(top.scan(net, images, "1", cache=tmp_path), expected)
    assert same(top.scan(net, images, "1", cache=tmp_path), expected)  # and it was written again


@pytest.mark.parametrize("why", ("no folder", "full"))
def test_a_cache_that_cannot_be_written_is_a_warning(net, images, tmp_path, why, monkeypatch):
    cache = tmp_path / "kept"
    if why == "no folder":
        cache.write_text("a file is in the way")
    else:

        def full(path, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(weight_files.atomic_files, "write", full)
    monkeypatch.setattr(resume, "_EVERY", 0.0)
    with pytest.warns(UserWarning, match="the scan goes on") as said:
        found = top.scan(net, images, "1", batch=4, cache=cache)
    assert same(found, top.scan(net, images, "1")) and len(said) == 1


def test_a_ranking_on_disk(net, images, tmp_path):
    found = top.scan(net, images, "1", k=3)
    found.write(tmp_path / "a.safetensors", {"net": "mine"})
    assert same(top.Top.read(tmp_path / "a.safetensors", {"net": "mine"}), found)
    with pytest.raises(OSError, match="about something else"):
        top.Top.read(tmp_path / "a.safetensors", {"net": "yours"})
    with pytest.raises(FileNotFoundError):
        top.Top.read(tmp_path / "b.safetensors")
    assert torch.equal(load_file(tmp_path / "a.safetensors")["values"], found.values)


def torchrun(*arguments, n=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "torch.distributed.run", "--nproc_per_node", str(n)]
    command += ["--master-addr", "127.0.0.1", "--master-port", str(port), "-m", "cnnlab", "top", *arguments]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment)


def test_two_processes_find_what_one_finds(folder, tmp_path, capsys):
    one, two = tmp_path / "one" / "top.safetensors", tmp_path / "two.safetensors"
    arguments = ["simpleconvnet", "relu2", str(folder), "--k", "7", "--batch", "2"]
    assert main(["top", *arguments, "--output", str(one)]) == 0
    assert "the 7 strongest of 11 images for 16 channels" in capsys.readouterr().out
    ran = torchrun(*arguments, "--output", str(two), "--cache", str(tmp_path / "kept"))
    assert ran.returncode == 0, ran.stderr
    assert same(top.Top.read(two), top.Top.read(one)) and ran.stdout.count("strongest") == 1
    # Each scanned its share only.
    assert sorted(top.Top.read(file).seen for file in (tmp_path / "kept").iterdir()) == [5, 6]


def test_if_one_process_fails_none_waits_for_ever(folder, tmp_path):
    (folder / "00.png").write_bytes(b"")
    ran = torchrun("simpleconvnet", "relu2", str(folder), "--output", str(tmp_path / "top.safetensors"))
    assert ran.returncode != 0 and "00.png: the file is empty" in ran.stderr
    assert "process 0 of 2 failed" in ran.stderr and not (tmp_path / "top.safetensors").exists()


def test_together_without_a_group_is_a_plain_scan(net, images):
    with distributed.processes() as rank:
        assert rank == 0 and same(distributed.scan(net, images, "1"), top.scan(net, images, "1"))
    with pytest.raises(LookupError, match="no layer 'x'"):
        distributed.scan(net, images, "x")


def test_nothing_is_changed_also_after_an_error(images):
    net = seeded(lambda: sequential(lambda: nn.ReLU(inplace=True))).train()
    net[2].eval()
    before = state(net, images)
    top.scan(net, images, "1")
    top.scan(net, images, "1", per_image=3, channels_last=True)
    top.patches(images, top.scan(net, images, "2"), None)
    with pytest.raises(LookupError):
        top.scan(net, images, "x")
    with pytest.raises(RuntimeError):  # torch's own: two channels where three are expected
        top.scan(net, images[:, :2], "1")
    with pytest.raises(KeyboardInterrupt):
        top.scan(net, images, "1", batch=4, progress=stopping_at(2))
    assert state(net, images) == before


def test_a_network_that_writes_into_its_input_or_draws_random_numbers(images):
    class Wild(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.same, self.dropout = nn.ReLU(inplace=True), nn.Identity(), nn.Dropout()

        def forward(self, x):
            x = self.same(x.sub_(0.5))  # into its input, and the record is the input itself
            torch.rand(3)
            return self.dropout(self.relu(x))

    net, before = Wild(), copy.deepcopy(images)
    chance = torch.get_rng_state()
    found = top.scan(net, images, "same", k=3, batch=2)
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), chance)
    assert listed(found) == by_sorting(images - 0.5, 3)
    assert listed(top.scan(net, list(images), "relu", k=3, batch=2)) == by_sorting((images - 0.5).relu(), 3)
    assert torch.equal(images, before)


def test_it_runs_in_eval_mode(net, images):
    wild = nn.Sequential(nn.Dropout(0.5), *net).train()
    assert listed(top.scan(wild, images, "2", k=3)) == by_sorting(stored(net, images, "1"), 3)


def test_the_pass_ends_at_the_layer(net, images):
    tail = nn.Linear(7, 7)  # would fail if it ran; the first image runs to the end, and shows what is wrong
    with pytest.raises(RuntimeError):
        top.scan(nn.Sequential(net[0], tail), images, "0")
    Counting.ran.clear()
    top.scan(nn.Sequential(net[0], net[1], Counting()), images, "1", batch=5)
    assert Counting.ran == [1]


def test_numbers_that_are_not_finite_are_named(net, images):
    broken = images.clone()
    broken[17, 1, 3, 3] = float("nan")
    with pytest.raises(ValueError, match="image 17 holds a number that is not finite"):
        top.scan(net, broken, "1", batch=4)

    class Log(nn.Module):
        def forward(self, x):
            return x.log()

    positive = images.clamp(min=1)
    for wrong in (-1.0, 0.0):  # nan and, all over, -inf
        positive[13, 0] = wrong
        with pytest.raises(ValueError, match="for image 13, '0' puts out a number that is not finite"):
            top.scan(nn.Sequential(Log()), positive, "0", batch=4)
    positive[13, 0, 0, 0] = 5  # one position is fine, the second strongest is not
    assert top.scan(nn.Sequential(Log()), positive, "0", batch=4).values.isfinite().all()
    with pytest.raises(ValueError, match="for image 13, '0' puts out a number that is not finite"):
        top.scan(nn.Sequential(Log()), positive, "0", batch=4, per_image=2)
    large = torch.full((3, 1, 4, 4), 3e38)  # finite, but their sum is not
    assert top.scan(nn.Sequential(nn.Identity()), large, "0", k=3).values.isfinite().all()


def test_impossible_wishes_are_refused(net, images):
    with pytest.raises(ValueError, match="k is 24, but 23 images with at most 1 positions"):
        top.scan(net, images, "1", k=24)
    with pytest.raises(ValueError, match="k is 24, but 23 images with at most 1 positions"):
        top.scan(net, images, "6", k=24, per_image=2)  # a dense layer has one position
    assert top.scan(net, images, "1", k=24, per_image=2).full()
    for options in ({"k": 0}, {"batch": 0}, {"per_image": 1.5}, {"k": True}):
        with pytest.raises(ValueError, match="is a whole number, 1 or more"):
            top.scan(net, images, "1", **options)
    for shard in ((2, 2), (-1, 2), (0, 24), (0.0, 2)):
        with pytest.raises(ValueError, match="shard is"):
            top.scan(net, images, "1", shard=shard)
    with pytest.raises(ValueError, match="there are no images"):
        top.scan(net, images[:0], "1")
    with pytest.raises(ValueError, match=r"images are \(N, C, H, W\)"):
        top.scan(net, images[0], "1")
    with pytest.raises(TypeError, match="give its .images"):
        top.scan(net, digits.load("test"), "1")
    for wrong in (iter(images), {"a": images[0]}, 5):
        with pytest.raises(TypeError, match="images come as a tensor"):
            top.scan(net, wrong, "1")
    with pytest.raises(TypeError, match="item 0 is no image"):
        top.scan(net, [np.zeros((3, 16, 16))], "1", k=1)
    with pytest.raises(ValueError, match="images of one size"):
        top.scan(net, [images[0], images[1, :, :8]], "1", k=1)
    with pytest.raises(ValueError, match="ran 3 times in one pass"):
        top.scan(seeded(Residual), images, "relu")
    flat = nn.Sequential(nn.Flatten(2))
    with pytest.raises(ValueError, match=r"must put out \(N, C, rows, cols\)"):
        top.scan(flat, images, "0")
    with pytest.raises(TypeError, match="only one tensor can be recorded"):
        top.scan(nn.Sequential(nn.MaxPool2d(2, return_indices=True)), images, "0")


def test_impossible_patches_are_refused(net, images):
    found, field = top.scan(net, images, "1", k=3), receptive.field(net, "1", 16)
    with pytest.raises(ValueError, match="no channel 6: 1 has channels 0 to 5"):
        top.patches(images, found, field, channels=[6])
    with pytest.raises(ValueError, match="this field is for images"):
        top.patches(images, found, receptive.field(net[:3], "1", 20))
    with pytest.raises(ValueError, match=r"names image \d+, but here are 2"):
        top.patches(images[:2], found, field)
    with pytest.raises(ValueError, match="no channels"):
        top.patches(images, found, field, channels=[])
    part = top.scan(net, images, "1", k=9, shard=(0, 23))
    with pytest.raises(ValueError, match="not full"):
        top.patches(images, part, field)


def test_memory_is_bounded_by_the_batch():
    """A data set of 400 images whose maps would fill 400 MB; at no time are more than some batches kept."""
    from torch.profiler import ProfilerActivity, profile

    net = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU())

    def largest(n):
        images = random_image(64, n=n, channels=1, dtype=torch.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
                top.scan(net, images, "1", batch=8)
        now = most = 0
        for event in seen.profiler.kineto_results.events():
            if event.name() == "[memory]":
                now += event.nbytes()
                most = max(most, now)
        return most

    maps = 8 * 16 * 64 * 64 * 4
    assert largest(24) < 5 * maps and largest(400) < 5 * maps


def test_ranking_of_nothing_changes_nothing(net, images):
    found = top.scan(net, images, "1", k=3)
    none = ranking.nothing(6, 3, "1", 1, found.values)
    assert same(found.merge(none), found) and same(none.merge(found), found) and not none.full()


def helper(x):
    return x


class Helped(nn.Module):
    """Its forward calls a function that stands outside: no hash of the class can see what that does."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)

    def forward(self, x):
        return helper(self.conv(x))


def test_a_cache_does_not_answer_for_a_model_that_answers_otherwise(images, tmp_path, monkeypatch):
    model = Helped()
    found = top.scan(model, images, "conv", k=3, cache=tmp_path)
    assert same(found, top.scan(model, images, "conv", k=3, cache=tmp_path))
    whole = nn.Sequential(model)
    before = top.scan(whole, images, "0", k=3, cache=tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "helper", lambda x: -x)
    after = top.scan(whole, images, "0", k=3, cache=tmp_path)
    assert not same(before, after) and same(after, top.scan(whole, images, "0", k=3))


def test_pictures_of_bytes_are_refused(net, images):
    with pytest.raises(ValueError, match="torch.uint8: divide by 255"):
        top.scan(net, (images * 255).byte(), "1", k=3)
