"""The widgets of lecture 08: units fall silent, curves say what was measured, a turned digit is doubted."""

import re
import threading
import time

import pytest
import torch

from cnnlab.data import digits
from cnnlab.methods.uncertainty import mc_dropout
from cnnlab.nets import models
from cnnlab.nets.training import sweeps
from cnnlab.widgets.lessons import dropout, live_overfitting

GREY = torch.tensor(dropout._DROPPED)


def numbers(text):
    return [float(found) for found in re.findall(r"-?\d+\.\d+", text)]


def test_nothing_dropped_is_the_networks_own_answer():
    view = dropout.units_view(0.0, 3, 1)
    with torch.no_grad():
        logit = models.load("encoder")(dropout._digit(3))[0, 3].item()
    plain, mean, std, formula, by_formula = numbers(view[""])
    assert plain == mean == formula == pytest.approx(logit, abs=0.01) and std == by_formula == 0
    assert any(caption.startswith("0 of 256 units dropped") for caption in view)


@pytest.mark.parametrize("rate", (0.25, 0.5, 0.75))
def test_the_grey_units_are_those_said_and_the_spread_is_that_of_the_formula(rate):
    """Fact 20: Var = sum (w x)^2 p / (1 - p)."""
    view = dropout.units_view(rate, 8, 4)
    caption, sheet = next((said, sheet) for said, sheet in view.items() if "dropped" in said)
    units = torch.from_numpy(sheet[5::10, 5::10].copy())
    grey = int((units == GREY).all(dim=2).sum())
    assert f"{grey} of 256 units dropped" in caption and grey == pytest.approx(256 * rate, abs=40)
    plain, mean, std, _, by_formula = numbers(view[""])
    assert std == pytest.approx(by_formula, rel=0.08) and mean == pytest.approx(plain, abs=0.5)
    other = dropout.units_view(rate, 8, 5)
    assert (next(sheet for said, sheet in other.items() if "dropped" in said) != sheet).any()  # other units


def test_more_dropout_spreads_the_logit_and_costs_answers():
    shares, hills = [], []
    for rate in (0.0, 0.5, 0.9):
        view = dropout.units_view(rate, 9, 1)
        shares.append(int(re.search(r"rightly in (\d+)%", view[""]).group(1)))
        hills.append(next(sheet for said, sheet in view.items() if said.startswith("the logit of 9")))
    assert shares[0] == 100 and shares[1] > 95 > 80 > shares[2]
    assert (hills[0] != hills[1]).any() and (hills[1] != hills[2]).any()


def test_the_curves_by_rate_say_what_the_sweep_measured():
    rows = [row for row in sweeps.load("dropout") if row["dropout"] == 0.6]
    tested = {row["seed"]: row["test_accuracy"] for row in rows}
    text = dropout.rates_view(0.6000000000000001, "accuracy")[""]  # as a slider of floats gives it
    assert f"{sum(tested.values()) / 3:.0%} of the test digits" in text
    assert f"{min(tested.values()):.0%} to {max(tested.values()):.0%}" in text
    found = dropout._by_rate()[0.6]
    last = [row["val_loss"] for row in rows if row["epoch"] == 60]
    assert found.end("val_loss") == pytest.approx(sum(last) / 3) and len(found.curve("loss")) == 60


def test_a_turned_digit_is_doubted_as_mc_dropout_says():
    image, angle = dropout._digit(7), 30
    every = torch.cat([dropout.rotate(image, a) for a in range(0, 181, 10)])
    asked = mc_dropout.predict(models.load("encoder"), every, n_samples=25)
    entropy, information = numbers(dropout.turning_view(angle, 7)[""].splitlines()[1])
    assert entropy == pytest.approx(asked.entropy[3].item(), abs=0.01)
    assert information == pytest.approx(asked.mutual_information[3].item(), abs=0.01)
    upright = numbers(dropout.turning_view(0, 7)[""].splitlines()[1])
    assert upright[0] < entropy and upright[1] < information


