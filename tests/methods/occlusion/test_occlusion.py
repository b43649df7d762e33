"""Every way to compute an occlusion against a loop that covers one window after the other, and captum's."""

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from occlusion_loop import ENGINES, Call, covered, error, loop, make
from probed_nets import SMALL, random_image, seeded, sequential, state, torchvision_net
from torch import nn

from cnnlab.methods import occlusion
from cnnlab.methods.occlusion import runner
from cnnlab.methods.occlusion.incremental import convolution_rules, patch_maps, pointwise_rules, window_rules
from cnnlab.methods.targets import top_classes
from cnnlab.nets import models
from cnnlab.probing import Recorder, Unit


@pytest.fixture(autouse=True, params=(1, 32), ids=("added", "anew"))
def channels(request, monkeypatch):
    """Convolutions of few channels are computed anew; here they are also added to that of the image."""
    monkeypatch.setattr(convolution_rules, "_CHANNELS", request.param)


# --- every layer there is a rule for ------------------------------------------------------------------------


def changed_in_place(x):
    """Results that are thrown away, because they are in x already."""
    y = x.clone()
    x.relu_()
    x += 0.5
    x.mul_(2).clamp_(max=3.0)
    F.relu(x, True)
    return x - y


def seen_through_a_view(x):
    x[:, :2, 3:5].relu_()
    return x


def rest(x):
    """A sum of two ways of different reach."""
    return F.relu(x + F.max_pool2d(x, 5, 1, 2), inplace=True)


def folded(x, a, mean, var):
    """A convolution, a batch norm and a ReLU, which may become one."""
    y = F.relu(F.batch_norm(F.conv2d(x, a, mean, padding=1), mean, var, var, mean, eps=0.1))
    return F.relu_(F.batch_norm(F.conv2d(y, a), mean, var) + y[:, :, 1:-1, 1:-1])


def asked_twice(x, a, mean, var):
    """What waits to be made is asked for by several, before and after it is there."""
    y = F.conv2d(x, a, padding=1)
    z = F.relu(y) + y * F.batch_norm(y, mean, var)
    total = z + y
    return F.relu(total) - total + F.batch_norm(z, mean, var)


def folded_by_torch(x, a, mean, var):
    """torch.batch_norm takes weight and bias first, F.batch_norm the statistics."""
    y = F.conv2d(x, a, padding=1)
    return torch.batch_norm(y, var, mean, 0.5 * mean, 2 * var, False, 0.1, 1e-5, False)


def at_the_border(x, a, mean, var):
    """Regions of other sizes, shifted against one another: together they reach over the edge."""
    wide = F.conv2d(x, a.repeat(1, 1, 3, 3)[:, :, :7, :7])
    return torch.cat([F.conv2d(x, a), F.pad(wide, (4, 0, 4, 0))], 1)[:, :4]


STATISTICS = {
    "a": torch.arange(144.0).sin().view(4, 4, 3, 3),
    "mean": torch.tensor([0.1, -0.2, 0.3, 0.0]),
    "var": torch.tensor([0.5, 1, 2, 3]),
}

