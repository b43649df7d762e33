"""The digits: the shape of MNIST, a split that never moves, and no image on both sides of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnlab.data import digits


@pytest.mark.parametrize(("split", "n"), [("train", 1442), ("test", 355)])
def test_pictures_are_white_on_black_in_a_frame(split, n):
    images, labels, classes = digits.load(split)
    assert images.shape == (n, 1, 28, 28) and images.dtype == torch.float32
    assert labels.shape == (n,) and labels.dtype == torch.int64
    assert classes == tuple("0123456789")
    assert images.min() == 0 and 0.9 < images.max() <= 1
    frame = torch.ones(28, 28, dtype=torch.bool)
    frame[4:24, 4:24] = False
    assert (images[..., frame] == 0).all()
    assert (images[..., ~frame].mean(-1) > 0.1).all()


def test_no_digit_is_rare_on_either_side():
    train, test = (digits.load(split).labels.bincount() for split in ("train", "test"))
    assert train.sum() + test.sum() == 1797
    share = test / (train + test)
    assert ((share > 0.19) & (share < 0.21)).all()


def test_the_splits_share_no_picture_and_keep_their_labels():
    from sklearn.datasets import load_digits

    raw = load_digits()
    # Each image is nearest to the one it came from (enlarged in a simpler way): so its place is known.
    small = torch.from_numpy(raw.images).float()[:, None] / 16
    original = torch.nn.functional.interpolate(small, size=(20, 20), mode="bilinear").flatten(1)
    positions = {}
    for split in ("train", "test"):
        images, labels, _ = digits.load(split)
        positions[split] = torch.cdist(images[..., 4:24, 4:24].flatten(1), original).argmin(1)
        assert np.array_equal(raw.target[positions[split]], labels)
    assert len(set(torch.cat([positions["train"], positions["test"]]).tolist())) == 1797


def test_the_file_is_what_scikit_learn_loads_from_it():
    from sklearn.datasets import load_digits

    raw, table = load_digits(), digits._table()
    assert np.array_equal(table[:, :64].view(-1, 8, 8), raw.images)
    assert np.array_equal(table[:, 64], raw.target)


def test_a_file_kept_elsewhere_is_asked_of_scikit_learn(monkeypatch):
    table = digits._table()
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    assert torch.equal(digits._table(), table)


def test_loading_imports_neither_scikit_learn_nor_scipy():
    code = "import sys\nfrom cnnlab.data import digits\ndigits.load('train')\n"
    code += "assert not {'sklearn', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_split_is_the_same_each_time_and_random_numbers_stay():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = digits.load("test")
    first.images.mul_(2)
    again = digits.load("test")
    assert torch.equal(first.labels, again.labels) and torch.equal(first.images, again.images * 2)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_digits_of_one_class_look_alike():
    # The nearest class mean, taken from the training images, names nine of ten test images.
    train, test = digits.load("train"), digits.load("test")
    means = torch.stack([train.images[train.labels == digit].mean(0).flatten() for digit in range(10)])
    guesses = torch.cdist(test.images.flatten(1), means).argmin(1)
    assert (guesses == test.labels).float().mean() > 0.85


def test_a_wrong_split_is_answered():
    with pytest.raises(LookupError, match="train, test"):
        digits.load("validation")
