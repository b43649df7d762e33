"""The live training: it learns, answers while it learns, stops, starts anew, and hides no error."""

import re

import pytest
import torch

from cnnlab.widgets.lessons import live_training


@pytest.fixture
def widget():
    made = live_training.live(epochs=3)
    yield made
    made.stop()
    made.error = None  # what a test provoked was looked at there
    made.wait(180)


def test_nothing_runs_until_train_is_pressed(widget):
    assert not widget.running and widget.model is None and "Press Train" in widget.status.value
    assert widget.halt.button_style == ""


def test_it_learns_and_says_so(widget):
    widget.go.click()
    assert widget.running and widget.halt.button_style == "danger"
    widget.wait(180)
    right = float(re.search(r"([\d.]+)% of 355 test digits right", widget.status.value)[1])
    assert right > 85 and widget.history.stopped == "finished" and widget.status.value.count("Done") == 1
    assert "<svg" in widget.curve.value and '<img src="data:image/png' in widget.filters.value
    assert widget.halt.button_style == ""


def test_pictures_change_while_it_trains(widget):
    seen = set()
    widget.filters.observe(lambda change: seen.add(change["new"]), "value")
    widget.start()
    widget.wait(180)
    assert len(seen) >= 2


def test_stop_ends_it_at_once_and_keeps_what_it_learned(until):
    widget = live_training.live(epochs=10_000)
    widget.start()
    until(lambda: widget._right and widget._drawn)
    widget.halt.click()
    done = len(widget._right)
    widget.wait(180)
    assert len(widget._right) <= done + 1 and widget.history.stopped == "watcher"  # of 10 000 epochs
    assert "Stopped" in widget.status.value and not widget.running


def test_a_second_press_does_not_start_a_second_training(widget):
    widget.start()
    thread = widget._thread
    widget.start()
    assert widget._thread is thread


def test_seed_and_width_decide_the_network(widget):
    weights = []
    for seed, width in ((1, 4), (1, 4), (2, 4), (1, 6)):
        widget.seed.value, widget.width.value = seed, width
        widget.start()
        widget.wait(180)
        weights.append(widget.model.conv1.weight.detach())
    assert torch.allclose(weights[0], weights[1], atol=1e-5)
    assert not torch.allclose(weights[0], weights[2], atol=1e-2) and weights[3].shape[0] == 6


def test_every_learning_rate_runs(widget):
    for _, rate in widget.learning_rate.options:
        widget.learning_rate.value = rate
        widget.start()
        widget.wait(180)
        assert "alert" not in widget.status.value and widget.history is not None


def test_an_error_in_the_thread_is_shown_and_raised(widget, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no <memory>")

    monkeypatch.setattr(live_training, "fit", broken)
    widget.start()
    with pytest.raises(RuntimeError, match="memory"):
        widget.wait(180)
    assert 'role="alert"' in widget.status.value and "&lt;memory&gt;" in widget.status.value
    assert widget.halt.button_style == ""