KINDS = {
    "convolution and batch norm in one": lambda: Call(folded, **STATISTICS),
    "made twice": lambda: Call(asked_twice, **STATISTICS),
    "batch norm by torch's own order": lambda: Call(folded_by_torch, **STATISTICS),
    "regions that end at the border": lambda: Call(at_the_border, **STATISTICS),
    "conv": lambda: nn.Conv2d(4, 4, 3),
    "stride, padding": lambda: nn.Conv2d(4, 4, 3, stride=2, padding=1),
    "rows left out": lambda: nn.Conv2d(4, 4, 2, stride=3),
    "kernel below the stride": lambda: nn.Conv2d(4, 4, 1, stride=4),
    "dilation, groups": lambda: nn.Conv2d(4, 4, (3, 2), dilation=(2, 3), padding=(2, 0), groups=2),
    "same, even kernel": lambda: nn.Conv2d(4, 4, (4, 2), padding="same", dilation=(1, 3)),
    "valid": lambda: nn.Conv2d(4, 4, 3, padding="valid", bias=False),
    "much padding": lambda: nn.Conv2d(4, 4, 3, padding=4),
    "each channel by itself": lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "1x1": lambda: nn.Conv2d(4, 4, 1),
    "reflected": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 3, stride=2),
    "overlapping pool": lambda: nn.MaxPool2d(3, 2, padding=1),
    "pool up to the edge": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "dilated pool": lambda: nn.MaxPool2d((2, 3), (1, 2), dilation=2),
    "mean pool": lambda: nn.AvgPool2d(3, 2, padding=1),
    "mean pool up to the edge": lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True),
    "mean pool of what is there": lambda: nn.AvgPool2d((3, 2), 2, padding=1, count_include_pad=False),
    "mean pool, divisor": lambda: nn.AvgPool2d(2, 3, divisor_override=5),
    "adaptive pool": lambda: nn.AdaptiveAvgPool2d((3, 5)),
    "batch norm": lambda: nn.BatchNorm2d(4),
    "batch norm, no weights": lambda: nn.BatchNorm2d(4, affine=False),
    "dropout": lambda: nn.Sequential(nn.Dropout(), nn.Dropout2d(inplace=True), nn.Identity()),
    "relu in place": lambda: nn.ReLU(inplace=True),
    "leaky, elu, prelu": lambda: nn.Sequential(nn.LeakyReLU(0.1, True), nn.ELU(), nn.PReLU(4)),
    "sigmoid, tanh, silu": lambda: nn.Sequential(nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.GELU()),
    "softmax": lambda: nn.Softmax(dim=1),
    "border of zeros": lambda: nn.Sequential(nn.ZeroPad2d((1, 2, 0, 3)), nn.ConstantPad2d(1, 0.5)),
    "cut border": lambda: nn.ZeroPad2d(-1),
    "constants": lambda: Call(
        lambda x, c: (2 - x / c) * 0.5 - c, c=torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1)
    ),
    "a constant map": lambda: Call(lambda x, c: x + c, c=torch.arange(11.0)),
    "sum of two ways": lambda: Call(rest),
    "product of two ways": lambda: Call(lambda x: x * x.sigmoid()),
    "gate": lambda: Call(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()),
    "gate without batch": lambda: Call(
        lambda x: x * x.mean((2, 3), keepdim=True).sigmoid().repeat(1, 1, 1, 1)
    ),
    "two ways by the same function": lambda: Call(
        lambda x, a, b: F.conv2d(x, a, padding=1) + F.conv2d(x, b, padding=1),
        a=torch.ones(4, 4, 3, 3),
        b=torch.arange(144.0).view(4, 4, 3, 3) / 144,
    ),
    "concatenation": lambda: Call(lambda x: torch.cat([x[:, 1:3], F.avg_pool2d(x, 3, 1, 1)[:, :2]], 1)),
    "concatenated rows": lambda: Call(lambda x: torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 2)),
    "in place": lambda: Call(changed_in_place),
    "in place through a view": lambda: Call(seen_through_a_view),
    "normalised over the map": lambda: nn.GroupNorm(2, 4),
    "fourier": lambda: Call(lambda x: torch.fft.fft2(x).abs()),
    "shapes": lambda: Call(lambda x: x.view(x.size(0), 4, -1).reshape(len(x), *x.shape[1:]).contiguous()),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_every_layer_is_that_of_the_loop(kind):
    middle = KINDS[kind]()
    model = make(
        nn.Conv2d(3, 4, 3, padding=1), middle, nn.Conv2d(4, 3, 2, padding=1), nn.ReLU(), nn.Flatten()
    )
    x = random_image(11)
    for window, stride in [((4, 4), (3, 3)), ((2, 5), (1, 2)), ((1, 1), (1, 1))]:
        assert error(model, x, window, stride) < 1e-10


@pytest.mark.parametrize("batch", (1, 2, 7, 1000))
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SMALL)
def test_every_build_of_a_net_and_every_chunk(name, engine, batch):
    assert (
        error(
            seeded(SMALL[name], torch.float64), random_image(16), (3, 5), (2, 5), engine=engine, batch=batch
        )
        < 1e-10
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "size, window, stride",
    [
        ((16, 16), (16, 16), (8, 8)),
        ((17, 13), (6, 4), (5, 3)),
        ((9, 20), (2, 2), (2, 1)),
        ((16, 16), (15, 1), (9, 1)),
    ],
)
def test_odd_sizes_and_windows_that_do_not_divide(engine, size, window, stride):
    model = make(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 2), nn.Flatten())
    x = torch.rand(1, 1, *size, dtype=torch.float64)
    expected = loop(model, x, window, stride)
    found = occlusion.scan(model, x, window=window, stride=stride, engine=engine)
    drops = (found.unoccluded - found.outputs).flatten(0, 1)
    assert expected.abs().max() > 0 and (drops - expected).abs().max() < 1e-12


