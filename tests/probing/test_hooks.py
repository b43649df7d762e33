"""Recorder and edit: what they keep, what they change, what they refuse, and that they leave no trace."""

import contextlib

import pytest
import torch
import torch.nn.functional as F
from probed_nets import Residual, random_image, seeded, sequential, state
from torch import nn

from cnnlab.probing import Recorder, edit, eval_mode, relu_rule, shapes


@pytest.fixture
def model():
    return seeded(lambda: sequential(lambda: nn.ReLU(inplace=True)), torch.float64)


def by_hand(model, x, last):
    for module in list(model)[: last + 1]:
        x = module(x.clone())
    return x


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_records_what_came_out_before_the_relu_in_place(model, stop, grad, batch):
    x = random_image(n=batch)
    with Recorder(model, "3", "0", stop=stop, grad=grad) as acts:
        y = model(x)
    assert torch.equal(acts["0"], by_hand(model, x, 0))
    assert torch.equal(acts["3"], by_hand(model, x, 3))
    assert acts["0"].min() < 0
    assert acts["0"].requires_grad == grad
    assert y is None if stop else torch.equal(y, model(x))


def test_no_grad_and_inference_mode(model):
    x = random_image()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode(), Recorder(model, "3", grad=True) as acts:
            model(x)
        assert torch.equal(acts["3"], by_hand(model, x, 3).detach())


def test_gradients_to_a_record_and_from_it(model):
    x = random_image().requires_grad_()
    with Recorder(model, "3", grad=True) as acts:
        y = model(x)
    (to_record,) = torch.autograd.grad(y[0, 2], acts["3"], retain_graph=True)
    rest = acts["3"].detach().requires_grad_()
    (expected,) = torch.autograd.grad(model[4:](rest.clone())[0, 2], rest)
    assert torch.equal(to_record, expected)
    (from_record,) = torch.autograd.grad(acts["3"].sum(), x)
    (expected,) = torch.autograd.grad(by_hand(model, x, 3).sum(), x)
    assert torch.equal(from_record, expected)


def test_stop_does_not_compute_the_rest(model):
    ran = []
    handle = model[6].register_forward_hook(lambda *_: ran.append("6"))
    with Recorder(model, "4", stop=True) as acts:
        assert model(random_image()) is None
        after = "reached"  # code after the pass runs
    handle.remove()
    assert ran == [] and after == "reached" and acts["4"].shape == (1, 8, 6, 6)


def test_stop_in_a_part_called_by_itself(model):
    outer = nn.Sequential(model)
    with Recorder(outer, "0.0", stop=True) as acts:
        model(random_image())
        raise AssertionError("a part has no one to return None for it")
    assert acts["0.0"].shape == (1, 6, 16, 16)


def test_a_recorder_swallows_only_its_own_end(model):
    whole, reached = nn.Sequential(model), []
    with Recorder(whole, "0.0", stop=True) as outer:
        with Recorder(whole, "0.3", stop=True):
            model(random_image())
        reached.append("after the inner block")
    assert not reached and outer["0.0"].shape == (1, 6, 16, 16)


def test_many_passes_keep_the_latest(model):
    with Recorder(model, "0", stop=True) as acts:
        for seed in range(3):
            model(random_image(seed=seed))
            assert torch.equal(acts["0"], by_hand(model, random_image(seed=seed), 0))


def test_nested_recorders_and_a_second_use(model):
    x = random_image()
    inner = Recorder(model, "0", stop=True)
    with Recorder(model, "3") as outer:
        with inner:
            model(x)
        with pytest.raises(LookupError, match="'3' has no record.*ended earlier"):
            outer["3"]
        model(x)
    assert torch.equal(outer["3"], by_hand(model, x, 3))
    first = inner["0"]
    with inner:
        model(x + 1)
        with pytest.raises(ValueError, match="already open"), inner:
            pass
    assert not torch.equal(first, inner["0"])
    with Recorder(model, "0", stop=True) as first, Recorder(model, "3", stop=True) as second:
        assert model(x) is None
    assert first["0"].shape == (1, 6, 16, 16)
    with pytest.raises(LookupError, match="ended earlier"):
        second["3"]


