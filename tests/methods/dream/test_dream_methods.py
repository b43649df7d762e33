"""Deep dream, inversion, superstimuli, dictionary, grid: what they must reach, and what they must leave."""

import pytest
import torch
from probed_nets import SMALL, random_image, seeded, state
from torch import nn

from cnnlab.data import digits, photos
from cnnlab.methods import dream
from cnnlab.nets import models
from cnnlab.probing import Recorder


@pytest.fixture
def net():
    return seeded(SMALL["sequential"])


@pytest.fixture(scope="module")
def photonet():
    return models.load("photonet")


def answers(model, image, layer):
    with torch.no_grad(), Recorder(model, layer, stop=True) as acts:
        model(image)
    return acts[layer]


def broken(*_):
    raise RuntimeError("mine")


def by_hand(*_):
    raise KeyboardInterrupt


# --- deep dream --------------------------------------------------------------------------------------------


def test_a_dream_has_more_of_what_the_layer_sees_and_keeps_the_photo(photonet):
    photo = photos.load("cat", 64)
    before, bits = state(photonet, photo), photo.clone()
    found = dream.deep_dream(photonet, photo, dream.layer("relu3"), octaves=3, steps=4)
    assert state(photonet, photo) == before and torch.equal(photo, bits)
    assert found.images.shape == photo.shape and found.history.shape == (12, 1)
    assert 0 <= found.images.min() and found.images.max() <= 1 and found.stopped == "finished"
    first, last = (answers(photonet, p, "relu3").square().mean() for p in (photo, found.images))
    assert last > 2 * first
    assert (found.history.view(3, 4)[:, -1] > found.history.view(3, 4)[:, 0]).all()
    both = torch.stack([photo.flatten(), found.images.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.6  # the cat is still there
    again = dream.deep_dream(photonet, photo, dream.layer("relu3"), octaves=3, steps=4)
    other = dream.deep_dream(photonet, photo, dream.layer("relu3"), octaves=3, steps=4, seed=1)
    assert torch.equal(again.images, found.images) and not torch.equal(other.images, found.images)
    assert [step for step, _ in found.frames] == [4, 8, 12]
    assert all(frame.shape == photo.shape for _, frame in found.frames)


def test_one_octave_without_moves_is_plain_normalised_ascent():
    model, x = seeded(SMALL["residual"], torch.float64), random_image(16, n=2)
    found = dream.deep_dream(model, x, dream.channel("bn2", 1), octaves=1, steps=2, step_size=0.03, jitter=0)
    step = x
    for _ in range(2):
        leaf = step.clone().requires_grad_()
        with Recorder(model, "bn2", grad=True) as acts:
            model(leaf)
        (gradient,) = torch.autograd.grad(acts["bn2"][:, 1].mean(dim=(1, 2)).sum(), leaf)
        length = torch.stack([each.abs().sum() / each.numel() for each in gradient])
        step = (step + 0.03 * gradient / length.view(2, 1, 1, 1)).clamp(0, 1)
    torch.testing.assert_close(found.images, step)


def test_octaves_with_no_steps_give_the_photo(photonet):
    for size in ((33, 47), (64, 64)):
        x = torch.rand(1, 3, *size)
        found = dream.deep_dream(photonet, x, dream.layer("relu2"), steps=0, octaves=3)
        assert torch.equal(found.images, x) and found.history.shape == (0, 1)


def test_what_was_found_in_the_large_is_carried_on(photonet):
    photo = photos.load("cat", 64)
    found = dream.deep_dream(
        photonet, photo, dream.layer("relu3"), octaves=2, steps=6, progress=lambda done, *_: done == 7
    )
    assert len(found.history) == 7 and found.images.shape == photo.shape
    # One step of 0.01 at the second octave, and six at the first.
    assert float((found.images - photo).abs().mean()) > 0.02


def test_a_stopped_dream_keeps_the_picture_so_far(photonet):
    photo, before = photos.load("coffee", 48), state(photonet)
    wish = {"octaves": 3, "steps": 3, "scale": 1.3}
    early, cut, late, whole = (
        dream.deep_dream(photonet, photo, dream.layer("relu2"), progress=p, **wish)
        for p in (lambda d, *_: d == 2, by_hand, lambda d, *_: d == 8, lambda *_: None)
    )
    assert (early.stopped, cut.stopped, late.stopped, whole.stopped) == (
        "stopped",
        "interrupted",
        "stopped",
        "finished",
    )
    assert [len(found.history) for found in (early, cut, late, whole)] == [2, 1, 8, 9]
    changes = [float((found.images - photo).abs().mean()) for found in (cut, early, late, whole)]
    assert 0 < changes[0] < changes[1] < changes[2] < changes[3]
    assert all(found.images.shape == photo.shape for found in (early, cut, late))
    with pytest.raises(RuntimeError, match="mine"):
        dream.deep_dream(photonet, photo, dream.layer("relu2"), progress=broken, **wish)
    assert state(photonet) == before
    with torch.inference_mode():
        same = dream.deep_dream(photonet, photo, dream.layer("relu2"), **wish)
    assert torch.equal(same.images, whole.images)


def test_wrong_dreams_are_refused(photonet):
    photo = photos.load("cat", 32)
    for error, match, image, options in (
        (ValueError, "the photo is", photo[0], {}),
        (ValueError, r"pixels in \[0, 1\]", photo * 255, {}),
        (ValueError, "take fewer octaves", photo, {"octaves": 9}),
        (ValueError, "octaves is a whole number", photo, {"octaves": 0}),
        (ValueError, "scale is above 1", photo, {"scale": 1}),
        (ValueError, "step_size is a number above 0", photo, {"step_size": 0}),
        (ValueError, "steps is a whole number", photo, {"steps": -1}),
    ):
        with pytest.raises(error, match=match):
            dream.deep_dream(photonet, image, dream.layer("relu2"), **options)
    with pytest.raises(TypeError, match="an objective is made by"):
        dream.deep_dream(photonet, photo, "relu2")
    with pytest.raises(LookupError, match="no layer 'relu9'"):
        dream.deep_dream(photonet, photo, dream.layer("relu9"))
    with pytest.raises(ValueError, match="is about 2 images, and here are 1"):
        dream.deep_dream(photonet, photo, dream.channel("relu2", [0, 1]))
    grey = models.load("simpleconvnet")  # its dense layers take 28 x 28 only
    digit = digits.load("test").images[:1]
    with pytest.raises(ValueError, match="cannot take an image of 14 x 14: take fewer octaves"):
        dream.deep_dream(grey, digit, dream.logit(3), octaves=2, scale=2)
    assert dream.deep_dream(grey, digit, dream.logit(3), octaves=1, steps=3).images.shape == (1, 1, 28, 28)
    dead = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    nn.init.constant_(dead[0].bias, -9)
    with pytest.raises(ValueError, match="has no gradient at this image"):
        dream.deep_dream(dead, photo, dream.layer("1"), octaves=1)


# --- inversion ---------------------------------------------------------------------------------------------


def test_early_layers_give_the_picture_back_and_late_ones_less(photonet):
    photo = photos.load("astronaut", 64)
    before = state(photonet, photo)
    pixels, errors = [], []
    for layer in ("relu1", "relu5"):
        found = dream.invert(photonet, photo, layer, steps=120)
        error = answers(photonet, found.images, layer) - answers(photonet, photo, layer)
        expected = error.square().sum() / answers(photonet, photo, layer).square().sum()
        assert float(found.error) == pytest.approx(float(expected), rel=1e-3)
        assert found.rendered.history[-1] > found.rendered.history[0]
        pixels.append(float((found.images - photo).square().mean() / photo.var()))
        errors.append(float(found.error))
    assert state(photonet, photo) == before
    assert errors[0] < 0.02 and errors[1] < 0.3
    assert pixels[0] < 0.1 < pixels[1]


def test_inversion_of_a_layer_that_keeps_all_gives_the_picture():
    model = nn.Sequential(nn.Conv2d(1, 4, 2, stride=2, bias=False)).double()  # 4 numbers of each 4 pixels
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(4).view(4, 1, 2, 2))
    x = random_image(8, channels=1) * 0.8 + 0.1
    found = dream.invert(model, x, "0", steps=400, smooth=0, parametrisation="pixel", learning_rate=0.1)
    assert (found.images - x).abs().max() < 1e-3 and float(found.error) < 1e-6


def test_inversion_stops_and_refuses(net):
    x, before = random_image(16, n=2).float(), state(net)
    assert dream.invert(net, x, "3", steps=5, progress=by_hand).rendered.stopped == "interrupted"
    assert dream.invert(net, x, "3", steps=5, progress=lambda d, *_: d == 2).rendered.stopped == "stopped"
    with pytest.raises(RuntimeError, match="mine"):
        dream.invert(net, x, "3", progress=broken)
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\]"):
        dream.invert(net, x * 9, "3")
    with pytest.raises(LookupError, match="no layer 'x'"):
        dream.invert(net, x, "x")
    with pytest.raises(ValueError, match="smooth is a number"):
        dream.invert(net, x, "3", smooth=-1)
    assert state(net) == before
    dead = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    nn.init.constant_(dead[0].bias, -9)
    with pytest.raises(ValueError, match="nothing but zeros"):
        dream.invert(dead, x, "1")


