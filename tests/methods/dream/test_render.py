"""The ascent: every objective rises, closed forms, Adam of torch, and nothing left behind."""

import pytest
import torch
import torch.nn.functional as F
from explained_nets import Views
from probed_nets import SMALL, Functional, random_image, seeded, state
from torch import nn

from cnnlab.methods import dream
from cnnlab.methods.dream.objective_gradient import redirected_relu
from cnnlab.nets import models
from cnnlab.nets.adam import Adam
from cnnlab.probing import Recorder

LAYER = {"residual": "bn2", **dict.fromkeys(("sequential", "in place"), "4"), "shared": "3"}
START = random_image(n=2).float()


def objectives(layer):
    return {
        "neuron": dream.neuron(layer, 3),
        "channel": dream.channel(layer, 2),
        "layer": dream.layer(layer),
        "logit": dream.logit(1),
        "probability": dream.probability(2),
        "direction": dream.direction(layer, torch.tensor([1.0, -1, 2, 0, 1, 0, 0, 1])),
        "with angle": dream.direction(layer, torch.tensor([1.0, -1, 2, 0, 1, 0, 0, 1]), power=1),
        "diversity": dream.diversity(layer),
        "L2": -dream.l2(),
        "total variation": -dream.total_variation(),
        "blur": -dream.blur(),
        "mixed": dream.channel(layer, 2) + 0.1 * dream.logit(0) - dream.total_variation(),
    }


@pytest.mark.parametrize("parametrisation", ("fourier", "pixel"))
@pytest.mark.parametrize("name", objectives("3"))
def test_every_objective_rises_in_a_few_steps(name, parametrisation):
    model = seeded(SMALL["sequential"])
    found = dream.render(
        model,
        objectives("3")[name],
        steps=6,
        start=START,
        learning_rate=0.02,
        parametrisation=parametrisation,
        transforms=(),
    )
    assert (found.history[-1] > found.history[0]).all() and found.history.shape == (6, 2)
    assert found.had_gradient.all() and found.stopped == "finished" and found.seconds > 0
    assert found.images.shape == (2, 3, 16, 16)
    assert found.passes == ((0, 0) if name in ("L2", "total variation", "blur") else (12, 12))


@pytest.mark.parametrize("name", [*SMALL, "views"])
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_every_build_of_network_and_nothing_left_behind(name, dtype):
    model = seeded(SMALL.get(name, Views), dtype)
    last = [key for key, part in model.named_modules() if isinstance(part, nn.Linear)][-1]
    model.train()
    before = state(model)
    objective = dream.neuron(last, 1) + dream.logit(2)
    dream.render(model, objective, size=16, steps=2)
    assert state(model) == before
    found = dream.render(model, objective, size=16, steps=6, transforms=(), redirect_steps=0)
    assert state(model) == before and found.images.dtype == dtype
    assert found.history[-1] > found.history[0] and 0 <= found.images.min() <= found.images.max() <= 1
    if name in LAYER:
        up = dream.render(model, dream.channel(LAYER[name], 1), size=16, steps=3, n_images=2)
        assert state(model) == before and up.images.shape == (2, 3, 16, 16)


@pytest.mark.parametrize("name", ("simpleconvnet", "shapesnet"))
def test_networks_of_the_course_grey_and_colour(name):
    model = models.load(name)
    found = dream.render(model, dream.channel("conv2", [0, 5]), steps=8)
    assert found.images.shape == (2, *model.input_size) and (found.history[-1] > found.history[0]).all()
    odd = dream.render(model, dream.channel("relu2", 3), size=(27, 33), steps=2)
    assert odd.images.shape[2:] == (27, 33)


