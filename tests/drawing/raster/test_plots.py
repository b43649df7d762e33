"""Curves as bytes: where the ink is, by the pixel; axes; and what cannot be drawn."""

import math

import numpy as np
import pytest
from PIL import ImageColor

from cnnlab.drawing.charts import COLOURS
from cnnlab.drawing.raster import plots
from cnnlab.drawing.raster.plots import Axis, curves

LEFT, RIGHT, TOP, BOTTOM = plots._LEFT, plots._RIGHT, plots._TOP, plots._BOTTOM


def ink(page, colour=COLOURS[0]):
    """Rows and columns of the pixels of a curve, left of the names."""
    near = (
        np.abs(page[:, : page.shape[1] - RIGHT].astype(int) - np.array(ImageColor.getrgb(colour))).sum(2) < 40
    )
    return np.nonzero(near)


def test_a_straight_line_goes_from_corner_to_corner():
    page = curves({"a": ([0, 10], [0.0, 1.0])}, Axis(0, 10), Axis(0, 1), width=400, height=200)
    assert page.shape == (200, 400, 3) and page.dtype == np.uint8
    rows, columns = ink(page)
    assert columns.min() <= LEFT + 2 and columns.max() >= 400 - RIGHT - 3
    wide, tall = 400 - LEFT - RIGHT, 200 - TOP - BOTTOM
    line = 200 - BOTTOM - (columns - LEFT) / wide * tall
    assert np.abs(rows - line).max() <= 2.5


def test_a_logarithmic_axis_makes_a_power_a_straight_line():
    values = [2.0**-k for k in range(21)]
    page = curves(
        {"a": (range(21), values)}, Axis(0, 20), Axis(values[-1], 1, log=True), width=400, height=200
    )
    rows, columns = ink(page)
    slope, offset = np.polyfit(columns, rows, 1)
    assert np.abs(rows - slope * columns - offset).max() < 3 and slope > 0


def test_what_lies_outside_is_drawn_at_the_border_and_nan_is_a_gap():
    page = curves({"a": (range(5), [0.5, 9.0, math.nan, 0.5, 0.5])}, Axis(0, 4), Axis(0, 1))
    rows, columns = ink(page)
    assert abs(rows.min() - TOP) <= 2
    wide = 520 - LEFT - RIGHT
    gap = (columns > LEFT + 0.3 * wide) & (columns < LEFT + 0.7 * wide)
    assert not gap.any()


def test_dashes_have_gaps_and_a_dot_stands_where_it_is():
    whole, dashed = (
        curves({"a": ([0, 1], [0.5, 0.5])}, Axis(0, 1), Axis(0, 1), dashed=some) for some in ((), ("a",))
    )
    assert 0.3 < len(ink(dashed)[0]) / len(ink(whole)[0]) < 0.7
    page = curves({"a": ([0], [0.0])}, Axis(0, 1), Axis(0, 1), dots={"a": (0.5, 0.5)})
    rows, columns = ink(page)
    middle = (columns > LEFT + 50) & (rows < 200)
    assert abs(rows[middle].mean() - (TOP + (280 - TOP - BOTTOM) / 2)) < 2
    assert abs(columns[middle].mean() - (LEFT + (520 - LEFT - RIGHT) / 2)) < 2


def test_names_at_one_height_stand_below_each_other_within_the_axes():
    lines = {name: ([0, 1], [0.0, 0.0]) for name in "abcd"}
    page = curves(lines, Axis(0, 1), Axis(0, 1), height=200)[:, 520 - RIGHT + 4 :]
    rows = (page < 200).any(axis=(1, 2)).nonzero()[0]
    lines_of_text = 1 + (np.diff(rows) > 2).sum()
    assert lines_of_text == 4 and rows.max() <= 200 - BOTTOM + plots._FONT


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0, 1, False), (-3, 7, False), (0, 0.004, False), (1e-6, 1, True), (5, 80, True)]
)
def test_ticks_are_round_and_inside(low, high, log):
    ticks = Axis(low, high, log=log).ticks()
    assert 1 <= len(ticks) <= 7 and all(low * (1 - 1e-9) <= t <= high * (1 + 1e-9) or t == 0 for t in ticks)
    assert len(ticks) >= 3 or log


def test_clear_refusals():
    fine = Axis(0, 1)
    for lines in ({}, {str(k): ([0], [0]) for k in range(7)}):
        with pytest.raises(ValueError, match="told apart"):
            curves(lines, fine, fine)
    with pytest.raises(ValueError, match="2 places and 1 values"):
        curves({"a": ([0, 1], [0])}, fine, fine)
    for axis in (Axis(1, 1), Axis(2, 1), Axis(0, math.inf)):
        with pytest.raises(ValueError, match="low number to a higher"):
            curves({"a": ([0], [0])}, axis, fine)
    with pytest.raises(ValueError, match="above zero"):
        curves({"a": ([0], [0])}, Axis(0, 1, log=True), fine)


def test_less_room_beside_makes_the_axes_wider():
    line, x, y = {"a": ([0, 1], [0, 0])}, plots.Axis(0, 1), plots.Axis(0, 1)
    wide, narrow = (
        (plots.curves(line, x, y, beside=beside)[-60:-40] < 255).any(axis=(0, 2)).nonzero()[0].max()
        for beside in (40, 132)
    )
    assert wide == pytest.approx(narrow + 92, abs=2)


def test_a_very_small_tick_is_not_called_zero():
    assert [plots._short(number) for number in (1e-16, 0.0, -0.0, 0.25)] == ["1e-16", "0", "0", "0.25"]


def test_ticks_of_a_long_logarithmic_axis_are_powers():
    long, short = Axis(1e-8, 1e8, log=True), Axis(1e-3, 1, log=True)
    assert [long.label(tick) for tick in long.ticks()] == ["1e-8", "1e-4", "1", "1e4", "1e8"]
    assert [short.label(tick) for tick in short.ticks()] == ["0.001", "0.01", "0.1", "1"]


def test_nothing_and_less_stand_at_the_low_end_of_a_logarithmic_axis():
    axis = Axis(1e-3, 1, log=True)
    assert axis.position(0.0) == axis.position(-1.0) == 0.0 and axis.position(1e9) == 1.0


def test_the_name_stands_at_the_end_of_its_curve():
    page = curves({"a": ([0, 1], [0.0, 1.0])}, Axis(0, 1), Axis(0, 1), height=200)
    rows = (page[:, 520 - RIGHT + 4 :] < 200).any(axis=(1, 2)).nonzero()[0]
    assert abs(rows.mean() - TOP) < 8  # the curve ends at the top
