"""Names that would lie on each other: apart, in their order, within the room, and not moved without need."""

import itertools

import pytest

from cnnlab.drawing.label_layout import separate_labels


@pytest.mark.parametrize(
    "heights", [[50.0] * 6, [400.0, 410.0, 420.0], [0.0, 5.0, 300.0, 301.0], [440.0] * 6, [7.0], []]
)
@pytest.mark.parametrize("turned", (False, True))
def test_no_two_are_nearer_than_a_gap_and_none_leaves_the_room(heights, turned):
    heights = heights[::-1] if turned else heights
    found = separate_labels(heights, 34, low=0, high=440)
    assert all(abs(a - b) >= 34 - 1e-9 for a, b in itertools.combinations(found, 2))
    assert all(0 <= place <= 440 for place in found) and len(found) == len(heights)
    pairs = itertools.combinations(zip(heights, found, strict=True), 2)
    assert all((a[0] < b[0]) <= (a[1] < b[1]) for a, b in pairs)


def test_what_is_far_enough_stays_and_the_lowest_of_those_that_are_near():
    assert separate_labels([10.0, 30.0, 20.0], 10) == [10.0, 30.0, 20.0]
    assert separate_labels([100.0, 10.0, 101.0], 10) == [100.0, 10.0, 110.0]


def test_at_the_end_of_the_room_the_others_give_way():
    assert separate_labels([100.0, 101.0], 10, high=105) == [95.0, 105.0]
    assert separate_labels([-5.0, 200.0], 10, low=0, high=150) == [0.0, 150.0]
    assert separate_labels([5.0] * 3, 10, low=0, high=10) == [-10.0, 0.0, 10.0]  # no room for three
