"""The flight recorder: its numbers against plain loops, what counts as a step, bounded memory, no traces."""

import pytest
import torch
from torch import nn

from cnnlab.nets import deep
from cnnlab.probing.flight_recorder import FlightRecorder, Note


def small(inplace=False):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace), nn.Flatten(), nn.Linear(4 * 36, 3)).train()


def step(model, x):
    out = model(x)
    out.square().sum().backward()
    return out


@pytest.mark.parametrize("inplace", (False, True))
def test_the_numbers_of_one_step_against_plain_ones(inplace):
    model, x = small(inplace), torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        model[0].bias[2] = -50  # one channel is dead
    with FlightRecorder(model, "0", "1") as flight:
        step(model, x)
    h = torch.nn.functional.conv2d(x, model[0].weight, model[0].bias).detach().requires_grad_()
    r = h.relu()
    model[3](r.flatten(1)).square().sum().backward(inputs=[h])
    for name, values in (("0", h.detach()), ("1", r.detach())):
        note = flight.last(name)
        assert note.mean == pytest.approx(values.mean().item(), rel=1e-5)
        assert note.std == pytest.approx(values.std(unbiased=False).item(), rel=1e-5)
        dead = [all(values[n, c].max() <= 0 for n in range(5)) for c in range(4)]
        assert note.dead == pytest.approx(sum(dead) / 4) and note.dead >= 0.25
    assert flight.last("0").gradient == pytest.approx(h.grad.square().mean().sqrt().item(), rel=1e-5)


def test_only_training_passes_with_a_graph_are_steps():
    model, x = small(), torch.rand(2, 1, 8, 8)
    with FlightRecorder(model) as flight:
        step(model, x)
        with torch.no_grad():
            model(x)
        model.eval()
        model(x)
        model.train()
        step(model, x)
    assert len(flight.steps) == 2 and flight.names == ["0", "1", "2", "3"]
    assert len(flight["1"].gradient) == 2


def test_memory_is_bounded_and_the_steps_stay_evenly_spread():
    model, x = small(), torch.rand(2, 1, 8, 8)
    with FlightRecorder(model, "1", most=8) as flight:
        for _ in range(50):
            step(model, x)
    assert 4 <= len(flight.steps) <= 8 and flight.steps[-1] >= 40
    assert {b - a for a, b in zip(flight.steps, flight.steps[1:], strict=False)} == {flight.every}
    assert len(flight["1"].mean) == len(flight.steps)


def test_every_so_many_steps():
    model, x = small(), torch.rand(2, 1, 8, 8)
    with FlightRecorder(model, "1", every=3) as flight:
        for _ in range(8):
            step(model, x)
    assert flight.steps == [0, 3, 6]


def test_no_traces_are_left_after_an_error_and_the_training_is_the_same():
    model, x = small(), torch.rand(2, 1, 8, 8)
    with pytest.raises(KeyError), FlightRecorder(model):
        step(model, x)
        raise KeyError
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in model.modules())
    plain, watched = small(), small()
    step(plain, x)
    with FlightRecorder(watched):
        step(watched, x)
    for a, b in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_a_pass_without_a_way_back_has_no_gradient():
    model = small()
    with FlightRecorder(model, "1") as flight:
        model(torch.rand(2, 1, 8, 8))
    assert flight.last("1").gradient != flight.last("1").gradient  # nan


def test_residual_blocks_inside_and_the_names_of_the_leaves():
    model = deep.deep(5, residual=True).train()
    with FlightRecorder(model) as flight:
        step(model, torch.rand(4, 1, 28, 28))
    assert "block1.relu1" in flight.names and "block1" not in flight.names
    assert flight.last("block2.conv2").gradient > 0


