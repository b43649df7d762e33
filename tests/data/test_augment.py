"""Augmentation: each step against something counted by hand, and its limits."""

import pytest
import torch

from cnnlab.data import augment


@pytest.fixture
def images():
    return torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_nothing_asked_for_changes_nothing(images):
    assert torch.allclose(augment.geometric()(images, generator()), images, atol=1e-5)
    assert torch.allclose(augment.photometric()(images, generator()), images, atol=1e-6)


def test_a_flip_mirrors_about_half_of_the_pictures(images):
    moved = augment.geometric(flip=True)(images, generator())
    mirrored = [torch.allclose(new, old.flip(-1), atol=1e-4) for new, old in zip(moved, images, strict=True)]
    same = [torch.allclose(new, old, atol=1e-4) for new, old in zip(moved, images, strict=True)]
    assert sum(mirrored) + sum(same) == 64 and 16 < sum(mirrored) < 48


def centres(images):
    """Row and column of the centre of mass of each image, from the middle."""
    positions = torch.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
    weight = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    return torch.stack([(weight.sum(2) * positions).sum(1), (weight.sum(1) * positions).sum(1)])


def test_a_shift_moves_a_dot_by_at_most_so_many_pixels():
    dot = torch.zeros(300, 1, 33, 33)
    dot[:, :, 16, 16] = 1
    moved = centres(augment.geometric(shift=5)(dot, generator()))
    assert moved.abs().max() <= 5.01 and moved.min() < -4 and moved.max() > 4 and moved.mean().abs() < 0.6


def test_a_scale_enlarges_and_a_rotation_turns():
    page = torch.zeros(200, 1, 65, 65)
    page[:, :, 32, 52] = 1  # a dot 20 pixels to the right of the middle
    larger = centres(augment.geometric(scale=(1.2, 1.5))(page, generator()))
    assert larger[0].abs().max() < 0.2 and larger[1].min() > 23.8 and larger[1].max() < 30.2
    turned = centres(augment.geometric(rotate=30)(page, generator()))
    angle = torch.rad2deg(torch.atan2(turned[0], turned[1]))
    assert angle.abs().max() <= 31 and angle.max() > 25 and angle.min() < -25
    assert torch.allclose(turned.norm(dim=0), torch.tensor(20.0), atol=0.5)


def test_light_changes_what_it_says(images):
    middle = 0.4 + 0.2 * images  # far from 0 and 1, where nothing is cut off
    brighter = augment.photometric(brightness=0.1)(middle, generator()) - middle
    assert brighter.flatten(1).std(dim=1).max() < 1e-6 and brighter.abs().max() <= 0.1
    flat = augment.photometric(contrast=0.5)(middle, generator())
    ratio = flat.flatten(1).std(dim=1) / middle.flatten(1).std(dim=1)
    assert torch.allclose(flat.mean((1, 2, 3)), middle.mean((1, 2, 3)), atol=1e-5)
    assert ratio.min() > 0.49 and ratio.max() < 1.51 and ratio.max() - ratio.min() > 0.6
    pale = augment.photometric(saturation=0.5)(middle, generator())
    assert torch.allclose(pale.mean(dim=1), middle.mean(dim=1), atol=1e-6) and not torch.allclose(
        pale, middle
    )
    grain = augment.photometric(noise=0.02)(middle, generator()) - middle
    assert grain.std() == pytest.approx(0.02, rel=0.05)


def test_pictures_stay_pictures_and_the_callers_is_not_changed(images):
    before = images.clone()
    all_of_it = augment.compose(
        augment.geometric(shift=8, rotate=180, scale=(0.5, 2), flip=True),
        augment.photometric(brightness=1, contrast=1, saturation=1, noise=1),
    )
    new = all_of_it(images, generator())
    assert new.shape == images.shape and new.min() >= 0 and new.max() <= 1 and torch.equal(images, before)


def test_only_the_generator_decides(images):
    step = augment.compose(augment.geometric(shift=3, flip=True), augment.photometric(noise=0.1))
    state = torch.get_rng_state()
    first = step(images, generator())
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, step(images, generator())) and not torch.equal(
        first, step(images, generator(1))
    )


@pytest.mark.parametrize("wrong", ({"shift": -1}, {"rotate": -1}, {"scale": (0, 1)}, {"scale": (2, 1)}))
def test_impossible_moves_are_refused(wrong):
    with pytest.raises(ValueError, match="scale is"):
        augment.geometric(**wrong)


@pytest.mark.parametrize("name", ("brightness", "contrast", "saturation", "noise"))
def test_impossible_lights_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} goes from 0 to 1"):
        augment.photometric(**{name: 1.5})
