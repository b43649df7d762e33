"""The widgets of lectures 06a and 06b say numbers that a plain loop finds, too."""

import re

import numpy as np
import pytest
import torch

from cnnlab.data import photos, shapes
from cnnlab.drawing.raster import pixels
from cnnlab.methods.evaluation import all_methods
from cnnlab.nets import models
from cnnlab.widgets.lessons import evaluation, saliency


@pytest.fixture(scope="module")
def photonet():
    return models.load("photonet")


@pytest.fixture(scope="module")
def cat():
    return photos.load("cat", size=64)


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"[-+]?\d+\.\d+", text)]


def test_all_classes_of_a_picture_stand_on_the_scale_of_its_first_guess(photonet, cat):
    one = saliency.methods_view(cat, "gradient", "1st guess")
    other = saliency.methods_view(cat, "gradient", "2nd guess")
    captions = [next(caption for caption in view if "to ±" in caption) for view in (one, other)]
    assert captions[0] == captions[1]
    assert (one[captions[0]] != other[captions[0]]).any()
    best = photonet(cat)[0].topk(2).indices.tolist()
    assert photonet.classes[best[0]] in one[""] and photonet.classes[best[1]] in other[""]
    leaf = cat.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(photonet(leaf)[0, best[1]], leaf)
    said = numbers(next(line for line in other[""].splitlines() if "sum of the map" in line))[0]
    assert said == pytest.approx(gradient.sum().item(), abs=0.006)


def test_a_class_can_be_named_and_every_method_answers(photonet, cat):
    for method in all_methods.METHODS:
        assert "lion" in saliency.methods_view(cat, method, "lion")[""]


@pytest.mark.parametrize("baseline", ("black", "white", "grey", "blurred"))
def test_the_way_adds_up_from_every_baseline(photonet, cat, baseline):
    text = saliency.path_view(cat, 50, baseline)[""]
    score, reference, rise = numbers(text.splitlines()[0].split("=", 1)[1])
    total, gap = numbers(text.splitlines()[1])
    assert rise == pytest.approx(score - reference, abs=0.011)
    assert gap == pytest.approx(total - rise, abs=0.011) and abs(gap) < 0.1 * abs(rise)


def test_a_white_baseline_can_be_seen_on_a_white_page(cat):
    drawn = saliency.path_view(cat, 2, "white")["from the baseline"]
    assert (drawn[1:-1, 1:-1] == 255).all()
    assert all((edge < 200).all() for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]))


def test_without_noise_smoothgrad_is_the_gradient(cat):
    view = saliency.smooth_view(cat, 0.0, 3)
    plain, mean = (image for caption, image in view.items() if "to ±" in caption)
    assert (plain == mean).all()
    agree = numbers(saliency.smooth_view(cat, 0.1, 20)[""])
    assert agree[1] > agree[0] + 0.05


def test_the_window_that_is_worth_most_is_the_one_that_a_loop_finds(photonet, cat):
    window, stride = 16, 8
    view = saliency.covering_view(cat, "1st guess", window, stride, "white")
    best, most = None, -np.inf
    with torch.no_grad():
        number = int(photonet(cat).argmax())
        whole = photonet(cat)[0, number].item()
        for top in range(0, 64 - window + 1, stride):
            for left in range(0, 64 - window + 1, stride):
                covered = cat.clone()
                covered[:, :, top : top + window, left : left + window] = 1.0
                drop = whole - photonet(covered)[0, number].item()
                best, most = ((top, left), drop) if drop > most else (best, most)
    assert f"takes {most:.2f} of {whole:.2f} away" in view[""]
    shown = view["the window that is worth most"]
    middle = tuple(3 * (edge + window // 2) for edge in best)
    assert (shown[middle] == 255).all()
    assert (shown[3 * best[0], 3 * best[1]] == pixels.FRAME).all()


def test_windows_never_leave_gaps_between_them(cat):
    view = saliency.covering_view(cat, "1st guess", 4, 16, "grey")
    assert "of 256 windows" in view[""] and "stride of 4 (at most the window" in view[""]


def test_a_unit_can_be_covered_too(cat):
    assert (
        "relu3, channel 43: the best window"
        in saliency.covering_view(cat, "relu3, channel 43", 16, 8, "black")[""]
    )


def test_the_share_on_the_thing_is_that_of_a_plain_count():
    view = evaluation.truth_view(4, "network A", "gradient")
    scenes = shapes.scenes(5, seed=200, watermark=1.0)
    model, image = models.load("shapesnet"), scenes.images[4:5].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(image)[0, int(scenes.labels[4])], image)
    positive = gradient[0].sum(dim=0).clamp(min=0)
    for mask, line in (("deciding", 1), ("watermark", 2)):
        inside = (positive[scenes.masks[mask][4]].sum() / positive.sum()).item()
        assert view[""].splitlines()[line].strip().startswith(f"{inside:.0%}")


def test_the_net_that_cheats_looks_at_the_mark_and_the_honest_one_does_not():
    shares = {}
    for network in ("network A", "network B"):
        text = evaluation.truth_view(0, network, "integrated gradients, from grey")[""]
        shares[network] = int(re.search(r"(\d+)% of what is positive lies on the mark", text)[1])
    assert shares["network B"] > 30 > 10 > shares["network A"]


def test_nothing_shuffled_is_the_same_map_and_all_shuffled_is_another(cat):
    same = evaluation.shuffled_view(cat, "gradient", 0)
    assert "map +1.00; of the sizes alone +1.00" in same[""] and "shuffled: none" in same[""]
    other = evaluation.shuffled_view(cat, "gradient", 11)
    assert abs(numbers(other[""])[-2]) < 0.3 and "conv1" in other[""]


def test_at_step_0_nothing_is_gone_and_at_the_end_all_is():
    scenes = shapes.scenes(3, seed=200, watermark=1.0)
    start = evaluation.removal_view(2, "gradient", "strongest taken away", 0)
    end = evaluation.removal_view(2, "gradient", "strongest taken away", 32)
    whole = start[next(caption for caption in start if "0 of 4096" in caption)]
    assert (whole == pixels.enlarge(pixels.grey(scenes.images[2]), 3)).all()
    assert np.unique(end[next(caption for caption in end if "4096 of 4096" in caption)]).tolist() == [128]
    put_in = evaluation.removal_view(2, "gradient", "strongest put in", 32)
    assert (put_in[next(caption for caption in put_in if "4096 of 4096" in caption)] == whole).all()


def test_the_probability_at_a_step_is_that_of_the_picture_shown():
    model = models.load("shapesnet")
    scenes = shapes.scenes(2, seed=200, watermark=1.0)
    view = evaluation.removal_view(1, "Grad-CAM", "strongest taken away", 8)
    shown = view[next(caption for caption in view if "1024 of 4096" in caption)][::3, ::3]
    image = torch.from_numpy(shown.copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        chance = model(image).softmax(dim=1)[0, int(scenes.labels[1])].item()
    assert int(re.search(r"now (\d+)%", view[""])[1]) == pytest.approx(100 * chance, abs=3)
