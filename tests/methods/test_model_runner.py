"""Models that mix a batch, that draw lots, that mind the layout, that keep their maps: right, or refused."""

import re
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from explained_nets import ends_in_a_mean
from probed_nets import random_image, seeded
from torch import nn

from cnnlab.methods import model_runner, saliency
from cnnlab.methods.evaluation import deletion
from cnnlab.methods.saliency import METHODS
from cnnlab.methods.targets import top_classes

START = random_image(seed=5)[0] / 2  # of a plain one the range is zero
QUICK = {
    **METHODS,
    "integrated gradients": partial(saliency.integrated_gradients, steps=5, baseline=START),
    "SmoothGrad": partial(saliency.smoothgrad, samples=5),
    "SmoothGrad of guided backprop": partial(saliency.smoothgrad, samples=5, method=saliency.guided_backprop),
}
NO_CAM = [name for name in QUICK if name != "CAM"]


class Module(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Net(nn.Module):
    """conv, ReLU, mean, dense; with something done to the image, and to the maps."""

    def __init__(self, first=lambda x: x, then=F.relu, dtype=torch.float64):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, dtype=dtype), nn.Linear(4, 5, dtype=dtype)
        self.first, self.then = first, Module(then)

    def forward(self, x):
        return self.fc(self.then(self.conv(self.first(x))).mean((2, 3)))


def net(*parts):
    return seeded(lambda: Net(*parts), torch.float64)


MIXED = {
    "largest": (lambda x: x / x.max(),),
    "range": (lambda x: (x - x.min()) / (x.max() - x.min()),),
    "decides": (lambda x: x * 3 if x.max() > 0.9 else x,),
    "decides darker": (lambda x: x * 3 if float(x.detach().min()) < 0.01 else x,),
    "where": (lambda x: torch.where(x.amax() > 0.9, x * 3, x),),
    "mean": (lambda x: x - x.mean(),),
    "normed": (lambda x: x, lambda h: F.relu(F.batch_norm(h, None, None, training=True))),
    "one only": (lambda x: x, lambda h: F.relu(h).view(1, 4, 14, 14)),
}


def dimmer(n=3):
    return random_image(n=n) * torch.linspace(1, 0.3, n).view(-1, 1, 1, 1).double()


@pytest.mark.parametrize("how", MIXED)
@pytest.mark.parametrize("method", [name for name in QUICK if name != "guided Grad-CAM"])
def test_a_model_that_mixes_pictures_explains_each_as_if_alone(how, method):
    model, x, run = net(*MIXED[how]), dimmer(), QUICK[method]
    try:
        alone = [run(model, x[n : n + 1], 1, batch=1) for n in range(3)]
    except ValueError as error:  # guided backprop does not pass a maximum
        assert "guided" in method or method == "deconvnet"
        with pytest.raises(ValueError, match=re.escape(str(error)[:40])):
            run(model, x, 1)
        return
    together = run(model, x, 1, batch=16)
    for part in ("map", "score"):
        one, other = getattr(together, part), torch.cat([getattr(each, part) for each in alone])
        assert (one - other).abs().max() <= 1e-9 * other.abs().max() and other.any()


