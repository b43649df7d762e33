"""Data sets by name: the size, the colours and the number that a network wants, the same every time."""

import pytest
import torch

from cnnlab.data import datasets, digits, photos, shapes


@pytest.mark.parametrize("name", datasets.EMBEDDED)
@pytest.mark.parametrize("size", ((1, 28, 28), (3, 64, 64), (3, 112, 112)))
def test_size_colours_and_number_are_as_wanted_and_the_same_every_time(name, size):
    found = datasets.load(name, size, n=7, seed=3)
    assert found.images.shape == (7, *size) and found.labels.shape == (7,)
    assert found.images.min() >= 0 and found.images.max() <= 1 and found.images.dtype == torch.float32
    again, other = datasets.load(name, size, n=7, seed=3), datasets.load(name, size, n=7, seed=4)
    assert torch.equal(found.images, again.images) and not torch.equal(found.images, other.images)
    assert int(found.labels.max()) < len(found.classes)


def test_they_are_the_data_that_they_are_named_after():
    assert torch.equal(datasets.load("photos", (3, 64, 64), n=5).images, photos.crops(size=64, n=5).images)
    assert torch.equal(datasets.load("scenes", (3, 64, 64), n=5).images, shapes.scenes(5).images)
    every = datasets.load("digits", (1, 28, 28), n=2000)
    assert torch.equal(every.images, digits.load("train").images)
    some = datasets.load("digits", (1, 28, 28), n=300)
    test = digits.load("test")
    positions = [(test.images == image).flatten(1).all(dim=1).nonzero()[0, 0].item() for image in some.images]
    assert len(set(positions)) == 300 and torch.equal(test.labels[positions], some.labels)


def test_grey_is_the_mean_and_colour_of_grey_is_three_times_the_same():
    grey = datasets.load("photos", (1, 64, 64), n=2).images
    torch.testing.assert_close(grey, photos.crops(size=64, n=2).images.mean(dim=1, keepdim=True))
    assert torch.equal(*datasets.load("digits", (3, 28, 28), n=2).images[:, :2].unbind(dim=1))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    (
        ({"name": "photo"}, LookupError, "no data set 'photo'.*photos"),
        ({"input_size": (3, 64, 48)}, ValueError, "square"),
        ({"input_size": (2, 64, 64)}, ValueError, "1 or 3 channels"),
        ({"n": 0}, ValueError, "from 1 on"),
    ),
)
def test_what_cannot_be_is_refused(arguments, error, words):
    given = {"name": "photos", "input_size": (3, 64, 64), "n": 3, **arguments}
    with pytest.raises(error, match=words):
        datasets.load(given.pop("name"), given.pop("input_size"), **given)
