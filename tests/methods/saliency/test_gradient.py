"""Gradients against captum, finite differences and closed forms; guided backprop at every ReLU or not at
all."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from explained_nets import AWKWARD, Formula, awkward, pixels, without_bias
from probed_nets import Functional, random_image, seeded, sequential, torchvision_net
from torch import nn

from cnnlab.methods.saliency.gradient import gradient, gradient_x_input
from cnnlab.methods.saliency.guided_backprop import guided_backprop, rectified_backprop
from cnnlab.methods.targets import top_classes
from cnnlab.nets import models
from cnnlab.probing import Unit, memory_format
from cnnlab.probing.memory_format import to_fast_memory_format

pytestmark = pytest.mark.filterwarnings(
    "ignore:Setting backward hooks on ReLU", "ignore:Setting forward, backward hooks"
)


def near(one, other, share=1e-5):
    assert one.shape == other.shape and other.any()
    return bool((one - other).abs().max() <= share * other.abs().max())


def by_captum(peer, model, x, target, **options):
    return peer(model).attribute(x.clone().requires_grad_(), target=target, **options).detach()


# --- gradient ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("output", ("logit", "probability"))
def test_gradient_is_autograds_on_every_build(name, output):
    model, x = awkward(name), random_image(n=3)
    numbers = torch.tensor([1, 4, 0])
    found = gradient(model, x, numbers, output=output, batch=2)
    leaf = x.clone().requires_grad_()
    logits = model(leaf.clone())
    scores = (logits.softmax(1) if output == "probability" else logits)[range(3), numbers]
    (expected,) = torch.autograd.grad(scores.sum(), leaf)
    assert near(found.map, expected, 1e-12) and torch.allclose(found.score, scores.detach(), atol=1e-14)
    assert torch.equal(found.target, numbers) and tuple(found.passes) == (3, 3)
    assert found.reference is None and found.gap is None and found.seconds > 0
    assert torch.equal(found.total, found.map.sum((1, 2, 3)))


def test_gradient_by_finite_differences():
    model, x = awkward("sequential"), random_image()
    found = gradient(model, x, 3).map
    near_zero = 1e-6 * found.abs().max().item()  # a difference of two scores loses ten of their digits
    for position in [(0, 0, 5, 5), (0, 2, 0, 0), (0, 1, 15, 7)]:
        up, down = x.clone(), x.clone()
        up[position], down[position] = up[position] + 1e-6, down[position] - 1e-6
        difference = (model(up) - model(down))[0, 3] / 2e-6
        assert found[position].item() == pytest.approx(difference.item(), rel=1e-6, abs=near_zero)


@pytest.mark.parametrize(
    "net, size", [("photonet", 64), ("shapesnet", 64), ("alexnet", 96), ("resnet18", 64)]
)
def test_captum_on_the_networks_of_the_course(net, size):
    model = models.load(net) if size == 64 and net != "resnet18" else torchvision_net(net)
    # In float32 a ReLU near zero is on in one order of adding and off in another.
    model, x, target = model.double(), random_image(size, n=2), torch.tensor([1, 3])
    found = gradient(model, x, target)
    assert near(found.map, by_captum(captum.attr.Saliency, model, x, target, abs=False), 1e-10)
    times = gradient_x_input(model, x, target)
    assert near(times.map, by_captum(captum.attr.InputXGradient, model, x, target), 1e-10)
    assert times.reference is None
    if net != "resnet18":  # captum refuses its shared ReLUs
        assert near(
            guided_backprop(model, x, target).map,
            by_captum(captum.attr.GuidedBackprop, model, x, target),
            1e-4,
        )


@pytest.mark.parametrize("method", (gradient, gradient_x_input, guided_backprop))
def test_the_five_best_by_one_pass_forward(method):
    model, x = awkward("residual"), random_image(n=3)
    five = top_classes(model, x, 5)
    runs = []
    handle = model.register_forward_pre_hook(lambda _, given: runs.append(len(given[0])))
    found = method(model, x, five)
    handle.remove()
    assert found.map.shape == (3, 5, 3, 16, 16) and found.score.shape == found.total.shape == (3, 5)
    assert runs == [1, 2, 3] and tuple(found.passes) == (3, 15)  # the first two: may they share a pass?
    for t in range(5):
        alone = method(model, x, five[:, t])
        assert near(found.map[:, t], alone.map, 1e-12)
        assert torch.allclose(found.score[:, t], alone.score)
    one = method(model, x, five[:, :1])
    assert one.map.shape == (3, 1, 3, 16, 16) and near(one.map[:, 0], found.map[:, 0], 1e-12)


def test_a_unit_and_its_whole_map():
    model, x = awkward("in place"), random_image(n=2)
    leaf = x.clone().requires_grad_()
    maps = model[3](model[2](F.relu(model[0](leaf))))
    for unit, score in [(Unit("3", 2, 1, 4), maps[:, 2, 1, 4]), (Unit("3", 2), maps[:, 2].mean((1, 2)))]:
        (expected,) = torch.autograd.grad(score.sum(), leaf, retain_graph=True)
        found = gradient(model, x, unit)
        assert near(found.map, expected, 1e-12) and torch.allclose(found.score, score)
        assert found.target.tolist() == [0, 0]


def test_fact_10_without_biases_gradient_x_input_sums_to_the_logit():
    for name in ("sequential", "F.relu", "residual"):
        model, x = without_bias(name), random_image(n=2)
        found = gradient_x_input(model, x, 2)
        assert torch.allclose(found.total, found.score, atol=1e-14) and found.score.abs().min() > 1e-4
    with_bias = gradient_x_input(awkward("sequential"), random_image(n=2), 2)
    assert not torch.allclose(with_bias.total, with_bias.score, atol=1e-3)


@pytest.mark.parametrize("bias", (False, True))
def test_fact_11_lrp_0_walked_down_by_hand_is_gradient_x_input(bias):
    """Relevance goes down in proportion to what each input gave; it keeps the logit only without biases."""
    convs = [nn.Conv2d(2, 4, 3, bias=bias), nn.ReLU(), nn.Conv2d(4, 3, 3, stride=2, bias=bias), nn.ReLU()]
    model = nn.Sequential(*convs, nn.Flatten(), nn.Linear(3 * 5 * 5, 4, bias=bias)).double().eval()
    x = torch.rand(1, 2, 13, 13, dtype=torch.float64)
    inputs = [x]
    for part in model:
        inputs.append(part(inputs[-1]).detach())
    relevance = torch.zeros_like(inputs[-1])
    relevance[0, 1] = inputs[-1][0, 1]
    for part, given in zip(reversed(model), reversed(inputs[:-1]), strict=True):
        if isinstance(part, nn.Flatten):
            relevance = relevance.view_as(given)
        elif isinstance(part, nn.Linear):
            relevance = given * ((relevance / part(given)) @ part.weight).detach()
        elif isinstance(part, nn.Conv2d):
            share = torch.where(relevance == 0, 0.0, relevance / part(given).detach())
            rest = given.shape[2] - ((share.shape[2] - 1) * part.stride[0] + part.kernel_size[0])
            back = F.conv_transpose2d(share, part.weight, stride=part.stride, output_padding=rest)
            relevance = given * back.detach()
    found = gradient_x_input(model, x, 1)
    torch.testing.assert_close(found.map, relevance, atol=1e-12, rtol=1e-9)
    kept = abs(relevance.sum().item() - found.score.item()) < 1e-10
    assert kept is not bias


def test_fact_22_a_sure_softmax_has_no_slope():
    sure = Formula(lambda x: x.sum(1))
    x = pixels(5.0, 6.33)  # the logits are 11.33 and 0
    found = gradient(sure, x, 0, output="probability")
    assert found.score.item() == pytest.approx(0.999988, abs=1e-6)
    assert found.map[0, 0, 0, 0].item() == pytest.approx(1.2e-5, rel=0.05)
    assert gradient(sure, x, 0).map.tolist() == [[[[1, 1]]]]


# --- guided -----------------------------------------------------------------------------------------------


def walked(model, x, target, rule):
    """A rule at the ReLUs of `sequential`, written out with torch's own backward of each other layer."""
    inputs = []
    for part in model:
        x = x.detach().requires_grad_()
        inputs.append((part, x, part(x)))
        x = inputs[-1][2]
    g = F.one_hot(torch.tensor([target]), x.shape[1]).to(x).expand(len(x), -1)
    for part, before, after in reversed(inputs):
        if isinstance(part, nn.ReLU):
            g = g * (g > 0) * (1 if rule == "deconvnet" else before.detach() > 0)
        else:
            (g,) = torch.autograd.grad(after, before, g)
    return g


