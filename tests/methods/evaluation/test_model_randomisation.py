"""Shuffled weights: the order of the layers, what is shuffled and what stays, and what it does to maps."""

import pytest
import torch
import torch.nn.functional as F
from probed_nets import SMALL, random_image, seeded, state
from torch import nn

from cnnlab.data import shapes
from cnnlab.methods.attribution import Attribution
from cnnlab.methods.evaluation import rank_correlation
from cnnlab.methods.evaluation.model_randomisation import (
    cascading_randomisation,
    sanity_check,
    shuffle_weights,
    weight_layers_top_down,
)
from cnnlab.methods.model_runner import Passes
from cnnlab.nets import models
from cnnlab.probing import Unit


def gradient(model, images, target):
    """Plain, on its own: the methods of the lecture are not asked here."""
    with torch.enable_grad():
        leaf = images.clone().requires_grad_()
        numbers = torch.as_tensor(target).expand(len(images))
        score = model(leaf.clone()).gather(1, numbers[:, None]).sum()
        return torch.autograd.grad(score, leaf)[0]


def edges(model, images, target):
    """A method that looks at the image alone."""
    return images - F.avg_pool2d(images, 3, 1, 1)


class Backwards(nn.Module):
    """Defined in another order than it runs in; nested; a weight of its own; a part that never runs; one
    module used without being called; one that runs twice."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.ones(4) + torch.rand(4))
        self.body = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1))
        self.spare = nn.Linear(4, 3)
        self.stem = nn.Conv2d(3, 4, 3)
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x):
        x = self.body(self.body(self.stem(x))).mean((2, 3)) * self.scale
        return self.head(self.attention(x[:, None], x[:, None], x[:, None])[0][:, 0])


def test_layers_come_in_the_order_in_which_they_ran_the_last_first():
    model, x = seeded(Backwards), random_image(8, dtype=torch.float32)
    found = weight_layers_top_down(model, x)
    assert list(found) == ["", "head", "attention", "body.1", "body.0", "stem"]
    assert found[""] == ["scale"] and found["stem"] == ["stem.weight", "stem.bias"]
    assert {"attention.out_proj.weight", "attention.in_proj_weight"} <= set(found["attention"])
    batch_norm = {f"body.0.{name}" for name in ("weight", "bias", "running_mean", "running_var")}
    assert set(found["body.0"]) == batch_norm
    assert not any(name.startswith("spare") for names in found.values() for name in names)
    frozen = seeded(Backwards).requires_grad_(False)
    before = state(frozen, x)
    with torch.no_grad():
        assert weight_layers_top_down(frozen, x) == found
    assert state(frozen, x) == before


def test_a_layer_that_runs_twice_stands_where_it_ran_first():
    """So that at every depth all that runs before the shuffled layers is as it was trained."""
    first, between, last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
    model = nn.Sequential(nn.Flatten(), first, between, first, last)
    assert list(weight_layers_top_down(model, torch.rand(1, 1, 2, 2))) == ["4", "2", "1"]


@pytest.mark.parametrize("name", SMALL)
def test_every_layer_of_awkward_nets_is_found_and_nothing_is_left_behind(name):
    model, x = seeded(SMALL[name], torch.float64).train(), random_image()
    before = state(model, x)
    found = weight_layers_top_down(model, x)
    whole = [each for names in found.values() for each in names]
    assert {each for each, _ in model.named_parameters()} == {
        each for each in whole if "running" not in each
    } and len(whole) == len(set(whole))
    assert state(model, x) == before


def test_the_layers_of_shapesnet():
    names = list(weight_layers_top_down(models.build("shapesnet"), torch.rand(1, 3, 64, 64)))
    assert names == ["dense", "bn4", "conv4", "bn3", "conv3", "bn2", "conv2", "bn1", "conv1"]


def test_a_cascade_shuffles_the_top_and_only_the_top():
    model, x = seeded(SMALL["residual"]).train(), random_image(dtype=torch.float32)
    groups, before = weight_layers_top_down(model, x), state(model, x)
    values = {name: value.clone() for name, value in model.state_dict().items()}
    former = None
    for depth in range(len(groups) + 1):
        copied = cascading_randomisation(model, x, depth, seed=3)
        now, top = copied.state_dict(), {each for name in list(groups)[:depth] for each in groups[name]}
        assert copied.training and state(model, x) == before
        for name, value in values.items():
            same = torch.equal(now[name], value)
            if name in top:
                assert torch.equal(now[name].flatten().sort().values, value.flatten().sort().values)
                # Batch norm starts with scales of one and shifts of zero; the rest has to move.
                assert not same or value.unique().numel() == 1, name
            else:
                assert same, name
        if former is not None:  # the layers above are those of the cascade before
            kept = {each for name in list(groups)[: depth - 1] for each in groups[name]}
            assert all(torch.equal(now[name], former[name]) for name in kept)
        former = now
    other = cascading_randomisation(model, x, len(groups), seed=4).state_dict()
    assert not torch.equal(other["fc.weight"], former["fc.weight"])


def test_the_numbers_of_a_batch_norm_move_together_and_shared_weights_once():
    norm = nn.BatchNorm2d(6)
    for k, vector in enumerate((norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var)):
        vector.copy_(torch.arange(6) + 10 * k)
    found = shuffle_weights(norm, ["weight", "bias", "running_mean", "running_var"])
    order = found.weight.detach()
    assert not torch.equal(order, norm.weight) and torch.equal(order.sort().values, norm.weight.detach())
    for k, vector in enumerate((found.bias.detach(), found.running_mean, found.running_var), 1):
        assert torch.equal(vector, order + 10 * k)
    tied = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False))
    tied[1].weight = tied[0].weight
    once, twice = shuffle_weights(tied, ["0.weight"]), shuffle_weights(tied, ["0.weight", "1.weight"])
    assert twice[0].weight is twice[1].weight and torch.equal(once[0].weight, twice[0].weight)


@pytest.mark.parametrize("name", ("sequential", "shared", "residual", "F.relu in place"))
@pytest.mark.parametrize("together", (True, False))
def test_check_is_the_cascade_explained_and_correlated(name, together):
    model, x = seeded(SMALL[name], torch.float64), random_image(n=2)
    target = torch.tensor([1, 3])
    before = state(model, x)
    found = sanity_check(model, x, target, gradient, seed=5, together=together)
    assert state(model, x) == before
    groups = weight_layers_top_down(model, x[:1])
    assert found.layers == tuple(groups) and found.maps.shape == (len(groups) + 1, *x.shape)
    assert found.signed[0].tolist() == pytest.approx([1, 1])
    for depth, layer in enumerate(groups, 1):
        copied = (
            cascading_randomisation(model, x, depth, seed=5)
            if together
            else shuffle_weights(model, groups[layer], seed=5)
        )
        maps = gradient(copied, x, target)
        torch.testing.assert_close(found.maps[depth], maps, rtol=0, atol=0)
        for size, row in ((False, found.signed), (True, found.absolute)):
            assert row[depth].tolist() == pytest.approx(
                rank_correlation.spearman(maps, found.maps[0], absolute=size, constant=0.0).tolist()
            )


def test_the_gradient_of_shapesnet_depends_on_its_weights_and_an_edge_detector_does_not():
    scenes = shapes.scenes(6, seed=8)
    model = models.load("shapesnet")
    learned = sanity_check(model, scenes.images, scenes.labels, gradient)
    assert learned.signed[-1].abs().max() < 0.15 and learned.absolute[-1].mean() < 0.6
    assert learned.signed[1].mean() < 0.8
    fixed = sanity_check(model, scenes.images, scenes.labels, edges)
    torch.testing.assert_close(fixed.signed, torch.ones_like(fixed.signed))


def test_some_depths_are_those_rows_of_all():
    model, x = seeded(SMALL["sequential"]), random_image(n=2, dtype=torch.float32)
    every, some = sanity_check(model, x, 1, gradient), sanity_check(model, x, 1, gradient, depths=[4, 2])
    assert every.depths == (0, 1, 2, 3, 4) and some.depths == (0, 2, 4) and some.layers == every.layers
    torch.testing.assert_close(some.maps, every.maps[[0, 2, 4]], rtol=0, atol=0)
    torch.testing.assert_close(some.signed, every.signed[[0, 2, 4]])
    with pytest.raises(ValueError, match=r"depths are from 0 to 4, the layers with weights, not \[5\]"):
        sanity_check(model, x, 1, gradient, depths=[5])


def test_attributions_coarse_maps_units_and_constant_maps():
    model, x = seeded(SMALL["sequential"]), random_image(n=2, dtype=torch.float32)

    def coarse(model, images, target):
        with torch.no_grad():
            maps = model[:4](images).sum(dim=1, keepdim=True)
        return Attribution(maps, torch.zeros(2), torch.zeros(2), None, Passes(), 0.0)

    found = sanity_check(model, x, Unit("3", 1), coarse)
    assert found.maps.shape[2:] == (1, 6, 6) and found.signed[1].tolist() == pytest.approx([1, 1])
    dead = sanity_check(model, x, 0, lambda _model, images, _target: torch.zeros_like(images))
    assert dead.signed.unique().tolist() == [0]


def test_nothing_is_left_behind_also_after_an_error_and_in_inference_mode():
    model, x = seeded(SMALL["residual"]).train(), random_image(dtype=torch.float32)
    before = state(model, x)

    def careless(model, images, target):
        images.zero_()
        torch.rand(3)
        model.train()(images)  # moves the running statistics of what it was given
        return gradient(model, torch.rand_like(images), target)

    sanity_check(model, x, 0, careless)
    assert state(model, x) == before

    def broken(model, images, target):
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        sanity_check(model, x, 0, broken)
    assert state(model, x) == before
    with torch.inference_mode():
        inside = sanity_check(model, x, 0, gradient)
        assert cascading_randomisation(model, x, 2).training
    torch.testing.assert_close(inside.maps, sanity_check(model, x, 0, gradient).maps, rtol=0, atol=0)
    assert state(model, x) == before


def test_refusals():
    model, x = seeded(SMALL["sequential"]), random_image(dtype=torch.float32)
    with pytest.raises(ValueError, match="depth is from 0 to 4, the layers with weights, not 5"):
        cascading_randomisation(model, x, 5)
    with pytest.raises(LookupError, match="no tensor '8.wieght'. Did you mean '8.weight'"):
        shuffle_weights(model, ["8.wieght"])
    with pytest.raises(ValueError, match="depends on no weight, so there is nothing to shuffle"):
        weight_layers_top_down(nn.Sequential(nn.Flatten(), nn.Softmax(1)), x)
    with pytest.raises(ValueError, match="1 images were given"):
        sanity_check(model, x, 0, lambda *_: torch.rand(2, 3, 16, 16))
    with pytest.raises(ValueError, match="not finite"):
        sanity_check(model, x, 0, lambda _model, images, _target: images / 0)
    with pytest.raises(LookupError, match="they are numbered from 0"):
        sanity_check(model, x, -1, gradient)


class Frozen(nn.Module):
    """A backbone under no_grad, a batch norm without weights, and a spare part that runs for nothing."""

    def __init__(self):
        super().__init__()
        self.body, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)
        self.head, self.aside = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, x):
        with torch.no_grad():
            h = self.body(x)
            self.aside(h.mean((2, 3)))
        return self.head(F.relu(self.norm(h)).mean((2, 3)))


def test_weights_without_a_gradient_and_a_norm_without_weights_are_shuffled_too():
    model, x = seeded(Frozen), random_image(dtype=torch.float32)
    before = state(model, x)
    found = weight_layers_top_down(model, x)
    assert list(found) == ["head", "norm", "body"] and state(model, x) == before
    assert found["norm"] == ["norm.running_mean", "norm.running_var"]
    shuffled = cascading_randomisation(model, x, 3)
    assert not torch.equal(shuffled.body.weight, model.body.weight)
    assert not torch.equal(shuffled.norm.running_var, model.norm.running_var)


def test_the_parts_of_a_weight_norm_are_one_layer():
    model = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), nn.Flatten(), nn.Linear(4 * 36, 2)
    )
    found = weight_layers_top_down(model, torch.rand(1, 3, 8, 8))
    assert list(found) == ["2", "0"]
    assert set(found["0"]) == {"0.bias", *(f"0.parametrizations.weight.original{k}" for k in (0, 1))}
    whole = nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))
    assert list(weight_layers_top_down(nn.Sequential(nn.Flatten(), whole), torch.rand(1, 1, 2, 2))) == ["1"]


def test_models_that_keep_a_map_of_their_last_pass_are_copied():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(768, 5)

        def forward(self, x):
            self.last = self.fc(x.flatten(1))
            return self.last

    x = random_image(dtype=torch.float32)
    old = nn.utils.weight_norm if hasattr(nn.utils, "weight_norm") else None
    for model in (seeded(Keeps), nn.Sequential(nn.Flatten(), nn.Linear(768, 5))):
        if isinstance(model, nn.Sequential) and old is not None:
            with pytest.warns(FutureWarning):
                old(model[1])
        model(x)
        found = sanity_check(model, x, 1, gradient)
        assert found.signed[0].item() == pytest.approx(1) and found.signed[-1].abs().item() < 0.5

    class Lock(Keeps):
        def __deepcopy__(self, memo):
            raise RuntimeError("no copies of me")

    with pytest.raises(ValueError, match="the model cannot be copied: no copies of me"):
        sanity_check(seeded(Lock), x, 1, gradient)


def test_poor_arguments_are_named_before_any_work():
    model, x = seeded(SMALL["sequential"]), random_image(dtype=torch.float32)
    for wrong, error, text in [
        ({"depths": 2}, TypeError, "depths are several numbers"),
        ({"explain": "gradient"}, TypeError, "a method is a function"),
        ({"target": torch.zeros(1, 2, dtype=torch.int64)}, ValueError, "one class for each image"),
        ({"model": lambda x: x}, TypeError, "comes first, not function"),
        ({"seed": 0.5}, ValueError, "seed is a whole number"),
    ]:
        with pytest.raises(error, match=text):
            sanity_check(**{"model": model, "images": x, "target": 1, "explain": gradient} | wrong)
    for wrong in (1.5, True, -1, 9, None):
        with pytest.raises(ValueError, match="depth is from 0 to 4"):
            cascading_randomisation(model, x, wrong)