@pytest.mark.parametrize(
    "fill", (0.7, torch.tensor([0.1, 0.5, 0.9]), random_image(16, seed=5), random_image(16, seed=5)[0])
)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_number_a_colour_and_a_picture_cover(engine, fill):
    model, whole = seeded(sequential, torch.float64), fill
    if isinstance(fill, torch.Tensor) and fill.dim() == 1:
        whole = fill.double()[None, :, None, None]
    expected = loop(model, random_image(16), (5, 5), (3, 3), whole)
    found = occlusion.scan(model, random_image(16), window=5, stride=3, fill=fill, engine=engine)
    assert (
        (found.unoccluded - found.outputs).flatten(0, 1) - expected
    ).abs().max() < 1e-6  # the colour is float32


@pytest.mark.parametrize(
    "name, size", [("squeezenet1_0", 64), ("googlenet", 64), ("vgg11", 32), ("resnet18", 64)]
)
def test_torchvision_nets(name, size):
    model = torchvision_net(name).double()
    assert error(model, random_image(size), (13, 13), (13, 13)) < 1e-8  # the drops are small


def test_the_rules_are_used():
    """Not slower by going through whole maps: a small window costs little of a deep net."""
    model, x = models.load("photonet"), random_image(96, dtype=torch.float32)
    found = occlusion.scan(model, x, window=8, stride=8, engine="incremental")
    assert found.work < 0.2 * 144
    batches = occlusion.scan(model, x, window=8, stride=8, engine="batches")
    assert 144 + 4 <= batches.work <= 144 + 5 and batches.reason == "batches were asked for"


def test_a_batch_norm_is_folded_into_the_convolution_before_it(monkeypatch):
    made, own = [], pointwise_rules._folded
    monkeypatch.setattr(
        pointwise_rules, "_folded", lambda *given, **named: made.append(own(*given, **named)) or made[-1]
    )
    model = make(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Flatten()
    )
    assert (
        error(model, random_image(11)) < 1e-10 and len(made) == 1
    )  # once for all windows; none after a pool


@pytest.mark.parametrize(
    "name", ("add", "max_pool2d", "conv2d", "cat", "batch_norm", "relu", "dropout", "__getitem__")
)
def test_without_a_rule_it_is_whole_maps_and_the_same(monkeypatch, name):
    model, x = seeded(SMALL["residual"], torch.float64), random_image(16)
    rules = {
        key: rule
        for key, rule in pointwise_rules.RULES.items()
        if getattr(key, "__name__", "").strip("_") != name.strip("_")
    }
    assert len(rules) < len(pointwise_rules.RULES)
    for key in set(pointwise_rules.RULES) - set(rules):
        monkeypatch.delitem(pointwise_rules.RULES, key)
    found = occlusion.scan(model, x, window=4, stride=2)
    assert (
        (found.unoccluded - found.outputs).flatten(0, 1) - loop(model, x, (4, 4), (2, 2))
    ).abs().max() < 1e-12


@pytest.mark.parametrize("broken", ("margin", "outside", "sum", "position", "change", "spread"))
def test_a_broken_rule_is_seen_and_its_numbers_are_not_used(monkeypatch, broken):
    """A rule that is wrong at the middle window is not used at all; elsewhere the tests above would fail."""
    monkeypatch.setattr(convolution_rules, "_CHANNELS", 1 if broken in ("change", "spread") else 32)
    model, x = seeded(SMALL["residual"], torch.float64), random_image(16)
    crop, padded_base, added = (
        patch_maps.PatchedMaps.crop,
        window_rules.padded_base,
        patch_maps.PatchedMaps.added_to,
    )

    def margin(self, top, left, rows, cols, padded=None):
        return crop(self, top, tuple(i - (i > 0 and cols > 3) for i in left), rows, cols, padded)

    def position(self, *where):
        return crop(self.become(self.base, self.values.roll(1, 0)), *where)

    def outside(base, rows, cols, _value):
        return padded_base(base, rows, cols, 5.0)

    def only_the_first(given):
        return given[0].top, given[0].left, given[0].size

    def spread(self, padded, top, left, size):
        return added(self.become(self.base, self.values.roll(1, 2)), padded, top, left, size)

    at = {
        "change": (patch_maps.PatchedMaps, "change", lambda self: self.values),
        "spread": (patch_maps.PatchedMaps, "added_to", spread),
        "margin": (patch_maps.PatchedMaps, "crop", margin),
        "position": (patch_maps.PatchedMaps, "crop", position),
        "outside": (window_rules, "padded_base", outside),
        "sum": (pointwise_rules, "_around", only_the_first),
    }
    monkeypatch.setattr(*at[broken])
    try:
        found = occlusion.scan(model, x, window=4, stride=2, engine="incremental")
    except ValueError as refused:
        assert "plain pass" in str(refused)
        return
    drops = (found.unoccluded - found.outputs).flatten(0, 1)
    assert (drops - loop(model, x, (4, 4), (2, 2))).abs().max() > 1e-4  # so the tests above would fail


