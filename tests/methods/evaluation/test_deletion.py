"""Deletion and insertion: against a loop over pixels, by hand, on awkward nets; nothing is left behind."""

import pytest
import torch
from probed_nets import SMALL, random_image, seeded, state
from torch import nn

from cnnlab.data import shapes
from cnnlab.methods.evaluation.deletion import blurred, deletion, insertion
from cnnlab.methods.evaluation.maps import random_maps
from cnnlab.nets import models
from cnnlab.probing import Unit


def slow(model, image, target, map_, fill, steps, output, insert):
    """One image (C, H, W), one pixel at a time, with Python's own sort."""
    columns = image.shape[2]
    values = map_.double().sum(dim=0).flatten().tolist()
    order = sorted(range(len(values)), key=lambda position: (-values[position], position))
    now, other = (fill.clone(), image) if insert else (image.clone(), fill)
    found, done = [], 0
    for step in range(steps + 1):
        while done < round(step * len(values) / steps):
            row, column = divmod(order[done], columns)
            now[:, row, column] = other[:, row, column]
            done += 1
        with torch.no_grad():
            logits = model(now[None].clone())[0]
        found.append((logits.softmax(0) if output == "probability" else logits)[target].item())
    return found


@pytest.mark.parametrize("name", ("sequential", "in place", "residual", "F.relu_"))
@pytest.mark.parametrize("insert", (False, True))
def test_curves_are_those_of_a_loop_over_pixels(name, insert):
    model, x = seeded(SMALL[name], torch.float64), random_image(n=2)
    maps = (torch.randn(2, 3, 16, 16) * 2).round()  # with ties
    fill = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    walk, target = insertion if insert else deletion, [1, 4]
    for output in ("logit", "probability"):
        found = walk(model, x, torch.tensor(target), maps, fill=fill, steps=11, output=output)
        expected = [slow(model, x[n], target[n], maps[n], fill[n], 11, output, insert) for n in range(2)]
        torch.testing.assert_close(found.scores, torch.tensor(expected, dtype=torch.float64))
        counts = torch.tensor([round(k * 256 / 11) for k in range(12)])
        torch.testing.assert_close(found.fractions, counts / 256)
        few = walk(model, x, torch.tensor(target), maps, fill=fill, steps=11, output=output, batch=5)
        torch.testing.assert_close(found.scores, few.scores, rtol=0, atol=1e-9)


