"""Curves as SVG: where the points lie, what is left out, and what a screen reader hears."""

import re
from xml.etree import ElementTree

import pytest

from cnnlab.drawing.raster import svg


def polylines(text):
    return [
        [tuple(map(float, pair.split(","))) for pair in points.split()]
        for points in re.findall(r'polyline points="([^"]*)"', text)
    ]


def test_a_curve_fills_the_width_and_the_limits_are_the_height():
    (line,) = polylines(svg.curves({"loss": [0, 5, 10]}, limits=(0, 10), alt="a loss", width=420, height=220))
    xs, ys = zip(*line, strict=True)
    assert xs == (44.0, 187.0, 330.0) and ys == (
        192.0,
        102.0,
        12.0,
    )  # downwards on a page is upwards in numbers


def dots(text):
    return [tuple(map(float, dot)) for dot in re.findall(r'circle cx="([^"]*)" cy="([^"]*)" r="2.5"', text)]


def test_gaps_limits_and_single_points():
    """A single number between two gaps is a dot: a line needs two."""
    text = svg.curves({"a": [1, float("nan"), 2, float("inf"), 99, 3]}, limits=(0, 3), alt="with gaps")
    (line,) = polylines(text)
    assert line[0][1] == 12.0 == line[1][1] and len(dots(text)) == 2  # 99 is drawn at the limit
    assert dots(svg.curves({"a": [1]}, limits=(0, 3), alt="one point"))[0][0] == 44.0
    nothing = svg.curves({"a": []}, limits=(0, 3), alt="nothing yet")
    assert polylines(nothing) == dots(nothing) == []


def test_a_short_gap_in_a_long_curve_stays_a_gap():
    numbers = [1.0] * 10_000
    numbers[5001] = float("nan")  # not one of those that are drawn
    left, right = polylines(svg.curves({"a": numbers}, limits=(0, 3), alt="long"))
    assert left[-1][0] < right[0][0] and len(left) + len(right) <= 304


def test_long_curves_are_thinned_and_keep_their_newest_point():
    (line,) = polylines(svg.curves({"a": list(range(10_000))}, limits=(0, 9999), alt="long"))
    assert len(line) <= 302 and line[-1] == (330.0, 12.0)


def test_it_is_well_formed_and_says_what_it_shows():
    text = svg.curves({"<b>": [1, 2], "c": [2, 1]}, limits=(0, 2), alt='a "loss" & more', xlabel="<steps>")
    root = ElementTree.fromstring(text)
    assert root.attrib["aria-label"] == 'a "loss" & more' and root.attrib["role"] == "img"
    words = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "<b>" in words and "<steps>" in words
    assert len(set(re.findall(r'stroke="(#[0-9A-F]{6})"', text))) == 2


def test_too_much_is_refused():
    with pytest.raises(ValueError, match="at most 6 curves"):
        svg.curves({str(k): [1] for k in range(7)}, limits=(0, 1), alt="many")
    with pytest.raises(ValueError, match="low < high"):
        svg.curves({"a": [1]}, limits=(1, 1), alt="flat")


def test_names_of_curves_that_end_together_stand_apart():
    near = svg.curves({"a": [1, 2.0], "b": [1, 2.01], "c": [1, 0.0]}, limits=(0, 3), alt="near")
    heights = {name: float(y) for y, name in re.findall(r'y="([^"]*)" font-weight="bold">(.)<', near)}
    assert heights["a"] - heights["b"] == 15 and heights["c"] == 196
    far = svg.curves({"a": [1, 2.0]}, limits=(0, 3), alt="alone")
    assert f'y="{heights["a"]:.1f}"' in far  # the lower one stays where it would stand alone
    apart = svg.curves({"a": [1, 2.0], "b": [2.01, float("nan")]}, limits=(0, 3), alt="beside each other")
    assert f'y="{heights["a"]:.1f}"' in apart and f'y="{heights["b"]:.1f}"' not in apart


def test_names_at_the_top_stay_on_the_paper():
    """Two curves that end at the highest value: the upper name was cut."""
    text = svg.curves({"a": [0, 1.0], "b": [0, 1.0], "c": [0, 1.0]}, limits=(0, 1), alt="all right")
    heights = sorted(float(y) for y in re.findall(r'y="([^"]*)" font-weight="bold"', text))
    assert heights == [16, 31, 46]


def test_the_first_and_the_last_place_have_a_number():
    text = svg.curves({"a": [1, 2]}, limits=(0, 3), alt="two", xlabel="epoch", ends=("1", "<60>"))
    root = ElementTree.fromstring(text)
    places = {each.text: each.attrib for each in root.iter() if each.tag.endswith("text")}
    assert places["1"]["x"] == "44" and places["<60>"]["x"] == "330" and "epoch" in places


def test_names_of_curves_that_all_end_at_the_top_stay_on_the_page():
    text = svg.curves({name: [3.0] for name in "abcdef"}, limits=(0, 3), alt="all at the top")
    heights = sorted(float(y) for y in re.findall(r'y="([^"]*)" font-weight="bold"', text))
    assert heights == [16.0 + 15 * k for k in range(6)]