# --- captum ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", (*ENGINES, "auto"))
@pytest.mark.parametrize(
    "name, size, window, stride",
    [("photonet", 64, 8, 4), ("alexnet", 80, 16, 9), ("resnet18", 64, 13, 8), ("simpleconvnet", 28, 7, 2)],
)
def test_captum(name, size, window, stride, engine):
    trained = name in ("photonet", "simpleconvnet")
    model = models.load(name) if trained else seeded(lambda: models.build(name))
    x = random_image(size, channels=model.input_size[0], dtype=torch.float32)
    c = x.shape[1]
    with torch.no_grad():
        expected = captum.attr.Occlusion(model).attribute(
            x, (c, window, window), (c, stride, stride), baselines=0.3, target=3, perturbations_per_eval=16
        )
    found = occlusion.heatmap(model, x, 3, window=window, stride=stride, fill=0.3, engine=engine)
    assert found.map.shape == (1, 1, size, size) and expected[0, 0].std() > 0
    assert (found.map[0, 0] - expected[0, 0]).abs().max() < 1e-4 * expected.abs().max()
    assert found.reference is None and found.score.shape == found.target.shape == (1,)


# --- closed forms -------------------------------------------------------------------------------------------


def linear(size=6):
    return make(nn.Flatten(), nn.Linear(size * size, 3, bias=False))


def test_fact_15_of_a_linear_model_it_is_weight_times_change():
    model, x, b = linear(), random_image(6, channels=1), 0.25
    change = (model[1].weight * (x - b).flatten()).detach().view(3, 6, 6)
    for k in range(3):
        one = occlusion.heatmap(model, x, k, window=1, stride=1, fill=b)
        assert torch.allclose(one.map[0, 0], change[k], atol=1e-14)
        wide = occlusion.drops(model, x, k, window=(2, 3), stride=(2, 2), fill=b)
        sums = [[change[k, i : i + 2, j : j + 3].sum() for j in (0, 2, 4)] for i in (0, 2, 4)]
        assert torch.allclose(wide.values, torch.tensor(sums), atol=1e-14)


def test_a_pixel_gets_the_mean_of_its_windows_by_hand():
    model, x = linear(5), random_image(5, channels=1)
    found = occlusion.drops(model, x, 0, window=2, stride=2)
    (a, b, c), (d, e, f), (g, h, i) = found.values
    spread = found.per_pixel()[0, 0]
    assert torch.equal(spread[0], torch.stack([a, a, b, b, c])) and spread[4, 4] == i  # cut, not shifted
    found = occlusion.drops(model, x, 0, window=3, stride=2)
    (a, b), (c, d) = found.values
    spread = found.per_pixel()[0, 0]
    assert torch.allclose(spread[0], torch.stack([a, a, (a + b) / 2, b, b]))
    assert torch.allclose(spread[2, 2], (a + b + c + d) / 4)