# --- superstimuli ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ("channel", "neuron"))
def test_every_channel_gets_its_own_picture_whatever_the_batch(objective):
    model = seeded(SMALL["sequential"], torch.float64)
    before = state(model)
    wish = {"size": 16, "steps": 6, "objective": objective}
    one, three, all_ = (dream.superstimuli(model, "3", batch=b, **wish) for b in (1, 3, 16))
    assert all_.images.shape == (8, 3, 16, 16) and all_.channels.tolist() == list(range(8))
    assert (one.images - all_.images).abs().max() < 1e-6 > (three.images - one.images).abs().max()
    assert (one.values - all_.values).abs().max() < 1e-6 and all_.had_gradient.all()
    two = dream.superstimuli(model, "3", channels=[6, 2], **wish)
    assert torch.allclose(two.images, all_.images[[6, 2]]) and two.channels.tolist() == [6, 2]
    makes = {"channel": dream.channel, "neuron": dream.neuron}[objective]
    alone = dream.render(model, makes("3", 4), size=16, steps=6)
    assert torch.allclose(alone.images[0], all_.images[4]) and state(model) == before


def test_a_units_picture_excites_it_more_than_the_best_of_many_crops(photonet):
    crops = photos.crops(64, 240).images
    for layer in ("relu2", "relu4"):
        found = dream.superstimuli(photonet, layer, channels=range(0, 64, 8), steps=32)
        made = answers(photonet, found.images, layer).amax(dim=(2, 3))
        best = torch.cat([answers(photonet, part, layer).amax(dim=(2, 3)) for part in crops.split(60)]).amax(
            0
        )
        won = [made[k, channel] > best[channel] for k, channel in enumerate(found.channels.tolist())]
        assert sum(won) >= 0.95 * len(won)


