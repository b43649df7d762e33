"""All methods side by side: each as asked for alone, on the pixels; better than noise; unchanged models."""

import pytest
import torch

from cnnlab.data import shapes
from cnnlab.methods import occlusion, saliency
from cnnlab.methods.evaluation import all_methods, closed_forms, localisation
from cnnlab.nets import models
from cnnlab.probing import Unit


@pytest.fixture(scope="module")
def shapesnet():
    return models.load("shapesnet")


@pytest.fixture(scope="module")
def scenes():
    return shapes.scenes(8, seed=200)


def test_every_method_is_what_it_is_alone_with_the_colours_added_up(shapesnet, scenes):
    few, labels = scenes.images[:2], scenes.labels[:2]
    found = all_methods.all_maps(shapesnet, few, labels)
    assert list(found) == list(all_methods.METHODS)
    assert all(map_.shape == (2, 1, 64, 64) for map_ in found.values())
    alone = saliency.guided_backprop(shapesnet, few, labels).map.sum(dim=1, keepdim=True)
    torch.testing.assert_close(found["guided backprop"], alone)
    coarse = saliency.grad_cam(shapesnet, few, labels).map
    assert coarse.shape[2:] == (8, 8)
    torch.testing.assert_close(
        found["Grad-CAM"].amax(dim=(2, 3)), coarse.amax(dim=(2, 3)), rtol=0.1, atol=0.01
    )


def test_covers_of_several_pictures_are_those_of_each(shapesnet, scenes):
    together = all_methods.occlusion_maps(shapesnet, scenes.images[:3], scenes.labels[:3])
    assert together.map.shape == (3, 1, 64, 64) and together.score.shape == together.target.shape == (3,)
    options = {"window": 8, "stride": 4, "fill": 0.5}
    for k in range(3):
        alone = occlusion.heatmap(shapesnet, scenes.images[k : k + 1], int(scenes.labels[k]), **options)
        torch.testing.assert_close(together.map[k : k + 1], alone.map)
    with pytest.raises(ValueError, match="one class for each image"):
        all_methods.occlusion_maps(shapesnet, scenes.images[:2], torch.zeros(2, 3, dtype=torch.int64))


def test_every_method_beats_noise_and_the_input_where_the_truth_is_known(shapesnet, scenes):
    found = all_methods.all_maps(shapesnet, scenes.images, scenes.labels)
    shares = localisation.table(found, scenes.images, scenes.masks["deciding"], empty=0.0)
    line = max(shares["random"], shares["|input|"])
    assert all(shares[name] > 1.2 * line for name in all_methods.METHODS), shares
    assert shares["integrated gradients, from grey"] > 1.5 * shares["integrated gradients"]


def test_a_wrong_name_gets_the_list():
    with pytest.raises(LookupError, match=r"no method 'Grad-Cam'. Did you mean 'Grad-CAM'"):
        all_methods.get_method("Grad-Cam")


@pytest.mark.parametrize("number", range(len(closed_forms.forms())))
def test_occlusion_of_single_pixels_gives_the_formulas_answer(number):
    form, x = closed_forms.forms(torch.float64)[number]
    found = occlusion.heatmap(form, x, 0, window=1, stride=1, fill=0.0).map
    torch.testing.assert_close(found, form.attribution("occlusion", x), atol=1e-12, rtol=0)


def test_the_model_and_the_pictures_stay_as_they_were(shapesnet, scenes):
    state = {name: value.clone() for name, value in shapesnet.state_dict().items()}
    few, random = scenes.images[:1].clone(), torch.get_rng_state()
    all_methods.all_maps(shapesnet.train(), few, scenes.labels[:1])
    assert shapesnet.training and all(module.training for module in shapesnet.modules())
    shapesnet.eval()
    assert torch.equal(few, scenes.images[:1]) and torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, state[name]) for name, value in shapesnet.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in shapesnet.parameters())


def test_a_unit_with_maps_is_explained_by_every_method(shapesnet, scenes):
    unit, few = Unit("conv4", 1), scenes.images[:1]
    found = all_methods.all_maps(shapesnet, few, unit)
    assert all(map_.shape == (1, 1, 64, 64) and map_.any() for map_ in found.values())
    before = saliency.last_feature_maps(shapesnet, few, before="conv4")
    coarse = saliency.grad_cam(shapesnet, few, unit, layer=before).map
    assert not before.startswith("conv4") and before != saliency.last_feature_maps(shapesnet, few)
    torch.testing.assert_close(
        found["Grad-CAM"], saliency.upsample_to_image(coarse, shapesnet, before, (64, 64)), rtol=0, atol=1e-6
    )


def test_the_windows_fit_both_sides(shapesnet):
    """An eighth of each side: of 8 x 96 pixels 2 x 12, not 12 x 12."""
    x = torch.rand(1, 3, 8, 96)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                              torch.nn.Flatten(), torch.nn.Linear(4, 3))  # fmt: skip
    alone = occlusion.heatmap(net, x, 1, window=(2, 12), stride=(1, 6), fill=0.5)
    torch.testing.assert_close(all_methods.occlusion_maps(net, x, 1).map, alone.map)


def test_a_method_of_the_table_can_be_smoothed_only_where_it_answers_with_its_bookkeeping(shapesnet, scenes):
    with pytest.raises(TypeError, match="answers with an Attribution, not Tensor"):
        saliency.smoothgrad(shapesnet, scenes.images[:1], 1, method=all_methods.get_method("guided backprop"))
    with pytest.raises(ValueError, match="such as Attribution.map"):
        all_methods.to_pixels(
            saliency.gradient(shapesnet, scenes.images[:1], 1), shapesnet, scenes.images[:1]
        )