def make_sum(bias=0.0):
    """The logit is the sum of the pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    nn.init.constant_(model[1].weight, 1.0)
    nn.init.constant_(model[1].bias, bias)
    return model


def test_a_2x2_picture_by_hand():
    model, x = make_sum(), torch.tensor([[[[1.0, 4.0], [2.0, 3.0]]]])
    gone = deletion(model, x, 0, x, output="logit", fill=0.0, steps=4)
    assert gone.scores.tolist() == [[10, 6, 3, 1, 0]] and gone.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert gone.area.tolist() == pytest.approx([(5 + 6 + 3 + 1 + 0) / 4])
    back = insertion(model, x, 0, x, output="logit", fill=0.0, steps=4)
    assert back.scores.tolist() == [[0, 4, 7, 9, 10]]
    torch.testing.assert_close(
        gone.area + back.area, torch.tensor([10.0])
    )  # of a sum they are one another's rest
    ties = deletion(model, x, 0, torch.zeros_like(x), output="logit", fill=0.0, steps=4)
    assert ties.scores.tolist() == [[10, 9, 5, 3, 0]]  # in reading order
    assert deletion(model, x, 0, -x, output="logit", fill=1.0, steps=2).scores.tolist() == [[10, 9, 4]]


def test_fills_a_number_a_colour_a_picture_and_a_blurred_one():
    model, x = seeded(SMALL["sequential"]), random_image(n=2, dtype=torch.float32)
    maps, colour = torch.randn(2, 1, 16, 16), torch.tensor([0.2, 0.4, 0.6])
    whole = torch.full_like(x, 0.25)
    assert torch.equal(
        deletion(model, x, 0, maps, fill=0.25, steps=4).scores,
        deletion(model, x, 0, maps, fill=whole, steps=4).scores,
    )
    painted = colour.view(1, 3, 1, 1).expand_as(x)
    ends = deletion(model, x, 0, maps, fill=colour, steps=1, output="logit").scores
    with torch.no_grad():
        torch.testing.assert_close(ends, torch.stack([model(x)[:, 0], model(painted)[:, 0]], dim=1))
    soft = blurred(x, sigma=1.5)
    assert soft.shape == x.shape and soft.std() < 0.5 * x.std()
    torch.testing.assert_close(soft.mean(), x.mean(), rtol=0.05, atol=0)
    torch.testing.assert_close(blurred(whole), whole)
    deletion(model, x, 0, maps, fill=soft, steps=2)
    assert blurred(random_image(n=1, channels=1)).dtype == torch.float64
    for wrong in (torch.rand(4), torch.rand(3, 3, 16, 16), torch.rand(16, 16)):
        with pytest.raises(ValueError, match=r"a number, a colour \(3,\) or images \(2, 3, 16, 16\), not"):
            deletion(model, x, 0, maps, fill=wrong)


def test_blurring_is_a_weighted_mean_of_the_neighbours():
    spot = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    spot[0, 0, 10, 10] = 1
    positions = torch.arange(21) - 10.0
    bell = torch.exp(-(positions**2) / 2 / 1.5**2) * (positions.abs() <= 5)
    expected = bell[:, None] * bell / bell.sum() ** 2
    torch.testing.assert_close(blurred(spot, sigma=1.5)[0, 0], expected.double(), rtol=1e-4, atol=1e-7)
    with pytest.raises(ValueError, match="sigma must be a positive number"):
        blurred(spot, sigma=0)


@pytest.fixture(scope="module")
def explained():
    """Scenes, and a map of shapesnet that has to be better than noise."""
    scenes, model = shapes.scenes(12, seed=21), models.load("shapesnet")
    leaf = (scenes.images - 0.5).requires_grad_()
    score = model(leaf + 0.5).gather(1, scenes.labels[:, None]).sum()
    return model, scenes, torch.autograd.grad(score, leaf)[0] * leaf.detach()  # from grey


def test_on_shapesnet_the_gradient_times_the_picture_beats_noise(explained):
    model, scenes, good = explained
    areas = {}
    for name, walk in (("deletion", deletion), ("insertion", insertion)):
        for kind, maps in (("good", good), ("noise", random_maps(scenes.images)), ("bad", -good)):
            found = walk(model, scenes.images, scenes.labels, maps, steps=16)
            areas[name, kind] = found.area.mean().item()
    assert areas["deletion", "good"] < areas["deletion", "noise"] - 0.2
    assert areas["insertion", "good"] > areas["insertion", "noise"] + 0.05
    assert areas["insertion", "noise"] > areas["insertion", "bad"] + 0.2


def test_insertion_is_deletion_of_the_rest_and_starts_from_a_blur(explained):
    model, scenes, _ = explained
    images, labels, maps = scenes.images[:3], scenes.labels[:3], torch.randn(3, 1, 64, 64)
    forth = insertion(model, images, labels, maps, steps=8)
    back = deletion(model, images, labels, -maps, steps=8, fill=blurred(images))
    torch.testing.assert_close(forth.scores, back.scores.flip(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(forth.area, back.area, rtol=0, atol=1e-5)


def test_a_unit_and_a_single_picture():
    model, x = seeded(SMALL["residual"], torch.float64), random_image()
    found = deletion(model, x, Unit("conv3", 1), torch.rand(1, 1, 16, 16), output="logit", steps=3)
    with torch.no_grad():
        y = {}
        handle = model.conv3.register_forward_hook(lambda _m, _i, out: y.update(out=out.clone()))
        model(x)
        handle.remove()
    assert found.scores[0, 0].item() == pytest.approx(y["out"][0, 1].mean().item())
    one, four = (
        deletion(model, x.expand(n, -1, -1, -1), 2, torch.rand(1, 1, 16, 16).expand(n, -1, -1, -1))
        for n in (1, 4)
    )
    assert one.scores.shape == (1, 33) and four.scores.shape == (4, 33)


def test_nothing_is_left_behind():
    model, x = seeded(SMALL["in place"], torch.float64).train(), random_image(n=2).requires_grad_()
    maps, fill = torch.randn(2, 3, 16, 16, requires_grad=True), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    before = state(model, x, maps, fill)
    found = deletion(model, x, 1, maps, fill=fill, steps=5)
    assert state(model, x, maps, fill) == before and not found.scores.requires_grad
    with pytest.raises(LookupError, match="no class 9"):
        insertion(model, x, 9, maps, steps=5)
    with pytest.raises(ValueError, match="a class can be explained where a model gives"):
        insertion(nn.Sequential(nn.AvgPool2d(2)), x, 0, maps, steps=5)
    assert state(model, x, maps, fill) == before
    with torch.inference_mode():
        torch.testing.assert_close(deletion(model, x, 1, maps, fill=fill, steps=5).scores, found.scores)


def test_refusals():
    model, x = seeded(SMALL["sequential"]), random_image(n=2, dtype=torch.float32)
    maps = torch.rand(2, 1, 16, 16)
    for wrong in (0, 257, 2.5, True):
        with pytest.raises(ValueError, match="steps are 1 to 256, the number of pixels"):
            deletion(model, x, 0, maps, steps=wrong)
    with pytest.raises(ValueError, match="a pass takes 1 image or more"):
        deletion(model, x, 0, maps, batch=0)
    with pytest.raises(ValueError, match="one class for each image"):
        deletion(model, x, torch.zeros(2, 3, dtype=torch.int64), maps)
    with pytest.raises(ValueError, match="maps of 8x8 for images of 16x16: .*upsample_to_image"):
        insertion(model, x, 0, torch.rand(2, 1, 8, 8))
    with pytest.raises(ValueError, match="one map for each of 2 images"):
        insertion(model, x, 0, maps[:1])
    with pytest.raises(ValueError, match="the fill holds a number that is not finite"):
        insertion(model, x, 0, maps, fill=float("nan"))
    with pytest.raises(LookupError, match="no score 'odds'"):
        insertion(model, x, 0, maps, output="odds")


def test_fills_that_are_none_are_named():
    model, x = seeded(SMALL["sequential"], torch.float64), random_image()
    for wrong in (None, "grey", [1, [2]]):
        with pytest.raises(TypeError, match="a fill is a number, a colour or images, not"):
            deletion(model, x, 0, x, fill=wrong)
    with pytest.raises(ValueError, match=r"images are \(N, C, H, W\)"):
        blurred(x[0])
