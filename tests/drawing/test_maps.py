"""Sheets of maps: one scale in a row and its number beside it, shapes refused, borders where masks end."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from cnnlab.drawing import maps


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_maps_of_a_row_share_a_scale_whose_end_is_written():
    strong, weak = torch.full((1, 8, 8), 4.0), torch.full((1, 8, 8), 1.0)
    fig = maps.sheet(torch.rand(2, 3, 8, 8), {"gradient": torch.cat([strong, weak])}, titles=["a", "b"])
    drawn = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert len(drawn) == 4
    red, pale = drawn[2][0, 0], drawn[3][0, 0]
    assert pale[1] > red[1] + 50  # nearer to white
    assert any(
        "gradient" in text.get_text() and "4" in text.get_text() for ax in fig.axes for text in ax.texts
    )


def test_each_map_on_its_own_scale_is_drawn_alike():
    both = torch.stack([torch.full((8, 8), 4.0), torch.full((8, 8), 1.0)])
    fig = maps.sheet(torch.rand(2, 3, 8, 8), {"gradient": both}, titles=["a", "b"], each=True)
    drawn = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert (drawn[2] == drawn[3]).all()


def test_colours_are_added_up_and_coarse_maps_are_drawn():
    colours = torch.stack([torch.full((6, 6), 1.0), torch.full((6, 6), -1.0), torch.zeros(6, 6)])[None]
    fig = maps.sheet(torch.rand(1, 3, 6, 6), {"sum": colours, "coarse": torch.ones(1, 1, 2, 2)}, titles=["a"])
    drawn = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert abs(int(drawn[1][0, 0].astype(int).min()) - 247) < 6  # white: plus one and minus one are nothing
    assert drawn[2].shape[0] >= 100


def test_a_mask_is_framed_and_only_its_border():
    inside = np.zeros((12, 12), bool)
    inside[2:10, 2:10] = True
    found = maps.border(inside)
    expected = inside.copy()
    expected[4:8, 4:8] = False
    assert (found == expected).all()
    at_the_edge = np.ones((6, 6), bool)
    assert maps.border(at_the_edge).sum() == 36 - 4


def test_one_strong_pixel_does_not_pale_the_rest():
    values = torch.zeros(1, 20, 20)
    values[0, :10], values[0, 0, 0] = 1.0, 100.0
    assert maps.shared_limit(values) == 1.0
    assert maps.shared_limit(torch.zeros(2, 4, 4)) == 1.0


@pytest.mark.parametrize(
    ("pictures", "rows", "titles"),
    [
        (torch.rand(2, 3, 4, 4), {"a": torch.zeros(2, 4, 4)}, ["one"]),
        (torch.rand(2, 3, 4, 4), {"a": torch.zeros(3, 4, 4)}, ["one", "two"]),
        (torch.rand(3, 4, 4), {"a": torch.zeros(3, 4, 4)}, ["1", "2", "3"]),
    ],
)
def test_what_does_not_go_together_is_refused(pictures, rows, titles):
    with pytest.raises(ValueError, match=r"titles|maps are"):
        maps.sheet(pictures, rows, titles=titles)
    assert not plt.get_fignums()