def test_the_best_picture_for_a_linear_unit_is_known():
    """Of a . x the best image in [0, 1] is white where a > 0 and black elsewhere: sum of positive a."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 2, bias=False)).double()
    weight = model[1].weight.detach()[1].view(1, 3, 6, 6)
    best = float(weight.clamp(min=0).sum())
    for space, steps in (("pixel", 300), ("fourier", 1500)):
        found = dream.render(
            model,
            dream.logit(1),
            size=6,
            steps=steps,
            learning_rate=0.3,
            transforms=(),
            parametrisation=space,
        )
        assert float((weight * found.images).sum()) > (0.98 if space == "pixel" else 0.9) * best
    found = dream.render(
        model, dream.logit(1), size=6, steps=300, learning_rate=0.3, transforms=(), parametrisation="pixel"
    )
    assert ((found.images > 0.5) == (weight > 0)).all()
    # With a penalty c |x - 1/2|^2 / n the best is 1/2 + a n / 2c, inside of [0, 1].
    bent = dream.logit(1) - 108 * dream.l2()
    found = dream.render(model, bent, size=6, steps=600, transforms=(), parametrisation="pixel")
    torch.testing.assert_close(found.images, 0.5 + weight / 2, atol=1e-3, rtol=0)


def test_adam_is_that_of_torch():
    start = torch.rand(3, 4, dtype=torch.float64)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    adam, peer = Adam(ours, 0.07), torch.optim.Adam([theirs], lr=0.07, maximize=True)
    for _ in range(20):
        theirs.grad = torch.randn(3, 4).double()
        adam.step(theirs.grad)
        peer.step()
    torch.testing.assert_close(ours, theirs.detach())


def test_the_first_slope_is_that_of_plain_autograd():
    model, x = seeded(SMALL["residual"], torch.float64), random_image(n=2).clamp(0.1, 0.9)
    found = dream.render(
        model,
        dream.logit(1),
        start=x,
        steps=1,
        learning_rate=1e-6,
        transforms=(),
        parametrisation="pixel",
        redirect_steps=0,
    )
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(found.history[0], model(x)[:, 1].detach())
    assert ((found.images - x).sign() == gradient.sign())[
        gradient.abs() > 1e-6
    ].all()  # Adam's first: the sign


def test_seeds_reproduce_and_a_picture_does_not_depend_on_its_neighbours():
    model = seeded(SMALL["sequential"], torch.float64)
    one, again, other = (
        dream.render(model, dream.channel("3", 2), size=16, steps=5, n_images=b, seed=s)
        for b, s in ((1, 3), (4, 3), (1, 4))
    )
    assert (one.images - again.images[:1]).abs().max() < 1e-6
    assert (one.images - other.images).abs().max() > 1e-3
    assert (again.images[0] - again.images[1]).abs().max() > 1e-3
    each = dream.render(model, dream.channel("3", [2, 5]), size=16, steps=5, seed=3)
    assert (each.images[:1] - one.images).abs().max() < 1e-6
    torch.manual_seed(5)
    assert torch.equal(
        one.images, dream.render(model, dream.channel("3", 2), size=16, steps=5, seed=3).images
    )


def test_stopping_keeps_the_picture_so_far():
    model = seeded(SMALL["sequential"])
    before = state(model)
    seen = []

    def after_three(done, total, images, value):
        seen.append((done, total, images, value))
        return done == 3

    def by_hand(done, *_):
        if done == 3:
            raise KeyboardInterrupt

    wish = {"size": 16, "steps": 10, "learning_rate": 0.1}
    stopped, cut, short, whole = (
        dream.render(model, dream.channel("3", 2), progress=p, **{**wish, **more})
        for p, more in ((after_three, {}), (by_hand, {}), (None, {"steps": 3}), (None, {}))
    )
    assert [found.stopped for found in (stopped, cut, short, whole)] == [
        "stopped",
        "interrupted",
        "finished",
        "finished",
    ]
    assert torch.equal(stopped.images, short.images) and torch.equal(cut.images, short.images)
    assert not torch.equal(stopped.images, whole.images)
    assert [(d, t) for d, t, *_ in seen] == [(1, 10), (2, 10), (3, 10)]
    assert torch.equal(seen[2][2], stopped.images) and seen[2][3] == pytest.approx(
        float(stopped.history[2].mean())
    )
    assert len(stopped.history) == 3 and state(model) == before

    def broken(*_):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        dream.render(model, dream.channel("3", 2), progress=broken, **wish)
    assert state(model) == before


def test_the_filmstrip_goes_from_the_start_to_the_end():
    model = seeded(SMALL["sequential"])
    found = dream.render(model, dream.channel("3", 2), size=16, steps=20, n_frames=5)
    assert [step for step, _ in found.frames] == [0, 5, 10, 15, 20]
    start = dream.render(model, dream.channel("3", 2), size=16, steps=0)
    assert torch.equal(found.frames[0][1], start.images) and start.history.shape == (0, 1)
    assert torch.equal(found.frames[-1][1], found.images)
    assert not torch.equal(found.frames[1][1], found.frames[2][1])
    assert dream.render(model, dream.channel("3", 2), size=16, steps=2, n_frames=0).frames == []
    one = dream.render(model, dream.channel("3", 2), size=16, steps=2, n_frames=1)
    assert [step for step, _ in one.frames] == [2]


def test_it_works_where_the_caller_wants_no_gradients():
    model, objective = seeded(SMALL["sequential"]), dream.channel("3", 2)
    expected = dream.render(model, objective, size=16, steps=3).images
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            assert torch.equal(dream.render(model, objective, size=16, steps=3).images, expected)
    frozen = seeded(SMALL["sequential"]).requires_grad_(False)
    assert torch.equal(dream.render(frozen, objective, size=16, steps=3).images, expected)
    assert not any(p.requires_grad for p in frozen.parameters())


def test_the_callers_picture_stays_and_is_the_start():
    model, x = seeded(SMALL["sequential"]), random_image().float()
    before, bits = state(model, x), x.clone()
    found = dream.render(model, dream.channel("3", 2), start=x, steps=0, parametrisation="pixel")
    assert (found.images - x).abs().max() < 1 / 500
    dream.render(model, dream.channel("3", 2), start=x, steps=2, parametrisation="pixel", transforms=())
    assert state(model, x) == before and torch.equal(x, bits)
    pair = dream.render(model, dream.channel("3", [0, 1]), start=x, steps=2, transforms=())
    assert (pair.images - x).abs().max() < 0.3 and not torch.equal(*pair.images)


class Asleep(nn.Module):
    """A unit that is off for every image near grey, behind a ReLU of any kind."""

    def __init__(self, relu=F.relu, bias=-0.8):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 2, 1), relu
        nn.init.constant_(self.conv.weight, 1 / 3)
        nn.init.constant_(self.conv.bias, bias)
        self.last = nn.Identity()

    def forward(self, x):
        return self.last(self.relu(self.conv(x)))


def test_a_unit_that_is_off_is_woken():
    before = state(model := Asleep())
    found = dream.render(model, dream.channel("last", 1), size=8, steps=200, redirect_steps=16)
    assert found.history[0] == 0 and found.history[-1] > 0.05 and found.had_gradient.all()
    with pytest.raises(ValueError, match="nothing was rendered"):
        dream.render(model, dream.channel("last", 1), size=8, steps=20, redirect_steps=0)
    assert 200 < found.passes.forward <= 216 and state(model) == before
    # The penalty alone has a gradient at every step; the unit must be woken nonetheless.
    penalised = dream.render(
        model, dream.channel("last", 1) - 0.01 * dream.l2(), size=8, steps=200, redirect_steps=16
    )
    assert penalised.history[-1] > 0.02


def test_only_pictures_without_a_slope_are_looked_at_with_other_relus():
    grey = torch.tensor([0.9, 0.3]).view(2, 1, 1, 1).expand(2, 3, 8, 8)  # the first opens the unit
    options = {"start": grey, "steps": 3, "transforms": (), "parametrisation": "pixel"}
    both = dream.render(Asleep(), dream.channel("last", [0, 1]), **options)
    assert both.passes.forward == 2 * (3 + 3)  # the second sleeps in each of the three steps
    first = dream.render(
        Asleep(), dream.channel("last", 0), **{**options, "start": grey[:1]}, redirect_steps=0
    )
    assert first.passes.forward == 3
    torch.testing.assert_close(both.images[:1], first.images)
    assert (both.images[1] > grey[1] + 0.01).all() and (both.history[:, 1] == 0).all()
    plain = dream.render(Asleep(), dream.channel("last", [0, 1]), **options, redirect_steps=0)
    torch.testing.assert_close(plain.images[1], grey[1], atol=1e-6, rtol=0)


def test_the_redirected_rule_acts_only_where_all_is_off():
    y = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    g = torch.tensor([[1.0, -4.0, -1.0], [1.0, -4.0, 2.0], [5.0, 0.0, -1.0]])
    expected = torch.tensor([[0.0, -4.0, 0.0], [1.0, 0.0, 2.0], [5.0, 0.0, 0.0]])
    assert torch.equal(redirected_relu(g, y), expected)
    # The same numbers as three maps of one image: each is asked by itself, and so is each image.
    assert torch.equal(redirected_relu(g[None, :, None], y[None, :, None]), expected[None, :, None])
    assert torch.equal(
        redirected_relu(g[:, :, None], y[:, :, None]), torch.where(y > 0, g, g.clamp(min=0))[:, :, None]
    )


def test_a_dead_unit_is_refused_and_not_shown_as_noise():
    model = Asleep(relu=lambda x: x.clamp(min=0), bias=-1.5)  # a ReLU in disguise, to which no rule applies
    before = state(model)
    with pytest.raises(ValueError, match="nothing was rendered: channel last 1 has no gradient"):
        dream.render(model, dream.channel("last", 1), size=8, steps=4)
    assert state(model) == before


def test_what_cannot_be_is_refused():
    model = seeded(SMALL["sequential"])
    before, good = state(model), dream.channel("3", 2)

    def asked(error, match, objective=good, **options):
        with pytest.raises(error, match=match):
            dream.render(model, objective, **{"size": 16, "steps": 2, **options})
        assert state(model) == before

    asked(LookupError, "no layer '33'", dream.channel("33", 0))
    asked(ValueError, "3 has no channel 9", dream.channel("3", 9))
    asked(LookupError, "no class 7", dream.logit(7))
    asked(LookupError, "no class 'cat'", dream.logit("cat"))
    asked(TypeError, "an objective is made by", "conv2")
    asked(ValueError, "the objective is about 2, n_images is 3", dream.channel("3", [0, 1]), n_images=3)
    asked(ValueError, "start has 3", dream.channel("3", [0, 1]), start=random_image(n=3).float())
    asked(ValueError, "n_images is a whole number", n_images=0)
    asked(ValueError, "ask for n_images=2", dream.diversity("3"))
    asked(ValueError, "steps is a whole number", steps=-1)
    asked(ValueError, "steps is a whole number", steps=2.0)
    asked(ValueError, "learning_rate is a number above 0", learning_rate=float("nan"))
    asked(ValueError, "size is a side", size=(16, 16, 16))
    asked(ValueError, "start is 'noise'", start="zeros")
    asked(ValueError, r"start is \(N, C, H, W\)", start=torch.zeros(3, 16, 16))
    asked(ValueError, r"pixels in \[0, 1\]", start=random_image().float() * 255)
    asked(ValueError, r"pixels in \[0, 1\]", start=random_image().float() / 0)
    asked(ValueError, "resize one of them", start=random_image(8).float())
    asked(ValueError, "transforms are 'standard'", transforms="all")
    asked(LookupError, "no parametrisation 'pixels'", parametrisation="pixels")
    asked(LookupError, "no padding mode 'black'", padding_mode="black")
    nn.init.constant_(model[0].bias, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        dream.render(model, good, size=16, steps=2)


def test_only_what_is_needed_runs():
    ran = []

    class Late(nn.Module):
        def forward(self, x):
            ran.append(1)
            return x

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Late())
    dream.render(model, dream.channel("1", 0), size=8, steps=2)
    assert not ran
    found = dream.render(model, dream.channel("2", 0), size=8, steps=2)
    assert len(ran) == found.passes.forward > 1


def test_the_model_may_be_used_by_progress():
    model = seeded(Functional)
    with torch.no_grad():
        plain = model(torch.full((1, 3, 16, 16), 0.5))

    def look(done, total, images, value):
        with Recorder(model, "conv1") as acts:
            assert torch.allclose(model(torch.full((1, 3, 16, 16), 0.5)), plain, atol=1e-5)
        assert acts["conv1"].shape[1] == 6

    dream.render(model, dream.logit(1), size=16, steps=2, progress=look)


class Dead(nn.Module):
    """Behind a true ReLU, and never on, whatever the image."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.last = nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Identity()
        nn.init.constant_(self.conv.weight, 1 / 3)
        nn.init.constant_(self.conv.bias, -1.5)

    def forward(self, x):
        return self.last(self.relu(self.conv(x)))


