"""The photos are there without a network, each with its credit; the crops are the same for everybody."""

import socket
import subprocess
import sys

import pytest
import torch

from cnnlab.data import photos


def test_every_photo_is_on_this_machine(monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("a photo asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    photos._pixels.cache_clear()
    assert {"cat", "astronaut", "coffee", "bricks"} <= set(photos.names())
    for name in photos.names():
        image = photos.load(name)
        assert image.shape[:2] == (1, 3) and image.dtype == torch.float32, name
        assert 0 <= image.min() < 0.4 < 0.6 < image.max() <= 1, name


def test_photos_are_not_mixed_up():
    assert photos.load("cat").shape == (1, 3, 300, 451)
    red, _green, blue = photos.load("cat")[0].mean((1, 2))
    assert red > blue + 0.1  # Chelsea is a ginger cat
    bricks = photos.load("bricks")
    assert bricks.shape == (1, 3, 512, 512) and torch.equal(bricks[:, 0], bricks[:, 2])


def test_every_photo_has_a_credit():
    for name in photos.names():
        credit = photos.credit(name)
        assert all(isinstance(part, str) and part.strip() for part in credit), name
        assert credit.source.startswith(("scikit-image", "scikit-learn")), name
    assert photos.credit("cat").author == "Stefan van der Walt"
    assert photos.credit("temple").licence == "CC BY 2.0"


def test_the_middle_square_is_cut():
    whole = photos.load("cat")
    assert torch.allclose(photos.load("cat", size=300), whole[..., 75:375], atol=1e-5)  # 451 - 300 = 75 + 76


def test_shrinking_does_not_alias():
    # A mean over all pixels survives an antialiased resize; picking every 16th pixel would miss it.
    whole = photos.load("gravel")
    small = photos.load("gravel", size=32)
    means = torch.nn.functional.avg_pool2d(whole, 16)
    picked = whole[..., ::16, ::16]
    assert (small - means).abs().mean() < 0.25 * (picked - means).abs().mean()


def test_sizes_up_and_down_stay_in_range():
    for size in (1, 17, 700):
        image = photos.load("coffee", size=size)
        assert image.shape == (1, 3, size, size)
        assert image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize("size", [None, 512, 64])
def test_the_kept_photo_is_never_handed_out(size):
    first = photos.load("astronaut", size=size)
    before = first.clone()
    first.zero_()
    assert torch.equal(photos.load("astronaut", size=size), before)


def test_a_wrong_name_is_answered_with_the_near_one():
    for ask in (photos.load, photos.credit):
        with pytest.raises(LookupError, match="'astronaut'"):
            ask("astronut")


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "64"])
def test_a_wrong_number_is_refused(wrong):
    with pytest.raises(ValueError, match="size"):
        photos.load("cat", size=wrong)
    with pytest.raises(ValueError, match="size"):
        photos.crops(size=wrong, n=1)
    with pytest.raises(ValueError, match="n is"):
        photos.crops(size=8, n=wrong)


def test_crops_are_the_same_each_time_and_other_with_another_seed():
    first, again = photos.crops(size=16, n=40, seed=3), photos.crops(size=16, n=40, seed=3)
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, photos.crops(size=16, n=40, seed=4).images)
    assert torch.equal(first.images[:9], photos.crops(size=16, n=9, seed=3).images)


def test_crops_show_the_photo_they_are_labelled_with():
    pieces = photos.crops(size=16, n=56)
    assert pieces.images.shape == (56, 3, 16, 16) and pieces.images.dtype == torch.float32
    assert pieces.labels.dtype == torch.int64 and pieces.classes == tuple(photos.names())
    assert pieces.labels.bincount(minlength=len(pieces.classes)).tolist() == [4] * len(pieces.classes)
    assert pieces.images.min() >= 0 and pieces.images.max() <= 1
    for image, label in zip(pieces.images, pieces.labels, strict=True):
        grey_photo = pieces.classes[label] in ("camera", "bricks", "grass", "gravel", "clock", "coins")
        assert torch.equal(image[0], image[2]) == grey_photo


def test_crops_come_at_several_scales(monkeypatch):
    sides = []
    resize = photos.resize

    def listen(image, size):
        sides.append(image.shape[-1])
        return resize(image, size)

    monkeypatch.setattr(photos, "resize", listen)
    photos.crops(size=8, n=200)
    of_one_photo = sides[:: len(photos.names())]
    assert max(of_one_photo) > 4 * min(of_one_photo)


def test_crops_leave_the_global_random_state():
    before = torch.get_rng_state()
    photos.crops(size=8, n=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_import_is_light():
    code = (
        "import sys; from cnnlab.data import photos, digits, uploads\n"
        "heavy = {'PIL', 'skimage', 'sklearn', 'scipy', 'torchvision', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
