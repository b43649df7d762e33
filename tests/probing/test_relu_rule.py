"""The three ReLU rules against captum, against a hand-written pass, and against the explicit deconvnet."""

import pytest
import torch
import torch.nn.functional as F
from probed_nets import SMALL, Functional, Residual, one_relu_for_all, random_image, seeded, sequential, state
from torch import nn

from cnnlab.nets import layers
from cnnlab.probing import Recorder, relu_rule

RULES = ["gradient", "deconvnet", "guided"]


def under(model, rule, x, target=2):
    x = x.clone().requires_grad_()
    with relu_rule(model, rule):
        y = model(x)
        return torch.autograd.grad(y[:, target].sum(), x)[0]


class HandRelu(torch.autograd.Function):
    """Independent of the package: the textbook products, on the input of the ReLU."""

    rule = None

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * (x > 0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return {"gradient": g * (x > 0), "deconvnet": g * (g > 0), "guided": g * (g > 0) * (x > 0)}[
            HandRelu.rule
        ]


def by_hand(model, rule, x, target=2):
    HandRelu.rule, relu = rule, HandRelu.apply
    x = x.clone().requires_grad_()
    if isinstance(model, Residual):
        h = relu(model.bn1(model.conv1(x)))
        h = relu(h + model.bn2(model.conv2(h)))
        h = model.pool(torch.cat([h, F.max_pool2d(h, 3, 1, 1)], 1))
        y = model.fc(relu(model.conv3(h)).mean((2, 3)))
    else:
        conv1, conv2, fc1, fc2 = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        h = relu(conv2(F.max_pool2d(relu(conv1(x)), 2))).flatten(1)
        y = fc2(relu(fc1(h)))
    return torch.autograd.grad(y[:, target].sum(), x)[0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [1, 3])
def test_every_way_to_call_a_relu(small, rule, n):
    x = random_image(n=n)
    before = state(small, x)
    got = under(small, rule, x)
    assert state(small, x) == before
    expected = by_hand(small, rule, x)
    assert expected.abs().max() > 1e-6
    assert (got - expected).abs().max() < 1e-15
    if rule != "gradient":
        assert (got - by_hand(small, "gradient", x)).abs().max() > 1e-6


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rule, peer", [("deconvnet", "Deconvolution"), ("guided", "GuidedBackprop")])
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_captum(rule, peer, channels):
    import captum.attr

    model, x = (
        seeded(lambda: sequential(channels=channels)),
        random_image(channels=channels, dtype=torch.float32),
    )
    expected = getattr(captum.attr, peer)(model).attribute(x.clone().requires_grad_(), target=2).detach()
    assert torch.equal(under(model, rule, x), expected)
    assert expected.any()


def test_gradient_is_bitwise_the_plain_gradient_for_any_activation():
    for make in (sequential, Residual, lambda: sequential(nn.GELU)):
        model, x = seeded(make), random_image(dtype=torch.float32)
        leaf = x.clone().requires_grad_()
        assert torch.equal(under(model, "gradient", x), torch.autograd.grad(model(leaf)[:, 2].sum(), leaf)[0])


def test_the_forward_pass_is_the_same(small):
    x = random_image()
    with relu_rule(small, "guided"):
        assert torch.equal(small(x), small(x))
        inside = small(x)
    assert torch.equal(inside, small(x))


@pytest.mark.parametrize(
    "stride", [2, 1]
)  # 2: as drawn in the paper; 1: overlapping windows, whose values add
def test_the_explicit_deconvnet_is_backprop_with_its_rule(stride):
    make = lambda: nn.Sequential(  # noqa: E731
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, stride),
        nn.Conv2d(5, 4, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2, stride),
    )
    model, x = seeded(make, torch.float64), random_image(15).requires_grad_()
    conv1, _, _, conv2, _, _ = model
    a1, s1 = layers.max_pool2d(h1 := layers.relu(conv1(x)), 2, stride)
    a2, s2 = layers.max_pool2d(h2 := layers.relu(conv2(a1)), 2, stride)
    start = torch.zeros_like(a2)
    start[0, 1] = a2.detach()[0, 1]  # one channel, its whole map
    down = layers.relu(layers.max_unpool2d(start, s2, h2.shape))
    down = layers.conv_transpose2d(down, conv2.weight, stride=2, output_padding=(a1.shape[-1] - 3) % 2)
    down = layers.relu(layers.max_unpool2d(down, s1, h1.shape))
    down = layers.conv_transpose2d(down, conv1.weight, padding=1)
    with relu_rule(model, "deconvnet"):
        y = model(x)
        (got,) = torch.autograd.grad(y, x, start)
    assert torch.equal(y, a2)
    assert got.any()
    assert (got - down).abs().max() < 1e-15


