"""Tiny ImageNet's twenty classes: both layouts of the zip file, and every way to be broken."""

import io
import zipfile

import pytest
import torch
from PIL import Image

from cnnlab.data.loading import downloads, tiny_imagenet


def jpeg(grey: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L" if grey % 2 else "RGB", (64, 64), grey if grey % 2 else (grey,) * 3).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def public(tmp_path):
    """As the public file is laid out, with one class that is not ours."""
    path = tmp_path / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for grey, wnid in ((40, "n01443537"), (90, "n07873807"), (200, "n00000001")):
            archive.writestr(f"tiny-imagenet-200/train/{wnid}/images/{wnid}_0.JPEG", jpeg(grey))
            archive.writestr(f"tiny-imagenet-200/val/images/val_{grey}.JPEG", jpeg(grey + 1))
        rows = "val_90.JPEG\tn07873807\t0\t0\t1\t1\nval_200.JPEG\tn00000001\t0\t0\t1\t1\n"
        archive.writestr(
            "tiny-imagenet-200/val/val_annotations.txt", rows + "val_40.JPEG\tn01443537\t0\t0\t1\t1\n"
        )
    return path


def test_the_public_layout(public):
    train, test = tiny_imagenet.load(public, "train"), tiny_imagenet.load(public, "test")
    assert train.labels.tolist() == test.labels.tolist() == [0, 19]
    assert train.images.shape == (2, 3, 64, 64) and train.images.dtype == torch.float32
    assert torch.allclose(train.images[:, 0, 5, 5], torch.tensor([40, 90]) / 255, atol=0.01)
    assert torch.allclose(
        test.images[:, :, 5, 5], torch.tensor([[41], [91]]) / 255, atol=0.01
    )  # grey ones, too
    assert train.classes[19] == "pizza" and len(train.classes) == 20


def test_it_is_found_in_the_cache(public):
    assert downloads.load("tiny_imagenet", "test", public.parent).labels.tolist() == [0, 19]


def test_the_twenty_classes_as_they_are_beside_the_project(shared):
    test = tiny_imagenet.load(shared / tiny_imagenet.FILES[0], "test")
    assert test.images.shape == (1000, 3, 64, 64) and test.labels.bincount().tolist() == [50] * 20
    assert test.labels.tolist() == sorted(test.labels.tolist())


def test_no_network_names_the_photos(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    with pytest.raises(ConnectionError, match="tiny_imagenet.*photos.crops"):
        downloads.load("tiny_imagenet", "train", tmp_path)


def test_broken_files(tmp_path, public):
    cut = tmp_path / "cut.zip"
    cut.write_bytes(public.read_bytes()[:-40])
    with pytest.raises(ValueError, match="cut.zip is no zip file, or was cut short"):
        tiny_imagenet.load(cut, "train")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(ValueError, match="no images of our classes for 'train'"):
        tiny_imagenet.load(tmp_path / "empty.zip", "train")
    with pytest.raises(FileNotFoundError):
        tiny_imagenet.load(tmp_path / "none.zip", "train")