def test_a_dead_unit_behind_a_relu_is_said_and_not_drawn():
    with pytest.raises(ValueError, match="nothing was rendered"):
        dream.render(Dead(), dream.channel("last", 1), size=8, steps=20)
    icons = dream.superstimuli(Dead(), "last", size=8, steps=12)
    assert not icons.had_gradient.any()
    with pytest.raises(ValueError, match="nothing but zeros"):
        dream.invert(Dead(), torch.rand(1, 3, 8, 8), "last", steps=2)


@pytest.mark.parametrize("factor", (1e-30, 1e-9, 1e9, 1e25))
def test_the_size_of_an_objective_does_not_count(factor):
    model = seeded(SMALL["sequential"], torch.float64)
    one, other = (
        dream.render(model, weight * dream.channel("3", 1), size=16, steps=6) for weight in (1.0, factor)
    )
    torch.testing.assert_close(other.images, one.images, rtol=0, atol=1e-6)
    assert other.had_gradient.all()


def test_half_precision_networks_are_climbed_in_single_precision():
    model = seeded(SMALL["sequential"], torch.float32).to(torch.bfloat16)
    for parametrisation in ("pixel", "fourier"):
        found = dream.render(model, dream.channel("3", 2), size=16, steps=8, parametrisation=parametrisation)
        assert found.images.dtype == torch.float32 and found.images.isfinite().all()
        assert found.history[-1] > found.history[0]


