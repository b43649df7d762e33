"""Two ways down that must agree, captum's, an example by hand, the traps, and nothing left behind."""

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from probed_nets import SMALL, Functional, random_image, seeded, sequential, state, torchvision_net
from torch import nn

from cnnlab.data import photos
from cnnlab.methods import deconvnet
from cnnlab.methods.deconvnet.layer_by_layer import layer_by_layer
from cnnlab.methods.deconvnet.project import project, strongest_unit
from cnnlab.nets import layers, models
from cnnlab.probing import Recorder, Unit, receptive, relu_rules, shapes

RULES = ("deconvnet", "gradient", "guided")
LAST = {"sequential": "8", "in place": "8", "shared": "8", "residual": "fc"}


@pytest.fixture
def small(request):
    return seeded(SMALL[request.param], torch.float64)


@pytest.fixture
def net():
    return seeded(sequential, torch.float64)


def make(*parts):
    return seeded(lambda: nn.Sequential(*parts), torch.float64)


def difference(model, x, unit):
    """Largest absolute difference of the two ways, against the largest value."""
    one, other = project(model, x, unit), layer_by_layer(model, x, unit)
    assert one.shape == other.shape == x.shape and one.any(), unit
    return ((one - other).abs().max() / one.abs().max()).item()


def loud(model, x, layer):
    """The channel whose largest value, in the image where that is smallest, is largest."""
    with Recorder(model, layer, stop=True) as acts, torch.no_grad():
        model(x)
    values = (
        acts.calls(layer)[0].flatten(2)
        if acts.calls(layer)[0].dim() == 4
        else acts.calls(layer)[0][..., None]
    )
    return Unit(layer, int(values.amax(2).amin(0).argmax()))


# --- worked by hand ---------------------------------------------------------------------------------------


def test_the_three_rules_on_the_numbers_of_springenberg_figure_1():
    x = torch.tensor([[1.0, -1, 5], [2, -5, -7], [-3, 2, 4]])
    g = torch.tensor([[-2.0, 3, -1], [6, -3, 1], [2, -1, 3]])
    y = layers.relu(x)
    assert relu_rules.gradient(g, y).tolist() == [[-2, 0, -1], [6, 0, 0], [0, -1, 3]]
    assert relu_rules.deconvnet(g, y).tolist() == [[0, 3, 0], [6, 0, 1], [2, 0, 3]]
    assert relu_rules.guided(g, y).tolist() == [[0, 0, 0], [6, 0, 0], [0, 0, 3]]


@pytest.fixture
def by_hand():
    """x and -x, rectified, 2x2 pools, and one number of two neighbouring pools."""
    model = make(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 1, (1, 2), bias=False)
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, -1]).view(2, 1, 1, 1))
        model[3].weight.copy_(torch.tensor([[[2.0, 3]], [[-1, 0]]])[None])
    x = torch.tensor([[1.0, -3, -1, -2], [2, 0, -4, -5], [0, 0, 0, 0], [0, 0, 0, 0]])[None, None].double()
    return model, x  # pooled: x has 2 and 0 (at its first pixel, for all are off), -x has 3 and 5


def test_a_4x4_picture_by_hand(by_hand):
    model, x = by_hand
    unit = Unit("3", 0, 0, 0)
    with Recorder(model, "3") as acts:
        model(x)
    assert unit.activation(acts["3"]).item() == 2 * 2 + 3 * 0 - 1 * 3 + 0 * 5 == 1
    deconv, gradient, guided = (project(model, x, unit, rule)[0, 0].tolist() for rule in RULES)
    zeros = [0, 0, 0, 0]
    assert deconv == [[0, 0, 3, 0], [2, 0, 0, 0], zeros, zeros]  # 3: the ReLU was off, it is let through
    assert gradient == [[0, 1, 0, 0], [2, 0, 0, 0], zeros, zeros]  # 1 = -1 * -1: a negative signal
    assert guided == [[0, 0, 0, 0], [2, 0, 0, 0], zeros, zeros]
    assert layer_by_layer(model, x, unit)[0, 0].tolist() == deconv


def test_the_steps_of_the_4x4_picture_by_hand(by_hand):
    model, x = by_hand
    steps = layer_by_layer(model, x, Unit("3", 0, 0, 0), steps=True)
    assert [step.layer for step in steps] == ["3", "2", "1", "0", "image"]
    assert steps[0].signal.tolist() == [[[[1], [0]]]]
    assert steps[1].signal[0, :, 0].tolist() == [[2, 3], [-1, 0]]  # transposed filters
    assert steps[2].signal[0, 0, :2].tolist() == [[0, 0, 3, 0], [2, 0, 0, 0]]  # unpooled
    assert steps[2].signal[0, 1, 0].tolist() == [0, -1, 0, 0]
    assert steps[3].signal[0, 1].tolist() == [[0] * 4] * 4  # rectified


