"""Figures: the right numbers are drawn, nothing stays open, and no picture goes without words."""

import io

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from cnnlab.drawing import charts, images, show
from cnnlab.drawing.display import Shown, png
from cnnlab.drawing.raster import pixels


@pytest.fixture(autouse=True)
def no_figure_left_and_no_setting_changed():
    before = matplotlib.rcParams.copy()
    yield
    plt.close("all")
    assert matplotlib.rcParams == before


def test_show_displays_an_image_with_alt_text_and_closes_the_figure(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    fig = images.picture(torch.rand(3, 8, 8)).figure
    show(fig, alt='A photo of a "cat" & a dog')
    assert 'alt="A photo of a &quot;cat&quot; &amp; a dog"' in shown[0]._repr_html_()
    assert shown[0].png.startswith(b"\x89PNG") and "cat" in repr(shown[0])
    assert not plt.get_fignums()


@pytest.mark.parametrize("alt", ("", "cat", None, "two words"))
def test_show_refuses_a_figure_without_words(alt):
    with pytest.raises(ValueError, match="sentence"):
        show(plt.figure(), alt=alt)


def test_png_wants_a_figure_and_says_where_an_axes_has_one():
    with pytest.raises(TypeError, match="ax.figure"):
        png(images.picture(torch.rand(4, 4)))


def test_shown_scales_down_on_a_small_screen():
    assert "max-width: 100%" in Shown(b"", "three short words", 800)._repr_html_()


def test_signed_map_has_a_bar_with_its_numbers_symmetric_about_zero():
    ax = images.signed(torch.tensor([[-0.5, 0.25]]), title="map")
    bar = ax.figure.axes[1]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["-0.5", "0", "0.5"]
    assert ax.get_title() == "map"
    assert np.array_equal(ax.images[0].get_array(), pixels.signed(torch.tensor([[-0.5, 0.25]])))


def test_overlay_refuses_another_size_and_draws_on_zeros():
    with pytest.raises(ValueError, match="picture is"):
        images.overlay(torch.rand(3, 8, 8), torch.rand(4, 4))
    picture, one = torch.rand(3, 8, 8), torch.zeros(8, 8)
    drawn = images.overlay(picture, one).images[0].get_array()
    assert np.array_equal(drawn, pixels.grey(picture.mean(dim=0)))  # zeros leave the grey picture
    one[2, 5] = 3.0
    coloured = images.overlay(picture, one, limit=3.0).images[0].get_array()
    assert (coloured != drawn).any(axis=2).nonzero() == (np.array([2]), np.array([5]))
    assert np.abs(coloured[2, 5] - (0.9 * pixels.magnitude(one, 3.0)[2, 5] + 0.1 * drawn[2, 5])).max() <= 1


def test_filters_on_one_scale_or_each_on_its_own():
    weight = torch.stack([torch.ones(1, 2, 2), 0.1 * torch.ones(1, 2, 2)])
    together = images.filters(weight, columns=2).images[0].get_array()
    apart = images.filters(weight, columns=2, shared=False).images[0].get_array()
    assert not np.array_equal(together[:, :2], together[:, 3:])
    assert np.array_equal(apart[:, :2], apart[:, 3:])
    with pytest.raises(ValueError, match="1 or 3 input channels"):
        images.filters(torch.zeros(2, 5, 3, 3))


def test_row_wants_a_title_for_each_picture():
    fig = images.row([torch.rand(1, 4, 4)] * 3, titles=["a", "b", "c"], columns=2)
    assert [ax.get_title() for ax in fig.axes][:3] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="3 pictures, but 2 titles"):
        images.row([torch.rand(1, 4, 4)] * 3, titles=["a", "b"])


def test_equation_draws_tables_and_signs():
    fig = images.equation(torch.eye(2), -torch.eye(2), signs=["="], titles=["a", "b"])
    assert [text.get_text() for ax in fig.axes for text in ax.texts] == ["="]


def test_the_titles_of_an_equation_are_inside_the_figure():
    fig = images.equation(
        *[torch.rand(3, 3)] * 3, signs=["x", "="], titles=["pixels x", "weights w", "products"]
    )
    assert np.asarray(Image.open(io.BytesIO(png(fig))).convert("L"))[0].min() == 255  # not cut off above


@pytest.mark.parametrize("draw", (images.picture, images.signed, images.magnitude, images.numbers))
def test_a_drawing_uses_the_axes_it_is_given_and_returns_them(draw):
    _, ax = plt.subplots()
    values = torch.rand(4, 4)
    before = values.clone()
    assert draw(values, ax=ax) is ax
    assert torch.equal(values, before)
    assert len(plt.get_fignums()) == 1


def test_titles_can_be_read_from_the_back_row():
    assert images.picture(torch.rand(4, 4), title="x").title.get_fontsize() >= 14
    assert charts.bars({"a": 1.0}).get_yticklabels()[0].get_fontsize() >= 12


def test_bars_write_their_values_and_refuse_what_cannot_be_drawn():
    ax = charts.bars({"many": 1234.0, "part": 0.25})
    assert [text.get_text() for text in ax.texts] == ["1,234", "0.25"]
    with pytest.raises(ValueError, match="finite"):
        charts.bars({"a": float("nan")})
    with pytest.raises(ValueError, match="above zero"):
        charts.bars({"a": 0.0}, log=True)


def test_lines_are_named_at_their_end_and_differ_by_dash_too():
    ax = charts.lines({"a": [1, 2], "b": [2, 1]})
    assert [text.get_text() for text in ax.texts] == ["a", "b"]
    assert len({line.get_linestyle() for line in ax.lines}) == 2
    with pytest.raises(ValueError, match="at most"):
        charts.lines({str(k): [0, 1] for k in range(7)})


