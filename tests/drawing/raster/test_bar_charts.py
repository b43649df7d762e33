"""Bars as bytes: heights, marks, refusals."""

import numpy as np
import pytest

from cnnlab.drawing.raster import plots


def heights(page, count, colour):
    wide = page.shape[1] // count
    return [int((page[:, wide * k] == colour).all(axis=1).sum()) for k in range(count)]


def test_a_bar_is_as_high_as_its_value():
    page = plots.bar_chart([0, 1, 2, 4], width=40, height=100)
    assert page.shape == (100, 40, 3) and heights(page, 4, plots.BAR) == [0, 25, 50, 100]
    assert heights(plots.bar_chart([1, 9], 2, height=100), 2, plots.BAR) == [
        50,
        100,
    ]  # beyond the limit: the top
    assert plots.bar_chart([1] * 500, width=420).shape[1] == 1000  # each at least two wide
    assert heights(plots.bar_chart([0, 0]), 2, plots.BAR) == [0, 0]


def test_marked_bars_have_another_colour_and_a_line_even_where_they_are_empty():
    page = plots.bar_chart([4, 4, 0, 4], width=40, height=100, marked=(1, 2))
    assert heights(page, 4, plots.MARKED) == [0, 100, 3, 0] and heights(page, 4, plots.BAR) == [
        100,
        0,
        0,
        100,
    ]


@pytest.mark.parametrize("values", ([], [-1], [float("nan")], [1, np.inf]))
def test_what_is_no_bar_is_refused(values):
    with pytest.raises(ValueError, match="bars need finite values"):
        plots.bar_chart(values)