def test_the_start_is_the_value_or_one(by_hand):
    model, x = by_hand
    x = 5 * x
    one, own = (project(model, x, Unit("3", 0, 0, 0), initial=initial) for initial in ("one", "activation"))
    assert one[0, 0, 1, 0] == 2 and torch.equal(own, 5 * one)


# --- the two ways agree ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ("simpleconvnet", "encoder", "photonet", "shapesnet"))
def test_layer_by_layer_is_project_on_every_layer_of_our_networks(name):
    model = models.load(name).double()
    channels, rows, _ = model.input_size
    x = random_image(rows, n=2, channels=channels)
    sizes = shapes(model, x)
    assert list(sizes) == list(model._modules)
    for layer, size in sizes.items():
        unit = loud(model, x, layer)
        assert difference(model, x, unit) < 1e-12
        if len(size) == 4:
            unit = strongest_unit(model, x[:1], *unit[:2])
            assert difference(model, x[:1], unit) < 1e-12


@pytest.mark.parametrize(
    "name, size, several",
    [
        ("alexnet", 96, ("features.2", "features.12", "classifier.6")),
        ("vgg11", 64, ("features.5", "features.20", "classifier.6")),
        ("resnet18", 64, ("maxpool", "layer1.0", "layer2", "layer4.1.conv2", "fc")),
        ("squeezenet1_0", 64, ("features.3", "features.12", "classifier")),
        ("googlenet", 64, ("maxpool2", "inception3a", "inception4a")),
    ],
)
def test_layer_by_layer_is_project_on_torchvision_nets(name, size, several):
    model, x = torchvision_net(name).double(), random_image(size)
    for layer in several:
        assert difference(model, x, loud(model, x, layer)) < 1e-12


@pytest.mark.parametrize("small", SMALL, indirect=True)
def test_every_way_to_call_a_relu(small, request):
    x, last = random_image(n=2), LAST.get(request.node.callspec.params["small"], "fc2")
    inner = "pool" if last == "fc" else last
    for layer in (last, inner):
        assert difference(small, x, loud(small, x, layer)) < 1e-12
    deconv, gradient, guided = (project(small, x, Unit(last, 1), rule) for rule in RULES)
    assert (deconv - gradient).abs().max() > 1e-6 < (guided - gradient).abs().max()


@pytest.mark.parametrize("how", Functional.CALLS)
@pytest.mark.parametrize("rule", RULES)
def test_functions_give_what_modules_give(net, how, rule):
    x, functional = random_image(), seeded(lambda: Functional(how), torch.float64)
    expected = project(net, x, Unit("8", 3), rule)
    assert torch.equal(project(functional, x, Unit("fc2", 3), rule), expected)
    if rule == "deconvnet":
        assert (layer_by_layer(functional, x, Unit("fc2", 3)) - expected).abs().max() < 1e-15


LAYERS = {
    "stride, padding": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "rows left out": lambda: nn.Conv2d(4, 6, 3, stride=4),
    "dilation, groups": lambda: nn.Conv2d(4, 6, (3, 2), dilation=(2, 3), padding=(2, 0), groups=2),
    "same, even kernel": lambda: nn.Conv2d(4, 6, (4, 2), padding="same", dilation=(1, 3)),
    "valid": lambda: nn.Conv2d(4, 6, 3, padding="valid"),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    "transposed, dilated": lambda: nn.ConvTranspose2d(4, 6, 3, dilation=2, output_padding=1),
    "overlapping pool": lambda: nn.MaxPool2d(3, 1, padding=1),
    "pool up to the edge": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "dilated pool": lambda: nn.MaxPool2d((2, 3), (1, 2), dilation=2),
    "adaptive max pool": lambda: nn.AdaptiveMaxPool2d((4, 3)),
    "mean pool": lambda: nn.AvgPool2d(3, 2, padding=1),
    "mean pool of what is there": lambda: nn.AvgPool2d((3, 2), 2, padding=1, count_include_pad=False),
    "mean pool, divisor": lambda: nn.AvgPool2d(2, 3, divisor_override=5),
    "adaptive mean pool": lambda: nn.AdaptiveAvgPool2d((4, None)),
    "batch norm": lambda: nn.BatchNorm2d(4),
    "batch norm, no weights": lambda: nn.BatchNorm2d(4, affine=False),
    "dropout": lambda: nn.Sequential(nn.Dropout(), nn.Dropout2d(), nn.Identity()),
    "border of zeros": lambda: nn.Sequential(nn.ZeroPad2d((1, 2, 0, 3)), nn.ConstantPad2d(-1, 0.5)),
    "linear over rows": lambda: nn.Linear(11, 5),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("position", ("whole map", "corner", "far corner"))
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_every_layer_there_is_a_rule_for(kind, position):
    middle = LAYERS[kind]()
    rest = [nn.ReLU(), nn.Conv2d(getattr(middle, "out_channels", 4), 5, 1)]
    model, x = make(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), middle, *rest), random_image(11, n=2)
    _, _, rows, cols = shapes(model, x)["4"]
    row, col = {"whole map": (None, None), "corner": (0, 0), "far corner": (rows - 1, cols - 1)}[position]
    found = [project(model, x, Unit("4", k, row, col)) for k in range(5)]
    assert position != "whole map" or sum(bool(each.any()) for each in found) >= 2
    for k, each in enumerate(found):
        assert (each - layer_by_layer(model, x, Unit("4", k, row, col))).abs().max() < 1e-13


