"""The widgets of lecture 09: what they say is what torch computes; the live one trains, draws and stops."""

import re

import pytest
import torch

from cnnlab.data import digits
from cnnlab.methods.analysis import signal_propagation
from cnnlab.nets.training import sweep_results, sweeps
from cnnlab.widgets.lessons import batchnorm, live_flight_recorder


@pytest.fixture
def widget():
    made = live_flight_recorder.live(epochs=1, n=128)
    made.depth.value = 5
    yield made
    made.stop()
    made.error = None  # what a test provoked was looked at there
    made.wait(180)


@pytest.mark.parametrize("depth", (1, 20))
@pytest.mark.parametrize("variance", (1.0, 2.0))
def test_the_chain_says_both_ends_and_the_theory(depth, variance):
    said = batchnorm.chain_view(depth, variance, "relu", False, False)[""]
    found = signal_propagation.propagate(depth, variance=variance, width=128, inputs=32)
    assert f"{found.forward[-1].item():.2g} (theory {(variance / 2) ** depth:.2g})" in said
    assert f"slope at the input: {found.backward[0].item():.2g}" in said


def test_the_chain_says_what_is_too_small_for_float32():
    said = batchnorm.chain_view(50, 0.1, "relu", False, False)[""]
    assert "(theory 8.9e-66)" in said and "input: 4.9e-66" in said


def test_the_chain_has_no_theory_where_there_is_none():
    for kind, norm, shortcuts in (("tanh", False, False), ("relu", True, False), ("relu", False, True)):
        assert "no short formula" in batchnorm.chain_view(5, 2.0, kind, norm, shortcuts)[""]


@pytest.mark.parametrize("size", (1, 8))
@pytest.mark.parametrize("momentum", (0.1, 1.0))
def test_what_is_remembered_is_what_torch_remembers(size, momentum):
    """Up to the factor m / (m - 1) of its running variance, which is nearly 1 here."""
    channel, batches = 3, 25
    net = sweeps.network(sweeps.Settings(net="deep", seed=0))
    images = digits.load("train").images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    torchs = torch.nn.BatchNorm2d(12, momentum=momentum)
    with torch.no_grad():
        for chosen in order[: batches * size].split(size):
            torchs(net.conv(net.norm(images[chosen])))
    said = batchnorm.statistics_view(batches, size, momentum, channel)[""]
    mean, std = (float(x) for x in re.findall(r"remembered +(-?[\d.]+)", said))
    assert mean == pytest.approx(torchs.running_mean[channel].item(), abs=0.006)
    assert std == pytest.approx(torchs.running_var[channel].sqrt().item(), rel=0.01, abs=0.006)


def test_each_batch_has_its_own_mean_and_variance():
    net = sweeps.network(sweeps.Settings(net="deep", seed=0))
    images = digits.load("train").images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    means, variances, mean, variance = batchnorm._batches(8, 7, 0)
    with torch.no_grad():
        maps = net.conv(net.norm(images))[:, 7]
    for k, chosen in enumerate(order[:80].split(8)):
        assert means[k] == pytest.approx(maps[chosen].mean().item(), rel=1e-4)
        assert variances[k] == pytest.approx(maps[chosen].var(unbiased=False).item(), rel=1e-4)
    assert (mean, variance) == pytest.approx((maps.mean().item(), maps.var().item()), rel=1e-4)


@pytest.mark.parametrize("exponent", (-3.0, -1.5, 0.0))
def test_rates_show_the_shipped_trainings_and_say_what_diverged(exponent):
    rate = {-3.0: 0.001, -1.5: 0.03, 0.0: 1.0}[exponent]
    view = batchnorm.rates_view(exponent, "loss")
    assert next(iter(view)) == f"learning rate {rate:g}"
    for name, norm in (("with   ", True), ("without", False)):
        found = sweep_results.runs("rates", norm=norm, learning_rate=rate)
        line = next(line for line in view[""].splitlines() if line.startswith(f"{name} batch norm"))
        if found.finished:
            assert f"{found.end('val_accuracy'):.0%}" in line
        assert (f"{found.diverged} of 3 diverged" in line) == (found.diverged > 0)


def test_rates_with_nothing_that_finished_are_drawn_and_said(monkeypatch):
    monkeypatch.setattr(
        sweep_results, "_rows", lambda _name: [row for row in sweeps.load("rates") if row["norm"]]
    )
    view = batchnorm.rates_view(-1.0, "loss")
    assert "without batch norm: no number at the end; 3 of 3 diverged" in view[""]


def test_nothing_runs_until_train_is_pressed(widget):
    assert not widget.running and widget.model is None and "Press Train" in widget.status.value
    assert widget.halt.button_style == ""


@pytest.mark.parametrize(("norm", "residual"), ((False, False), (True, True)))
def test_it_trains_what_was_chosen_and_draws_every_layer(widget, norm, residual):
    widget.norm.value, widget.residual.value, widget.init_gain.value = norm, residual, 0.5
    widget.go.click()
    widget.wait(180)
    assert "Done at epoch 1 of 1, step 4" in widget.status.value and widget.history.stopped == "finished"
    assert (
        widget.stage.value.count("<img") == 4 and "the gradient in each layer at step 4" in widget.stage.value
    )
    assert len(widget.flight.names) == 5 and len(widget.flight.steps) == 4
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in widget.model.modules()) is norm
    assert widget.model.block1.residual is residual
    assert widget.halt.button_style == ""
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in widget.model.modules())


def test_the_gain_is_that_of_the_first_weights(widget):
    stds = []
    for gain in (0.5, 1.0):
        widget.init_gain.value, widget.learning_rate.value = gain, live_flight_recorder.RATES[0]
        widget.start()
        widget.wait(180)
        stds.append(widget._first["notes"][0].std)
    assert stds[1] == pytest.approx(2 * stds[0], rel=0.02)


def test_stop_ends_it_at_once_and_says_so(until):
    widget = live_flight_recorder.live(n=1000)
    widget.epochs.value = 12
    widget.start()
    until(lambda: widget.stage.value)
    assert widget.running and widget.halt.button_style == "danger"
    widget.start()  # does nothing while it trains
    widget.halt.click()
    widget.wait(180)
    assert len(widget.history.loss) < 12 and widget.history.stopped == "watcher"
    assert "Stopped at epoch" in widget.status.value and not widget.running


def test_a_loss_that_is_no_number_is_said(widget):
    widget.init_gain.value, widget.learning_rate.value, widget.depth.value = 4.0, 0.3, 41
    widget.start()
    widget.wait(180)
    assert widget.history.stopped == "diverged" and "The loss is no number at epoch 1" in widget.status.value
    assert "alert" not in widget.status.value


def test_an_error_in_the_thread_is_shown_and_raised(widget, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no <memory>")

    monkeypatch.setattr(live_flight_recorder, "fit", broken)
    widget.start()
    with pytest.raises(RuntimeError, match="memory"):
        widget.wait(180)
    assert 'role="alert"' in widget.status.value and "&lt;memory&gt;" in widget.status.value
    assert widget.halt.button_style == ""