# --- targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_classes_names_probabilities_and_several(engine):
    model, x = models.load("photonet"), random_image(64, dtype=torch.float32)
    options = {"window": 16, "stride": 12, "engine": engine}
    scan = occlusion.scan(model, x, **options)
    five = top_classes(model, x)
    several = occlusion.drops(model, x, five, **options)
    assert several.values.shape == (5, *scan.windows.grid) and several.score.shape == (5,)
    for k, number in enumerate(five[0].tolist()):
        for one in (scan.drops(number), occlusion.drops(model, x, model.classes[number], **options)):
            assert torch.equal(one.values, several.values[k]) and one.score == several.score[k]
            assert one.target == number
    assert occlusion.heatmap(model, x, five, **options).map.shape == (1, 5, 1, 64, 64)
    share = occlusion.drops(model, x, 3, output="probability", **options)
    expected = scan.unoccluded.softmax(0)[3] - scan.outputs.softmax(2)[..., 3]
    assert torch.equal(share.values, expected) and share.values.any()
    with pytest.raises(LookupError, match="no class 20"):
        scan.drops(20)
    with pytest.raises(LookupError, match="no class -1"):
        scan.drops(-1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("unit", (Unit("4", 3), Unit("4", 3, 2, 5), Unit("2", 1), Unit("6", 3), Unit("8", 1)))
def test_units(engine, unit):
    model, x = seeded(lambda: sequential(lambda: nn.ReLU(inplace=True)), torch.float64), random_image(16)

    def value(image):
        with Recorder(model, unit.layer) as acts, torch.no_grad():
            model(image)
        return unit.activation(acts[unit.layer]).mean()

    expected = torch.stack([value(x) - value(one) for one in covered(x, (4, 4), (3, 3))])
    found = occlusion.drops(model, x, unit, window=4, stride=3, engine=engine)
    assert found.engine == engine and expected.any() and abs(found.score - value(x)) < 1e-14
    assert (found.values.flatten() - expected).abs().max() < 1e-14


# --- what cannot be followed --------------------------------------------------------------------------------


LIMIT = float((random_image(9) - 0.5).mean())  # some covered images are above it, some below


class Decides(nn.Module):
    """Another way for bright images."""

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.net(x)
        if x.mean() > LIMIT:
            y = y * 2
        return y.mean((2, 3))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.look = nn.MultiheadAttention(3, 1, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.look(tokens, tokens, tokens, need_weights=False)[0].mean(1)


FALLBACKS = {
    "fourier": (
        lambda: make(Call(lambda x: torch.fft.fft2(x).abs()), nn.Flatten()),
        "no rule for the first function",
    ),
    "attention": (lambda: seeded(Attention, torch.float64), "no rule for the first function"),
    "decides": (lambda: seeded(Decides, torch.float64), "looks at a number"),
    "scripted": (lambda: torch.jit.script(make(nn.Conv2d(3, 4, 3), nn.Flatten())), "compiled or scripted"),
}


@pytest.mark.parametrize("name", FALLBACKS)
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_what_cannot_be_followed_falls_back_and_says_so(monkeypatch, name):
    monkeypatch.setattr(
        runner, "_COST", runner.Cost(cell=35, call=0)
    )  # or so small a net would not even be tried
    build, reason = FALLBACKS[name]
    model, x = build(), random_image(9) - 0.5
    found = occlusion.scan(model, x, window=3, stride=2)
    assert found.engine == "batches" and reason in found.reason
    drops = (found.unoccluded - found.outputs).flatten(0, 1)
    assert (drops - loop(model, x, (3, 3), (2, 2))).abs().max() < 1e-12
    with pytest.raises(ValueError, match="cannot be computed incrementally"):
        occlusion.scan(model, x, window=3, stride=2, engine="incremental")


def test_auto_takes_batches_for_small_nets_and_wide_windows():
    small, x = models.load("simpleconvnet"), random_image(28, channels=1, dtype=torch.float32)
    found = occlusion.scan(small, x, window=7, stride=2)
    assert found.engine == "batches" and "estimated to be faster" in found.reason
    model, x = models.load("photonet"), random_image(64, dtype=torch.float32)
    assert occlusion.scan(model, x, window=8, stride=4).engine == "incremental"
    assert occlusion.scan(model, x, window=60, stride=1).engine == "batches"


# --- progress -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_progress_and_stopping_keep_what_is_there(engine):
    model, x, heard = seeded(sequential), random_image(16, dtype=torch.float32), []
    whole = occlusion.drops(
        model, x, 1, window=4, engine=engine, batch=10, progress=lambda *at: heard.append(at)
    )
    assert heard[-1] == (49, 49) and len(heard) == 5 and [a for a, _ in heard] == sorted(a for a, _ in heard)
    part = occlusion.drops(model, x, 1, window=4, engine=engine, batch=10, progress=lambda done, _: done > 15)
    known = ~part.values.isnan()
    assert known.sum() == 20 and torch.allclose(part.values[known], whole.values[known], atol=1e-6)
    spread = part.per_pixel()
    assert spread.isnan().any() and not spread.isnan().all()
    assert not whole.per_pixel().isnan().any()


# --- promises -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ("sequential", "in place", "residual"))
def test_nothing_is_left_behind(engine, name):
    model, x = seeded(SMALL[name]).train(), random_image(16, dtype=torch.float32).requires_grad_()
    fill = random_image(16, seed=3, dtype=torch.float32)
    before = state(model, x, fill)
    expected = occlusion.scan(model, x, window=4, fill=fill, engine=engine).outputs
    assert state(model, x, fill) == before and not expected.requires_grad
    occlusion.drops(model, x, Unit(next(iter(dict(model.named_children()))), 1), window=4, engine=engine)
    assert state(model, x, fill) == before
    for block in (torch.no_grad, torch.inference_mode):
        with block():
            assert torch.equal(occlusion.scan(model, x, window=4, fill=fill, engine=engine).outputs, expected)
    assert state(model, x, fill) == before

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        occlusion.scan(model, x, window=4, engine=engine, progress=stop)
    with pytest.raises(ValueError):
        occlusion.scan(model, x, window=40, engine=engine)
    assert state(model, x, fill) == before


@pytest.mark.parametrize(
    "change, kind, message",
    [
        ({"image": random_image(16, n=2)}, ValueError, "one image"),
        ({"image": random_image(16)[0]}, ValueError, "images are"),
        ({"image": random_image(16) / 0}, ValueError, "not finite"),
        ({"window": 17}, ValueError, "17x17 does not fit in 16x16"),
        ({"window": 0}, ValueError, "window is a number"),
        ({"window": 2.0}, ValueError, "window is a number"),
        ({"window": (2, 3, 4)}, ValueError, "window is a number"),
        ({"stride": 5}, ValueError, "leave pixels between"),
        ({"stride": (0, 1)}, ValueError, "stride is a number"),
        ({"fill": torch.zeros(4)}, ValueError, "colour \\(3,\\)"),
        ({"fill": float("nan")}, ValueError, "not finite"),
        ({"fill": "black"}, TypeError, "fill is"),
        ({"engine": "fast"}, LookupError, "no engine 'fast'"),
        ({"batch": 0}, ValueError, "1 image or more"),
        ({"target": 5}, LookupError, "no class 5"),
        ({"target": "cat"}, LookupError, "no class 'cat'"),
        ({"target": Unit("9", 0)}, LookupError, "no layer '9'"),
        ({"target": Unit("0", 6)}, ValueError, "no channel 6"),
        ({"output": "odds"}, LookupError, "odds"),
    ],
)
def test_wrong_input_is_refused_with_the_reason(change, kind, message):
    given = {"image": random_image(16), "target": 1, "window": 4, **change}
    with pytest.raises(kind, match=message):
        occlusion.drops(seeded(sequential, torch.float64), given.pop("image"), given.pop("target"), **given)


def test_an_answer_that_is_not_finite_or_no_row_of_classes_is_refused():
    x = random_image(9)
    with pytest.raises(ValueError, match="where a model gives"):
        occlusion.drops(make(nn.Conv2d(3, 4, 3)), x, 0, window=3)
    broken = make(nn.Conv2d(3, 4, 3), Call(lambda x: x.log()), nn.Flatten())
    with pytest.raises(ValueError, match="not finite"):
        occlusion.drops(broken, x - 5, 0, window=3)


def test_pictures_that_do_not_fit_are_said_to():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    model(torch.rand(1, 3, 8, 8))
    for wrong in (torch.rand(1, 3, 8, 8, dtype=torch.float64), torch.rand(1, 2, 8, 8)):
        with pytest.raises(ValueError, match="do not fit '0', the first convolution"):
            occlusion.drops(model, wrong, 0, window=4)


def test_numbers_of_numpy_are_numbers():
    model, x = seeded(sequential), random_image(16).float()
    plain = occlusion.drops(model, x, 1, window=4, stride=2, fill=0.5, batch=3)
    found = occlusion.drops(
        model, x, 1, window=np.int64(4), stride=(np.int32(2), 2), fill=np.float32(0.5), batch=np.int64(3)
    )
    assert torch.equal(plain.values, found.values) and found.windows == plain.windows
    for wrong in (True, 4.0, "4", (4, 0), (4,), (1, 2, 3)):
        with pytest.raises(ValueError, match="number of pixels"):
            occlusion.drops(model, x, 1, window=wrong)