class Sums(nn.Module):
    """Sums, differences, constant factors, means and shapes, in place and not."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.scale = (
            nn.Conv2d(3, 4, 3),
            nn.Linear(8, 6),
            nn.Parameter(torch.rand(4, 1, 1)),
        )

    def forward(self, x):
        x = (2 - x / 0.3) * 0.5
        x = F.relu(self.conv(x))
        y = torch.add(x, x.mean((2, 3), keepdim=True), alpha=0.5) - x.mean(3)[..., None]
        y = x.mean((2, 3), keepdim=True) + y
        y -= 0.1
        y += x
        y *= self.scale
        y = torch.cat([y.neg(), self.scale * y], dim=-3).clone().contiguous().relu_()
        z = F.avg_pool2d(y, 2).mean(dim=(-1, -2)).unsqueeze(1).squeeze()
        return self.fc(z.view(-1, 2, 4).reshape(len(x), 8))


def test_sums_differences_factors_and_shapes():
    model, x = seeded(Sums, torch.float64), random_image(n=3)
    one, other = ([way(model, x, Unit("fc", k)) for k in range(6)] for way in (project, layer_by_layer))
    assert (torch.cat(one) - torch.cat(other)).abs().max() < 1e-12
    assert sum(bool(each.any()) for each in one) >= 2


def test_constant_factors_stay_in():
    """The first layer divides by its deviation, batch norm multiplies by its scale; biases play no part."""
    model, x = models.load("shapesnet").double(), random_image(64)
    unit = Unit("bn1", 3, 20, 30)
    with Recorder(model, "bn1") as acts, torch.no_grad():
        model(x)
    value, bn = unit.activation(acts["bn1"]), model.bn1
    scale = bn.weight[3] / (bn.running_var[3] + bn.eps).sqrt()
    stamp = value * scale * model.conv1.weight[3] / model.norm.std[0]
    for way in (project, layer_by_layer):
        found = way(model, x, unit)
        assert torch.allclose(found[0, :, 18:23, 28:33], stamp.detach(), rtol=1e-12)
        assert found.count_nonzero() == stamp.count_nonzero()


# --- peers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", (1, 3))
@pytest.mark.parametrize("n", (1, 3))
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU", "ignore:Setting forward, backward hooks")
def test_captum(channels, n):
    model, x = (
        seeded(lambda: sequential(channels=channels)),
        random_image(n=n, channels=channels, dtype=torch.float32),
    )
    peers = {
        "deconvnet": captum.attr.Deconvolution(model).attribute,
        "guided": captum.attr.GuidedBackprop(model).attribute,
        "gradient": lambda x, target: captum.attr.Saliency(model).attribute(x, target=target, abs=False),
    }
    for rule, attribute in peers.items():
        expected = attribute(x.clone().requires_grad_(), target=2).detach()
        assert expected.any() and torch.equal(project(model, x, Unit("8", 2), rule, initial="one"), expected)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU", "ignore:Setting forward, backward hooks")
def test_captum_on_a_unit_inside():
    model, x = seeded(sequential), random_image(dtype=torch.float32)
    peers = {
        "deconvnet": captum.attr.NeuronDeconvolution,
        "guided": captum.attr.NeuronGuidedBackprop,
        "gradient": captum.attr.NeuronGradient,
    }
    unit = strongest_unit(model, x, *loud(model, x, "4")[:2])
    for rule, peer in peers.items():
        expected = peer(model, model[4]).attribute(x.clone().requires_grad_(), tuple(unit[1:])).detach()
        assert expected.any()
        assert torch.allclose(project(model, x, unit, rule, initial="one"), expected, atol=1e-7)


def test_gradient_is_the_activation_times_its_gradient(net):
    x = random_image().requires_grad_()
    value = net(x)[0, 3]
    (expected,) = torch.autograd.grad(value, x)
    assert torch.equal(project(net, x, Unit("8", 3), "gradient", initial="one"), expected)
    found = project(net, x, Unit("8", 3), "gradient")
    assert torch.allclose(found, expected * value.detach(), atol=1e-15)


# --- facts and traps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stride, padding, dilation, groups", [(1, 0, 1, 1), (2, 1, 1, 2), (3, 2, 2, 1), (2, 0, 3, 4)]
)
def test_fact_1_the_transposed_convolution_is_the_adjoint(stride, padding, dilation, groups):
    from cnnlab.methods.deconvnet import backward_layers

    x, weight = random_image(14, n=2, channels=4), torch.rand(8, 4 // groups, 3, 3, dtype=torch.float64) - 0.5
    y = F.conv2d(x, weight, torch.rand(8).double(), stride, padding, dilation, groups)
    ((source, way),) = backward_layers.ways(
        F.conv2d, "conv2d", (x, weight, None, stride, padding, dilation, groups), {}, 1
    )
    g = torch.rand_like(y)
    there = F.conv2d(x, weight, None, stride, padding, dilation, groups)
    assert source is x and ((there * g).sum() - (x * way(g)).sum()).abs() < 1e-10
    extra = [(n + 2 * padding - dilation * 2 - 1) % stride for n in x.shape[2:]]
    ours = layers.conv_transpose2d(
        g,
        weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        output_padding=tuple(extra),
    )
    assert torch.allclose(way(g), ours, atol=1e-12)


def overlapping():
    return make(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(6, 5, 3), nn.ReLU(), nn.MaxPool2d(3, 1)
    )


@pytest.mark.parametrize("layer", "543")
def test_fact_3_overlapping_pools_add_and_torchs_unpool_overwrites(monkeypatch, layer):
    model, x = overlapping(), random_image(21)
    unit = loud(model, x, layer)
    assert difference(model, x, unit) < 1e-12

    def overwriting(g, switches, shape):
        return F.max_unpool2d(g, switches, 3, 2, output_size=shape[-2:])

    def assigning(g, switches, shape):
        flat = g.new_zeros(*g.shape[:2], shape[-2] * shape[-1])
        return flat.scatter(2, switches.flatten(2), g.flatten(2)).view(shape)

    for broken in (assigning, overwriting) if unit.layer != "5" else (assigning,):
        monkeypatch.setattr(layers, "max_unpool2d", broken)
        assert difference(model, x, unit) > 1e-2


def test_fact_4_on_ties_all_goes_to_the_first():
    model, x = make(nn.ReLU(), nn.MaxPool2d(2)), torch.full((1, 1, 4, 4), 2.0).double()
    expected = torch.zeros(4, 4).double()
    expected[::2, ::2] = 2
    assert torch.equal(project(model, x, Unit("1", 0))[0, 0], expected)
    assert torch.equal(layer_by_layer(model, x, Unit("1", 0))[0, 0], expected)


@pytest.mark.parametrize("rule", ("deconvnet", "guided"))
def test_fact_5_every_relu_counts_also_the_classifiers(net, rule):
    """A rule at the convolutions' ReLUs only is another map: the dense ReLU is the one left out here."""
    x = random_image()

    class Part(nn.Module):
        def __init__(self, mode):
            super().__init__()
            self.mode, self.net = mode, net

        def forward(self, x):
            h = self.net[:7](x)
            return self.net[8](h.relu() if self.mode else torch.nn.functional.threshold_(h * 1, 0, 0))

    assert torch.equal(project(Part(True), x, Unit("net.8", 3), rule), project(net, x, Unit("8", 3), rule))
    with pytest.raises(ValueError, match="threshold"):
        project(Part(False), x, Unit("net.8", 3), rule)