@pytest.mark.parametrize("rule", ("guided", "deconvnet"))
@pytest.mark.parametrize("how", ("sequential", "in place", "shared", *Functional.CALLS))
def test_fact_5_every_relu_however_it_is_called(how, rule):
    x = random_image(n=2)
    expected = walked(seeded(sequential, torch.float64), x, 3, rule)
    model = awkward(how)
    found = rectified_backprop(model, x, 3, rule)
    assert near(found.map, expected, 1e-12)
    assert not near(found.map, gradient(model, x, 3).map, 0.1)
    if rule == "guided":
        assert torch.equal(found.map, guided_backprop(model, x, 3).map)


def through_a_view(h):
    h = h + 0
    h.flatten(1).relu_()
    return h


def in_two_parts(h):
    h = h + 0
    h[:, :2].relu_()
    h[:, 2:].relu_()
    return h


class ReluBy(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.conv, self.fc, self.how = nn.Conv2d(3, 4, 3), nn.Linear(4 * 14 * 14, 5), how

    def forward(self, x):
        return self.fc(self.how(self.conv(x)).flatten(1))


@pytest.mark.parametrize("how", (through_a_view, in_two_parts))
@pytest.mark.parametrize("rule", ("guided", "deconvnet"))
def test_a_relu_in_place_on_a_view(how, rule):
    one, other = (seeded(lambda how=how: ReluBy(how), torch.float64) for how in (how, F.relu))
    found, expected = (rectified_backprop(model, random_image(n=2), 1, rule).map for model in (one, other))
    assert near(found, expected, 1e-12)


@pytest.mark.parametrize("rule", ("guided", "deconvnet"))
def test_the_rule_needs_one_pass_and_a_second_where_the_graph_does_not_show_all(rule):
    x = random_image(n=3)
    for name in ("sequential", "residual", "F.relu in place"):
        assert rectified_backprop(awkward(name), x, 1, rule, batch=2).passes == (3, 3), name

    hidden = seeded(lambda: ReluBy(in_two_parts), torch.float64)
    assert rectified_backprop(hidden, x, 1, rule, batch=2).passes == (6, 3)


def test_guided_of_a_residual_net_and_of_a_probability():
    model, x = awkward("residual"), random_image(n=2)
    assert not near(guided_backprop(model, x, 3).map, gradient(model, x, 3).map, 0.1)
    net = awkward("sequential")
    found = guided_backprop(net, x, torch.tensor([[3, 1]] * 2), output="probability")
    assert found.map.shape == (2, 2, 3, 16, 16) and found.map.any()
    assert torch.allclose(found.score, net(x).softmax(1)[:, [3, 1]])


def test_fact_6_two_pictures_through_conv_and_relu():
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Flatten()), torch.float64
    )
    one, other = random_image(seed=0), random_image(seed=1)
    blind = [rectified_backprop(model, x, 7, "deconvnet").map for x in (one, other)]
    assert torch.equal(*blind) and blind[0].any()
    assert not torch.equal(guided_backprop(model, one, 7).map, guided_backprop(model, other, 7).map)


