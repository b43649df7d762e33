"""What every method promises: any build of network, everything left as it was, the same in any chunks."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from explained_nets import AWKWARD, awkward, ends_in_a_mean
from probed_nets import random_image, seeded, state
from torch import nn

from cnnlab.data import shapes
from cnnlab.methods import occlusion, saliency
from cnnlab.methods.attribution import Attribution
from cnnlab.methods.saliency import METHODS
from cnnlab.nets import models
from cnnlab.probing import Unit

QUICK = {
    **METHODS,
    "integrated gradients": partial(saliency.integrated_gradients, steps=3),
    "SmoothGrad": partial(saliency.smoothgrad, samples=3),
    "path": lambda *given, output="logit": saliency.path(*given, output=output, steps=3),
    "rectified Grad-CAM": partial(saliency.grad_cam, rectify=True),
}
COARSE = ("CAM", "Grad-CAM", "rectified Grad-CAM")


def all_maps(found):
    return found.map if isinstance(found, Attribution) else torch.cat(found[1:])


def nets(method):
    """Models that a method can take, with a size of its images."""
    if method == "CAM":
        return {"mean": ends_in_a_mean(), "residual": awkward("residual")}
    if method == "guided Grad-CAM":  # where the cells of a network with branches lie cannot always be told
        return {name: awkward(name) for name in AWKWARD if name != "residual"}
    return {name: awkward(name) for name in AWKWARD}


@pytest.mark.parametrize("method", QUICK)
def test_every_method_on_every_build_leaves_everything_as_it_was(method):
    run = QUICK[method]
    for model in nets(method).values():
        x = random_image(n=2)
        next(model.modules()).training = True  # a state of its own, to be put back
        given = x.clone().requires_grad_()
        before = state(model, x, given)
        for image in (x, given):
            found = run(model, image, torch.tensor([1, 3]))
            tensors = [part for part in found if isinstance(part, torch.Tensor)]
            assert len(tensors) >= 3 and not any(part.requires_grad for part in tensors)
            assert all_maps(found).isfinite().all()
            assert all_maps(found).any() or method in ("rectified Grad-CAM", "guided Grad-CAM")
            assert all_maps(found).is_contiguous()
            for wrong, error in [
                ((image, 99), LookupError),
                ((image, "dog"), LookupError),
                ((image[:, :2], 1), ValueError),  # in the middle of the pass
                ((image * float("inf"), 1), ValueError),
            ]:
                with pytest.raises(error):
                    run(model, *wrong)
        assert state(model, x, given) == before


class Breaks(nn.Module):
    """Fails on the way back."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise KeyError("on the way back")

    def forward(self, x):
        return self.Function.apply(x)


@pytest.mark.parametrize("method", [name for name in QUICK if name != "CAM"])
def test_an_error_on_the_way_back_leaves_everything_as_it_was(method):
    model, x = nn.Sequential(*ends_in_a_mean()[:6], Breaks(), *ends_in_a_mean()[6:]), random_image(n=2)
    before = state(model, x)
    with pytest.raises((KeyError, ValueError)):
        QUICK[method](model, x, 1)
    assert state(model, x) == before


@pytest.mark.parametrize("method", QUICK)
@pytest.mark.parametrize("outside", (torch.no_grad, torch.inference_mode))
def test_gradients_off_outside_do_not_matter(method, outside):
    model, x = ends_in_a_mean(), random_image(n=2)
    expected = QUICK[method](model, x, 1)
    with outside():
        inside = random_image(n=2)  # in inference mode a tensor of its kind
        for target in (1, torch.tensor([1, 1])):
            found = QUICK[method](model, inside, target)
            assert torch.equal(all_maps(found), all_maps(expected))
        if method != "CAM":
            unit = QUICK[method](model, inside, Unit("7", 1))
            assert torch.allclose(all_maps(unit), all_maps(expected), atol=1e-12)


SHORT = [name for name in METHODS if name not in ("integrated gradients", "SmoothGrad")]


@pytest.mark.parametrize("method", SHORT)
def test_chunks_and_neighbours_change_nothing(method):
    model, x = ends_in_a_mean().float(), random_image(n=5, dtype=torch.float32)
    target = torch.tensor([[0, 1], [2, 3], [4, 0], [1, 2], [3, 3]])
    expected = METHODS[method](model, x, target)
    for batch in (1, 2, 5):
        found = METHODS[method](model, x, target, batch=batch)
        assert (found.map - expected.map).abs().max() < 1e-6
        assert (found.score - expected.score).abs().max() < 1e-6
        assert found.passes == expected.passes
    alone = METHODS[method](model, x[3:4], 2)
    assert (alone.map[0] - expected.map[3, 1]).abs().max() < 1e-6
    assert alone.map.shape[2:] == ((6, 6) if method in COARSE else (16, 16))


