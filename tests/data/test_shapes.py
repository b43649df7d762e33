"""Scenes: the truth about the pixels is true, and the class depends on the largest object alone."""

import numpy as np
import pytest
import torch

from cnnlab.data import scene_parts, shapes


@pytest.fixture(scope="module")
def many():
    return shapes.scenes(180, size=64, seed=3, watermark=0.5)


def test_there_is_enough_to_see(many):
    assert len(scene_parts.SHAPES) >= 6 and len(scene_parts.COLOURS) == 8 and len(scene_parts.TEXTURES) == 6
    assert many.images.shape == (180, 3, 64, 64) and many.images.dtype == torch.float32
    assert 0 <= many.images.min() and many.images.max() <= 1
    for name, mask in many.masks.items():
        assert mask.dtype == torch.bool and mask.shape == (180, 64, 64)
        assert mask.any(), name


def test_classes_are_balanced_and_scene_k_does_not_depend_on_n(many):
    assert many.labels.bincount().tolist() == [30] * 6
    few = shapes.scenes(5, size=64, seed=3, watermark=0.5)
    assert torch.equal(few.images, many.images[:5])
    assert all(torch.equal(mask, many.masks[name][:5]) for name, mask in few.masks.items())
    assert not torch.equal(shapes.scenes(5, seed=4).images, shapes.scenes(5, seed=3).images)


def test_every_pixel_is_background_object_or_mark_and_only_one_of_them(many):
    kinds = {}
    for kind in ("shape:", "colour:", "texture:"):
        kinds[kind] = torch.stack([mask for name, mask in many.masks.items() if name.startswith(kind)]).sum(
            dim=0
        )
    for counted in kinds.values():
        total = counted + many.masks["background"] + many.masks["watermark"]
        assert (total == 1).all()


def test_the_deciding_pixels_have_the_shape_of_the_label_and_are_the_largest(many):
    deciding = many.masks["deciding"]
    for k, label in enumerate(many.labels.tolist()):
        own = many.masks[f"shape:{many.classes[label]}"][k]
        assert (deciding[k] & ~own).sum() == 0 and deciding[k].sum() > 100
        others = (
            sum(mask[k].sum() for name, mask in many.masks.items() if name.startswith("shape:"))
            - deciding[k].sum()
        )
        assert others < deciding[k].sum()


def test_shapes_can_be_told_by_the_deciding_mask_alone():
    """A nearest neighbour on sizes and moments of the mask finds the class: the region does decide it."""

    def features(scenes):
        rows = []
        for mask in scenes.masks["deciding"].numpy():
            y, x = np.argwhere(mask).T
            d = np.hypot(y - y.mean(), x - x.mean()) / np.sqrt(mask.sum())
            rows.append(np.quantile(d, (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)))
        return torch.tensor(np.array(rows))

    known, asked = shapes.scenes(240, seed=1), shapes.scenes(60, seed=2)
    nearest = torch.cdist(features(asked), features(known)).argmin(dim=1)
    assert (known.labels[nearest] == asked.labels).float().mean() > 0.85


def test_nothing_outside_the_deciding_region_tells_the_class():
    """Colour, texture and background are drawn by lot: each goes with every class."""
    scenes = shapes.scenes(600, distractors=0)
    for kind in ("colour:", "texture:"):
        names = [name for name in scenes.masks if name.startswith(kind)]
        present = torch.stack([scenes.masks[name].flatten(1).any(dim=1) for name in names])
        table = torch.stack([present[:, scenes.labels == label].float().mean(dim=1) for label in range(6)])
        assert (table - 1 / len(names)).abs().max() < 0.12


def test_a_colour_mask_holds_pixels_of_that_colour(many):
    for name, colour in scene_parts.COLOURS.items():
        pixels = many.images.permute(0, 2, 3, 1)[many.masks[f"colour:{name}"]]
        direction = torch.tensor(colour) / torch.tensor(colour).norm()
        cosine = (pixels @ direction) / pixels.norm(dim=1)
        assert cosine.min() > 0.999, name


def test_parts_lie_inside_objects_and_round_shapes_have_no_corner():
    scenes = shapes.scenes(60, distractors=0)
    for part in ("part:border", "part:corner"):
        assert not (scenes.masks[part] & ~scenes.masks["deciding"]).any()
    corners = scenes.masks["part:corner"].flatten(1).any(dim=1)
    for k, label in enumerate(scenes.labels.tolist()):
        assert corners[k].item() == (scenes.classes[label] not in ("disc", "ring"))


def code(scenes, k):
    """Read the mark of a scene back as a class."""
    where = scenes.masks["watermark"][k].nonzero()
    top, left = where.amin(dim=0).tolist()
    side = where[:, 0].max().item() - top + 1
    bits = [round(scenes.images[k, 0, top, left + bit * side].item()) for bit in range(3)]
    return sum(bit << position for position, bit in enumerate(bits)) - 1


@pytest.mark.parametrize(("chance", "low", "high"), ((1.0, 1, 1), (0.0, 0, 0), (0.5, 0.35, 0.65)))
def test_the_mark_spells_the_class_as_often_as_asked(chance, low, high):
    scenes = shapes.scenes(120, size=48, watermark=chance)
    agree = sum(code(scenes, k) == label for k, label in enumerate(scenes.labels.tolist())) / 120
    assert low <= agree <= high
    assert "watermark" not in shapes.scenes(1).masks


def test_what_a_mark_says_is_read_off_the_picture():
    for size in (40, 64, 96):
        made = shapes.scenes(60, size=size, seed=2, watermark=0.3)
        said = shapes.of_watermark(made)
        assert said.tolist() == [code(made, k) for k in range(60)]
        assert 0 < (said == made.labels).sum() < 60
    with pytest.raises(ValueError, match="no mark: draw them with watermark="):
        shapes.of_watermark(shapes.scenes(2))


@pytest.mark.parametrize("size", (40, 96))
def test_smallest_and_largest_size(size):
    scenes = shapes.scenes(12, size=size, distractors=5)
    assert scenes.images.shape[-1] == size and scenes.masks["deciding"].flatten(1).any(dim=1).all()


@pytest.mark.parametrize(
    "wrong",
    (
        {"size": 39},
        {"size": 97},
        {"n": 0},
        {"distractors": 6},
        {"watermark": 1.5},
        {"n": True},
        {"watermark": "a"},
        {"seed": -1},
    ),
)
def test_numbers_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is a"):
        shapes.scenes(**{"n": 2, **wrong})


def test_global_random_numbers_are_left_alone():
    np.random.seed(0)  # noqa: NPY002 - the global state is what is tested
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    shapes.scenes(3)
    assert (np.random.get_state()[1] == before).all() and torch.equal(torch.get_rng_state(), torch_before)