def test_the_digits_are_of_the_test_split():
    test = digits.load("test")
    for digit in (0, 9):
        assert any(
            torch.equal(dropout._digit(digit)[0], image) for image in test.images[test.labels == digit]
        )


@pytest.fixture
def widget():
    made = live_overfitting.live(epochs=4)
    yield made
    made.stop()
    made.error = None  # what a test provoked was looked at there
    made.wait(180)


def test_nothing_runs_until_train_is_pressed(widget):
    assert not widget.running and widget.rows is None and "Press Train" in widget.status.value
    assert widget.halt.button_style == ""


@pytest.mark.parametrize("remedy", sweeps.REGULARISERS)
def test_it_is_the_training_of_the_sweeps(widget, remedy):
    widget.regulariser.value, widget.digits.value, widget.label_noise.value, widget.seed.value = (
        remedy,
        200,
        0.1,
        2,
    )
    widget.go.click()
    assert widget.halt.button_style == "danger"
    widget.wait(180)
    settings = sweeps.Settings(regulariser=remedy, digits=200, label_noise=0.1, seed=2, epochs=4)
    assert widget.settings() == settings and widget.rows == sweeps.run_one(settings)
    assert f"Done at epoch 4 of 4, {remedy}" in widget.status.value
    assert widget.curve.value.count("<svg") == 2 and "before" not in widget.curve.value
    assert widget.halt.button_style == ""


def test_the_last_curve_stays_as_before(widget):
    for remedy in ("dropout", "weight decay"):
        widget.regulariser.value = remedy
        widget.start()
        widget.wait(180)
    assert widget.curve.value.count(">before<") == 2
    assert "weight decay; before: dropout" in widget.curve.value


def test_stop_ends_it_and_keeps_the_curve(until):
    widget = live_overfitting.live(epochs=5000)
    widget.slow.value = True
    widget.start()
    thread = widget._thread
    until(lambda: widget.curve.value)
    widget.start()  # a second press does nothing
    assert widget._thread is thread
    widget.halt.click()
    widget.wait(180)
    assert len(widget.rows) < 5000 and not widget.running
    assert "Stopped at epoch" in widget.status.value and widget.rows[-1].stopped == "watcher"


def test_a_second_training_with_dropout_at_once_is_refused_in_words(until):
    first, second = live_overfitting.live(epochs=5000), live_overfitting.live(epochs=1)
    for each in (first, second):
        each.regulariser.value = "dropout"
    first.slow.value = True
    first.start()
    try:
        until(lambda: first.curve.value)
        second.start()
        with pytest.raises(RuntimeError, match="another training with dropout"):
            second.wait(180)
        assert 'role="alert"' in second.status.value and first.running
    finally:
        first.stop()
        first.wait(180)
    second.start()  # the way is free
    second.wait(180)
    assert "Done at epoch 1" in second.status.value and second.error is None


def test_early_stopping_says_whose_weights_it_keeps():
    widget = live_overfitting.live(epochs=60)
    widget.regulariser.value = "early stopping"
    widget.start()
    widget.wait(180)
    last, best = len(widget.rows), min(widget.rows, key=lambda row: row.val_loss).epoch
    assert last == best + 5 < 60
    assert f"Stopped at epoch {last} of 60" in widget.status.value
    assert f"(weights of epoch {best})" in widget.status.value


def test_it_over_fits_within_the_time_of_a_lecture():
    """The issue asks for 20 seconds; two cores take 3. What it works itself counts."""
    widget = live_overfitting.live()
    began = time.process_time()
    widget.start()
    widget.wait(180)
    assert time.process_time() - began < 20
    right = [row.val_accuracy for row in widget.rows]
    assert widget.rows[-1].accuracy > 0.95 and right[-1] < max(right) - 0.05


def test_an_error_in_the_thread_is_shown_and_raised(widget, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no <memory>")

    monkeypatch.setattr(sweeps, "run_one", broken)
    widget.start()
    with pytest.raises(RuntimeError, match="memory"):
        widget.wait(180)
    assert 'role="alert"' in widget.status.value and "&lt;memory&gt;" in widget.status.value
    assert widget.halt.button_style == "" and threading.active_count() < 50