@pytest.mark.parametrize("way", (project, layer_by_layer))
def test_fact_6_without_pooling_the_deconvnet_is_blind(way):
    model = make(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    one, other = random_image(seed=0), random_image(seed=1)
    first, second = way(model, one, Unit("4", 1, 2, 3)), way(model, other, Unit("4", 1, 2, 3))
    with Recorder(model, "4") as acts:
        model(torch.cat([one, other]))
    a, b = acts["4"][:, 1, 2, 3]
    assert first.any() and a != b
    if a * b > 0:  # a negative start is another signal, not a scaled one
        assert torch.allclose(first / a, second / b, atol=1e-12)
    if way is project:
        for rule in ("deconvnet", "guided"):
            ones = [project(model, x, Unit("4", 1, 2, 3), rule, initial="one") for x in (one, other)]
            assert torch.equal(*ones) == (rule == "deconvnet")
        pooled = make(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3))
        assert not torch.equal(*(project(pooled, x, Unit("3", 1, 2, 3), initial="one") for x in (one, other)))


def test_multiplying_by_the_value_of_the_relu_is_another_map(monkeypatch, net):
    x, unit = random_image(), Unit("8", 3)
    right = project(net, x, unit)
    monkeypatch.setitem(relu_rules.NAMED, "deconvnet", lambda g, y: g.clamp(min=0) * y)
    wrong = project(net, x, unit)
    assert (wrong - layer_by_layer(net, x, unit)).abs().max() > 0.1 * right.abs().max()
    assert F.cosine_similarity(wrong.flatten(), right.flatten(), dim=0) < 0.95


