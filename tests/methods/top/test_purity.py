"""How much the strongest images of a unit have in common: against counting, and against chance."""

from collections import Counter
from itertools import product

import pytest
import torch

from cnnlab.data import shapes
from cnnlab.methods import top
from cnnlab.methods.top import purity
from cnnlab.methods.top.ranking import Top
from cnnlab.nets import models


def ranking(index, seen):
    positions = torch.zeros_like(index)
    return Top(torch.zeros(index.shape), index, positions, positions, "relu1", seen)


def test_share_is_what_counting_gives():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (40,), generator=generator)
    index = torch.stack([torch.randperm(40, generator=generator)[:9] for _ in range(12)])
    found = purity.label_purity(ranking(index, 40), labels)
    for row, value in zip(index, found, strict=True):
        assert value.item() == pytest.approx(max(Counter(labels[row].tolist()).values()) / 9)


def test_chance_is_the_mean_over_all_draws():
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    rows = [row for row in product(range(6), repeat=3) if len(set(row)) == 3]
    exact = sum(max(Counter(labels[list(row)].tolist()).values()) / 3 for row in rows) / len(rows)
    assert purity.chance_purity(labels, 3, draws=20_000) == pytest.approx(exact, abs=0.01)
    assert purity.chance_purity(torch.zeros(20, dtype=torch.int64)) == 1


def test_deep_units_of_shapesnet_agree_on_the_shape_and_early_ones_on_the_colour():
    model, scenes = models.load("shapesnet"), shapes.scenes(300, seed=5)
    colour, _ = shapes.of_largest(scenes, "colour")
    share = {}
    for layer in ("relu1", "relu4"):
        found = top.scan(model, scenes.images, layer, k=9)
        share[layer] = [
            purity.label_purity(found, labels).mean().item() for labels in (scenes.labels, colour)
        ]
    assert share["relu4"][0] > 0.75 > 0.5 > share["relu1"][0] and share["relu1"][1] > share["relu4"][1] + 0.2


def test_refusals():
    index = torch.zeros(1, 3, dtype=torch.int64)
    for labels in (torch.zeros(4), torch.zeros(3, dtype=torch.int64), torch.zeros(4, 1, dtype=torch.int64)):
        with pytest.raises(ValueError, match="4 images were scanned"):
            purity.label_purity(ranking(index, 4), labels)
    with pytest.raises(ValueError, match="not full"):
        purity.label_purity(ranking(index - 1, 4), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="9 images cannot be drawn 2000 times from 4"):
        purity.chance_purity(torch.zeros(4, dtype=torch.int64))


def test_overlap_of_a_unit_that_is_the_mask_is_one_and_of_a_constant_one_the_area():
    masks = shapes.scenes(12, seed=3).masks["deciding"]
    always, never = torch.ones_like(masks), torch.zeros_like(masks)
    half = masks.clone()
    half[:6] = False
    found = purity.iou(torch.stack([masks, always, never, ~masks, half], dim=1), masks)
    expected = [1, masks.float().mean().item(), 0, 0, masks[6:].sum().item() / masks.sum().item()]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert purity.iou(never[:, None], never).item() == 0  # nothing, and no 0 / 0
    with pytest.raises(ValueError, match="compare with a threshold"):
        purity.iou(masks[:, None].float(), masks)
    with pytest.raises(ValueError, match=r"\(N, H, W\)"):
        purity.iou(masks, masks)