def test_all_doors_in_the_caller_s_inference_mode():
    model, x = seeded(SMALL["sequential"], torch.float32), torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        dream.Fourier().to_image(torch.randn(1, 3, 18, 10, 2), (18, 18))
        inside = torch.ones(8)
        dream.render(model, dream.direction("3", inside), size=16, steps=2)
        dream.grid(model, x, "3", cells=2, size=16, steps=2)
        dream.invert(model, x, "3", steps=2)
        dream.superstimuli(model, "3", size=16, steps=2, channels=[0, 1])
        dream.deep_dream(model, x, dream.layer("3"), octaves=1, steps=2)
    dream.render(model, dream.channel("0", 1), size=18, steps=2)  # nothing was kept that has no gradient


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"transforms": ()},
        {"learning_rate": 0.05},
        {"parametrisation": "pixel"},
        {"parametrisation": dream.Fourier(decay_power=0.5)},
        {"padding_mode": "edge", "transforms": [dream.jitter(6)]},
        {"padding_mode": "grey", "transforms": [dream.jitter(6)]},
    ],
)
def test_every_option_counts(changed):
    model = seeded(SMALL["sequential"], torch.float32)
    plain = {"transforms": [dream.jitter(6)]} if "padding_mode" in changed else {}
    usual = dream.render(model, dream.channel("3", 1), size=16, steps=4, **plain)
    other = dream.render(model, dream.channel("3", 1), size=16, steps=4, **changed)
    assert (usual.images - other.images).abs().max() > 1e-3


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"transforms": ()}, {"learning_rate": 0.05}, {"objective": "neuron"}]
)
def test_every_option_of_superstimuli_counts(changed):
    model = seeded(SMALL["sequential"], torch.float32)
    usual, other = (
        dream.superstimuli(model, "3", channels=[1], size=16, steps=4, **some).images
        for some in ({}, changed)
    )
    assert (usual - other).abs().max() > 1e-3


