"""Signals through deep chains: fact 21, the theory line, and gradients that vanish or explode."""

import pytest
import torch

from cnnlab.methods.analysis import signal_propagation


def test_he_keeps_the_size_and_one_over_n_loses_it():
    """Fact 21: 20 ReLU layers of width 256: 2/n keeps E[h^2], 1/n gives about 2^-20."""
    kept = torch.stack(
        [signal_propagation.propagate(20, variance=2, seed=s).forward[-1] for s in range(20)]
    ).mean()
    lost = torch.stack(
        [signal_propagation.propagate(20, variance=1, seed=s).forward[-1] for s in range(20)]
    ).mean()
    assert 0.6 < kept < 1.5 and 0.6 * 2**-20 < lost < 1.5 * 2**-20


@pytest.mark.parametrize("activation", ("relu", "linear"))
@pytest.mark.parametrize("variance", (0.5, 1.0, 2.0, 3.0))
def test_the_theory_line_is_the_mean_over_many_weights(activation, variance):
    runs = [
        signal_propagation.propagate(6, variance=variance, activation=activation, seed=s) for s in range(40)
    ]
    mean = torch.stack([run.forward for run in runs]).mean(0)
    torch.testing.assert_close(mean, runs[0].theory, rtol=0.15, atol=0)


def test_gradients_vanish_and_explode_as_the_signal_does():
    for variance, smaller in ((1.0, True), (4.0, False)):
        found = signal_propagation.propagate(20, variance=variance)
        assert (found.backward[0] < found.backward[-1]).item() is smaller
        assert found.backward[-1] == 1


@pytest.mark.parametrize("variance", (0.1, 4.0))
def test_fifty_layers_leave_float32_and_are_no_zero_and_no_infinity(variance):
    """0.05 ** 50 is 1e-65: smaller than all numbers of float32."""
    found = signal_propagation.propagate(50, variance=variance, width=128, inputs=32)
    for end in (found.forward[-1], found.backward[0]):
        assert abs(end.log10() - found.theory[-1].log10()) < 3
    assert found.theory[-1].item() == pytest.approx((variance / 2) ** 50)


def test_a_chain_by_hand():
    found = signal_propagation.propagate(3, variance=1.5, width=4, inputs=5, seed=7)
    random = torch.Generator().manual_seed(7)
    h = torch.randn(5, 4, generator=random, dtype=torch.float64)
    for layer in range(1, 4):
        weight = torch.randn(4, 4, generator=random, dtype=torch.float64) * (1.5 / 4) ** 0.5
        h = torch.stack([(row @ weight).clamp(min=0) for row in h])
        assert found.forward[layer].item() == pytest.approx(h.square().mean().item(), rel=1e-5)


def test_norm_keeps_any_variance_and_a_shortcut_keeps_the_gradient():
    for variance in (0.01, 100.0):
        found = signal_propagation.propagate(20, variance=variance, norm=True)
        assert 0.4 < found.forward[-1] < 0.6  # half of a unit variance is above zero
        assert found.theory is None
    plain, short = (signal_propagation.propagate(20, variance=0.2, residual=s) for s in (False, True))
    assert plain.backward[0] < 1e-12 and short.backward[0] > 0.5


def test_the_normalised_have_the_mean_square_one_also_of_few_inputs():
    """Divided by n, as batch norm does; by n - 1 it would be 3/4 of four inputs."""
    found = signal_propagation.propagate(3, activation="linear", inputs=4, norm=True, width=64)
    torch.testing.assert_close(found.forward[1:], torch.ones(3).double(), rtol=1e-3, atol=0)


def test_norm_and_shortcuts_together_add_something_in_every_layer():
    both = signal_propagation.propagate(10, norm=True, residual=True)
    assert (both.forward[1:] > both.forward[:-1]).all() and both.forward[-1] > 5


def test_tanh_has_no_theory_and_stays_below_one():
    found = signal_propagation.propagate(10, variance=50, activation="tanh")
    assert found.theory is None and found.forward[1:].max() <= 1 and found.dead.max() == 0


def test_a_dead_start_and_clear_refusals():
    assert signal_propagation.propagate(3, variance=0).dead[1:].min() == 1
    with pytest.raises(LookupError, match="activation"):
        signal_propagation.propagate(activation="gelu")
    for options in ({"depth": 0}, {"width": 1.5}, {"inputs": True}):
        with pytest.raises(ValueError, match="whole number"):
            signal_propagation.propagate(**options)
    with pytest.raises(ValueError, match="2 inputs or more"):
        signal_propagation.propagate(3, inputs=1, norm=True)
    for variance in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="variance"):
            signal_propagation.propagate(variance=variance)


def test_the_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    with torch.inference_mode():
        signal_propagation.propagate(3)
    assert torch.equal(torch.get_rng_state(), state)