@pytest.mark.parametrize("name, broken", [("relu", lambda g: g), ("relu", lambda g: -(-g).clamp(min=0))])
def test_a_walk_that_does_not_rectify_is_seen(monkeypatch, net, name, broken):
    monkeypatch.setattr(layers, name, broken)
    with pytest.raises(AssertionError):
        assert difference(net, random_image(), Unit("8", 3)) < 1e-6


# --- units ------------------------------------------------------------------------------------------------


def test_the_start_at_a_relu_and_at_its_convolution():
    model, x = models.load("shapesnet"), random_image(64, dtype=torch.float32)
    unit = strongest_unit(model, x, "relu3", 7)
    at_relu, at_bn = project(model, x, unit), project(model, x, unit._replace(layer="bn3"))
    assert at_relu.any() and torch.equal(at_relu, at_bn)  # where the unit is on, its ReLU changes nothing
    with Recorder(model, "bn3", stop=True) as acts, torch.no_grad():
        model(x)
    row, col = divmod(int(acts["bn3"][0, 7].argmin()), acts["bn3"].shape[3])
    off = unit._replace(row=row, col=col)
    assert acts["bn3"][0, 7, row, col] < 0
    assert not project(model, x, off).any()  # a silent unit projects to nothing
    assert not layer_by_layer(model, x, off).any()
    assert project(model, x, off._replace(layer="bn3")).any()  # a convolution's value is signed


def test_a_projection_stays_inside_the_receptive_field():
    model, x = models.load("shapesnet").double(), random_image(64)
    for row, col in [(0, 0), (0, 15), (7, 8), (15, 0), (15, 15)]:  # borders too
        box = receptive.field(model, "bn3", 64).rectangle(row, col)
        for rule in RULES:
            found = project(model, x, Unit("bn3", 5, row, col), rule)
            assert found[..., box.top : box.bottom, box.left : box.right].any()
            found[..., box.top : box.bottom, box.left : box.right] = 0
            assert not found.any()
        assert difference(model, x, Unit("bn3", 5, row, col)) < 1e-12


@pytest.mark.parametrize("rule", RULES)
def test_a_map_is_all_its_places_at_once_and_not_their_sum(rule):
    model, x = overlapping(), random_image(15)
    whole = project(model, x, Unit("3", 1), rule)
    sizes = shapes(model, x)["3"]
    each = sum(project(model, x, Unit("3", 1, r, c), rule) for r in range(sizes[2]) for c in range(sizes[3]))
    assert torch.allclose(whole, each, atol=1e-12) == (rule == "gradient")


def test_strongest_is_the_first_of_the_largest():
    model, x = models.load("photonet"), photos.load("cat", size=64)
    unit = strongest_unit(model, x, "relu4", 9)
    with Recorder(model, "relu4") as acts, torch.no_grad():
        model(x)
    assert unit.activation(acts["relu4"]).item() == acts["relu4"][0, 9].max() > 0
    assert strongest_unit(model, x, "dense", 9) == Unit("dense", 9)
    flat = make(nn.MaxPool2d(2))
    assert strongest_unit(flat, torch.ones(1, 1, 6, 6).double(), "0", 0) == Unit("0", 0, 0, 0)
    with pytest.raises(ValueError, match="that of one image, not of 2"):
        strongest_unit(model, torch.cat([x, x]), "relu4", 9)
    with pytest.raises(ValueError, match="no channel 128"):
        strongest_unit(model, x, "relu4", 128)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch", (1, 2, 5, 100))
