"""Tables of words and numbers: escaped, aligned, read aloud; a terminal gets columns."""

import numpy as np
import pytest
import torch

from cnnlab.drawing import Table

SMALL = Table(["method", "sum", "says"], [["a < b", 1.23456, "x"], ["c", None, "y"]], "Two & two")


def test_html_has_a_caption_headings_and_no_bare_signs():
    shown = SMALL._repr_html_()
    assert "<caption>Two &amp; two</caption>" in shown and "a &lt; b" in shown and "a < b" not in shown
    assert shown.count('scope="col"') == 3 and shown.count('scope="row"') == 2
    assert shown.count("<tr>") == shown.count("</tr>") == 3
    assert shown.count("<th ") == shown.count("</th>") == 5
    assert shown.count("<td ") == shown.count("</td>") == 4


def test_numbers_have_three_digits_and_stand_to_the_right_words_to_the_left():
    assert repr(SMALL).splitlines() == ["method   sum  says", "a < b   1.23  x", "c          -  y"]
    head = SMALL._repr_html_().split("</thead>")[0]
    assert head.index("text-align: left") < head.index("text-align: right") < head.rindex("text-align: left")


@pytest.mark.parametrize(
    ("column", "shown"),
    (
        ([4.1, 3.951], ["4.10", "3.95"]),
        ([0.5, 2.0, 1.0], ["0.5", "2.0", "1.0"]),
        ([0.8199, 0.00123], ["0.820", "0.001"]),
        ([-1.052, 4.0, 272.25], ["-1.05", "4.00", "272.25"]),  # not 4 and -1
        ([1.0, 1e-7], ["1", "1e-07"]),  # fixed decimals would say 0
        ([12345.6, 99.9], ["12346", "100"]),
        ([0.0, -0.25, float("nan"), None, 3], ["0.00", "-0.25", "nan", "-", "3"]),
        ([float("inf"), 0.0], ["inf", "0"]),
    ),
)
def test_the_numbers_of_a_column_have_the_same_decimals(column, shown):
    assert [row[0] for row in Table(["a"], [[entry] for entry in column]).rows] == shown


def test_rows_are_as_long_as_the_header():
    with pytest.raises(ValueError, match=r"rows have 2 entries"):
        Table(["a", "b"], [["c"]])
    with pytest.raises(ValueError, match=r"rows have 2 entries"):
        Table(["a", "b"], [])


def test_numbers_of_numpy_and_torch_are_shown_as_numbers():
    shown = Table(
        ["method", "a", "b"], [["x", np.float32(1.2345679), torch.tensor(0.5)], ["y", np.int64(3), 2]]
    )
    assert repr(shown).splitlines() == ["method     a    b", "x       1.23  0.5", "y          3    2"]
