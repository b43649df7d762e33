"""One signed number per pixel: what is let in, what is refused, and noise that depends on its seed alone."""

import pytest
import torch

from cnnlab.methods.attribution import Attribution
from cnnlab.methods.evaluation.maps import explain_with, random_maps, sum_channels
from cnnlab.methods.model_runner import Passes


def test_channels_are_added_with_their_signs_in_double_precision():
    maps = torch.tensor([[1.0, -3.0], [0.25, 0.5]]).view(2, 2, 1, 1)
    found = sum_channels(maps)
    assert found.tolist() == [[[-2.0]], [[0.75]]] and found.dtype == torch.float64
    thirds = torch.full((1, 3, 4, 4), 1 / 3)
    assert torch.equal(sum_channels(thirds), thirds.double().sum(dim=1))


@pytest.mark.parametrize(
    ("maps", "error", "says"),
    (
        (
            torch.rand(1, 1, 8, 8),
            ValueError,
            r"maps of 8x8 for images of 4x4: .* saliency.upsample_to_image",
        ),
        (torch.rand(2, 1, 4, 4), ValueError, "one map for each of 1 images, not 2"),
        (torch.rand(4, 4), ValueError, r"\(N, C, H, W\), at least one; not \(4, 4\)"),
        (torch.rand(0, 1, 4, 4), ValueError, "at least one"),
        (torch.full((1, 1, 4, 4), float("nan")), ValueError, "not finite"),
        (torch.full((1, 1, 4, 4), -float("inf")), ValueError, "not finite"),
        (torch.ones(1, 1, 4, 4, dtype=torch.int64), TypeError, "not torch.int64"),
        ([1.0], TypeError, "not list"),
        (Attribution(torch.rand(1, 1, 4, 4), None, None, None, Passes(), 0.0), TypeError, r"its \.map"),
    ),
)
def test_refusals(maps, error, says):
    with pytest.raises(error, match=says):
        sum_channels(maps, (1, 4, 4))


def test_a_method_may_answer_with_a_tensor_or_an_attribution():
    model, images = torch.nn.Identity(), torch.rand(2, 3, 4, 4)
    maps = torch.rand(2, 1, 2, 2, requires_grad=True)
    whole = Attribution(maps, torch.zeros(2), torch.zeros(2), None, Passes(), 0.0)
    for answer in (maps, whole):
        found = explain_with(lambda *_, answer=answer: answer, model, images, 0)
        assert torch.equal(found, maps) and not found.requires_grad
    for wrong, says in ((torch.rand(3, 1, 2, 2), "2 images were given"), (torch.tensor(1.0), "2 images")):
        with pytest.raises(ValueError, match=says):
            explain_with(lambda *_, wrong=wrong: wrong, model, images, 0)
    with pytest.raises(TypeError, match="not NoneType"):
        explain_with(lambda *_: None, model, images, 0)


def test_a_method_finds_eval_mode_and_gradients_and_may_draw_as_it_likes():
    model, images = torch.nn.Dropout(0.5).train(), torch.rand(2, 3, 4, 4)

    def explain(model, images, target):
        leaf = images.clone().requires_grad_()
        torch.rand(3)
        return torch.autograd.grad((model(leaf) ** 2).sum(), leaf)[0]

    for mode in (torch.no_grad, torch.inference_mode):
        before = torch.get_rng_state()
        with mode():
            found = explain_with(explain, model, images, 0)
        torch.testing.assert_close(found, 2 * images)
        assert model.training and torch.equal(torch.get_rng_state(), before)


def test_noise_has_both_signs_and_a_seed():
    images, state = torch.rand(3, 3, 32, 32), torch.get_rng_state()
    one = random_maps(images)
    assert one.shape == (3, 1, 32, 32) and torch.equal(one, random_maps(images, seed=0))
    assert not torch.equal(one, random_maps(images, seed=1)) and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(one[0], one[1]) and (one > 0).double().mean().item() == pytest.approx(
        0.5, abs=0.03
    )