@pytest.mark.parametrize("how", MIXED)
def test_curves_paths_and_best_of_a_model_that_mixes_pictures(how):
    model, x = net(*MIXED[how]), dimmer()
    for walk in (deletion.deletion, deletion.insertion):
        one, other = (walk(model, x, 1, x, fill=START, steps=6, batch=batch).scores for batch in (64, 1))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    for one, other in zip(
        *(saliency.path(model, x, 1, baseline=START, steps=4, batch=b) for b in (16, 1)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    assert torch.equal(top_classes(model, x), torch.cat([top_classes(model, x[n : n + 1]) for n in range(3)]))


def test_whoever_does_not_mix_shares_passes_and_one_picture_costs_nothing():
    model, seen = ends_in_a_mean(), []
    model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    for run, given, passes in [
        (saliency.gradient, random_image(), [1]),
        (saliency.guided_backprop, random_image(n=5), [1, 2, 5]),
        (partial(saliency.gradient, batch=1), random_image(n=3), [1, 1, 1]),
        (partial(saliency.integrated_gradients, steps=20), random_image(), [1, 2, 2, 16, 4]),
        (partial(saliency.smoothgrad, samples=20), random_image(), [1, 2, 16, 4, 1]),
    ]:
        run(model, given, 1)
        assert seen == passes
        seen.clear()


RANDOM = {
    "dropout": lambda h: F.dropout(F.relu(h), 0.5),
    "noise": lambda h: F.relu(h + 0.1 * torch.randn_like(h)),
}


@pytest.mark.parametrize("how", RANDOM)
@pytest.mark.parametrize("method", QUICK)
def test_a_model_that_draws_lots_is_refused(how, method):
    model, state = net(lambda x: x, RANDOM[how]), torch.get_rng_state()
    for n in (1, 3):
        with pytest.raises(ValueError, match="random numbers in eval mode.* F.dropout without"):
            QUICK[method](model, random_image(n=n), 1)
    with pytest.raises(ValueError, match="random numbers in eval mode"):
        deletion.deletion(model, random_image(), 1, random_image())
    assert torch.equal(state, torch.get_rng_state())


def test_lots_of_another_origin_are_seen_where_pictures_share_a_pass():
    chance = np.random.default_rng(0)
    model = net(lambda x: x * float(chance.random()))
    model.first = lambda x: x * torch.from_numpy(chance.random(1))
    with pytest.raises(ValueError, match="another way each time"):
        saliency.gradient(model, random_image(n=2), 1)


def through_a_view(h):
    h = h + 0
    h.flatten(1).relu_()
    return h


@pytest.mark.parametrize("method", [name for name in NO_CAM if name != "guided Grad-CAM"])
@pytest.mark.parametrize("scale", (1.0, 1e-4))
def test_the_layout_of_the_pictures_and_what_was_asked_before_do_not_matter(method, scale):
    """In the other layout the view is a copy, and the ReLU is lost: also small, and after zeros."""
    trap, plain = net(lambda x: x, through_a_view), net()
    for model in (trap, plain):
        model.fc.weight.data.mul_(scale)
        model.fc.bias.data.zero_()
    weight = trap.fc.weight.data.clone()
    trap.fc.weight.data.zero_()
    if "guided" in method:  # zero times a map is nowhere above zero
        QUICK[method](trap, random_image(n=2, seed=1), 1)
    trap.fc.weight.data.copy_(weight)
    expected = QUICK[method](plain, random_image(n=2), 1)
    for given in (random_image(n=2), random_image(n=2).contiguous(memory_format=torch.channels_last)):
        found = QUICK[method](trap, given, 1)
        assert (found.map - expected.map).abs().max() <= 1e-9 * expected.map.abs().max()
        assert torch.allclose(found.score, expected.score, rtol=1e-9, atol=0)


def test_a_picture_that_does_not_fit_is_named_with_the_first_layer():
    model = net()
    for run in [
        *METHODS.values(),
        lambda *given: top_classes(*given[:2]),
        lambda *given: saliency.last_feature_maps(*given[:2]),
    ]:
        with pytest.raises(ValueError, match=r"1, 16, 16\) .* 'conv'.* 3 channels of torch.float64"):
            run(model, random_image(n=2, channels=1), 1)
        with pytest.raises(ValueError, match=r"torch.float32 do not fit 'conv'"):
            run(model, random_image(n=2).float(), 1)
        for wrong in (
            random_image()[0],
            random_image().numpy(),
            random_image().mul(255).byte(),
            random_image()[..., :0],
        ):
            with pytest.raises(ValueError, match=r"images are \(N, C, H, W\), floating point"):
                run(model, wrong, 1)
        with pytest.raises(TypeError, match="a model .* comes first, not function"):
            run(lambda x: x, random_image(), 1)
    with pytest.raises(ValueError, match=r"where a model gives \(1, classes\), not \(1, 4, 14, 14\)"):
        top_classes(model.conv, random_image())
    with pytest.raises(ValueError, match="size is .H, W."):
        saliency.upsample_to_image(random_image(), model, "conv", 32)
    with pytest.raises(ValueError, match="such as Attribution.map"):
        saliency.upsample_to_image(saliency.gradient(model, random_image(), 1), model, "conv", (16, 16))


def test_weights_made_in_inference_mode_are_named():
    with torch.inference_mode():
        model = net()
    with pytest.raises(ValueError, match="make the model outside"):
        saliency.gradient(model, random_image(), 1)


def test_numbers_of_numpy_are_numbers_and_others_are_refused():
    model, x = net(), random_image(n=2)
    assert torch.equal(saliency.gradient(model, x, np.int64(2)).map, saliency.gradient(model, x, 2).map)
    one = saliency.integrated_gradients(model, x, 1, steps=np.int64(3), batch=np.int64(2))
    assert torch.allclose(one.map, saliency.integrated_gradients(model, x, 1, steps=3).map)
    with pytest.raises(LookupError, match="no class 1000000000000"):
        saliency.gradient(model, x, 10**30)
    for wrong in (0, -1, 1.5, None, True, "a"):
        for run in (
            *QUICK.values(),
            saliency.path,
            lambda *given, batch: top_classes(*given[:2], batch=batch),
        ):
            with pytest.raises(ValueError, match="1 image or more, not"):
                run(model, x, 1, batch=wrong)
        with pytest.raises(ValueError, match="1 image or more, not"):
            deletion.deletion(model, x, 1, x, batch=wrong)
    assert model_runner.check_integer(torch.tensor(3), "a number") == 3


def test_smoothgrad_says_what_is_wrong():
    for wrong, error, text in [
        ({"sigma": "a"}, ValueError, "sigma is a number"),
        ({"seed": 0.5}, ValueError, "seed is a whole number"),
        ({"method": "gradient"}, TypeError, "a method is a function"),
        ({"method": lambda m, x, t: x}, TypeError, "is called with"),
        ({"method": lambda m, x, t, output: x}, TypeError, "answers with an Attribution, not Tensor"),
    ]:
        with pytest.raises(error, match=text):
            saliency.smoothgrad(net(), random_image(), 1, **wrong)


@pytest.mark.parametrize("method", NO_CAM)
def test_a_softmax_is_not_taken_twice(method):
    model = nn.Sequential(net(), nn.Softmax(1))
    with pytest.raises(ValueError, match="probabilities already.* output='logit'"):
        QUICK[method](model, random_image(n=2), 1, output="probability")
    assert QUICK[method](model, random_image(n=2), 1).score.max() < 1
    with pytest.raises(ValueError, match="probabilities already"):
        deletion.deletion(model, random_image(), 1, random_image())


class Counts(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("n", torch.zeros(()))

    def forward(self, x):
        self.k += 1
        self.n = self.n + 1
        return super().forward(x)


@pytest.mark.parametrize("method", QUICK)
def test_buffers_that_a_pass_changes_come_back(method):
    model = seeded(Counts, torch.float64)
    k, n = model.k, model.n
    QUICK[method](model, random_image(n=2), 1)
    assert model.k is k and model.n is n and float(k) == float(n) == 0
    with pytest.raises(LookupError):
        QUICK[method](model, random_image(n=2), 9)
    assert model.k is k and model.n is n and float(k) == float(n) == 0


@pytest.mark.parametrize("count", (3, 31, 32, 5000))
@pytest.mark.parametrize("bad", (float("nan"), float("inf"), -float("inf")))
def test_one_number_that_is_not_finite_is_seen_among_few_and_many(count, bad):
    numbers = torch.full((count,), 3e38)  # their sum overflows, and yet they are finite
    assert model_runner.all_finite(numbers)
    numbers[-1] = bad
    assert not model_runner.all_finite(numbers)
