"""The widgets of lecture 07: a picture is drawn and stopped, photos are dreamt on, places are read."""

import re

import pytest
import torch

from cnnlab.data import photos
from cnnlab.drawing import sheets
from cnnlab.methods import dream as methods
from cnnlab.nets import icons, models
from cnnlab.probing import Recorder
from cnnlab.widgets.lessons import dream


@pytest.fixture(scope="module")
def cat():
    return photos.load("cat", size=64)


def test_a_picture_is_drawn_for_what_was_chosen():
    widget = dream.studio(net="simpleconvnet")
    widget.layer.value, widget.number.value, widget.steps.value = "relu2", 3, 12
    widget.start()
    widget.wait(180)
    assert (
        widget.rendered.stopped == "finished"
        and "Done after 12 steps: channel relu2 3" in widget.status.value
    )
    alone = methods.render(
        models.load("simpleconvnet"), methods.channel("relu2", 3), steps=12, learning_rate=0.1, seed=0
    )
    torch.testing.assert_close(widget.rendered.images, alone.images)
    steps = [int(step) for step in re.findall(r"<div>step (\d+)</div>", widget.stage.value)]
    assert widget.stage.value.count("<img") == 1 + len(steps)
    assert steps[0] == 1 and steps[-1] == 12 and len(steps) <= 6 and steps == sorted(set(steps))
    assert widget.halt.button_style == ""


def test_stop_keeps_the_picture_so_far(until):
    widget = dream.studio(net="shapesnet")
    widget.steps.value = 256
    widget.start()
    until(lambda: widget.stage.value)
    assert widget.running and widget.halt.button_style == "danger"
    widget.start()  # does nothing while it draws
    widget.stop()
    widget.wait(180)
    assert widget.rendered.stopped == "stopped" and len(widget.rendered.history) < 256
    assert "Stopped after" in widget.status.value and "<img" in widget.stage.value


def test_controls_follow_what_is_asked_for():
    widget = dream.studio()
    widget.layer.value = "relu5"
    assert widget.number.max == 191
    widget.number.value = 150
    widget.layer.value = "relu2"
    assert widget.number.max == 63 and widget.number.value == 63
    widget.kind.value = "logit"
    assert widget.number.disabled and widget.layer.disabled and not widget.target.disabled
    widget.target.value = widget.model.classes.index("lion")
    widget.rough.value, widget.large.value, widget.soft.value = 3, 10, 100
    assert str(widget.objective()) == "logit lion - 3 * total variation - 10 * L2 - 100 * blur"
    widget.kind.value = "layer"
    assert widget.number.disabled and widget.target.disabled


def test_before_it_draws_it_shows_what_was_drawn_before():
    widget = dream.studio(net="photonet")
    first = widget.stage.value
    assert "relu3, channel 37, drawn before" in first and "shipped" in widget.status.value
    widget.number.value = 5
    assert "channel 5, drawn before" in widget.stage.value and widget.stage.value != first
    widget.kind.value = "neuron"  # there is no icon of it
    assert widget.stage.value == "" and "Press Draw" in widget.status.value


def test_the_strip_is_spread_over_the_climb():
    widget = dream.studio(net="simpleconvnet")
    widget.steps.value = 96
    widget.start()
    widget.wait(180)
    steps = [int(step) for step in re.findall(r"<div>step (\d+)</div>", widget.stage.value)]
    assert steps == [1, 20, 39, 58, 77, 96]


def test_presets_say_all_that_they_need():
    widget = dream.octaves()
    for values in widget.presets.values():
        assert set(values) == {"octaves", "steps"}


def test_an_error_is_shown_and_draw_can_be_pressed_again():
    widget = dream.studio(net="simpleconvnet")
    widget.objective = lambda: "no objective"
    widget.start()
    with pytest.raises(TypeError):
        widget.wait(180)
    assert 'role="alert"' in widget.status.value and widget.halt.button_style == ""


def test_no_steps_give_the_photo_back_and_steps_raise_the_layer(cat):
    same = dream.octaves_view(cat, "relu4", 3, 0)
    assert (same["the photo"] == same["the dream"]).all()
    more = dream.octaves_view(cat, "relu4", 2, 6)
    before, after = (float(x) for x in re.findall(r"(\d+\.?\d*(?:e-?\d+)?) for", more[""]))
    with torch.no_grad(), Recorder(models.load("photonet"), "relu4", stop=True) as acts:
        acts.model(cat)
    assert before == pytest.approx(acts["relu4"].square().mean().item(), rel=0.01) and after > 1.5 * before


def test_a_place_is_read_by_its_strongest_channels(cat):
    view = dream.dictionary_view(cat, "relu4", 3, 4)
    with torch.no_grad(), Recorder(models.load("photonet"), "relu4", stop=True) as acts:
        acts.model(cat)
    here = acts["relu4"][0, :, 3, 4]
    best = here.topk(6)
    share = best.values.clamp(min=0).sum() / here.clamp(min=0).sum()
    assert f"together {share:.0%}" in view[""]
    drawn = view["channel and answer; the area is the answer"]
    names = [
        f"{k}: {value:.2f}" for k, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    few = icons.load("photonet", "relu4")[best.indices]
    assert (drawn == sheets.icons(few, best.values, names)).all()


def test_controls_may_be_moved_while_it_draws(until):
    widget = dream.studio(net="shapesnet")
    widget.steps.value = 200
    widget.start()
    until(lambda: widget.stage.value.count("step"))
    layers = widget.layer.options
    for k in range(12):
        widget.layer.value = layers[k % len(layers)]
        widget.kind.value = ("channel", "logit")[k % 2]
    widget.stop()
    widget.wait(180)
    assert widget.error is None and widget.rendered is not None


@pytest.mark.parametrize("change", [("moved", False), ("waves", False), ("seed", 3)])
def test_every_setting_counts(change):
    found = []
    for changed in (False, True):
        widget = dream.studio(net="simpleconvnet")
        widget.steps.value = 8
        if changed:
            getattr(widget, change[0]).value = change[1]
        widget.start()
        widget.wait(180)
        found.append(widget.rendered.images)
    assert (found[0] - found[1]).abs().max() > 1e-3
