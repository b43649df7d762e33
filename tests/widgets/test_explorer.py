"""Explorers without a browser: a control changes, the image changes; errors are shown, and raised."""

import base64
import datetime
import functools
import io
import re

import ipywidgets
import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from cnnlab.data import photos
from cnnlab.drawing.raster import html_image
from cnnlab.widgets import ImageInput, Matrix, explore
from cnnlab.widgets.controls import control
from cnnlab.widgets.explorer import created
from cnnlab.widgets.image_chooser import YOURS


def level(value=0.0, flip=False):
    x = torch.full((4, 4), float(value))
    return 1 - x if flip else x


def pixel(widget):
    (panel,) = widget.panels.values()
    data = base64.b64decode(re.search('base64,([^"]*)"', panel.value)[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[0, 0, 0]


def test_moving_a_slider_changes_the_same_picture_widget():
    widget = explore(level, value=(0.0, 1.0, 0.1), flip=False)
    (panel,) = widget.panels.values()
    assert pixel(widget) == 0
    widget.controls["value"].widget.value = 1.0
    assert pixel(widget) == 255 and list(widget.panels.values()) == [panel]
    widget.controls["flip"].widget.value = True
    assert pixel(widget) == 0


def test_the_words_of_a_picture_follow_the_slider():
    widget = explore(level, value=(0.0, 1.0, 0.1), alt="a grey square")
    (panel,) = widget.panels.values()
    assert 'alt="a grey square"' in panel.value and "value 0<" in widget.spoken.value
    widget.put(value=0.5)
    assert 'alt="a grey square"' in panel.value and "value 0.5<" in widget.spoken.value
    (name,) = re.findall(r'aria-describedby="([^"]+)"', panel.value)
    assert f'id="{name}"' in widget.spoken.value and explore(level, value=(0.0, 1.0))._id != name


def test_a_preset_and_reset_redraw_once():
    calls = []

    def view(a, b):
        calls.append((a, b))
        return torch.zeros(2, 2)

    widget = explore(view, a=(0, 5), b=(0, 5), presets={"both": {"a": 2, "b": 3}}, start={"b": 1})
    buttons = {b.description: b for b in widget.settings.children[0].children}
    buttons["both"].click()
    assert calls == [(0, 1), (2, 3)]
    buttons["Reset"].click()
    assert calls[-1] == (0, 1) and len(calls) == 3


def test_a_view_that_raises_keeps_the_picture_and_shows_the_message():
    def view(value):
        if value > 0.5:
            raise ValueError("too <bright>")
        return level(value)

    widget = explore(view, value=(0.0, 1.0, 0.1))
    widget.put(value=0.2)
    before = pixel(widget)
    widget.put(value=0.9)
    assert "ValueError: too &lt;bright&gt;" in widget.message.value and 'role="alert"' in widget.message.value
    assert pixel(widget) == before
    with pytest.raises(ValueError, match="bright"):
        widget.render(value=0.9)
    widget.put(value=0.1)
    assert widget.message.value == ""


def test_a_view_that_is_broken_from_the_start_raises_at_once():
    with pytest.raises(ZeroDivisionError):
        explore(lambda value: 1 / value, value=(0, 1))


def test_a_value_outside_its_range_is_refused_and_nothing_moves():
    ranges = {"n": (0, 3), "word": ["a", "b"], "m": Matrix(torch.eye(3)), "p": ImageInput(("cat",), size=8)}
    calls = []
    widget = explore(lambda **values: calls.append(values) or torch.zeros(2, 2), **ranges)
    before = [each.widget.value for each in widget.controls.values()]
    for name, value in {"n": 99, "word": "c", "m": torch.eye(4), "p": "dog"}.items():
        with pytest.raises((ValueError, LookupError), match="99|'c'|3 or 5|'dog'"):
            widget.put(**({"n": 2} | {name: value}))
        with pytest.raises((ValueError, LookupError)):
            explore(lambda **values: torch.zeros(2, 2), presets={"x": {name: value}}, **ranges)  # noqa: ARG005
    with pytest.raises(ValueError, match="finite"):
        widget.put(m=torch.full((3, 3), float("nan")))
    assert [each.widget.value for each in widget.controls.values()] == before and len(calls) == 1


def test_pictures_and_tables_start_where_they_are_told_and_render_takes_names():
    widget = explore(
        lambda photo, m: photo * m.sum(),
        photo=ImageInput(("cat", "coffee"), size=16),
        m=Matrix(torch.eye(3)),
        start={"photo": "coffee", "m": torch.full((5, 5), 0.04)},
    )
    assert widget.controls["photo"].widget.value == "coffee" and widget.values["m"].shape == (5, 5)
    rendered = widget.render(photo="cat", m=((0.0,) * 3, (0.0, 1.0, 0.0), (0.0,) * 3))
    assert torch.equal(rendered, photos.load("cat", size=16))
    assert torch.equal(widget.render(photo=torch.zeros(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4))
    with pytest.raises(LookupError, match="dog"):
        explore(lambda photo: photo, photo=ImageInput(("cat",), value="dog"))
    with pytest.raises(ValueError, match="no images"):
        explore(lambda photo: photo, photo=ImageInput(()))


def test_every_value_of_ends_can_be_rendered_too():
    widget = explore(
        lambda photo, m, n: photo * m.mean() * n,
        photo=ImageInput(("cat", "coffee"), size=8),
        m=Matrix(torch.eye(3)),
        n=(0, 2),
    )
    assert len([widget.render(**values) for values in widget.ends()]) == 6


def test_upload_names_the_parameter_that_gets_a_picture():
    widget = explore(lambda mine, n: mine * n, upload="mine", n=(0, 1))
    assert set(widget.controls["mine"].widget.choice.options) == set(photos.names())
    assert widget.render().shape == (1, 3, 224, 224)
    some = explore(lambda mine: mine, upload="mine", mine=["cat", "coffee"])
    assert list(some.controls["mine"].widget.choice.options) == ["cat", "coffee"]
    own = explore(lambda mine: mine, upload="mine", mine=ImageInput(("cat",), size=32))
    assert own.render().shape == (1, 3, 32, 32)


def test_render_is_the_plain_call():
    widget = explore(level, value=(0.0, 1.0, 0.1), flip=True)
    assert torch.equal(widget.render(value=0.25), torch.full((4, 4), 0.75))
    assert widget.values == {"value": 0.0, "flip": True}
    for call in (widget.render, widget.put):
        with pytest.raises(LookupError, match="Did you mean 'value'"):
            call(valu=1)
    with pytest.raises(LookupError, match="parameter"):
        explore(level, value=(0.0, 1.0), presets={"x": {"vlue": 1}})


def test_a_dict_is_a_row_of_captioned_panels_and_may_change():
    def view(n):
        return {"image": torch.zeros(2, 2), "": "one\ntwo"} if n else {"<b>": "text"}

    widget = explore(view, n=(0, 1))
    assert "&lt;b&gt;" in widget.stage.children[0].children[0].value
    widget.put(n=1)
    assert list(widget.panels) == ["image", ""] and "one\ntwo" in widget.panels[""].value


def test_if_one_part_cannot_be_drawn_all_former_pictures_stay():
    def view(n):
        parts = {"first": torch.full((2, 2), n / 3), "second": torch.zeros(2, 2)}
        return parts if n < 2 else {**parts, "second": 5} if n == 2 else {"other": np.zeros((2, 2))}

    widget = explore(view, n=(0, 3))
    before = {caption: panel.value for caption, panel in widget.panels.items()}
    for n in (2, 3):
        widget.put(n=n)
        assert "TypeError" in widget.message.value
        assert {caption: panel.value for caption, panel in widget.panels.items()} == before
        assert len(widget.stage.children) == 2


def test_figures_are_closed_and_other_results_refused():
    def view(n):
        fig, ax = plt.subplots()
        ax.plot([0, n])
        return fig

    widget = explore(view, n=(0, 3))
    first = next(iter(widget.panels.values())).value
    widget.put(n=2)
    assert next(iter(widget.panels.values())).value != first
    assert not plt.get_fignums()
    with pytest.raises(TypeError, match="a view returns"):
        explore(lambda n: n, n=(0, 3))


def test_small_pictures_are_enlarged_sharply_and_large_ones_left():
    (small,) = explore(lambda n: torch.zeros(8, 8), n=(0, 1)).panels.values()  # noqa: ARG005
    assert "width: 256px" in small.value and "pixelated" in small.value
    assert "aspect-ratio: 256 / 256" in small.value  # known before the bytes are unpacked: nothing jumps
    (wide,) = explore(lambda n: torch.zeros(150, 300), n=(0, 1)).panels.values()  # noqa: ARG005
    assert "aspect-ratio: 300 / 150" in wide.value
    (large,) = explore(lambda n: torch.zeros(300, 300), n=(0, 1)).panels.values()  # noqa: ARG005
    assert "width: 300px" in large.value and "pixelated" not in large.value


def test_a_slow_view_waits_until_the_slider_is_let_go(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("cnnlab.widgets.explorer.time.perf_counter", lambda: clock[0])

    def slow(n):
        clock[0] += 0.08
        return torch.zeros(2, 2)

    def fast(n):
        clock[0] += 0.01
        return torch.zeros(2, 2)

    assert not explore(slow, n=(0, 1)).controls["n"].widget.continuous_update
    assert explore(fast, n=(0, 1)).controls["n"].widget.continuous_update
    assert explore(slow, n=(0, 1), continuous=True).controls["n"].widget.continuous_update


def test_one_slow_redraw_does_not_stop_a_slider_and_two_do(monkeypatch):
    took = iter([0.2, 0.001, 0.2, 0.2, 0.001, 0.001])
    clock = [0.0]

    def view(n):  # noqa: ARG001
        clock[0] += next(took)
        return torch.zeros(2, 2)

    monkeypatch.setattr("cnnlab.widgets.explorer.time.perf_counter", lambda: clock[0])
    widget = explore(view, n=(0, 9))
    slider, follows = widget.controls["n"].widget, []
    follows.append(slider.continuous_update)
    for n in range(1, 6):
        slider.value = n
        follows.append(slider.continuous_update)
    assert follows == [False, True, True, False, True, True]


def test_tops_hold_before_and_after_a_change_and_are_checked_before_anything_moves():
    seen = []

    def view(layer, unit):
        assert unit < 10 * (layer + 1)
        seen.append((layer, unit))
        return torch.zeros(2, 2)

    widget = explore(view, layer=[0, 1, 2], unit=(0, 29), tops=lambda held: {"unit": 10 * held["layer"] + 9})
    unit, layer = widget.controls["unit"].widget, widget.controls["layer"].widget
    assert unit.max == 9 and widget.controls["unit"].ends == [0, 9]
    widget.put(unit=29, layer=2)  # the order in which they are given does not matter
    assert seen[-1] == (2, 29)
    layer.value = 1
    assert seen[-1] == (1, 19) and unit.max == 19
    with pytest.raises(ValueError, match="'unit' goes from 0 to 9, not to 15"):
        widget.put(layer=0, unit=15)
    assert seen[-1] == (1, 19) and layer.value == 1
    assert len(seen) == 3  # one redraw for each change


def test_what_the_controls_cannot_hold_together_is_refused_before_anything_moves():
    def view(layer, unit, flip=False, name=""):
        return torch.zeros(2, 2)

    tops = {"tops": lambda held: {"unit": 3 if held["layer"] == "a" else 15}}
    ranges = {"layer": ["a", "b"], "unit": (0, 15)}
    with pytest.raises(ValueError, match="'unit' goes from 0 to 3, not to 9"):
        explore(view, **ranges, **tops, start={"unit": 9})
    with pytest.raises(ValueError, match="'unit' goes from 0 to 3, not to 9"):
        explore(view, **ranges, **tops, presets={"nine": {"unit": 9}})
    with pytest.raises(LookupError, match="no parameter 'units'"):
        explore(view, **ranges, tops=lambda held: {"units": 3})
    widget = explore(
        view, **ranges, **tops, flip=False, name="x", presets={"nine": {"unit": 9, "layer": "b"}}
    )
    for values, words in (
        ({"unit": 2, "flip": "no"}, "True or False, not str 'no'"),
        ({"unit": 2, "name": 5}, "is a text"),
        ({"unit": 2.0}, "is a whole number, not float 2.0"),
        ({"unit": True}, "whole number"),
    ):
        with pytest.raises(ValueError, match=words):
            widget.put(**values)
        assert widget.controls["unit"].widget.value == 0
    tried = list(widget.ends())
    assert all(each["unit"] <= (3 if each["layer"] == "a" else 15) for each in tried)
    assert {(each["layer"], each["unit"]) for each in tried} >= {("a", 0), ("a", 3), ("b", 15), ("b", 9)}
    for each in tried:
        widget.put(**each)


def test_a_slider_shows_the_number_that_the_view_gets():
    widget = explore(lambda x: torch.full((2, 2), x / 20), x=(0.5, 10.5, 1.0))
    assert widget.controls["x"].widget.readout_format == ".1f"


def test_explorers_of_two_kernels_on_one_page_have_ids_of_their_own():
    ids = {explore(lambda n: torch.zeros(2, 2), n=(0, 3))._id for _ in range(50)}
    assert len(ids) == 50 and not any(re.fullmatch(r"cnnlab-\d{1,3}", each) for each in ids)


def test_a_number_too_large_for_a_table_gives_way_to_the_last_one():
    matrix = Matrix(value=torch.eye(3))
    widget = explore(lambda table: torch.zeros(2, 2), table=matrix)
    cell = widget.controls["table"].widget.cells[0][0]
    cell.value = 1e39
    assert cell.value == 1.0 and widget.values["table"][0, 0] == 1.0


def test_ends_cover_every_end_and_preset_and_created_finds_the_widget():
    widget = explore(level, value=(0.0, 1.0, 0.1), flip=False, presets={"half": {"value": 0.5}})
    assert list(widget.ends()) == [
        {"value": 0.0, "flip": False},
        {"value": 1.0, "flip": False},
        {"value": 0.0, "flip": False},
        {"value": 0.0, "flip": True},
        {"value": 0.5, "flip": False},
    ]
    assert widget in created()


@pytest.mark.parametrize(
    ("range_", "kind", "start"),
    (
        ((0, 5), ipywidgets.IntSlider, 0),
        ((0, 1, 0.05), ipywidgets.FloatSlider, 0.0),
        (["a", "b"], ipywidgets.Dropdown, "a"),
        ({"one": 1, "two": 2}, ipywidgets.Dropdown, 1),
        (True, ipywidgets.Checkbox, True),
        ("word", ipywidgets.Text, "word"),
    ),
)
def test_a_range_becomes_its_control_with_a_label(range_, kind, start):
    made = control("window_size", range_)
    assert type(made.widget) is kind and made.value == start
    assert made.widget.description == "window size"


@pytest.mark.parametrize("range_", ((5, 5), (5, 1), [], {}, (0, 5, 0), (0, 1, -0.1), (0, float("inf"))))
def test_empty_ranges_are_refused(range_):
    with pytest.raises(ValueError, match="'x'"):
        control("x", range_)


def test_a_readout_shows_as_many_digits_as_the_step():
    forms = {step: control("x", (0, 1.0, step)).widget.readout_format for step in (0.5, 0.05, 1e-8)}
    assert forms == {0.5: ".1f", 0.05: ".2f", 1e-8: ".3g"}


def test_other_mistakes_in_a_range_are_named():
    with pytest.raises(ValueError, match="not at 7"):
        control("x", (0, 5), start=7)
    with pytest.raises(ValueError, match="cannot start at 'c'"):
        control("x", ["a", "b"], start="c")
    with pytest.raises(TypeError, match="Matrix"):
        control("x", {1, 2})


def test_matrix_editor_edits_grows_and_shrinks_about_the_middle():
    seen = []
    widget = explore(lambda m: seen.append(m) or torch.zeros(2, 2), m=Matrix(torch.eye(3)))
    editor = widget.controls["m"].widget
    editor.cells[0][1].value = 5.0
    assert seen[-1].tolist() == [[1, 5, 0], [0, 1, 0], [0, 0, 1]] and len(seen) == 2
    editor.side.value = 5
    assert seen[-1].shape == (5, 5) and seen[-1][1, 2] == 5 and len(editor.table.children) == 25
    editor.side.value = 3
    assert seen[-1].tolist() == [[1, 5, 0], [0, 1, 0], [0, 0, 1]]
    widget.put(m=torch.ones(7, 7))
    assert seen[-1].shape == (7, 7) and editor.side.value == 7
    widget.reset()
    assert torch.equal(seen[-1], torch.eye(3))


def test_matrix_cells_are_named_and_a_wrong_table_is_refused():
    editor = control("kernel", Matrix(torch.eye(3))).widget
    assert editor.cells[1][2].description == "row 2, column 3"
    with pytest.raises(Exception, match="3 or 5 or 7"):
        editor.value = torch.ones(4, 4)


def upload(chooser, data, name="me.png"):
    chooser.upload.value = (
        {
            "name": name,
            "type": "image/png",
            "size": len(data),
            "content": data,
            "last_modified": datetime.datetime(2026, 1, 1),
        },
    )


def test_own_picture_is_shown_and_a_bad_one_refused_with_the_former_kept():
    widget = explore(lambda photo: photo, photo=ImageInput(("cat", "coffee"), size=32))
    chooser = widget.controls["photo"].widget
    assert pixel(widget) != 255
    upload(chooser, html_image.encode(np.full((40, 50, 3), 255, np.uint8)))
    assert chooser.value == YOURS and pixel(widget) == 255 and "me.png" in chooser.message.value
    upload(chooser, b"<script>no image</script>", "bad.png")
    assert 'role="alert"' in chooser.message.value and pixel(widget) == 255
    assert chooser.upload.layout.flex == "0 0 auto"  # the complaint does not squeeze the button
    upload(chooser, html_image.encode(np.full((40, 50, 3), 7, np.uint8)), "<b>.png")
    assert pixel(widget) == 7 and "&lt;b&gt;" in chooser.message.value
    widget.reset()
    assert chooser.value == "cat"


def test_another_own_picture_is_one_redraw():
    calls = []
    widget = explore(lambda photo: calls.append(1) or photo, photo=ImageInput(("cat",), size=8))
    for k in range(3):
        upload(widget.controls["photo"].widget, html_image.encode(np.full((8, 8, 3), 40 * k, np.uint8)))
        assert len(calls) == k + 2 and pixel(widget) == 40 * k


def test_a_view_cannot_spoil_the_picture_for_the_next_one():
    def spoil(photo):
        shown = photo.clone()
        photo.zero_()
        return shown

    widget = explore(spoil, photo=ImageInput(("cat",), size=16))
    assert torch.equal(widget.render(), widget.render())


def test_redrawing_leaves_matplotlib_and_the_random_state_alone():
    before, state = matplotlib.rcParams.copy(), torch.get_rng_state()
    explore(level, value=(0.0, 1.0)).put(value=1.0)
    assert matplotlib.rcParams == before and torch.equal(torch.get_rng_state(), state)


def test_a_view_without_a_name_is_called_the_view():
    widget = explore(functools.partial(level), value=(0.0, 1.0))
    assert widget.alt == "the view"


def test_a_picture_that_stays_the_same_is_not_sent_again():
    """Also if the view draws into the same array, and also if other captions change around it."""
    page = np.zeros((8, 8, 3), np.uint8)
    still = torch.rand(120, 120)

    def view(n):
        page[:] = 10 * n
        return {"still": still, "drawn into": page, f"n is {n}": torch.full((8, 8), n / 9)}

    widget = explore(view, n=(0, 9))
    sent = []
    first = widget.panels["still"], widget.panels["drawn into"]
    for panel in first:
        panel.observe(lambda change: sent.append(change["owner"]), "value")
    widget.put(n=4)
    assert list(widget.panels) == ["still", "drawn into", "n is 4"]
    assert (widget.panels["still"], widget.panels["drawn into"]) == first and sent == [first[1]]
    assert all("<img" in panel.value for panel in widget.panels.values())
    widget.put(n=4)
    assert sent == [first[1]]
