"""Weight files: whole or not at all, and believed only when the hash is right."""

import json

import pytest
import torch

from cnnlab.nets import weight_files


@pytest.fixture
def folder(tmp_path):
    tensors = {"conv1.weight": torch.rand(4, 3, 5, 5), "bn1.num_batches_tracked": torch.tensor(70000)}
    weight_files.save("net", tensors, {"data": "scenes"}, tmp_path)
    return tmp_path, tensors


def test_what_is_put_comes_back_rounded_to_half_precision(folder):
    there, tensors = folder
    found = weight_files.load("net", there)
    assert found["conv1.weight"].dtype == torch.float32
    assert torch.equal(found["conv1.weight"], tensors["conv1.weight"].half().float())
    assert found["bn1.num_batches_tracked"] == 70000  # whole numbers stay whole: half precision ends at 65504
    assert all(torch.equal(value, found[name]) for name, value in weight_files.round_to_half(tensors).items())
    assert weight_files.manifest(there)["net"]["data"] == "scenes" and weight_files.names(there) == ["net"]
    assert sorted(path.name for path in there.iterdir()) == ["manifest.json", "net.safetensors"]


def test_a_file_cut_short(folder):
    path = folder[0] / "net.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(OSError, match=r"net.safetensors is cut short: \d+ bytes, expected \d+.*train net"):
        weight_files.load("net", folder[0])


def test_an_altered_file(folder):
    path = folder[0] / "net.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="net.safetensors was altered"):
        weight_files.load("net", folder[0])


def test_a_renamed_file(folder):
    (folder[0] / "net.safetensors").rename(folder[0] / "other.safetensors")
    with pytest.raises(
        FileNotFoundError, match="no file net.safetensors.*there: other.safetensors.*git checkout"
    ):
        weight_files.load("net", folder[0])


def test_a_wrong_name_and_a_broken_manifest(folder):
    with pytest.raises(LookupError, match="Did you mean 'net'"):
        weight_files.load("nett", folder[0])
    (folder[0] / "manifest.json").write_text("{")
    with pytest.raises(OSError, match="manifest.json is damaged.*git checkout"):
        weight_files.load("net", folder[0])


def test_a_failed_write_leaves_the_former_file(folder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    before = (folder[0] / "net.safetensors").read_bytes()
    monkeypatch.setattr("cnnlab.nets.weight_files.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        weight_files.save("net", {"conv1.weight": torch.zeros(1)}, {}, folder[0])
    assert (folder[0] / "net.safetensors").read_bytes() == before
    assert sorted(path.name for path in folder[0].iterdir()) == ["manifest.json", "net.safetensors"]
    json.loads((folder[0] / "manifest.json").read_text())


def test_others_may_read_what_is_written(folder):
    for path in folder[0].iterdir():
        assert path.stat().st_mode & 0o044 == 0o044, path


def test_file_and_manifest_stay_together_when_the_disk_is_full(folder, monkeypatch):
    there, before = folder[0], {path.name: path.read_bytes() for path in folder[0].iterdir()}
    real = weight_files.atomic_files.write

    def full(path, data):
        if path.name == "manifest.json":
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(weight_files.atomic_files, "write", full)
    with pytest.raises(OSError, match="No space"):
        weight_files.save("net", {"conv1.weight": torch.zeros(1)}, {}, there)
    with pytest.raises(OSError, match="No space"):
        weight_files.save("new", {"conv1.weight": torch.zeros(1)}, {}, there)
    assert {path.name: path.read_bytes() for path in there.iterdir()} == before


def test_numbers_too_large_for_half_precision_are_refused(folder):
    weight_files.save(
        "unknown", {"accuracy": torch.tensor([float("nan"), 0.5])}, {}, folder[0]
    )  # not measured
    assert weight_files.load("unknown", folder[0])["accuracy"].isnan().tolist() == [True, False]
    with pytest.raises(ValueError, match="'w' of net .* above 65504"):
        weight_files.save("net", {"w": torch.tensor([7e4])}, {}, folder[0])
    assert torch.equal(
        weight_files.load("net", folder[0])["conv1.weight"], folder[1]["conv1.weight"].half().float()
    )