def test_matrix_is_white_exactly_where_it_is_zero():
    ax = charts.matrix(torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
    colours = ax.images[0].to_rgba(ax.images[0].get_array())
    white = (colours == 1).all(axis=2)
    assert white.tolist() == [[True, False], [False, True]]
    with pytest.raises(ValueError, match="matrix"):
        charts.matrix(torch.zeros(3))
    tiny = charts.matrix(torch.tensor([[0.001, 1.0]]))
    assert not (tiny.images[0].to_rgba(tiny.images[0].get_array()) == 1).all(axis=2).any()
    with pytest.raises(ValueError, match="1 of 2 numbers"):
        charts.matrix(torch.tensor([[float("nan"), 1.0]]))


def test_matrix_with_negative_numbers_is_red_and_blue_about_zero():
    ax = charts.matrix(torch.tensor([[-1.0, 0.0, 0.5]]))
    blue, white, red = ax.images[0].to_rgba(ax.images[0].get_array())[0]
    assert blue[2] > blue[0] + 0.2 and red[0] > red[2] + 0.2 and (white == 1).all()
    assert ax.images[0].get_clim() == (-1, 1)


def test_lines_that_end_together_keep_their_names_apart_and_gaps_are_gaps():
    ax = charts.lines({"a": [0, 1], "b": [1, 1], "c": [2, 1.01]})
    heights = sorted(text.xy[1] for text in ax.texts)
    assert min(np.diff(heights)) >= 0.15
    top = charts.lines({name: [k, 10] for k, name in enumerate("abcd")})  # all end at the top
    heights = sorted(text.xy[1] for text in top.texts)
    assert min(np.diff(heights)) >= 0.75 and heights[-1] <= 10
    gap = charts.lines({"a": [1, 2, float("nan")]})
    assert gap.texts[0].xy == (1, 2)


def test_names_of_lines_on_a_logarithmic_scale_stand_at_their_ends():
    ends = {"a": 1e-4, "b": 1.0, "c": 1e4}
    ax = charts.lines({name: [1.0, end] for name, end in ends.items()}, log=True)
    assert ax.get_yscale() == "log"
    assert {text.get_text(): pytest.approx(text.xy[1]) for text in ax.texts} == ends
    with pytest.raises(ValueError, match="above zero"):
        charts.lines({"a": [1.0, 0.0]}, log=True)
    plt.close("all")


def test_lines_refuse_what_cannot_be_drawn_and_stairs_are_stairs():
    for curves in ({}, {"a": [float("nan")]}, {"a": []}):
        with pytest.raises(ValueError):
            charts.lines(curves)
    with pytest.raises(ValueError, match="'a' has 2 values, but x has 3"):
        charts.lines({"a": [1, 2]}, x=[0, 1, 2])
    assert not plt.get_fignums()
    assert charts.lines({"a": [1, 2]}, stairs=True).lines[0].get_drawstyle() == "steps-post"


def test_a_map_of_one_value_says_so():
    assert images.signed(torch.zeros(2, 2)).get_xlabel() == "every value is 0"
    assert images.magnitude(torch.full((2, 2), 0.25)).get_xlabel() == "every value is 0.25"
    assert images.overlay(torch.rand(3, 2, 2), torch.zeros(2, 2)).get_xlabel() == "every value is 0"
    assert images.signed(torch.tensor([[0.0, 1.0]])).get_xlabel() == ""


BAD = torch.tensor([[float("inf"), 1.0]])


@pytest.mark.parametrize(
    "draw",
    (
        lambda: images.picture(torch.rand(5, 4, 4)),
        lambda: images.picture(BAD),
        lambda: images.signed(BAD),
        lambda: images.magnitude(BAD),
        lambda: images.overlay(torch.rand(3, 1, 2), BAD),
        lambda: images.numbers(BAD),
        lambda: images.grid([]),
        lambda: images.row([BAD], titles=["a"]),
        lambda: images.row([torch.rand(2, 2)], titles=[]),
        lambda: images.equation(torch.eye(2), torch.eye(2), signs=[], titles=["a", "b"]),
        lambda: images.equation(torch.eye(2), BAD, signs=["="], titles=["a", "b"]),
        lambda: charts.bars({}),
        lambda: show(plt.figure(), alt=""),
    ),
)
def test_what_cannot_be_drawn_leaves_no_empty_figure(draw):
    with pytest.raises(ValueError):
        draw()
    assert not plt.get_fignums()


def test_a_dark_session_gets_light_figures_and_its_own_axes_stay_dark():
    with plt.style.context("dark_background"):
        ours = charts.bars({"a": 1.0})
        assert ours.figure.get_facecolor()[:3] == (1, 1, 1)
        assert {text.get_color() for text in (ours.texts[0], ours.title)} == {"black"}
        theirs = charts.bars({"a": 1.0}, ax=plt.subplots()[1])
        assert {text.get_color() for text in (theirs.texts[0], theirs.title)} == {"white"}
        corner = np.asarray(Image.open(io.BytesIO(png(theirs.figure))).convert("RGB"))[0, 0]
        assert corner.tolist() == [0, 0, 0]


def test_an_equation_draws_its_signed_tables_on_one_scale():
    weak, strong = torch.tensor([[-0.1]]), torch.tensor([[-1.0]])
    fig = images.equation(weak, strong, signs=["="], titles=["a", "b"])
    shown = [ax.images[0].get_array() for ax in fig.axes if ax.images]
    assert not np.array_equal(shown[0][3, 3], shown[1][3, 3])