def test_a_layer_that_runs_twice_is_not_guessed():
    net, x = seeded(Residual, torch.float64), random_image()
    with Recorder(net, "relu", "conv1") as acts:
        net(x)
    with pytest.raises(ValueError, match="ran 3 times"):
        acts["relu"]
    first = F.relu(net.bn1(net.conv1(x)))
    second = F.relu(first + net.bn2(net.conv2(first)))
    assert torch.equal(acts.calls("relu")[0], first)
    assert torch.equal(acts.calls("relu")[1], second)
    assert torch.equal(acts["conv1"], net.conv1(x))
    with Recorder(net, "relu", stop=True) as acts:
        net(x)
    assert torch.equal(acts["relu"], first)


def test_records_reasons(model):
    with Recorder(model[0:2], "0") as acts:
        with pytest.raises(LookupError, match="has not been run inside the with block"):
            acts["0"]

    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.used(x)

    with Recorder(Skips().double(), "spare") as acts:
        acts.model(random_image())
    with pytest.raises(LookupError, match="'spare' has no record.*did not call it"):
        acts["spare"]
    with pytest.raises(LookupError, match="no recorded layer 'used'. .*Recorded layers: spare"):
        acts["used"]


@pytest.mark.parametrize(
    "tool", [lambda m: Recorder(m, "conv_1"), lambda m: edit(m, "conv_1", torch.relu).__enter__()]
)
def test_wrong_names_come_with_the_nearest(tool):
    net = seeded(Residual)
    before = state(net)
    with pytest.raises(LookupError, match="no layer 'conv_1'. Did you mean 'conv1'.*Layers: conv1, bn1"):
        tool(net)
    assert state(net) == before


def test_one_wrong_name_among_right_ones_leaves_no_hook(model):
    before = state(model)
    with pytest.raises(LookupError), Recorder(model, "0", "nothing"):
        pass
    with pytest.raises(ValueError, match="at least one layer"):
        Recorder(model)
    with pytest.raises(TypeError, match="a model .* comes first"):
        Recorder("0", "0")
    assert state(model) == before


def test_layers_that_put_out_more_than_a_tensor_are_refused():
    net = nn.Sequential(nn.Flatten(2), nn.LSTM(16, 4))
    before = state(net)
    x = random_image(4, dtype=torch.float32)
    with pytest.raises(TypeError, match="'1' puts out tuple"), Recorder(net, "1"):
        net(x)
    with pytest.raises(TypeError, match="'1' puts out tuple"), edit(net, "1", torch.relu):
        net(x)
    assert state(net) == before


def test_compiled_and_scripted_models_are_refused():
    scripted = torch.jit.ScriptModule()
    fake = nn.Module()
    fake.add_module("_orig_mod", nn.Linear(1, 1))  # what torch.compile returns, without its slow import
    with_call = nn.Linear(1, 1)
    with_call._compiled_call_impl = lambda *_: None  # what .compile() leaves
    for net in (scripted, fake, with_call):
        whole = nn.Sequential(nn.ReLU(), net)
        for tool in (
            lambda m: Recorder(m, "0"),
            lambda m: edit(m, "0", torch.relu).__enter__(),
            lambda m: relu_rule(m, "guided").__enter__(),
        ):
            with pytest.raises(ValueError, match="'1' is compiled or scripted"):
                tool(whole)


def test_edit_ablates_and_patches(model):
    x, keep = random_image(), torch.tensor([1.0, 0, 1, 0, 1, 1], dtype=torch.float64).view(6, 1, 1)
    with edit(model, "0", lambda a: a * keep), Recorder(model, "0") as acts:
        y = model(x)
    assert torch.equal(acts["0"], by_hand(model, x, 0) * keep)
    assert torch.equal(y, model[1:](by_hand(model, x, 0) * keep))
    assert not torch.equal(y, model(x))
    patch = by_hand(model, random_image(seed=1), 0).detach()
    kept = patch.clone()
    with edit(model, "0", lambda _: patch):  # a ReLU in place follows
        assert torch.equal(model(x), model[1:](kept.clone()))
    assert torch.equal(patch, kept)


def test_edit_in_place_and_gradients(model):
    def clear(a):
        a[:, 1] = 0
        return a

    x = random_image().requires_grad_()
    with Recorder(model, "0") as before, edit(model, "0", clear), Recorder(model, "0") as after:
        (g,) = torch.autograd.grad(model(x)[0, 0], x)
    assert before["0"][:, 1].any() and not after["0"][:, 1].any()
    assert g.any()