def test_deconvnet_without_pooling_is_blind():
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 144, 3)
        ),
        torch.float64,
    )
    one, other = random_image(seed=0), random_image(seed=1)
    assert torch.equal(under(model, "deconvnet", one), under(model, "deconvnet", other))
    assert not torch.equal(under(model, "guided", one), under(model, "guided", other))


def test_with_a_recorder_that_stops(small):
    name = next(
        name for name, module in small.named_modules() if isinstance(module, nn.MaxPool2d | nn.Conv2d)
    )
    x = random_image().requires_grad_()
    for order in (0, 1):
        with Recorder(small, name, stop=True, grad=True) as acts:
            with relu_rule(
                small, "guided"
            ):  # no ReLU before the first convolution: nothing to change, no error
                small(x)
        if order:
            with relu_rule(small, "guided"), Recorder(small, name, stop=True, grad=True) as acts:
                small(x)
        assert torch.autograd.grad(acts[name].sum(), x)[0].any()


@pytest.mark.parametrize("rule", RULES)
def test_a_unit_inside_the_network(rule):
    model, x = (
        seeded(lambda: sequential(lambda: nn.ReLU(inplace=True)), torch.float64),
        random_image().requires_grad_(),
    )
    with relu_rule(model, rule), Recorder(model, "4", stop=True, grad=True) as acts:
        model(x)
        (got,) = torch.autograd.grad(acts["4"][0, 3].sum(), x)
    HandRelu.rule = rule
    y = HandRelu.apply(model[3](F.max_pool2d(HandRelu.apply(model[0](x)), 2)))
    assert (got - torch.autograd.grad(y[0, 3].sum(), x)[0]).abs().max() < 1e-15


def test_a_rule_of_ones_own():
    model, x = seeded(sequential, torch.float64), random_image()
    assert torch.equal(under(model, lambda g, y: g * (g > 0) * (y > 0), x), under(model, "guided", x))
    assert not under(model, lambda g, _: 0 * g, x).any()


def test_part_of_a_model_and_gradients_of_gradients():
    model, x = seeded(sequential, torch.float64), random_image().requires_grad_()
    with relu_rule(model, "guided"):
        (g,) = torch.autograd.grad(
            model[:5](x).sum(), x
        )  # a slice shares the modules: their own passes count
        y = model(x)
        (first,) = torch.autograd.grad(y[0, 0], x, create_graph=True)
    assert g.any() and first.requires_grad
    with pytest.raises(ValueError, match="met no ReLU"), relu_rule(model, "guided"):
        model[:1](x)


def test_only_this_model_is_changed():
    model, other, x = (
        seeded(sequential),
        seeded(sequential),
        random_image(dtype=torch.float32).requires_grad_(),
    )
    (plain,) = torch.autograd.grad(other(x)[0, 2], x)
    with relu_rule(model, "guided"):
        model(x)
        assert torch.equal(torch.autograd.grad(other(x)[0, 2], x)[0], plain)
        z = torch.tensor([-1.0, 1.0], requires_grad=True)
        assert torch.autograd.grad(-F.relu(z).sum(), z)[0].tolist() == [0, -1]  # not 0: the caller's own ReLU
    assert torch.equal(torch.autograd.grad(model(x)[0, 2], x)[0], plain)


def test_the_rule_goes_with_the_forward_pass():
    model, x = seeded(sequential), random_image(dtype=torch.float32).requires_grad_()
    with relu_rule(model, "guided"):
        y = model(x)
    assert torch.equal(torch.autograd.grad(y[0, 2], x)[0], under(model, "guided", x.detach()))
    y = model(x)
    with pytest.raises(ValueError, match="did nothing: run the model inside"), relu_rule(model, "guided"):
        torch.autograd.grad(y[0, 2], x)


def test_a_pass_that_fails_does_not_leave_the_rule_on():
    model, x = seeded(sequential), random_image(dtype=torch.float32)
    with relu_rule(model, "guided"):
        with pytest.raises(RuntimeError):
            model(x[..., 1:])  # fails in the linear layer
        z = torch.tensor([-1.0, 1.0], requires_grad=True)
        assert torch.autograd.grad(-F.relu(z).sum(), z)[0].tolist() == [0, -1]
        model(x)


class Clamped(nn.Module):
    def forward(self, x):
        return x.clamp(min=0).flatten(1)