def test_the_picture_for_a_class_is_taken_for_it():
    model = models.load("shapesnet")
    found = dream.render(model, dream.logit(list(range(len(model.classes)))))
    said = model(found.images).argmax(dim=1)
    assert said.tolist() == list(range(len(model.classes)))


def test_superstimuli_stop_and_refuse(net):
    before = state(net)
    wish = {"size": 16, "steps": 4, "batch": 3}
    told = []

    def stop(done, total, images, value):
        told.append((done, total, len(images)))
        return len(told) == 6

    part = dream.superstimuli(net, "3", progress=stop, **wish)
    assert part.stopped == "stopped" and part.channels.tolist() == [0, 1, 2, 3, 4, 5]
    assert told == [(0, 8, 3)] * 3 + [(3, 8, 3)] * 3 and len(part.images) == 6
    whole = dream.superstimuli(net, "3", **wish)
    assert torch.equal(part.images[:3], whole.images[:3])
    assert not torch.equal(part.images[3:], whole.images[3:6])
    assert dream.superstimuli(net, "3", progress=by_hand, **wish).stopped == "interrupted"
    with pytest.raises(RuntimeError, match="mine"):
        dream.superstimuli(net, "3", progress=broken, **wish)
    with pytest.raises(ValueError, match="has the channels 0 to 7"):
        dream.superstimuli(net, "3", channels=[8], size=16)
    with pytest.raises(LookupError, match="no layer '33'"):
        dream.superstimuli(net, "33", size=16)
    with pytest.raises(LookupError, match="no objective 'unit'"):
        dream.superstimuli(net, "3", objective="unit", size=16)
    with pytest.raises(ValueError, match="batch is a whole number"):
        dream.superstimuli(net, "3", size=16, batch=0)
    assert state(net) == before