@pytest.mark.parametrize("method", METHODS)
def test_by_name_and_by_probability(method):
    model, scenes = models.load("shapesnet"), shapes.scenes(2, seed=1)
    run = QUICK[method]
    by_name = run(model, scenes.images, model.classes[2])
    assert torch.equal(by_name.map, run(model, scenes.images, 2).map) and by_name.target.tolist() == [2, 2]
    assert torch.allclose(by_name.score, model(scenes.images)[:, 2].detach(), atol=1e-5)
    if method == "CAM":
        return
    chance = run(model, scenes.images, 2, output="probability")
    assert torch.allclose(chance.score, model(scenes.images).softmax(1)[:, 2].detach(), atol=1e-5)
    assert not torch.allclose(chance.map, by_name.map)


@pytest.mark.parametrize("method", METHODS)
def test_grey_pictures(method):
    model, x = models.load("simpleconvnet"), random_image(28, channels=1, dtype=torch.float32)
    if method == "CAM":
        with pytest.raises(ValueError, match="Use grad_cam"):
            METHODS[method](model, x, "3")
    else:
        found = QUICK[method](model, x, "3")
        assert found.map.shape[:2] == (1, 1) and found.map.any() and found.map.dtype == torch.float32


def test_a_batch_norm_that_mixes_pictures_is_refused():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).double()  # fmt: skip
    for run in METHODS.values():
        with pytest.raises(ValueError, match="batch norm without running statistics"):
            run(model, random_image(n=2), 1)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "CAM"])
def test_a_model_whose_answer_depends_on_the_layout_gets_the_usual_one(method):
    class Trap(nn.Module):
        """Rectifies its maps through a view of them, which in the other layout is a copy."""

        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x):
            h = self.conv(x) + 0
            h.flatten(1).relu_()
            return self.fc(h.mean((2, 3)))

    class Plain(Trap):
        def forward(self, x):
            return self.fc((self.conv(x) + 0).relu().mean((2, 3)))

    (trap, plain), x = (seeded(kind, torch.float64) for kind in (Trap, Plain)), random_image(n=2)
    other = x.contiguous(memory_format=torch.channels_last)
    assert not torch.allclose(trap(x), trap(other), atol=1e-4) and torch.allclose(trap(x), plain(other))
    expected = QUICK[method](plain, x, 1)
    for given in (x, other):
        found = QUICK[method](trap, given, 1)
        assert torch.allclose(found.score, expected.score)
        assert torch.allclose(found.map, expected.map, atol=1e-14)


def test_more_than_chance_lies_on_the_shape_that_decides():
    """Shapes with a known mask: the share of what is positive inside it, against the mask's own share."""
    model, scenes = models.load("shapesnet"), shapes.scenes(24, seed=3)
    right = model(scenes.images).argmax(1) == scenes.labels
    x, target, mask = scenes.images[right], scenes.labels[right], scenes.masks["deciding"][right][:, None]
    assert len(x) >= 16
    shares = {}
    for method, run in METHODS.items():
        found = run(model, x, target).map
        if method in ("CAM", "Grad-CAM"):
            found = saliency.upsample_to_image(found, model, saliency.last_feature_maps(model, x), (64, 64))
        positive = found.clamp(min=0).sum(1, keepdim=True)
        shares[method] = (positive * mask).sum() / positive.sum()
    assert min(shares.values()) > 1.5 * mask.float().mean()


class Mixes(nn.Module):
    """It runs its batch norm as in training, whatever mode it is in: the running means move."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        h = F.batch_norm(self.conv(x), self.bn.running_mean, self.bn.running_var, training=True)
        return self.fc(h.mean((2, 3)) + h.amax((2, 3)))


@pytest.mark.parametrize("explain", (saliency.gradient, saliency.grad_cam, occlusion.drops))
def test_running_means_that_move_in_a_pass_are_put_back(explain):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Mixes().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain(model, torch.rand(1, 3, 12, 12), 1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model(torch.rand(1, 3, 12, 12))
    assert not torch.equal(model.bn.running_mean, before["bn.running_mean"])  # so the test can fail