def test_several_pictures_and_units_in_one_pass_are_those_one_by_one(net, rule, batch):
    x = random_image(n=5)
    units = [Unit("3", 0), Unit("3", 7, 5, 5), Unit("3", 0, 0, 0), Unit("3", 4, 0, 5), Unit("3", 7)]
    together = project(net, x, units, rule, batch=batch)
    apart = torch.cat([project(net, x[n : n + 1], unit, rule) for n, unit in enumerate(units)])
    assert (together - apart).abs().max() < 1e-14 and all(part.any() for part in together)
    assert torch.allclose(project(net, x, Unit("3", 7), rule, batch=batch)[4:], apart[4:], atol=1e-14)
    if rule == "deconvnet":
        assert (layer_by_layer(net, x, units) - apart).abs().max() < 1e-14


def test_what_comes_after_the_layer_is_never_computed():
    class Breaks(nn.Module):
        def forward(self, x):
            raise RuntimeError("too far")

    model, x = make(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), Breaks()), random_image()
    assert difference(model, x, Unit("2", 1)) < 1e-12
    assert difference(model, x, Unit("0", 1)) < 1e-12  # signed: before its ReLU in place
    unit = Unit("0", 1)
    with Recorder(model, "0", stop=True) as acts, torch.no_grad():
        model(x)
    assert (acts["0"][0, 1] < 0).any()
    expected = F.conv_transpose2d(acts["0"][:, 1:2], model[0].weight[1:2])
    assert torch.allclose(project(model, x, unit), expected.detach(), atol=1e-12)


def test_of_a_layer_that_runs_twice_the_first_run_counts():
    shared = make(nn.Conv2d(3, 3, 3), relu := nn.ReLU(), nn.Conv2d(3, 3, 3), relu)
    x = random_image()
    alone = shared[:2]
    assert torch.equal(project(shared, x, Unit("3", 1)), project(alone, x, Unit("1", 1)))
    assert torch.equal(layer_by_layer(shared, x, Unit("3", 1)), layer_by_layer(alone, x, Unit("1", 1)))


def test_steps_have_the_names_and_shapes_of_the_layers():
    model, x = models.load("photonet").double(), random_image(64)
    steps = layer_by_layer(model, x, strongest_unit(model, x, "relu3", 5), steps=True)
    names = "relu3 bn3 conv3 pool2 relu2 bn2 conv2 pool1 relu1 bn1 conv1 norm image".split()
    assert [step.layer for step in steps] == names
    sizes = shapes(model, x) | {"image": x.shape}
    assert all(step.signal.shape == sizes[step.layer] for step in steps)
    assert torch.equal(steps[-1].signal, layer_by_layer(model, x, strongest_unit(model, x, "relu3", 5)))
    for step in steps[:-1]:  # rectified just below a ReLU
        if step.layer.startswith("bn"):
            assert (step.signal >= 0).all() and step.signal.any()
    nested = make(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Conv2d(4, 2, 3))
    walk = layer_by_layer(nested, random_image(), Unit("1", 1), steps=True)
    assert [step.layer for step in walk] == ["1", "0.1", "0.0", "image"]
    functional = layer_by_layer(seeded(Functional, torch.float64), random_image(), Unit("fc2", 1), steps=True)
    names = "fc2 relu fc1 flatten relu conv2 max_pool2d relu conv1 image".split()
    assert [step.layer for step in functional] == names


# --- what is left behind, what is refused ------------------------------------------------------------------


def test_nothing_is_changed_also_after_an_error():
    for name in ("sequential", "in place", "residual", "F.relu in place"):
        model, x, last = seeded(SMALL[name], torch.float64), random_image(n=2), LAST.get(name, "fc2")
        next(model.modules()).training = True  # a state of its own, to be put back
        given = x.clone().requires_grad_()
        before = state(model, x, given)
        for image in (x, given):
            for rule in RULES:
                found = project(model, image, Unit(last, 1), rule)
                assert not found.requires_grad and found.grad_fn is None
            for step in layer_by_layer(model, image, Unit(last, 1), steps=True):
                assert not step.signal.requires_grad
            strongest_unit(model, image[:1], last, 1)
            for way in (project, layer_by_layer):
                with pytest.raises(LookupError, match="no layer 'nine'"):
                    way(model, image, Unit("nine", 1))
                with pytest.raises(ValueError, match="no channel 99"):
                    way(model, image, Unit(last, 99))
                with pytest.raises(RuntimeError):  # torch's own, in the middle of the pass
                    way(model, image[:, :2], Unit(last, 1))
            assert state(model, x, given) == before