def test_a_class_by_its_name_is_the_class_by_its_number():
    model = models.load("shapesnet")
    options = {"size": 32, "steps": 3}
    number, name = (dream.render(model, dream.logit(each), **options) for each in (2, model.classes[2]))
    assert torch.equal(number.images, name.images)
    with pytest.raises(LookupError, match="class"):
        dream.render(model, dream.logit("unicorn"), **options)


def test_a_layer_is_asked_for_its_channels_without_what_follows():
    """A dense layer behind it could not take images of this size."""
    icons = dream.superstimuli(models.load("simpleconvnet"), "conv1", size=20, steps=1, channels=[0])
    assert icons.images.shape == (1, 1, 20, 20)


def test_stop_at_the_last_step_of_a_batch_is_heard():
    model = seeded(SMALL["sequential"], torch.float32)
    found = dream.superstimuli(model, "3", size=16, steps=1, batch=2, progress=lambda *_: True)
    assert found.stopped == "stopped" and len(found.images) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"redirect_steps": -3}, "redirect_steps"),
        ({"learning_rate": True}, "learning_rate"),
        ({"learning_rate": "x"}, "learning_rate"),
        ({"progress": 5}, "progress"),
        ({"transforms": None}, "transforms"),
    ],
)
def test_options_of_a_wrong_kind_are_named(options, text):
    with pytest.raises((TypeError, ValueError), match=text):
        dream.render(
            seeded(SMALL["sequential"], torch.float32), dream.channel("3", 1), size=16, steps=2, **options
        )