class Twice(nn.Module):
    """One ReLU behind two layers."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.relu = nn.Linear(4, 3), nn.Linear(3, 2), nn.ReLU()

    def forward(self, x):
        return self.relu(self.two(self.relu(self.one(x)).neg()))


def test_a_layer_that_runs_twice_has_notes_of_both_runs():
    torch.manual_seed(0)
    model, x = Twice().train(), torch.rand(6, 4)
    with FlightRecorder(model) as flight:
        for _ in range(2):
            step(model, x)
    assert flight.names == ["one", "two", "relu", "relu (2)"]
    for name, values in (("relu", model.one(x).relu()), ("relu (2)", model(x))):
        assert flight[name].mean == pytest.approx([values.mean().item()] * 2)
    assert flight.last("relu").gradient != flight.last("relu (2)").gradient


def test_a_pass_that_failed_and_one_without_a_graph_are_no_steps():
    model, x = small(), torch.rand(2, 1, 8, 8)
    with FlightRecorder(model, "1", every=2) as flight:
        with pytest.raises(RuntimeError):
            model(torch.rand(2, 1, 9, 9))  # fails in its last layer
        with torch.no_grad():
            model(x)  # in training mode, as when running statistics are counted anew
        for _ in range(3):
            step(model, x)
    assert flight.steps == [0, 2] and all(g == g for g in flight["1"].gradient)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        *((torch.float16, size) for size in (1e-5, 3e3)),  # it knows no 1e-30 and no 1e30
        *((dtype, size) for dtype in (torch.bfloat16, torch.float32) for size in (1e-30, 1e-5, 3e3, 1e30)),
    ],
)
def test_what_nearly_vanishes_or_explodes_is_no_zero_and_no_infinity(dtype, size):
    """Squared in its own type, each of these sizes would be 0 or inf somewhere."""
    model = nn.Sequential(nn.Identity()).train()
    x = torch.tensor([[1.0, -1.0]]).mul(size).to(dtype).requires_grad_()
    with FlightRecorder(model) as flight:
        model(x).backward(torch.full_like(x, size))
    note = flight.last("0")
    assert note.std == pytest.approx(size, rel=0.01) == pytest.approx(note.gradient, rel=0.01)


def test_numbers_that_are_none_and_empty_batches():
    with FlightRecorder(small(), "1") as flight:
        step(flight._model, torch.full((2, 1, 8, 8), torch.nan))
        step(flight._model, torch.rand(0, 1, 8, 8))
    assert len(flight.steps) == 1 and all(number != number for number in flight.last("1"))


def test_a_layer_without_one_tensor_is_refused_where_it_is_asked_for():
    class Memory(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.out = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

        def forward(self, x):
            return self.out(self.cells(x)[0][:, -1])

    model, x = Memory().train(), torch.rand(2, 5, 4)
    with FlightRecorder(model) as flight:
        step(model, x)
    assert flight.last("out").mean == flight.last("out").mean
    assert all(mean != mean for mean in flight["cells"].mean)  # nan
    with pytest.raises(TypeError, match="'cells' puts out tuple"), FlightRecorder(model, "cells"):
        step(model, x)
    assert all(not part._forward_hooks for part in model.modules())


def test_two_recorders_at_once_see_the_same_and_one_is_opened_once():
    model, x = small(), torch.rand(2, 1, 8, 8)
    with FlightRecorder(model) as one, FlightRecorder(model, "1", "1") as other:
        step(model, x)
        with pytest.raises(ValueError, match="already open"), one:
            pass
        step(model, x)
    assert one["1"] == other["1"] and other.names == ["1"] and len(one.steps) == 2
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in model.modules())
    with one:  # afterwards it goes on
        step(model, x)
    assert one.steps == [0, 1, 2]


def test_clear_refusals():
    model = small()
    with pytest.raises(LookupError, match="relu9"):
        FlightRecorder(model, "relu9")
    for options in ({"every": 0}, {"most": 1}, {"every": True}):
        with pytest.raises(ValueError, match="whole number"):
            FlightRecorder(model, **options)
    with FlightRecorder(model, "1") as flight:
        pass
    with pytest.raises(LookupError, match="nothing was recorded"):
        flight.last("1")
    for ask in (flight.__getitem__, flight.last):
        with pytest.raises(LookupError, match="no recorded layer '0'. Recorded layers: 1"):
            ask("0")
    with pytest.raises(ValueError, match="Linear has no layers inside"):
        FlightRecorder(nn.Linear(2, 2))
    assert flight["1"] == Note([], [], [], [])