def test_dropout_and_random_numbers_stay_as_they_were():
    model, x = make(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)).train(), random_image()
    chance = torch.get_rng_state()
    assert torch.equal(project(model, x, Unit("3", 1)), project(model, x, Unit("3", 1)))
    assert difference(model, x, Unit("3", 1)) < 1e-12
    assert torch.equal(torch.get_rng_state(), chance) and all(part.training for part in model.modules())


@pytest.mark.parametrize("outside", (torch.no_grad, torch.inference_mode))
def test_gradients_off_outside_do_not_matter(net, outside):
    x = random_image()
    expected = project(net, x, Unit("8", 1))
    with outside():
        assert torch.equal(project(net, x.clone(), Unit("8", 1)), expected)
        assert torch.equal(layer_by_layer(net, x.clone(), Unit("8", 1)), layer_by_layer(net, x, Unit("8", 1)))


class Odd(nn.Module):
    """Things in the middle of a network for which there is no rule."""

    KINDS = {
        "sigmoid": lambda h: h.sigmoid(),
        "softmax": lambda h: h.softmax(1),
        "leaky_relu": lambda h: F.leaky_relu(h),
        "layer_norm": lambda h: F.layer_norm(h, h.shape[1:]),
        "mul of two signals": lambda h: h * h.mean((2, 3), keepdim=True),
        "div of something else": lambda h: torch.div(torch.ones(1), h + 9),
        "padding with mode 'reflect'": lambda h: F.pad(h, (1, 1, 1, 1), mode="reflect"),
        "dropout that is on": lambda h: F.dropout(h, 0.5),
        "mixes the images": lambda h: F.batch_norm(h, None, None, training=True),
        "overwritten in part": lambda h: (h := h.clone(), h[:, 0].zero_(), h)[2],
        "mean pool with ceil_mode": lambda h: F.avg_pool2d(h, 4, ceil_mode=True),
        "transpose": lambda h: h.transpose(2, 3),
        "chunk": lambda h: h.chunk(2, 1)[0],
        "clamp": lambda h: h.clamp(min=0),
        "another type": lambda h: h.float().double(),
        "mean over the images": lambda h: h - h.mean((0, 2, 3), keepdim=True),
        "with an option": lambda h: h.mean((2, 3), dtype=torch.float64),
        "through a view": lambda h: (h := h + 0, h.flatten(1).relu_(), h)[2],
    }

    def __init__(self, kind):
        super().__init__()
        self.conv, self.last, self.kind = nn.Conv2d(3, 4, 3), nn.Identity(), kind

    def forward(self, x):
        h = F.relu(self.conv(x))
        return self.last(self.KINDS[self.kind](h) + 0)


@pytest.mark.parametrize("kind", Odd.KINDS)
def test_what_has_no_way_back_is_refused_with_its_name(kind):
    model, x = seeded(lambda: Odd(kind), torch.float64), random_image(n=2)
    before = state(model, x)
    with pytest.raises(ValueError, match="on the way .*" + kind):
        layer_by_layer(model, x, Unit("last", 0))
    assert layer_by_layer(model, x, Unit("conv", 0)).any()  # and only if it is on the way
    assert state(model, x) == before


@pytest.mark.parametrize("rule", ("deconvnet", "guided"))
def test_a_rule_without_a_relu_is_refused_and_not_the_gradient_in_silence(rule):
    x = random_image()
    for hidden in (nn.Sigmoid(), nn.Tanh(), nn.Softmax(1)):
        model = make(nn.Conv2d(3, 4, 3), hidden, nn.Conv2d(4, 2, 3))
        with pytest.raises(
            ValueError, match="is defined for ReLU, and on the way is " + type(hidden).__name__.lower()
        ):
            project(model, x, Unit("2", 1), rule)
        assert project(model, x, Unit("2", 1), "gradient").any()
        assert project(model, x, Unit("0", 1), rule).any()  # nothing on the way that the rule is about
    with pytest.raises(ValueError, match="on the way is clamp"):
        project(seeded(lambda: Odd("clamp"), torch.float64), x, Unit("last", 1), rule)
    with pytest.raises(ValueError, match="this model uses gelu"):
        project(make(nn.Conv2d(3, 4, 3), nn.GELU()), x, Unit("1", 1), rule)