def test_an_edit_in_place_does_not_reach_the_picture():
    net, x = nn.Sequential(nn.Identity(), nn.Flatten()), random_image()  # Identity hands on the image itself
    before = x.clone()
    with edit(net, "0", lambda a: a.zero_()):
        assert not net(x).any()
    assert torch.equal(x, before)


def test_edit_refuses(model):
    x = random_image()
    with (
        pytest.raises(TypeError, match="must return a tensor, not NoneType"),
        edit(model, "0", lambda _: None),
    ):
        model(x)
    with (
        pytest.raises(ValueError, match=r"keep the shape \(1, 6, 16, 16\)"),
        edit(model, "0", lambda a: a[..., 1:]),
    ):
        model(x)
    with pytest.raises(LookupError, match="nothing was edited"), edit(model, "0", torch.relu):
        pass


class Boom(Exception):
    pass


def uses(name):
    """Every tool, as a block around a pass."""
    return {
        "recorder": lambda m: Recorder(m, name),
        "with grad": lambda m: Recorder(m, name, grad=True),
        "stop": lambda m: Recorder(m, name, stop=True),
        "edit": lambda m: edit(m, name, lambda a: a * 2),
        "guided": lambda m: relu_rule(m, "guided"),
        "deconvnet": lambda m: relu_rule(m, "deconvnet"),
        "gradient": lambda m: relu_rule(m, "gradient"),
        "evaluating": eval_mode,
    }


@pytest.mark.parametrize("tool", uses("").keys())
def test_everything_is_as_before(small, tool):
    name = next(name for name, module in small.named_modules() if isinstance(module, nn.Conv2d))
    small.train()
    next(small.children()).eval()  # a mixture of modes
    x = random_image(n=2)
    seen = []
    handle = small.register_forward_hook(lambda *_: seen.append("mine"))  # the user's own hook stays
    before = state(small, x)
    with eval_mode(small):
        small(x)
    assert state(small, x) == before
    with eval_mode(small), uses(name)[tool](small):
        small(x)
    assert state(small, x) == before
    with pytest.raises(Boom), eval_mode(small), uses(name)[tool](small):
        small(x)
        raise Boom
    assert state(small, x) == before
    with pytest.raises(RuntimeError), eval_mode(small), uses(name)[tool](small):
        small(x[:, :2])  # fails in the middle of the pass
    assert state(small, x) == before
    assert seen
    handle.remove()


def test_large_networks(large):
    x = random_image(64 if large.name != "alexnet" else 96, dtype=torch.float32)
    convs = [name for name, module in large.named_modules() if isinstance(module, nn.Conv2d)]
    names = [name for name in (convs[0], convs[len(convs) // 2]) if not name.startswith("aux")]
    before = state(large, x)
    with torch.no_grad():
        plain = large(x)
        with Recorder(large, *names) as acts:
            assert torch.equal(large(x), plain)
        with Recorder(large, *names, stop=True) as stopped:
            assert large(x) is None
        with edit(large, names[0], torch.zeros_like):
            assert not torch.equal(large(x), plain)
    for name in names:
        assert torch.equal(acts[name], stopped[name])
        assert tuple(acts[name].shape) == shapes(large, x)[name]
    with contextlib.suppress(Boom), Recorder(large, *names), relu_rule(large, "guided"):
        large(x)
        raise Boom
    assert state(large, x) == before


def test_without_a_copy_the_record_is_what_the_layer_put_out(model):
    x = random_image()
    with Recorder(model, "3", stop=True, copy=False) as acts:
        assert model(x) is None
    assert torch.equal(acts["3"], by_hand(model, x, 3))
    with Recorder(nn.Sequential(nn.Identity()), "0", stop=True, copy=False) as acts:
        acts.model(x)
    assert acts["0"].data_ptr() == x.data_ptr()
    for options in ({}, {"stop": True, "grad": True}):
        with pytest.raises(ValueError, match="copy=False needs"):
            Recorder(model, "3", copy=False, **options)
    with pytest.raises(ValueError, match="copy=False needs"):
        Recorder(model, "0", "3", stop=True, copy=False)
