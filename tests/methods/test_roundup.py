"""All methods side by side: each as asked for alone, on the pixels; better than noise; unchanged models."""

import pytest
import torch

from cnnlab.data import shapes
from cnnlab.methods import closed_forms, occlusion, roundup, saliency, truth
from cnnlab.nets import models


@pytest.fixture(scope="module")
def shapesnet():
    return models.load("shapesnet")


@pytest.fixture(scope="module")
def scenes():
    return shapes.scenes(8, seed=200)


def test_every_method_is_what_it_is_alone_with_the_colours_added_up(shapesnet, scenes):
    few, labels = scenes.images[:2], scenes.labels[:2]
    found = roundup.maps(shapesnet, few, labels)
    assert list(found) == list(roundup.METHODS)
    assert all(map_.shape == (2, 1, 64, 64) for map_ in found.values())
    alone = saliency.guided(shapesnet, few, labels).map.sum(dim=1, keepdim=True)
    torch.testing.assert_close(found["guided"], alone)
    coarse = saliency.grad_cam(shapesnet, few, labels).map
    assert coarse.shape[2:] == (8, 8)
    torch.testing.assert_close(
        found["Grad-CAM"].amax(dim=(2, 3)), coarse.amax(dim=(2, 3)), rtol=0.1, atol=0.01
    )


def test_covers_of_several_pictures_are_those_of_each(shapesnet, scenes):
    together = roundup.covered(shapesnet, scenes.images[:3], scenes.labels[:3])
    assert together.map.shape == (3, 1, 64, 64) and together.score.shape == together.target.shape == (3,)
    options = {"window": 8, "stride": 4, "fill": 0.5}
    for k in range(3):
        alone = occlusion.heatmap(shapesnet, scenes.images[k : k + 1], int(scenes.labels[k]), **options)
        torch.testing.assert_close(together.map[k : k + 1], alone.map)
    with pytest.raises(ValueError, match="one class for each picture"):
        roundup.covered(shapesnet, scenes.images[:2], torch.zeros(2, 3, dtype=torch.int64))


def test_every_method_beats_noise_and_the_input_where_the_truth_is_known(shapesnet, scenes):
    found = roundup.maps(shapesnet, scenes.images, scenes.labels)
    shares = truth.table(found, scenes.images, scenes.masks["deciding"], empty=0.0)
    line = max(shares["random"], shares["|input|"])
    assert all(shares[name] > 1.2 * line for name in roundup.METHODS), shares
    assert shares["integrated gradients, from grey"] > 1.5 * shares["integrated gradients"]


def test_a_wrong_name_gets_the_list():
    with pytest.raises(LookupError, match=r"no method 'Grad-Cam'. Did you mean 'Grad-CAM'"):
        roundup.method("Grad-Cam")


@pytest.mark.parametrize("number", range(len(closed_forms.forms())))
def test_occlusion_of_single_pixels_gives_the_formulas_answer(number):
    form, x = closed_forms.forms(torch.float64)[number]
    found = occlusion.heatmap(form, x, 0, window=1, stride=1, fill=0.0).map
    torch.testing.assert_close(found, form.right("occlusion", x), atol=1e-12, rtol=0)


def test_the_model_and_the_pictures_stay_as_they_were(shapesnet, scenes):
    state = {name: value.clone() for name, value in shapesnet.state_dict().items()}
    few, random = scenes.images[:1].clone(), torch.get_rng_state()
    roundup.maps(shapesnet.train(), few, scenes.labels[:1])
    assert shapesnet.training and all(module.training for module in shapesnet.modules())
    shapesnet.eval()
    assert torch.equal(few, scenes.images[:1]) and torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, state[name]) for name, value in shapesnet.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in shapesnet.parameters())