def test_channels_and_places_are_whole_numbers():
    model, x = seeded(SMALL["sequential"], torch.float32), torch.rand(1, 3, 16, 16)
    for wrong in ([1.7], [True]):
        with pytest.raises(ValueError, match="whole number"):
            dream.superstimuli(model, "3", channels=wrong, size=16, steps=1)
    with pytest.raises(ValueError, match="whole number"):
        dream.top_channels(model, x, "3", True, 0)
    with pytest.raises(TypeError, match="a model"):
        dream.render(lambda y: y, dream.channel("3", 1))


def test_weights_of_inference_mode_are_refused_and_left_as_they_are():
    with torch.inference_mode():
        model = nn.Sequential(nn.Conv2d(3, 4, 3))
    flags = [weight.requires_grad for weight in model.parameters()]
    with pytest.raises(ValueError, match="inference_mode"):
        dream.render(model, dream.channel("0", 1), size=8, steps=1)
    assert [weight.requires_grad for weight in model.parameters()] == flags


def test_a_float64_photo_for_a_float32_network_and_a_grey_one_for_a_colour_net():
    model, photo = seeded(SMALL["sequential"], torch.float32), torch.rand(1, 3, 16, 16, dtype=torch.float64)
    assert dream.invert(model, photo, "3", steps=2).images.isfinite().all()
    assert dream.deep_dream(model, photo, dream.layer("3"), octaves=1, steps=1).images.isfinite().all()
    with pytest.raises(ValueError, match="3 channels"):
        dream.deep_dream(model, photo[:, :1], dream.layer("3"), octaves=1, steps=1)


def test_a_dream_that_is_stopped_stays_in_range_at_every_step():
    model, photo = seeded(SMALL["sequential"], torch.float32), torch.rand(1, 3, 24, 24).round()
    for last in range(1, 9):
        found = dream.deep_dream(
            model,
            photo,
            dream.layer("3"),
            octaves=2,
            steps=4,
            step_size=0.3,
            progress=lambda d, *_, s=last: d >= s,
        )
        assert 0 <= found.images.min() and found.images.max() <= 1 and len(found.history) == last
        assert not torch.equal(found.images, photo)
