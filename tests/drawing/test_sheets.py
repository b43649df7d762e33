"""Sheets of units: the right patch at the right place, beside its own projection."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from cnnlab.drawing import sheets


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def plain(value, side=16):
    return torch.full((3, side, side), value)


def test_nine_patches_stand_row_by_row():
    drawn = sheets.nine(torch.stack([plain(k / 8) for k in range(9)]))
    cell = (drawn.shape[0] + 4) // 3
    seen = [drawn[cell * (k // 3) + 5, cell * (k % 3) + 5, 0] for k in range(9)]
    assert seen == [round(k / 8 * 255) for k in range(9)]
    assert drawn.shape[0] == drawn.shape[1] >= 144  # tiny patches are enlarged
    assert sheets.nine(torch.zeros(5, 1, 7, 9)).shape[2] == 3  # not full, grey, not square


def test_a_projection_is_grey_at_zero_and_each_fills_its_own_scale():
    weak, strong = torch.zeros(3, 16, 16), torch.zeros(3, 16, 16)
    weak[:, 0, 0], strong[:, 0, 0] = 0.001, -7.0
    drawn = sheets.nine(torch.stack([weak, strong, torch.zeros(3, 16, 16)]), centred=True)
    cell = (drawn.shape[1] + 4) // 3  # 64 pixels and a gap of 4
    assert [int(drawn[0, cell * k, 0]) for k in range(3)] == [255, 0, 128]
    assert all(drawn[20, cell * k + 20, 0] == 128 for k in range(3))


def test_each_unit_has_its_title_and_its_projection_to_the_right():
    patches = torch.rand(4, 9, 3, 16, 16)
    projections = torch.randn(4, 9, 3, 16, 16)
    fig = sheets.units(patches, projections, titles=[f"unit {k}" for k in range(4)])
    drawn = [ax for ax in fig.axes if ax.images]
    assert [ax.get_title() for ax in drawn] == ["unit 0", "", "unit 1", "", "unit 2", "", "unit 3", ""]
    for k, ax in enumerate(drawn):
        given = projections if k % 2 else patches
        expected = sheets.nine(given[k // 2], centred=bool(k % 2))
        np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert fig.get_size_inches()[0] < 13  # it fits on a slide
    assert len([ax for ax in sheets.units(patches, titles="abcd").axes if ax.images]) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    (
        ({"patches": torch.rand(2, 9, 3, 8, 8), "titles": ["a"]}, "1 titles for patches"),
        ({"patches": torch.rand(9, 3, 8, 8), "titles": ["a"]}, "patches"),
        (
            {"patches": torch.rand(1, 9, 3, 8, 8), "projections": torch.rand(1, 9, 3, 8, 9), "titles": "a"},
            "but",
        ),
    ),
)
def test_what_does_not_go_together_is_refused_without_an_empty_figure(arguments, words):
    with pytest.raises(ValueError, match=words):
        sheets.units(**arguments)
    assert plt.get_fignums() == []
    with pytest.raises(ValueError, match="patches of one unit"):
        sheets.nine(torch.rand(3, 8, 8))


def test_a_mosaic_gives_each_place_an_area_in_proportion():
    pictures = torch.zeros(2, 2, 1, 16, 16)
    page = sheets.mosaic(pictures, torch.tensor([[1.0, 0.25], [0.0, 1.0]]))
    assert page.shape == (1, 32, 32)
    black = [(page[0, r : r + 16, c : c + 16] < 0.5).sum().item() for r in (0, 16) for c in (0, 16)]
    assert black == [256, 64, 1, 256]
    with pytest.raises(ValueError, match="magnitudes"):
        sheets.mosaic(pictures, torch.ones(2, 3))


def test_icons_are_as_large_as_their_strength_and_have_names():
    dark = torch.zeros(3, 3, 24, 24)
    page = sheets.icons(dark, torch.tensor([4.0, 1.0, 0.0]), ["a", "b", ""])
    side, name = 48, 22
    cells = [page[name : name + side, k * (side + 6) : k * (side + 6) + side] for k in range(3)]
    areas = [(cell < 128).all(axis=2).mean() for cell in cells]
    assert areas == pytest.approx([1.0, 0.25, 0.0], abs=0.01)
    named = [(page[:name, k * (side + 6) : k * (side + 6) + side] < 128).any() for k in range(3)]
    assert named == [True, True, False]
    with pytest.raises(ValueError, match="2 names"):
        sheets.icons(dark, torch.ones(3), ["a", "b"])
    with pytest.raises(ValueError, match="strengths"):
        sheets.icons(dark, torch.ones(2), ["a", "b", "c"])