def test_a_dead_channel_is_marked_among_live_ones():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight[0], model[0].bias[0] = 0, -1  # constant, below zero
        model[0].weight[1] = 1
    found = dream.superstimuli(model, "1", size=8, steps=3)
    assert found.had_gradient.tolist() == [False, True]


# --- dictionary and grid -----------------------------------------------------------------------------------


def test_a_place_is_spelled_by_its_strongest_channels(net):
    x = random_image(16).float()
    here = answers(net, x, "4")[0, :, 2, 3]
    found = dream.top_channels(net, x, "4", 2, 3, k=3)
    order = sorted(range(8), key=lambda c: (-float(here[c]), c))
    count = min(3, int((here > 0).sum()))
    one = dream.top_channels(net, x, "4", 2, 3, k=1)
    assert float(one.fraction) == pytest.approx(float(here.max() / here.sum())) and one.fraction < 0.99
    assert found.channels.tolist() == order[:count] and torch.equal(found.values, here[order[:count]])
    torch.testing.assert_close(found.fraction, found.values / here.sum())
    every = dream.top_channels(net, x, "4", 2, 3, k=99)
    assert (every.values > 0).all() and float(every.fraction.sum()) == pytest.approx(1)
    below = dream.top_channels(net, x, "3", 2, 3, k=99)  # before the ReLU: what is negative is not named
    assert below.channels.tolist() == every.channels.tolist()


def test_the_grid_has_a_picture_for_each_place_in_the_direction_of_its_answer(net):
    x, before = random_image(16).float(), state(net)
    found = dream.grid(net, x, "3", cells=(2, 3), size=16, steps=6, power=0, batch=4)
    maps = answers(net, x, "3")[0]  # (8, 6, 6)
    assert found.images.shape == (2, 3, 3, 16, 16) and found.stopped == "finished"
    for row in range(2):
        for col in range(3):
            vector = maps[:, 3 * row : 3 * row + 3, 2 * col : 2 * col + 2].mean(dim=(1, 2))
            assert float(found.magnitude[row, col]) == pytest.approx(float(vector.norm()), rel=1e-5)
            alone = dream.render(net, dream.direction("3", vector / vector.norm()), size=16, steps=6)
            assert (alone.images[0] - found.images[row, col]).abs().max() < 1e-4
    assert dream.grid(net, x, "3", size=16, steps=1).magnitude.shape == (6, 6)
    cut = dream.grid(net, x, "3", cells=2, size=16, steps=3, batch=2, progress=by_hand)
    assert cut.stopped == "interrupted" and (cut.images[1] == 0.5).all()
    with pytest.raises(RuntimeError, match="mine"):
        dream.grid(net, x, "3", cells=2, size=16, progress=broken)
    assert state(net) == before


def test_silent_places_are_grey():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU())
    nn.init.constant_(model[0].weight, 1)
    x = torch.zeros(1, 1, 4, 4)
    x[..., :2] = 1
    found = dream.grid(model, x, "1", cells=2, size=8, steps=3)
    assert found.magnitude.tolist() == [[1, 0], [1, 0]]
    assert (found.images[:, 1] == 0.5).all() and not (found.images[:, 0] == 0.5).all()


def test_wrong_places_are_refused(net):
    x = random_image(16).float()
    with pytest.raises(ValueError, match="has no position 6, 0: it has 6 rows and 6 columns"):
        dream.top_channels(net, x, "3", 6, 0)
    with pytest.raises(ValueError, match="k is a whole number"):
        dream.top_channels(net, x, "3", 0, 0, k=0)
    with pytest.raises(ValueError, match="one image is asked for"):
        dream.top_channels(net, random_image(16, n=2).float(), "3", 0, 0)
    with pytest.raises(ValueError, match="cells are as many or fewer"):
        dream.grid(net, x, "3", cells=7)
    for way in (lambda *a: dream.top_channels(*a, 0, 0), dream.grid):
        with pytest.raises(ValueError, match="has no rows and columns"):
            way(net, x, "8")
        with pytest.raises(LookupError, match="no layer 'nine'"):
            way(net, x, "nine")
        with pytest.raises(ValueError, match="not finite"):
            way(net, x / 0, "3")
