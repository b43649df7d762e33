"""Projections of the strongest patches: one by one the same, nothing outside the field, refusals."""

import pytest
import torch

from cnnlab.data import photos
from cnnlab.methods import deconvnet, top
from cnnlab.methods.deconvnet import top_projections
from cnnlab.nets import models
from cnnlab.probing import Unit, receptive


@pytest.fixture(scope="module")
def scanned():
    model, images = models.load("photonet"), photos.crops(size=64, n=40).images
    found = top.scan(model, images, "relu3", k=4)
    return model, images, found, receptive.field(model, "relu3", 64)


@pytest.mark.parametrize("rule", ("deconvnet", "gradient", "guided"))
def test_each_is_the_projection_of_its_own_picture_and_place(scanned, rule):
    model, images, found, field = scanned
    made = top_projections.project_top_patches(
        model, images, found, field, channels=[5, 80], rule=rule, batch=3
    )
    assert made.shape == top.patches(images, found, field, channels=[5, 80]).shape
    for row, channel in enumerate((5, 80)):
        for k in range(4):
            unit = Unit("relu3", channel, int(found.row[channel, k]), int(found.col[channel, k]))
            number = int(found.image_index[channel, k])
            whole = deconvnet.project(model, images[number : number + 1], unit, rule)
            box = field.rectangle(unit.row, unit.col)
            inside = whole[..., box.top : box.bottom, box.left : box.right]
            # Nothing of the projection lies outside of what the unit sees.
            torch.testing.assert_close(inside.abs().sum(), whole.abs().sum())
            expected = field.crop(whole, unit.row, unit.col)[0]
            torch.testing.assert_close(
                made[row, k], expected, atol=1e-5 * expected.abs().max().item(), rtol=1e-4
            )


def test_refusals(scanned):
    model, images, found, field = scanned
    for channels in ([], [96], [-1]):
        with pytest.raises(ValueError, match="channels are numbers from 0 to 95"):
            top_projections.project_top_patches(model, images, found, field, channels=channels)
    part = top.scan(model, images, "relu3", k=4, shard=(0, 20))  # two images cannot fill four positions
    with pytest.raises(ValueError, match="not full"):
        top_projections.project_top_patches(model, images, part, field, channels=[0])
