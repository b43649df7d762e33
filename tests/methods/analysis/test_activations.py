"""Measures over a data set: against the same by hand, in one piece, and where the answer is known."""

import copy

import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn

from cnnlab.data import shapes
from cnnlab.methods.analysis import activations
from cnnlab.nets import models
from cnnlab.probing import Recorder


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 4, 3),
        nn.ReLU(),
    )


@pytest.fixture
def images():
    return torch.rand(23, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def whole(net, images, *names):
    net = copy.deepcopy(net).eval()
    with torch.no_grad(), Recorder(net, *names) as seen:
        net(images)
    return {name: seen[name] for name in names}


@pytest.mark.parametrize("batch", (1, 7, 23, 100))
def test_sparsity_in_batches_is_that_of_the_whole(net, images, batch):
    expected = {name: (x == 0).double().mean().item() for name, x in whole(net, images, "2", "5").items()}
    assert activations.sparsity(net, images, ["2", "5"], batch=batch) == pytest.approx(expected, abs=1e-9)


def test_sparsity_known():
    half = torch.tensor([[-1.0, 2.0], [3.0, -4.0]])[None, None]
    assert activations.sparsity(nn.Sequential(nn.ReLU()), half, ["0"]) == {"0": 0.5}


@pytest.mark.parametrize("batch", (4, 100))
def test_neighbours_against_all_distances(net, images, batch):
    queries, bank = images[:3], images[3:]
    found = activations.neighbours(net, queries, bank, ["image", "2", "5"], k=4, batch=batch)
    seen = {"image": images, **whole(net, images, "2", "5")}
    for name, (index, distance) in found.items():
        flat = seen[name].flatten(1)
        for q in range(3):
            everything = (flat[3:] - flat[q]).norm(dim=1) / flat[q].norm()
            assert index[q].tolist() == everything.argsort()[:4].tolist()
            assert torch.allclose(distance[q], everything.sort().values[:4], atol=1e-5)


def test_a_picture_is_its_own_nearest_neighbour_at_every_layer(net, images):
    found = activations.neighbours(net, images[3:4], images, ["image", "0", "5"], k=2)
    assert all(
        index[0, 0] == 3 and distance[0, 0] < 1e-5 < distance[0, 1] for index, distance in found.values()
    )


def test_colour_is_readable_where_it_is_passed_on_and_not_where_it_is_thrown_away(images):
    keeps = nn.Sequential(nn.Conv2d(3, 6, 1))
    mean_only = nn.Sequential(nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        mean_only[0].weight.fill_(1 / 3)
    assert activations.colour_probe(keeps, images[:15], images[15:], ["0"])["0"] == pytest.approx(1, abs=1e-3)
    # Of three independent colours of equal variance, their mean tells a third.
    assert activations.colour_probe(mean_only, images[:15], images[15:], ["0"])["0"] == pytest.approx(
        0.33, abs=0.06
    )


def test_colour_against_scikit_learn(net, images):
    train, test = images[:15], images[15:]
    found = activations.colour_probe(net, train, test, ["3"], batch=4)["3"]
    maps = [whole(net, part, "3")["3"].permute(0, 2, 3, 1).flatten(0, 2).numpy() for part in (train, test)]
    cells = [
        nn.functional.avg_pool2d(part, 2).permute(0, 2, 3, 1).flatten(0, 2).numpy() for part in (train, test)
    ]
    fit = LinearRegression().fit(maps[0], cells[0])
    wrong = ((fit.predict(maps[1]) - cells[1]) ** 2).sum()
    spread = ((cells[1] - cells[0].mean(axis=0)) ** 2).sum()
    assert found == pytest.approx(1 - wrong / spread, abs=2e-3)


def test_a_class_is_readable_where_it_is_written(images):
    labels = torch.arange(23) % 3
    marked = images.clone()
    for label in range(3):
        marked[labels == label, label] += 1  # the class is the brightest colour
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    with torch.no_grad():
        net[0].weight.copy_(torch.cat([torch.eye(3), torch.zeros(1, 3)])[:, :, None, None])
    sets = (marked[:15], labels[:15]), (marked[15:], labels[15:])
    assert activations.class_probe(net, *sets, ["0"]) == {"0": 1.0}
    blind = nn.Sequential(nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        blind[0].weight.zero_()
    assert activations.class_probe(blind, *sets, ["0"])["0"] <= 0.5


def test_shapesnet_reads_more_and_more_of_the_class_and_less_of_the_colour():
    train, test = shapes.scenes(240, seed=5), shapes.scenes(120, seed=6)
    model, layers = models.load("shapesnet"), ["conv1", "relu1", "relu2", "relu3", "relu4"]
    right = activations.class_probe(model, (train.images, train.labels), (test.images, test.labels), layers)
    colour = activations.colour_probe(model, train.images, test.images, layers)
    assert right["relu4"] > 0.95 and right["relu1"] < 0.6
    assert colour["conv1"] > 0.9 > colour["relu1"] > 0.4 and colour["relu4"] < 0.1


def test_nothing_is_changed_also_after_an_error(net, images):
    net[1].eval()
    state, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    before = images.clone()
    activations.sparsity(net, images, ["2"])
    activations.neighbours(net, images[:1], images, ["2"])
    activations.colour_probe(net, images[:10], images[10:], ["2"])
    with pytest.raises(LookupError, match="no layer '9'"):
        activations.sparsity(net, images, ["9"])
    with pytest.raises(RuntimeError):  # torch's own: two channels where three are expected
        activations.sparsity(net, images[:, :2], ["2"])
    assert [module.training for module in net.modules()] == modes and torch.equal(images, before)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())


def test_impossible_wishes_are_refused(net, images):
    with pytest.raises(ValueError, match="k is from 1 to 23"):
        activations.neighbours(net, images[:1], images, ["2"], k=24)
    with pytest.raises(ValueError, match="images of one size are compared"):
        activations.neighbours(net, images[:1, :, :8], images, ["2"])
    with pytest.raises(ValueError, match="no images"):
        activations.sparsity(net, images[:0], ["2"])
    broken = images.clone()
    broken[20, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        activations.sparsity(net, broken, ["2"], batch=4)
    with pytest.raises(ValueError, match="23 images need as many labels"):
        labelled = images, torch.zeros(22, dtype=torch.long)
        activations.class_probe(net, labelled, labelled, ["2"])
    flat = nn.Sequential(nn.Flatten(), nn.Linear(432, 4))
    with pytest.raises(ValueError, match="'1' has no maps"):
        activations.colour_probe(flat, images, images, ["1"])
    with pytest.raises(ValueError, match="'1' has no maps"):
        labelled = images, torch.zeros(23, dtype=torch.long)
        activations.class_probe(flat, labelled, labelled, ["1"])
    grey = torch.full_like(images, 0.5)
    with pytest.raises(ValueError, match="do not differ"):
        activations.colour_probe(net, grey, grey, ["2"])


def test_a_layer_named_twice_counts_once(net, images):
    once = activations.colour_probe(net, images[:10], images[10:], ["2"])
    assert activations.colour_probe(net, images[:10], images[10:], ["2", "2"]) == once
    assert activations.sparsity(net, images, ["2", "2"]) == activations.sparsity(net, images, ["2"])


def test_a_module_that_is_called_twice_is_refused(images):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 3, 3), nn.ReLU()

        def forward(self, x):
            return self.relu(self.conv(self.relu(x)))

    with pytest.raises(ValueError, match="'relu' ran 2 times in one pass"):
        activations.sparsity(Shared(), images, ["relu"])


def test_a_class_that_was_never_shown_counts_as_wrong(images):
    labels = torch.arange(23) % 2
    test = labels.clone()
    test[0] = 7
    found = activations.class_probe(nn.Sequential(nn.ReLU()), (images, labels), (images, test), ["0"])
    same = activations.class_probe(nn.Sequential(nn.ReLU()), (images, labels), (images[1:], test[1:]), ["0"])
    assert found["0"] * 23 == pytest.approx(same["0"] * 22)
