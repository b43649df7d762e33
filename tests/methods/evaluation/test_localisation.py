"""The share of positive attribution inside the mask: against a loop, the area, and what is refused."""

import pytest
import torch

from cnnlab.data import shapes
from cnnlab.methods.evaluation import localisation
from cnnlab.nets import models


@pytest.fixture(scope="module")
def scenes():
    return shapes.scenes(24, seed=11)


def slow_share(map_, mask):
    """Pixel by pixel, in Python's own numbers."""
    inside = total = 0.0
    for row in range(map_.shape[1]):
        for column in range(map_.shape[2]):
            value = max(0.0, sum(map_[:, row, column].tolist()))
            total += value
            inside += value if mask[row, column] else 0.0
    return inside / total


@pytest.mark.parametrize("channels", (1, 3))
@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_share_is_what_a_loop_counts(channels, dtype):
    maps, masks = torch.randn(4, channels, 7, 5, dtype=dtype), torch.rand(4, 7, 5) < 0.3
    found = localisation.relevance_mass(maps, masks)
    assert found.tolist() == pytest.approx([slow_share(*pair) for pair in zip(maps, masks, strict=True)])
    assert torch.allclose(found, localisation.relevance_mass(maps * 1000, masks))  # a map has no unit
    assert torch.allclose(found + localisation.relevance_mass(maps, ~masks), torch.ones(4).double())
    assert torch.equal(found[1:2], localisation.relevance_mass(maps[1:2], masks[1:2]))


def test_what_is_negative_inside_or_cancels_between_colours_counts_nothing():
    maps, masks = torch.zeros(1, 3, 2, 2), torch.tensor([[[True, True], [False, False]]])
    maps[0, :, 0, 0] = torch.tensor([5.0, -5.0, 0.0])  # red for, green against: nothing
    maps[0, 0, 0, 1] = -100.0
    maps[0, 0, 1, 1] = 1.0
    assert localisation.relevance_mass(maps, masks).item() == 0
    maps[0, 1, 0, 1] = 103.0
    assert localisation.relevance_mass(maps, masks).item() == 0.75


def test_the_mask_itself_gets_1_and_a_constant_map_gets_the_area(scenes):
    masks = scenes.masks["deciding"]
    assert torch.equal(localisation.relevance_mass(masks[:, None].float(), masks), torch.ones(24).double())
    constant = localisation.relevance_mass(torch.full((24, 1, 64, 64), 0.3), masks)
    torch.testing.assert_close(constant, localisation.mask_area(masks))
    expected = torch.tensor([mask.sum().item() / 64**2 for mask in masks], dtype=torch.float64)
    torch.testing.assert_close(localisation.mask_area(masks), expected)


def test_a_map_of_noise_gets_the_area(scenes):
    masks = scenes.masks["deciding"]
    found, area = localisation.chance_mass(masks), localisation.mask_area(masks)
    assert (found - area).abs().max() < 0.02 and not torch.equal(found, area)
    assert (found - area).mean().abs() < 0.002
    assert torch.equal(found, localisation.chance_mass(masks, seed=0))
    assert not torch.equal(found, localisation.chance_mass(masks, seed=500))
    rough = (localisation.chance_mass(masks, draws=1) - area).abs().mean()
    assert rough > 1.5 * (found - area).abs().mean()


def test_of_input_is_bright_inside(scenes):
    images, masks = scenes.images, scenes.masks["deciding"]
    bright = images.double().sum(dim=1)
    expected = torch.stack([b[m].sum() / b.sum() for b, m in zip(bright, masks, strict=True)])
    torch.testing.assert_close(localisation.input_baseline(images, masks), expected)
    assert (
        localisation.input_baseline(torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)).item()
        == 0
    )


def test_the_gradient_times_the_picture_of_shapesnet_beats_both_lines(scenes):
    """And turned round, so that it speaks against the class, it loses to itself."""
    leaf = scenes.images.clone().requires_grad_()
    logits = models.load("shapesnet")(leaf)
    (gradient,) = torch.autograd.grad(logits.gather(1, scenes.labels[:, None]).sum(), leaf)
    masks = scenes.masks["deciding"]
    found = localisation.table({"gradient x input": gradient * scenes.images}, scenes.images, masks)
    assert list(found) == ["random", "|input|", "gradient x input"]
    assert found["random"] == pytest.approx(localisation.mask_area(masks).mean().item(), abs=0.005)
    assert found["|input|"] == pytest.approx(localisation.input_baseline(scenes.images, masks).mean().item())
    assert found["gradient x input"] > found["|input|"] + 0.15 > found["random"]
    with pytest.raises(ValueError, match="cam: maps of 8x8 for images of 64x64"):
        localisation.table({"cam": torch.rand(24, 1, 8, 8)}, scenes.images, masks)
    with pytest.raises(ValueError, match="'random' is the name of a line"):
        localisation.table({"random": gradient}, scenes.images, masks)


def test_a_map_without_a_positive_value_is_refused_or_counts_what_was_asked():
    maps, masks = torch.stack([torch.ones(1, 4, 4), -torch.ones(1, 4, 4)]), torch.ones(2, 4, 4) > 0
    with pytest.raises(
        ValueError, match=r"map 1 has no positive value \(its largest is -1\).* or give empty="
    ):
        localisation.relevance_mass(maps, masks)
    assert localisation.relevance_mass(maps, masks, empty=0.0).tolist() == [1, 0]
    assert localisation.relevance_mass(torch.zeros(1, 1, 4, 4), masks[:1], empty=0.5).tolist() == [0.5]


def test_refusals():
    maps = torch.rand(2, 3, 4, 4)
    with pytest.raises(TypeError, match="masks are bool .* not torch.float32: compare with a threshold"):
        localisation.relevance_mass(maps, torch.rand(2, 4, 4))
    with pytest.raises(ValueError, match=r"masks are \(N, H, W\), at least one; not \(4, 4\)"):
        localisation.mask_area(torch.ones(4, 4) > 0)
    with pytest.raises(ValueError, match="one map for each of 3 images, not 2"):
        localisation.relevance_mass(maps, torch.ones(3, 4, 4) > 0)
    with pytest.raises(ValueError, match="not finite"):
        localisation.relevance_mass(maps / 0, torch.ones(2, 4, 4) > 0)
    with pytest.raises(ValueError, match="draws is 1 or more"):
        localisation.chance_mass(torch.ones(2, 4, 4) > 0, draws=0)