def test_no_relu_is_said_and_not_silent():
    for model in (Clamped(), nn.Sequential(nn.Conv2d(3, 2, 3), nn.Sigmoid())):
        before = state(model)
        with pytest.raises(ValueError, match="met no ReLU"), relu_rule(model, "guided"):
            model(random_image(dtype=torch.float32))
        assert state(model) == before


@pytest.mark.parametrize(
    "activation",
    [
        nn.GELU,
        nn.SiLU,
        nn.ReLU6,
        nn.LeakyReLU,
        nn.ELU,
        nn.SELU,
        nn.Hardswish,
        nn.Mish,
        nn.PReLU,
        nn.Softplus,
        nn.Hardtanh,
        nn.CELU,
        lambda: nn.LeakyReLU(inplace=True),
        lambda: nn.Threshold(0, 0),
    ],
)
def test_relatives_of_relu_are_refused(activation):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), activation())
    before = state(model)
    with pytest.raises(ValueError, match="is defined for ReLU, and this model uses [a-z]"):
        with relu_rule(model, "guided"):
            model(random_image(dtype=torch.float32))
    assert state(model) == before


def test_a_recurrent_relu_is_refused():
    model = nn.RNN(4, 3, nonlinearity="relu")
    with pytest.raises(ValueError, match="rnn_relu"), relu_rule(model, "guided"):
        model(torch.zeros(2, 1, 4))


def test_wrong_rules():
    with pytest.raises(LookupError, match="no rule 'guidd'. Did you mean 'guided'"):
        with relu_rule(sequential(), "guidd"):
            pass
    with pytest.raises(TypeError, match="a rule is a name or a function"), relu_rule(sequential(), 3):
        pass


def test_large_networks(large):
    x = random_image(64 if large.name != "alexnet" else 96, dtype=torch.float32)
    plain, guided, deconv = (under(large, rule, x) for rule in RULES)
    assert plain.isfinite().all() and guided.isfinite().all() and deconv.isfinite().all()
    assert not torch.equal(plain, guided) and not torch.equal(guided, deconv)
    if large.name in (
        "resnet18",
        "googlenet",
    ):  # no pool but max and mean: an independent count of ReLU calls
        with relu_rule(large, lambda _, y: torch.zeros_like(y)):
            assert not torch.autograd.grad(large(leaf := x.clone().requires_grad_())[0, 0], leaf)[0].any()


def test_the_small_networks_share_and_call_what_they_say():
    shared = one_relu_for_all()
    assert shared[1] is shared[4] is shared[7]
    assert set(Functional.CALLS) < set(SMALL)


class Views(nn.Module):
    """An in-place ReLU on a part of a map, on a map that is read again, and on one of a batch norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 5)

    def forward(self, x):
        h = self.conv(x)
        F.relu(h[:, :3], inplace=True)  # a view: the rest of h stays
        z = self.bn(h)
        torch.relu_(z)
        return self.fc((z + h.tanh()).mean((2, 3)))


@pytest.mark.parametrize("rule", ["deconvnet", "guided"])
def test_in_place_on_views_and_on_maps_that_are_read_again(rule):
    model = seeded(Views, torch.float64).eval()
    x = random_image()
    found = under(model, rule, x)
    leaf, relu = x.clone().requires_grad_(), HandRelu.apply
    HandRelu.rule = rule
    h = model.conv(leaf)
    h = torch.cat([relu(h[:, :3]), h[:, 3:]], dim=1)
    y = model.fc((relu(model.bn(h)) + h.tanh()).mean((2, 3)))
    torch.testing.assert_close(found, torch.autograd.grad(y[:, 2].sum(), leaf)[0])


def test_no_hook_of_all_modules_stays_behind():
    homes = torch.nn.modules.module
    before = [dict(each) for each in (homes._global_forward_hooks, homes._global_forward_pre_hooks)]
    model = seeded(sequential, torch.float64)
    under(model, "guided", random_image())
    with pytest.raises(ZeroDivisionError), relu_rule(model, "guided"):
        model(random_image())
        1 / 0  # noqa: B018
    assert before == [dict(each) for each in (homes._global_forward_hooks, homes._global_forward_pre_hooks)]


def test_another_model_that_runs_inside_the_block_keeps_its_gradient():
    model, other = seeded(sequential, torch.float64), seeded(sequential, torch.float64)
    x = random_image().requires_grad_()
    with relu_rule(model, "deconvnet"):
        model(random_image())
        (inside,) = torch.autograd.grad(other(x)[:, 2].sum(), x)
    (outside,) = torch.autograd.grad(other(x)[:, 2].sum(), x)
    assert torch.equal(inside, outside)