def test_guided_refuses_what_would_be_the_gradient_in_silence():
    def after(activation):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

            def forward(self, x):
                return self.fc(activation(self.conv(x)).mean((2, 3)))

        return seeded(Net, torch.float64)

    x = random_image()
    hidden = [
        lambda h: h.clamp(min=0),
        lambda h: torch.maximum(h, torch.zeros(1).double()),
        lambda h: h * (h > 0),
        lambda h: torch.where(h > 0, h, 0.0),
        lambda h: F.relu(h).sum() * 0 + h.clamp(min=0),
        F.leaky_relu,
        F.gelu,
        F.relu6,
    ]
    for activation in hidden:
        with pytest.raises(ValueError, match="is defined for ReLU|met no ReLU"):
            guided_backprop(after(activation), x, 1)
        assert gradient(after(activation), x, 1).map.any()
    with pytest.raises(ValueError, match="met no ReLU"):
        guided_backprop(after(lambda h: h), x, 1)
    with pytest.raises(LookupError, match="Did you mean 'guided'"):
        rectified_backprop(awkward("sequential"), x, 1, "guide")


# --- refusals ---------------------------------------------------------------------------------------------


def test_what_is_refused():
    model, x = awkward("sequential"), random_image(n=2)
    for wrong, error, text in [
        ({"target": 5}, LookupError, "from 0 to 4"),
        ({"target": -1}, LookupError, "from 0"),
        ({"target": "cat"}, LookupError, "no class 'cat'"),
        ({"target": torch.zeros(3, dtype=torch.int64)}, ValueError, "for N = 2 images"),
        ({"target": 1.0}, TypeError, "a target is"),
        ({"output": "logits"}, LookupError, "Did you mean 'logit'"),
        ({"batch": 0}, ValueError, "1 image or more"),
        ({"images": x[0]}, ValueError, r"not \(3, 16, 16\)"),
        ({"images": x * float("nan")}, ValueError, "not finite"),
        ({"target": Unit("3", 1), "output": "probability"}, ValueError, "not a probability"),
    ]:
        for method in (gradient, gradient_x_input, guided_backprop):
            with pytest.raises(error, match=text):
                method(model, **({"images": x, "target": 1} | wrong))
    constant = Formula(lambda x: torch.ones(len(x)).double())
    with pytest.raises(ValueError, match="does not depend on the image"):
        gradient(constant, x, 0)
    with pytest.raises(ValueError, match="gradient is not finite"):
        gradient(Formula(lambda x: x.sqrt().sum(1)), torch.zeros(1, 1, 2, 2), 0)
    with pytest.raises(ValueError, match="answer is not finite"):
        gradient(Formula(lambda x: 1 / x.sum(1)), torch.zeros(1, 1, 2, 2), 0)


@pytest.mark.parametrize(("name", "side"), (("alexnet", 64), ("resnet50", 32), ("squeezenet1_1", 32)))
def test_torchvisions_networks_get_their_channels_side_by_side(name, side, monkeypatch):
    """And the numbers of a plain pass back; a class of the same name by somebody else gets no such trust."""
    import torchvision

    monkeypatch.setattr(memory_format, "_FILTERS_PER_CELL", 10**6)  # however small the image
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torchvision.models.get_model(name, weights=None, num_classes=5).double().eval()
    x = torch.rand(2, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert to_fast_memory_format(model, x).is_contiguous(memory_format=torch.channels_last)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf.clone())[:, 3].sum(), leaf)
    assert near(gradient(model, x, 3).map, expected, 1e-10)
    own = type(type(model).__name__, (type(model),), {"__module__": "__main__"})
    model.__class__ = own
    assert not to_fast_memory_format(model, x).is_contiguous(memory_format=torch.channels_last)