def test_what_does_not_depend_on_the_picture_is_said():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            return self.last(self.conv(x).detach() if x.requires_grad else torch.ones(1, 4, 9, 9).double())

    for frozen in (False, True):
        model = seeded(Cut, torch.float64).requires_grad_(not frozen)
        for way in (project, layer_by_layer):
            with pytest.raises(ValueError, match="last does not depend on the image|on the way is detach"):
                way(model, random_image(), Unit("last", 1))


def test_impossible_wishes_are_refused(net):
    x = random_image(n=2)
    for way in (project, layer_by_layer):
        with pytest.raises(ValueError, match=r"images are \(N, C, H, W\)"):
            way(net, x[0], Unit("8", 1))
        with pytest.raises(ValueError, match="at least one"):
            way(net, x[:0], Unit("8", 1))
        with pytest.raises(ValueError, match="floating point"):
            way(net, (x * 255).byte(), Unit("8", 1))
        with pytest.raises(ValueError, match="not finite"):
            way(net, x / 0, Unit("8", 1))
        with pytest.raises(ValueError, match="one for each of 2 images, not 3"):
            way(net, x, [Unit("8", 1)] * 3)
        with pytest.raises(ValueError, match="of one layer, not of 3, 8"):
            way(net, x, [Unit("3", 1), Unit("8", 1)])
        with pytest.raises(TypeError, match="what is projected is Unit"):
            way(net, x, ("8", 1))
        with pytest.raises(ValueError, match="no row 6: they go from 0 to 5"):
            way(net, x, Unit("3", 1, 6, 0))
        with pytest.raises(ValueError, match="depends on the others of the batch"):
            way(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)), x, Unit("0", 1))
    with pytest.raises(LookupError, match="no rule 'deconv'. Did you mean 'deconvnet'"):
        project(net, x, Unit("8", 1), "deconv")
    with pytest.raises(LookupError, match="no initial signal 'ones'. Did you mean 'one'"):
        project(net, x, Unit("8", 1), initial="ones")
    with pytest.raises(ValueError, match="1 image or more"):
        project(net, x, Unit("8", 1), batch=0)
    assert deconvnet.INITIAL_SIGNALS == ("activation", "one")


class Disguised(nn.Module):
    """A ReLU that is not called one."""

    def __init__(self, relu):
        super().__init__()
        self.conv, self.relu, self.last = nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 2, 3)

    def forward(self, x):
        return self.last(self.relu(self.conv(x)))


class OwnRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.from_numpy(x.detach().numpy().clip(0))

    @staticmethod
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0] > 0)


def overwriting(x):
    y = x.clone()
    y[y < 0] = 0
    return y


@pytest.mark.parametrize(
    "relu",
    (
        lambda x: x * (x > 0),
        lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
        lambda x: x.masked_fill(x < 0, 0),
        lambda x: (x + x.abs()) / 2,
        overwriting,
        OwnRelu.apply,
        F.hardsigmoid,
        F.softsign,
    ),
)
def test_a_relu_in_disguise_is_refused_instead_of_giving_the_gradient_unsaid(relu):
    model = Disguised(relu)
    for rule in ("deconvnet", "guided"):
        with pytest.raises(ValueError, match="the rule .* is defined for ReLU"):
            project(model, random_image().float(), Unit("last", 1), rule)
    project(model, random_image().float(), Unit("last", 1), "gradient")


def test_a_branch_that_the_walk_cannot_see_is_refused():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            y = self.conv(x)
            return self.last(y + OwnRelu.apply(y))

    with pytest.raises(ValueError, match="does not announce"):
        layer_by_layer(Two(), random_image().float(), Unit("last", 1))


def test_a_first_layer_that_works_in_place_is_no_hindrance():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3), nn.ReLU(inplace=True)).double()
    x = random_image() - 0.5
    before = x.clone()
    for way in (project, layer_by_layer):
        assert way(model, x, Unit("2", 1)).shape == x.shape and torch.equal(x, before)
    torch.testing.assert_close(project(model, x, Unit("2", 1)), layer_by_layer(model, x, Unit("2", 1)))


def test_an_activation_that_is_not_finite_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    nn.init.constant_(model[0].bias, float("nan"))
    for way in (project, layer_by_layer):
        with pytest.raises(ValueError, match="not finite in image 0"):
            way(model, random_image().float(), Unit("1", 1))
