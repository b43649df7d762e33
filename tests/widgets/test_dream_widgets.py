"""The widgets of lecture 07: a picture is drawn and stopped, photos are dreamt on, places are read."""

import re
import time

import pytest
import torch

from cnnlab.data import photos
from cnnlab.methods import dream as methods
from cnnlab.nets import models
from cnnlab.probing import Recorder
from cnnlab.widgets import dream


@pytest.fixture(scope="module")
def cat():
    return photos.load("cat", size=64)


def test_a_picture_is_drawn_for_what_was_chosen():
    widget = dream.studio(net="simpleconvnet")
    widget.layer.value, widget.number.value, widget.steps.value = "relu2", 3, 12
    widget.start()
    widget.wait(60)
    assert (
        widget.rendered.stopped == "finished"
        and "Done after 12 steps: channel relu2 3" in widget.status.value
    )
    alone = methods.render(
        models.load("simpleconvnet"), methods.channel("relu2", 3), steps=12, rate=0.1, seed=0
    )
    torch.testing.assert_close(widget.rendered.pictures, alone.pictures)
    assert widget.stage.value.count("<img") == 2
    assert not widget.draw.disabled and widget.halt.disabled


def test_stop_keeps_the_picture_so_far():
    widget = dream.studio(net="shapesnet")
    widget.steps.value = 256
    widget.start()
    until = time.monotonic() + 60
    while not widget.stage.value and time.monotonic() < until:
        time.sleep(0.01)
    assert widget.running and widget.draw.disabled
    widget.start()  # does nothing while it draws
    widget.stop()
    widget.wait(60)
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
    assert widget.number.max == 19 and widget.number.description == "class" and widget.layer.disabled
    widget.rough.value, widget.large.value = 2.0, 0.5
    assert str(widget.objective()) == "logit 19 - 2 * total variation - 0.5 * L2"
    widget.kind.value = "layer"
    assert widget.number.disabled


def test_an_error_is_shown_and_draw_can_be_pressed_again():
    widget = dream.studio(net="simpleconvnet")
    widget.objective = lambda: "no objective"
    widget.start()
    with pytest.raises(TypeError):
        widget.wait(60)
    assert 'role="alert"' in widget.status.value and not widget.draw.disabled


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
    said = [int(x) for x in re.findall(r"(\d+) \(", view[""])]
    assert said == best.indices.tolist()
    share = best.values.clamp(min=0).sum() / here.clamp(min=0).sum()
    assert f"together {share:.0%}" in view[""]
    drawn = view[next(caption for caption in view if "the strongest first" in caption)]
    assert drawn.shape[:2] == (2 * 96, 3 * 96)
    areas = [(drawn[r : r + 96, c : c + 96] < 255).any(axis=2).mean() for r in (0, 96) for c in (0, 96, 192)]
    wanted = (best.values / best.values[0]).tolist()
    assert areas == pytest.approx(wanted, abs=0.08)
